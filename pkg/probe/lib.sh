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

# describe NAME NUMBER: adds to the record what sysfs says of a block device.
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
	for at in */partition; do
		[ ! -f "$at" ] || put part "${at%/partition}"
	done
	cd /
}

# look NAME NUMBER [again]: adds to the record what lies on the device, and
# whether anything has it open. Reads only; the exclusive open is that of mke2fs -n,
# which writes nothing. Again: that the device can be read is known.
look() {
	out=$(timeout "$PATIENCE" blkid -p -o udev "/dev/$1" 2>&1 </dev/null)
	rc=$?
	if [ $rc -eq 2 ] && [ -z "$out" ] && [ -z "${3-}" ] && ! readable "$1" "$2"; then
		# blkid says "nothing found" of a device that cannot be read, too.
		rc=5
		out="$why"
	fi
	put blkid "$rc"
	put blkid-says "$out"
	case $rc in
	# A device that does not answer is left alone. One that just did needs no
	# second deadline.
	124 | 137 | 143) out= ;;
	*) open_alone "$1" ;;
	esac
	put mke2fs "$rc"
	# Below its version it prints what it would make, with a new UUID each time.
	[ $rc -ne 0 ] || out=${out%%"$NL"*}
	put mke2fs-says "$out"
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

# readable NAME NUMBER: whether both ends of the device can be read; why not in
# $why. blkid has read there a moment ago, and in time.
readable() {
	readfile "/sys/dev/block/$2/size"
	end=$(((${V:-1} - 1) / 128))
	why=$(dd if="/dev/$1" of=/dev/null bs=65536 count=16 2>&1) &&
		why=$(dd if="/dev/$1" of=/dev/null bs=65536 count=1 skip=$end 2>&1)
}

# examine NAME NUMBER NAMES [again]: the whole record of a device that is looked
# at closely, in R. NAMES has the output of udevnames. Examined again, an unchanged
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
	look "$1" "$2" "${4-}"
}
