# shellcheck shell=sh
# What the kubelet of this node sees, and what the node does, from a pod that has the
# node's processes. Nothing is changed.
#
# Arguments: the directories to list.

# say: prints what the record has so far. A long one need not be held.
say() {
	printf '%s' "$R"
	R=
}

# started PID: when the process started, in ticks since boot, in V; empty without it. It
# tells one process from the next that has its number.
started() {
	readfile "/proc/$1/stat"
	[ -n "$V" ] || return 0
	# The name of a process may have blanks and brackets; its 20th field after that.
	set -f
	# shellcheck disable=SC2086 # words
	set -- ${V##*")"}
	set +f
	# A name with a line break in it cuts the line short.
	[ $# -ge 20 ] || {
		V=
		return 0
	}
	shift 19
	V=$1
}

# describe PID: a record of a process.
describe() {
	begin process
	put pid "$1"
	started "$1"
	put started "$V"
	V=$(readlink -n "/proc/$1/exe" 2>/dev/null)
	put exe "$V"
	# The command line may tell more than is anybody's business.
	V=$NL$({ tr '\000' '\n' <"/proc/$1/cmdline"; } 2>/dev/null)$NL
	case $V in
	*"$NL--config="*)
		V=${V#*"$NL--config="}
		put config "${V%%"$NL"*}"
		;;
	esac
	readfile "/proc/$1/attr/current"
	put label "$V"
	{
		while IFS= read -r line; do
			case $line in NSpid:*) put spaces "${line#NSpid:}" ;; esac
		done <"/proc/$1/status"
	} 2>/dev/null
	emit
}

# mounts PID: a record of its mounts, as long as they may be.
mounts() {
	begin mounts
	put pid "$1"
	say
	printf 'text='
	{ tr '\036\037' '??' <"/proc/$1/mountinfo"; } 2>/dev/null
	code=$?
	printf '%s' "$US"
	put code "$code"
	emit
}

# walk ROOT DIR: where a directory of a process lies, in V; ROOT is /proc/PID/root. It
# fails if it is not there, or if WHY says why that is not known. A symlink would lead
# from ROOT out into this pod, so symlinks are followed here.
walk() {
	WHY=
	at=
	ahead=$2
	links=0
	if ! (cd "$1/") 2>/dev/null; then
		WHY="the root of the process cannot be entered"
		return 1
	fi
	while [ -n "$ahead" ]; do
		name=${ahead%%/*}
		case $ahead in
		*/*) ahead=${ahead#*/} ;;
		*) ahead= ;;
		esac
		case $name in
		'' | .) continue ;;
		..)
			at=${at%/*}
			continue
			;;
		esac
		if [ -L "$1$at/$name" ]; then
			links=$((links + 1))
			target=$(readlink -n -- "$1$at/$name" 2>/dev/null && echo .) || WHY="the symlink $at/$name cannot be read"
			[ $links -le 40 ] || WHY="it leads through too many symlinks"
			[ -z "$WHY" ] || return 1
			target=${target%.}
			case $target in /*) at= ;; esac
			ahead=$target/$ahead
		elif [ -d "$1$at/$name" ]; then
			at=$at/$name
		else
			# What may not be searched, or a disk that fails, looks as if nothing were there.
			(cd "$1$at/") 2>/dev/null || WHY="$at/ cannot be entered"
			[ -z "$WHY" ] || return 1
			V=$(ls -d -- "$1$at/$name" 2>&1 >/dev/null)
			case $V in
			'') NODIR="$at/$name is not a directory" ;;
			*': No such file or directory' | *': Not a directory') ;;
			*) WHY="$at/$name cannot be read: ${V##*: }" ;;
			esac
			return 1
		fi
	done
	V=$1$at/
}

# readable: whether the directory can be read to its end. Busybox's ls fails for an entry
# that cannot be looked at, too; that is named.
readable() {
	V=$(ls -a . 2>&1 >/dev/null) && return 0
	case $V in 'ls: ./'*) return 0 ;; esac
	return 1
}

# list PID DIR: a record of what is in a directory of a process.
list() {
	begin dir
	put pid "$1"
	put path "$2"
	NODIR=
	if walk "/proc/$1/root" "$2"; then
		# A pattern that cannot be expanded looks like an empty directory.
		if cd "$V" 2>/dev/null && readable; then
			put exists yes
			for entry in * .[!.]* ..?*; do
				# A pattern that nothing matches stands for itself; what cannot be
				# looked at is there.
				case $entry in
				'*' | '.[!.]*' | '..?*') [ -e "$entry" ] || [ -L "$entry" ] || continue ;;
				esac
				put entry "$entry"
				say
			done
		else
			put exists unknown
			put problem "the directory cannot be read"
		fi
		cd /
	elif [ -n "$WHY" ]; then
		put exists unknown
		put problem "$WHY"
	else
		put exists no
		[ -z "$NODIR" ] || put problem "$NODIR"
	fi
	emit
}

# look PID DIR...: all that there is to say of a process. That it was the same one
# throughout is said at the end.
look() {
	pid=$1
	shift
	describe "$pid"
	mounts "$pid"
	for dir in "$@"; do list "$pid" "$dir"; done
	begin after
	put pid "$pid"
	started "$pid"
	put started "$V"
	emit
}

begin start
put version 1
put self "$$"
while IFS=' ' read -r key value; do
	[ "$key" != btime ] || put boot "$value"
done </proc/stat
emit

look 1 "$@"
# A pod may run kubelets, too: who reads this chooses.
for process in /proc/[0-9]*; do
	readfile "$process/comm"
	[ "$V" != kubelet ] || look "${process#/proc/}" "$@"
done

begin end
emit
