// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"fmt"
	"path"
	"strings"
)

// Arg is one disk as a person names it: exactly one of its fields is set.
type Arg struct {
	// Name is a name in /dev without wildcards.
	Name string
	// Glob is a name in /dev with the wildcards of path.Match.
	Glob string
	// Path is a name below /dev/disk or /dev/mapper, absolute.
	Path string
}

// String is the argument as it was given, less a leading /dev/.
func (a Arg) String() string { return a.Name + a.Glob + a.Path }

// Entry is what a link made for the argument is called; a glob's links are
// called as the disks that it matches.
func (a Arg) Entry(d Disk) string {
	if a.Path != "" {
		return path.Base(a.Path)
	}
	return d.Name
}

const (
	letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	// What the kernel and udev put into names (udev replaces the rest).
	nameChars = letters + "._+:!-"
	pathChars = letters + "._+:!-@=,#~%"
	globChars = "*?[]^"
)

// ParseArg reads a disk argument: vdf, /dev/vdf, a glob of names in /dev, a path below
// /dev/disk, or the name of a mapping below /dev/mapper. Anything that a shell or a path could read otherwise is
// an error, though nothing here ever reaches a shell as code.
func ParseArg(s string) (Arg, error) {
	rest, underDev := strings.CutPrefix(s, "/dev/")
	switch {
	case s == "":
		return Arg{}, fmt.Errorf("disk name is empty")
	case underDev && strings.HasPrefix(rest, "disk/"):
		dir, name := path.Split(rest)
		switch {
		case dir == "disk/by-diskseq/":
			return Arg{}, fmt.Errorf("disk %q: by-diskseq names count up at every boot and name no disk", s)
		case strings.Count(dir, "/") != 2 || !plain(strings.TrimSuffix(dir[len("disk/"):], "/"), nameChars) || !plain(name, pathChars):
			return Arg{}, fmt.Errorf("disk %q is not a path like /dev/disk/by-id/NAME", s)
		}
		return Arg{Path: s}, nil
	case underDev && strings.HasPrefix(rest, "mapper/") && plain(rest[len("mapper/"):], pathChars):
		return Arg{Path: s}, nil
	case strings.Contains(rest, "/"):
		return Arg{}, fmt.Errorf("disk %q is neither a name in /dev, nor a path below /dev/disk or /dev/mapper", s)
	case strings.ContainsAny(rest, globChars):
		if !plain(rest, nameChars+globChars) {
			return Arg{}, fmt.Errorf("disk pattern %q has a character that no disk name has", s)
		}
		if _, err := path.Match(rest, ""); err != nil {
			return Arg{}, fmt.Errorf("disk pattern %q is malformed", s)
		}
		// path.Match and the shell must read a pattern alike: ^ negates in one
		// and is a character of a class in the other, and [:digit:] is a class in a
		// class to the shell only.
		if strings.Contains(rest, "^") || strings.Contains(rest, "[!") {
			return Arg{}, fmt.Errorf("disk pattern %q: a negated class is not supported", s)
		}
		if classInClass(rest) {
			return Arg{}, fmt.Errorf("disk pattern %q: a class inside a class is not supported", s)
		}
		return Arg{Glob: rest}, nil
	case !plain(rest, nameChars):
		return Arg{}, fmt.Errorf("disk %q has a character that no disk name has", s)
	}
	return Arg{Name: rest}, nil
}

// classInClass tells a [ between a [ and its ].
func classInClass(pattern string) bool {
	for i, part := range strings.Split(pattern, "[") {
		if i > 0 && !strings.Contains(part, "]") {
			return true
		}
	}
	return false
}

// CheckEntry reports whether a link may be called by that name.
func CheckEntry(name string) error {
	if !plain(name, pathChars) || len(name) > 255 {
		return fmt.Errorf("link name %q is not a plain file name: letters, digits and %s, not beginning with a dot or a dash", name,
			strings.TrimPrefix(pathChars, letters))
	}
	return nil
}

// plain reports whether a name has only those characters and begins harmlessly.
func plain(name, chars string) bool {
	return name != "" && name[0] != '.' && name[0] != '-' &&
		strings.IndexFunc(name, func(r rune) bool { return !strings.ContainsRune(chars, r) }) < 0
}

// Matches reports whether a glob takes a disk. Globs take whole disks of some size
// only: nobody who says "sd*" means partitions, or the empty loop devices of the kernel.
func (a Arg) Matches(d Disk) bool {
	if a.Glob == "" || !d.Whole() || d.Size == 0 {
		return false
	}
	ok, err := path.Match(a.Glob, d.Name)
	return ok && err == nil
}
