// SPDX-License-Identifier: Apache-2.0

package mounts

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
)

// ParseMountinfo reads a whole /proc/PID/mountinfo (proc_pid_mountinfo(5)). An error
// names the line. A last line without its end is one too: what was read is not all.
//
// The parser of moby/sys/mountinfo is for programs that run on Linux only; this one
// reads another machine's file.
func ParseMountinfo(data []byte) ([]Mount, error) {
	if len(data) == 0 {
		return nil, errors.New("mountinfo is empty")
	}
	text, ended := strings.CutSuffix(string(data), "\n")
	lines := strings.Split(text, "\n")
	if !ended {
		return nil, fmt.Errorf("line %d of mountinfo is cut off", len(lines))
	}
	mounts := make([]Mount, 0, len(lines))
	for i, line := range lines {
		m, err := parseMount(line)
		if err != nil {
			return nil, fmt.Errorf("line %d of mountinfo: %w", i+1, err)
		}
		mounts = append(mounts, m)
	}
	return mounts, nil
}

// parseMount reads
//
//	ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [shared:N] [master:N] … - TYPE SOURCE SUPER
//
// Fields end at one blank: a source may be empty.
func parseMount(line string) (Mount, error) {
	const fixed = 6
	fields := strings.Split(line, " ")
	if len(fields) < fixed {
		return Mount{}, fmt.Errorf("%d fields are too few", len(fields))
	}
	end := slices.Index(fields[fixed:], "-")
	if end < 0 {
		return Mount{}, errors.New(`no "-" ends the optional fields`)
	}
	end += fixed
	if len(fields) < end+4 {
		return Mount{}, errors.New(`type, source and options must follow the "-"`)
	}
	var m Mount
	var err error
	if m.ID, err = parseID(fields[0]); err != nil {
		return Mount{}, err
	}
	if m.Parent, err = parseID(fields[1]); err != nil {
		return Mount{}, err
	}
	if m.Device, err = disk.ParseNumber(fields[2]); err != nil {
		return Mount{}, err
	}
	if m.Root, err = unescape(fields[3]); err != nil {
		return Mount{}, err
	}
	if m.Point, err = unescape(fields[4]); err != nil {
		return Mount{}, err
	}
	if !strings.HasPrefix(m.Point, "/") {
		return Mount{}, fmt.Errorf("mount point %q is not absolute", m.Point)
	}
	m.Options = strings.Split(fields[5], ",")
	for _, field := range fields[fixed:end] {
		tag, group, _ := strings.Cut(field, ":")
		switch tag {
		case "shared":
			m.Shared, err = parseID(group)
		case "master":
			m.Master, err = parseID(group)
		}
		if err != nil {
			return Mount{}, err
		}
	}
	if m.Type, err = unescape(fields[end+1]); err != nil {
		return Mount{}, err
	}
	m.Source, err = unescape(fields[end+2])
	return m, err
}

// parseID reads the number of a mount or of a peer group.
func parseID(s string) (int, error) {
	id, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		return 0, fmt.Errorf("%q is no number of a mount", s)
	}
	return int(id), nil
}

// unescape undoes the kernel's \ooo for blanks, line breaks and backslashes.
func unescape(s string) (string, error) {
	var b strings.Builder
	for {
		i := strings.IndexByte(s, '\\')
		if i < 0 {
			b.WriteString(s)
			return b.String(), nil
		}
		b.WriteString(s[:i])
		s = s[i:]
		if len(s) < 2 || s[1] < '0' || s[1] > '7' {
			return "", fmt.Errorf("%q does not begin with a backslash and three octal digits", s)
		}
		char, _, rest, err := strconv.UnquoteChar(s, 0)
		if err != nil {
			return "", fmt.Errorf("%q does not begin with a backslash and three octal digits", s)
		}
		b.WriteByte(byte(char)) // Three octal digits: UnquoteChar takes no more than 255.
		s = rest
	}
}

// Propagation reports whether mounts made later on the node appear below this one:
// "shared" (and the other way round), "slave" (from the node only), or "private" (no).
func (m Mount) Propagation() string {
	switch {
	case m.Master != 0:
		return "slave"
	case m.Shared != 0:
		return "shared"
	default:
		return "private"
	}
}

// ReadOnly reports whether this mount is, whatever its file system.
func (m Mount) ReadOnly() bool { return slices.Contains(m.Options, "ro") }

// String is what is mounted: the device, or the kind of file system without one.
func (m Mount) String() string {
	what := m.Source
	if !strings.HasPrefix(what, "/dev/") {
		what = m.Type
	}
	if m.Root != "/" {
		what += " (" + m.Root + ")"
	}
	return what
}
