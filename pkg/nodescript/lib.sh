# shellcheck shell=sh
# What the scripts in the provisioner's pod need beside records: one device looked at
# closely. Functions only. POSIX sh; Debian's or busybox's tools.

# How long one tool may look at one device, in seconds.
PATIENCE=10

putfile() {
	readfile "$2"
	[ -z "$V" ] || put "$1" "$V"
}

# number HEXMAJOR:HEXMINOR, as stat prints it: decimal in V.
number() { V=$((0x${1%%:*})):$((0x${1#*:})); }

# numberof FILE: the number of the block device that FILE leads to in V, or empty.
numberof() {
	V=
	[ -b "$1" ] || return 1
	V=$(stat -L -c '%t:%T' -- "$1" 2>/dev/null) || return 1
	number "$V"
}

# udevnames: a line "MAJOR:MINOR PATH", in hex, for every name that udev gave.
udevnames() {
	stat -L -c '%t:%T %n' -- /dev/disk/by-id/* /dev/disk/by-path/* 2>/dev/null
}

# device ST_DEV: the number that the kernel's encoding of it in st_dev means, in V.
device() { V=$((($1 >> 8) & 0xfff | ($1 >> 32) & ~0xfff)):$((($1 & 0xff) | ($1 >> 12) & ~0xff)); }

# blocknodes: a line "ST_DEV/INODE=HEXNUMBER PATH" for every block device node below /dev.
blocknodes() {
	set --
	for node in /dev/* /dev/*/*; do
		[ ! -b "$node" ] || [ -L "$node" ] || set -- "$@" "$node"
	done
	[ $# -eq 0 ] || stat -c '%d/%i=%t:%T %n' -- "$@" 2>/dev/null
}

# backing NAME HEXNUMBER: what loop device NAME lies over in V, as "ST_DEV/INODE" in decimal, as
# losetup of util-linux says; empty if it does not. TOLD has what it said of all of them.
backing() {
	V=
	case $NL$TOLD in
	*"$NL/dev/$1 "*)
		line=$NL$TOLD
		line=${line##*"$NL/dev/$1 "}
		;;
	*)
		# Its node may have another name.
		case $NODES in *"=$2 "*) ;; *) return 1 ;; esac
		line=${NODES#*"=$2 "}
		line=$(timeout "$PATIENCE" losetup -n -O BACK-INO,BACK-MAJ:MIN "${line%%"$NL"*}" 2>/dev/null </dev/null)
		;;
	esac
	set -f
	# shellcheck disable=SC2086 # words
	set -- ${line%%"$NL"*}
	set +f
	case "${1-}" in '' | *[!0-9]*) return 1 ;; esac
	case "${2-}" in [0-9]*:*[0-9]) ;; *) return 1 ;; esac
	case "$2" in *[!0-9:]*) return 1 ;; esac
	V=$2/$1
}

