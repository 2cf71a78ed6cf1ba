# shellcheck shell=sh
# Changes class directories of one node, one symlink at a time, once observe.sh has
# looked at it in the same shell.
#
# Standard input: steps, each a verb and its words, a line each, then "end":
#   link    NAME NUMBER FINGERPRINT DIR ENTRY TARGET
#   unlink  DIR ENTRY TARGET
#   restore DIR ENTRY TARGET
# A step is a record with a result: created, unchanged, removed, restored, absent,
# changed, linked, taken, locked, failed. What was decided on is checked again under
# a lock: one on the first class directory that there is, the same for every run on
# this node, and for a link one on the device too, which udev and Talos respect.

said() {
	put result "$1"
	[ -z "${2-}" ] || put detail "$2"
	emit
}

# lock FD: waits for other runs on this node.
lock() { flock -n -x "$1" || timeout "$PATIENCE" flock -x "$1"; }

# target FILE: the raw content of a link in T.
target() {
	T=$(readlink -n -- "$1" && echo .) || return 1
	T=${T%.}
}

# wwid NUMBER: the device's WWID in V, or empty.
wwid() {
	readfile "/sys/dev/block/$1/wwid"
	[ -n "$V" ] || readfile "/sys/dev/block/$1/device/wwid"
}

# survey DEVICE: where the device, every name that udev gave, and every entry of
# every class directory lead, in S, as udevnames prints it; or in O why that is not
# known. One program for all of them: there may be many.
survey() {
	O=$UNREAD
	[ -z "$O" ] || return 1
	device=$1
	old=$IFS
	IFS=$NL
	set -f
	# shellcheck disable=SC2086 # one directory a line
	set -- $DIRS
	set +f
	IFS=$old
	n=$#
	for dir in "$@"; do
		set -- "$@" "$dir"/* "$dir"/.[!.]* "$dir"/..?*
	done
	shift "$n"
	S=$(stat -L -c '%t:%T %n' -- "$device" /dev/disk/by-id/* /dev/disk/by-path/* "$@" 2>/dev/null)
	return 0
}

# leads FILE NUMBER LINES: whether the line of FILE has the number. A name with a
# line break is two lines, of which the first has the number; only validated names
# are asked for.
leads() {
	while IFS=' ' read -r hex file; do
		[ "$file" = "$1" ] || continue
		number "$hex"
		[ "$V" = "$2" ]
		return
	done <<-LINES
		$3
	LINES
	V=
	return 1
}

# differ NUMBER NUMBER: whether two devices of one WWID are two disks anyway,
# since their sizes or serial numbers differ. What one of them does not have says nothing.
differ() {
	for at in size serial device/serial; do
		readfile "/sys/dev/block/$1/$at"
		mine=$V
		readfile "/sys/dev/block/$2/$at"
		[ -z "$mine" ] || [ -z "$V" ] || [ "$mine" = "$V" ] || return 0
	done
	# The serial number of SCSI, with bytes that no variable holds.
	cmp -s "/sys/dev/block/$1/device/vpd_pg80" "/sys/dev/block/$2/device/vpd_pg80" 2>/dev/null
	[ $? -eq 1 ]
}

# others NUMBER: an entry of the survey that leads to the device, or to another
# path of it, in O. The entry to be made is not among them; one whose name begins like
# it and goes on after a line break is.
others() {
	wwid "$1"
	known=$V
	# Zeros behind the type, or nothing, identify no disk.
	case ${known#*.} in *[!0x\ -]*) ;; *) known= ;; esac
	while IFS=' ' read -r hex O; do
		case $hex in *[!0-9a-f:]* | '' | :* | *: | 0:0) continue ;; esac
		case $O in "$device" | /dev/disk/by-id/* | /dev/disk/by-path/*) continue ;; esac
		number "$hex"
		[ "$V" != "$1" ] || return 0
		[ -n "$known" ] || continue
		there=$V
		wwid "$there"
		[ "$V" != "$known" ] || differ "$1" "$there" || return 0
	done <<-ENTRIES
		$S
	ENTRIES
	O=
	return 1
}

# home_is DIR: whether a class directory is a mount point in this container still, and so
# the node's; why not in O. KIND is the type of the file system there.
home_is() {
	O="$1 in the pod is not the node's directory now"
	KIND=
	# As the kernel writes it in mountinfo.
	point=$(printf '%s\n' "$1" | sed 's/\\/\\134/g; s/ /\\040/g; s/	/\\011/g')
	while read -r _ _ _ _ at rest; do
		[ "$at" = "$point" ] || continue
		# The last one is what is seen.
		KIND=${rest#* - }
		KIND=${KIND%% *}
	done </proc/self/mountinfo
	[ -n "$KIND" ]
}

# lasts DIR: home_is, and that what is written there outlives a reboot.
lasts() {
	home_is "$1" || return 1
	case $KIND in devtmpfs | tmpfs | ramfs | rootfs) ;; *) return 0 ;; esac
	O="$1 is on a $KIND: links there are gone at each reboot"
	return 1
}

# make DIR ENTRY TARGET: symlink(2) is the atomic step; it fails if the name exists.
make() { said_by_ln=$(ln -sT -- "$3" "$1/$2" 2>&1); }

link() {
	begin step
	put dir "$4"
	put entry "$5"
	# shellcheck disable=SC2094 # the descriptors are only there to be locked
	(
		{ lock 8 && lock 9; } || {
			said locked "another run on this node holds the lock"
			exit 0
		}
		if ! lasts "$4" || ! survey "/dev/$1"; then
			said failed "$O"
		elif ! leads "/dev/$1" "$2" "$S"; then
			said changed "/dev/$1 is device ${V:-none} now"
		elif [ -L "$4/$5" ] && target "$4/$5" && [ "$T" = "$6" ] && leads "$4/$5" "$2" "$S"; then
			said unchanged
		elif [ -e "$4/$5" ] || [ -L "$4/$5" ]; then
			said taken "something else lies there now"
		elif others "$2"; then
			said linked "$O"
		else
			kept=$R
			loops
			examine "$1" "$2" "$S"
			sum=$(
				sha256sum <<-RECORD
					$R
				RECORD
			)
			R=$kept
			if [ "${sum%% *}" != "$3" ]; then
				said changed "what the node says of /dev/$1 is no longer what was decided on"
			elif ! leads "$6" "$2" "$S"; then
				said changed "$6 does not lead to /dev/$1 now"
			elif make "$4" "$5" "$6"; then
				said created
			else
				said failed "$said_by_ln"
			fi
		fi
	) 8<"$GATE" 9<"/dev/$1" || said changed "/dev/$1 or $GATE cannot be opened"
}

unlink() {
	begin step
	put dir "$1"
	put entry "$2"
	(
		lock 8 || {
			said locked "another run on this node holds the lock"
			exit 0
		}
		if [ ! -d "$1" ]; then
			said failed "there is no directory $1"
		elif ! home_is "$1"; then
			said failed "$O"
		elif [ ! -e "$1/$2" ] && [ ! -L "$1/$2" ]; then
			said absent
		elif [ ! -L "$1/$2" ] || ! target "$1/$2" || [ "$T" != "$3" ]; then
			said changed "it is not the link that was decided on"
		elif out=$(rm -f -- "$1/$2" 2>&1); then
			said removed
		else
			said failed "$out"
		fi
	) 8<"$GATE" || said failed "$GATE cannot be opened"
}

restore() {
	begin step
	put dir "$1"
	put entry "$2"
	(
		lock 8 || {
			said locked "another run on this node holds the lock"
			exit 0
		}
		if ! home_is "$1"; then
			said failed "$O"
		elif [ -L "$1/$2" ] && target "$1/$2" && [ "$T" = "$3" ]; then
			said unchanged
		elif ! survey "$3"; then
			said failed "$O"
		elif numberof "$3" && others "$V"; then
			said linked "$O"
		elif make "$1" "$2" "$3"; then
			said restored
		else
			said failed "$said_by_ln"
		fi
	) 8<"$GATE" || said failed "$GATE cannot be opened"
}

# readable_dirs: sets GATE, the directory that is locked, and UNREAD: a directory
# that cannot be read expands like an empty one.
readable_dirs() {
	GATE=/dev
	UNREAD=
	set --
	while IFS= read -r dir; do
		[ -d "$dir" ] || continue
		set -- "$@" "$dir"
	done <<-DIRS
		$DIRS
	DIRS
	[ $# -gt 0 ] || return 0
	GATE=$1
	ls -a -- "$@" >/dev/null 2>&1 || UNREAD="a class directory that cannot be read"
}

GATE=
UNREAD=

# word: the next line of standard input in W. The end of input is no word: a step
# that was cut short is not performed.
word() { IFS= read -r W || exit 0; }

# A step is its verb and its words; anything else ends the script.
while word; do
	case $W in
	link) n=6 ;;
	unlink | restore) n=3 ;;
	*) break ;;
	esac
	[ -n "$GATE" ] || readable_dirs
	set -- "$W"
	while [ $# -le "$n" ] && word; do
		set -- "$@" "$W"
	done
	"$@"
done

begin end
emit
