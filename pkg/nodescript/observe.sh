# shellcheck shell=sh
# What one node's disks and class directories look like from here.
#
# Arguments: how many paths of volumes to read from standard input, a line each; for each
# class its name and its directory, then "--", then the disks to look at closely:
# patterns of names in /dev, or paths.

# entries DIR: a record for everything that lies in a class directory.
entries() {
	for e in "$2"/* "$2"/.[!.]* "$2"/..?*; do
		[ -e "$e" ] || [ -L "$e" ] || continue
		begin entry
		put class "$1"
		put name "${e##*/}"
		if [ -L "$e" ]; then
			put kind link
			target=$(readlink -n -- "$e" && echo .) || put problem "the link cannot be read"
			put target "${target%.}"
		elif [ -d "$e" ]; then
			put kind directory
		elif [ -b "$e" ]; then
			put kind block
		elif [ -f "$e" ]; then
			put kind file
		else
			put kind other
		fi
		! numberof "$e" || put device "$V"
		emit
	done
}

# beneath NUMBER: every device under a device, itself and down to the disks.
beneath() {
	(
		cd -P "/sys/dev/block/$1" 2>/dev/null || exit 1
		printf '%s ' "$1"
		if [ -f partition ]; then
			readfile ../dev
			beneath "$V" || exit 1
		fi
		for s in slaves/*; do
			[ -e "$s" ] || continue
			readfile "$s/dev"
			beneath "$V" || exit 1
		done
	)
}

# home DIR: a record of the devices that a directory of the node lies on.
home() {
	begin home
	put dir "$1"
	d=$(stat -c %d -- "$1" 2>/dev/null) || d=0
	device "$d"
	d=$V
	put device "$d"
	V=$(beneath "$d") || put problem "the kernel knows no block device $d"
	put beneath "$V"
	emit
}

# linking: whether another run that changes links is under way in this container;
# a cut connection does not end it.
linking() {
	# A grep that does not find this shell would not find the other one either.
	grep -q -z -x -F -e "$0" "/proc/$$/cmdline" 2>/dev/null || {
		echo unknown
		return 0
	}
	# The brackets keep this command itself out of what it finds.
	# shellcheck disable=SC2013 # these paths have no spaces
	for found in $(grep -l -z -x 'talosdisk-lin[k]' /proc/[0-9]*/cmdline 2>/dev/null); do
		[ "$found" != "/proc/$$/cmdline" ] || continue
		echo yes
		return 0
	done
	echo no
}

# volumes COUNT: a record for each path of standard input, with the block device that it
# leads to, if it leads to one.
volumes() {
	left=$1
	while [ "$left" -gt 0 ] && IFS= read -r at; do
		left=$((left - 1))
		begin volume
		put path "$at"
		! numberof "$at" || put number "$V"
		emit
	done
}

count=$1
shift
begin start
put version 1
# Who is about to change links does not ask.
[ "$0" = talosdisk-link ] || put linking "$(linking)"
put mountinfo "$(cat /proc/self/mountinfo)"
emit

# The class directories, one a line, for the steps that may follow.
DIRS=
while [ $# -gt 0 ] && [ "$1" != -- ]; do
	DIRS="$DIRS$2$NL"
	begin dir
	put class "$1"
	put path "$2"
	if [ -d "$2" ]; then
		put exists yes
		[ ! -w "$2" ] || put writable yes
		# A pattern that cannot be expanded looks like an empty directory.
		ls -a -- "$2" >/dev/null 2>&1 || put problem "the directory cannot be read"
	fi
	emit
	if [ -d "$2" ]; then
		entries "$1" "$2"
		home "$2"
	fi
	shift 2
done
[ $# -eq 0 ] || shift
# The kubelet bind-mounts these from its own directory, which is the node's.
home /etc/hosts

volumes "$count"

loops
names=$(udevnames)
begin names
put names "$names"
emit

# Paths among the arguments, as numbers.
paths=
for want in "$@"; do
	case $want in
	/*)
		begin path
		put path "$want"
		if numberof "$want"; then
			put number "$V"
			paths="$paths $V "
		fi
		emit
		;;
	esac
done

# From here on words are split and never expanded: the patterns have no spaces,
# and a device's name is only taken if it has none.
nodes=
for node in /dev/*; do
	case $node in *[!A-Za-z0-9/._!+:-]*) continue ;; esac
	[ -b "$node" ] && [ ! -L "$node" ] && nodes="$nodes $node"
done
patterns="$*"

# wanted NAME NUMBER: whether the disk is one of those to look at closely: one
# with something on it, and a whole one. What lies on a partition does not matter,
# that it is there does.
wanted() {
	readfile "/sys/dev/block/$2/size"
	[ "${V:-0}" != 0 ] && [ ! -f "/sys/dev/block/$2/partition" ] || return 1
	case $paths in *" $2 "*) return 0 ;; esac
	set -f
	for want in $patterns; do
		# shellcheck disable=SC2254 # a pattern is what it is meant to be
		case $1 in $want) set +f && return 0 ;; esac
	done
	set +f
	return 1
}

# shellcheck disable=SC2086 # a list of words
[ -z "$nodes" ] || numbers=$(stat -c '%t:%T %n' $nodes 2>/dev/null)
while IFS=' ' read -r hex node; do
	[ -n "$hex" ] || continue
	number "$hex"
	block=$V
	node=${node#/dev/}
	if wanted "$node" "$block"; then
		examine "$node" "$block" "$names"
	else
		begin disk
		describe "$node" "$block"
	fi
	emit
done <<NUMBERS
${numbers-}
NUMBERS

begin observed
emit