# loops: the loop devices that are in use, a line each in LOOPS: "NAME OVER FIRST SECTORS
# LIMITED". OVER is the number of the block device that it lies over, "-" where it lies
# over a file, or "?" where that could not be found out. FIRST is the sector there that
# it begins at, LIMITED is 0 where it goes on to the end.
#
# A loop device holds nothing that an exclusive open would see. The kubelet makes one over
# each raw volume that a pod has, over a bind mount of the device's node: its path
# says nothing, its inode and file system are those of the node in /dev.
loops() {
	LOOPS=
	TOLD=
	set -- /sys/block/loop*/loop/backing_file
	[ -e "$1" ] || return 0
	TOLD=$(timeout "$PATIENCE" losetup -l -n -O NAME,BACK-INO,BACK-MAJ:MIN 2>/dev/null </dev/null)
	# The number of each node's file system, in decimal, once for each.
	NODES=
	last=
	while IFS=/ read -r fs node; do
		[ -n "$fs" ] || continue
		if [ "$fs" != "$last" ]; then
			device "$fs"
			last=$fs
			at=$V
		fi
		NODES="$NODES$at/$node$NL"
	done <<-NODES
		$(blocknodes)
	NODES
	for file in "$@"; do
		name=${file#/sys/block/}
		name=${name%%/*}
		loop=/sys/block/$name
		readfile "$loop/loop/backing_file"
		path=$V
		readfile "$loop/dev"
		[ -n "$V" ] || continue
		own=$(printf '%x:%x' "${V%:*}" "${V#*:}")
		over=-
		backing "$name" "$own"
		case "$NL$NODES" in
		*"$NL${V:-none}="*)
			over=$NL$NODES
			over=${over##*"$NL$V="}
			number "${over%% *}"
			over=$V
			;;
		*)
			# What is below /dev may be a device, and what has no path that can be seen; where
			# losetup does not tell, what a kubelet maps too. Anything else is a file.
			case ${V%%:*}$path in
			/dev/*)
				over='?'
				! numberof "$path" || over=$V
				;;
			*/volumeDevices/* | / | "/ (deleted)" | '') [ -n "$V" ] || over='?' ;;
			[0-9]*/dev/* | 0/ | "0/ (deleted)" | 0) over='?' ;;
			esac
			;;
		esac
		readfile "$loop/loop/offset"
		first=$((${V:-0} / 512))
		readfile "$loop/size"
		sectors=${V:-0}
		readfile "$loop/loop/sizelimit"
		LOOPS="$LOOPS$name $over $first $sectors ${V:-0}$NL"
	done
}

# under NUMBER SECTORS [NAME]: adds to the record the loop devices that lie over a device,
# and those that may: of which that is not known, and whose size would fit. NAME is the device itself.
under() {
	while IFS=' ' read -r loop over first sectors limited; do
		case $over in
		"$1") put under "$loop" ;;
		"?")
			if [ "$loop" = "${3-}" ]; then
				continue
			elif [ "$limited" = 0 ] && [ $((first + sectors)) -eq "$2" ] || [ "$limited" != 0 ] && [ $((first + sectors)) -le "$2" ]; then
				put maybe-under "$loop"
			fi
			;;
		esac
	done <<-LOOPS
		$LOOPS
	LOOPS
}

# describe NAME NUMBER: adds to the record what sysfs says of a block device, and what
# loops found.
describe() {
	put name "$1"
	put number "$2"
	cd -P "/sys/dev/block/$2" 2>/dev/null || {
		put problem "the kernel knows no block device $2"
		return 0
	}
	put sysfs "$PWD"
	for at in size ro removable partition queue/rotational device/type device/model device/vendor \
		device/serial serial device/wwid wwid loop/backing_file dm/name dm/uuid md/uuid hidden; do
		putfile "$at" "$at"
	done
	# Of an NVMe controller, or of each that leads to the drive.
	for at in device/transport device/nvme*/transport; do
		putfile transport "$at"
	done
	if [ -f uevent ]; then
		while IFS= read -r line; do
			case $line in
			PARTNAME=* | DISKSEQ=*) put "${line%%=*}" "${line#*=}" ;;
			esac
		done <uevent
	fi
	for at in holders/* slaves/*; do
		[ ! -e "$at" ] || put "${at%%/*}" "${at#*/}"
	done
	readfile size
	under "$2" "${V:-0}" "${PWD##*/}"
	for at in */partition; do
		[ -f "$at" ] || continue
		at=${at%/partition}
		put part "$at"
		readfile "$at/size"
		size=${V:-0}
		readfile "$at/dev"
		under "$V" "$size"
	done
	case $LOOPS in
	*"${PWD##*/} "*)
		over=${LOOPS##*"${PWD##*/} "}
		put over "${over%% *}"
		;;
	esac
	cd /
}

