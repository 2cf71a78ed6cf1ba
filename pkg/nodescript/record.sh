# shellcheck shell=sh
# What all node scripts need: records on standard output. Functions only. POSIX sh;
# Debian's or busybox's tools.
#
# A record is fields ended by the byte 0x1f, ended by the byte 0x1e. A field is
# key=value. Neither byte can come from a value (put).

LC_ALL=C
export LC_ALL
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
unset CDPATH
US=$(printf '\037')
RS=$(printf '\036')
# shellcheck disable=SC2034 # for the scripts behind this one
NL='
'

# The record being made.
R=

begin() { R="record=$1$US"; }

put() {
	case $2 in
	*["$US$RS"]*)
		R="$R$1=$(printf '%s.' "$2" | tr '\036\037' '??')"
		R=${R%.}$US
		;;
	*) R="$R$1=$2$US" ;;
	esac
}

emit() { printf '%s%s' "$R" "$RS"; }

# readfile FILE: its first line in V, empty where it cannot be read.
readfile() {
	V=
	[ -f "$1" ] || return 0
	# shellcheck disable=SC2034 # as above
	{ IFS= read -r V <"$1"; } 2>/dev/null
	return 0
}
