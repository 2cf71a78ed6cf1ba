# shellcheck shell=sh
# Changes class directories of one node, one symlink at a time.
#
# Arguments: the class directories, "--", then steps, each a verb and its words:
#   link    NAME NUMBER FINGERPRINT DIR ENTRY TARGET
#   unlink  DIR ENTRY TARGET
#   restore DIR ENTRY TARGET
# A step is a record with a result: created, unchanged, removed, restored, absent,
# changed, linked, taken, locked, failed. What was decided on is checked again under
# a lock: one on the first class directory that there is, the same for every run on
# this node, and for a link one on the device too, which udev and Talos respect.

NL='
'
DIRS=
# The directory that is locked.
GATE=/dev

said() {
	put result "$1"
	[ -z "${2-}" ] || put detail "$2"
	emit
}

# lock FD: waits for other runs on this node.
lock() { timeout $PATIENCE flock -x "$1"; }

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

# others NUMBER FILE: an entry but FILE, in any class directory, that leads to
# the device or to another path of it, in O; or a directory that cannot be read.
others() {
	O=
	old=$IFS
	IFS=$NL
	set -f
	# shellcheck disable=SC2086 # one directory a line
	set -- "$1" "$2" $DIRS
	set +f
	IFS=$old
	device=$1
	but=$2
	shift 2
	wwid "$device"
	known=$V
	for dir in "$@"; do
		[ -d "$dir" ] || continue
		ls -a -- "$dir" >/dev/null 2>&1 || {
			O="$dir, which cannot be read"
			return 0
		}
		for e in "$dir"/* "$dir"/.[!.]* "$dir"/..?*; do
			[ "$e" != "$but" ] || continue
			numberof "$e" || continue
			O=$e
			[ "$V" != "$device" ] || return 0
			[ -z "$known" ] || wwid "$V"
			[ -z "$known" ] || [ "$V" != "$known" ] || return 0
		done
	done
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
		numberof "/dev/$1"
		if [ "$V" != "$2" ]; then
			said changed "/dev/$1 is device ${V:-none} now"
		elif [ -L "$4/$5" ] && target "$4/$5" && [ "$T" = "$6" ] && numberof "$4/$5" && [ "$V" = "$2" ]; then
			said unchanged
		elif [ -e "$4/$5" ] || [ -L "$4/$5" ]; then
			said taken "something else lies there now"
		elif others "$2" "$4/$5"; then
			said linked "$O"
		else
			kept=$R
			examine "$1" "$2" "$(udevnames)"
			R=$kept
			if [ "$F" != "$3" ]; then
				said changed "what the node says of /dev/$1 is no longer what was decided on"
			elif ! numberof "$6" || [ "$V" != "$2" ]; then
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
		if [ -L "$1/$2" ] && target "$1/$2" && [ "$T" = "$3" ]; then
			said unchanged
		elif numberof "$3" && others "$V" "$1/$2"; then
			said linked "$O"
		elif make "$1" "$2" "$3"; then
			said restored
		else
			said failed "$said_by_ln"
		fi
	) 8<"$GATE" || said failed "$GATE cannot be opened"
}

while [ $# -gt 0 ] && [ "$1" != -- ]; do
	DIRS="$DIRS$1$NL"
	[ "$GATE" != /dev ] || [ ! -d "$1" ] || GATE=$1
	shift
done
[ $# -eq 0 ] || shift

while [ $# -gt 0 ]; do
	case $1 in
	link)
		link "$2" "$3" "$4" "$5" "$6" "$7"
		shift 7
		;;
	unlink | restore)
		"$1" "$2" "$3" "$4"
		shift 4
		;;
	*)
		begin step
		said failed "unknown step $1"
		break
		;;
	esac
done

begin end
emit