# look NAME NUMBER: adds to the record what lies on the device, and whether
# anything has it open. Reads only; the exclusive open is that of mke2fs -n,
# which writes nothing.
look() {
	out=$(timeout "$PATIENCE" blkid -p -o udev "/dev/$1" 2>&1 </dev/null)
	rc=$?
	case $rc in 0 | 2 | 8) magic "$1" ;; esac
	if [ $rc -eq 2 ] && [ -z "$out" ] && ! ends "$1" "$2"; then
		# blkid says "nothing found" of a device that cannot be read, too.
		rc=5
		out=$why
	fi
	put blkid "$rc"
	put blkid-says "$out"
	case $rc:$out in
	# A device that does not answer is left alone. One that just did needs no
	# second deadline.
	124:* | 137:* | 143:* | 5:)
		[ "$rc" != 5 ] || rc=124
		out=
		;;
	*) open_alone "$1" ;;
	esac
	put mke2fs "$rc"
	# Below its version it prints what it would make, with a new UUID each time.
	[ $rc -ne 0 ] || out=${out%%"$NL"*}
	put mke2fs-says "$out"
}

# magic NAME: adds to the record whose data the first bytes say this is, of formats
# that no libblkid or not every one knows: those of SPDK (lib/blob/blobstore.h,
# module/bdev/raid/bdev_raid.h) and of Ceph (src/os/bluestore/BlueStore.cc).
magic() {
	case $(timeout "$PATIENCE" dd if="/dev/$1" bs=32 count=1 2>/dev/null | tr -cd 'A-Za-z ') in
	SPDKBLOB*) put magic spdk-blobstore ;;
	SPDKRAID*) put magic spdk-raid ;;
	"bluestore block device"*) put magic bluestore ;;
	esac
}

# ends NAME NUMBER: adds to the record how many bytes other than zero there are in the
# first and in the last MiB of a device; fails with the reason in $why where they cannot
# be read, empty if not in time.
ends() {
	readfile "/sys/dev/block/$2/size"
	end=$((${V:-1} - 2048))
	nonzero "/dev/$1" 0 || return 1
	put first-mib "$V"
	[ $end -gt 0 ] || return 0
	nonzero "/dev/$1" "$end" || return 1
	put last-mib "$V"
}

# nonzero FILE SECTOR: how many bytes other than zero there are in the MiB from a
# sector on, in V; why they cannot be read in $why.
nonzero() {
	V=$(
		{
			{
				why=$(timeout "$PATIENCE" dd if="$1" bs=512 skip="$2" count=2048 2>&1 >&4) ||
					printf '%s\n' "$?" "$why" >&3
			} 4>&1 | tr -d '\000' | wc -c >&3
		} 3>&1
	)
	case $V in
	# It did not end as it should have: the code, what it said, and the count.
	*"$NL"*)
		why=${V#*"$NL"}
		why=${why%"$NL"*}
		case ${V%%"$NL"*} in 124 | 137 | 143) why= ;; esac
		return 1
		;;
	esac
}

# open_alone NAME: an exclusive open, as rc and out. Another run that looks at the
# disk has it open for a moment, too; what is partitioned or held is busy for longer.
open_alone() {
	pauses="0.1 0.3"
	case $R in *"${US}part="* | *"${US}holders="*) pauses= ;; esac
	for pause in $pauses ""; do
		# With a size of its own, or it gives up on a disk of more than 16 TiB.
		out=$(mke2fs -n "/dev/$1" 4M 2>&1 </dev/null)
		rc=$?
		case $out in
		*"in use by the system"* | *"resource busy"*) [ -z "$pause" ] || sleep "$pause" ;;
		*) return 0 ;;
		esac
	done
}

# examine NAME NUMBER NAMES: the whole record of a device that is looked at closely, in R.
# NAMES has the output of udevnames, LOOPS that of loops. Examined again, an unchanged
# device gives the same record to the byte.
examine() {
	begin disk
	describe "$1" "$2"
	while IFS=' ' read -r hex udevname; do
		case $udevname in /dev/disk/by-id/* | /dev/disk/by-path/*) ;; *) continue ;; esac
		number "$hex"
		[ "$V" != "$2" ] || put link "$udevname"
	done <<-NAMES
		$3
	NAMES
	look "$1" "$2"
}
