// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
)

// What one node may say of itself: many times over what a node has, and little enough that every decision on it ends at once. What is
// beyond is a problem of that node, and no smaller answer: what is missing might be the disk that is in use.
const (
	MaxDisks   = 2048
	MaxEntries = 8192
	// MaxNames are those of one disk: its links, partitions, holders and the like.
	MaxNames = 1024
	// MaxAllNames are those of all disks.
	MaxAllNames = 32768
	maxName     = 255 // Linux's NAME_MAX.
)

// Check reports what a view has too much of, or which of its names the kernel and udev do not give.
func (v *PodView) Check() error {
	if len(v.Disks) > MaxDisks {
		return fmt.Errorf("the node's answer has %d disks, more than %d", len(v.Disks), MaxDisks)
	}
	all := 0
	for i := range v.Disks {
		names, err := checkDisk(&v.Disks[i])
		if err != nil {
			return err
		}
		if all += names; all > MaxAllNames {
			return fmt.Errorf("the node's answer has more than %d names of disks", MaxAllNames)
		}
	}
	entries := 0
	for class, dir := range v.Dirs {
		if entries += len(dir.Entries); entries > MaxEntries {
			return fmt.Errorf("the node's answer has more than %d entries of class directories", MaxEntries)
		}
		for _, e := range dir.Entries {
			if e.Name == "" || len(e.Name) > maxName || strings.ContainsAny(e.Name, "/\x00") {
				return fmt.Errorf("the node's answer has an entry of class %q that no file can have the name of: %q", class, cut(e.Name))
			}
		}
	}
	return nil
}

// checkDisk returns how many names a disk has.
func checkDisk(d *disk.Disk) (int, error) {
	if !kernelPath(d.Name) {
		return 0, fmt.Errorf("the node's answer has a disk that the kernel gives no such name: %q", cut(d.Name))
	}
	// Kernel and parent are empty where they are not known.
	kernel := slices.Concat([]string{orName(d.Kernel), orName(d.Parent)}, d.Holders, d.Slaves, d.Partitions)
	for _, n := range kernel {
		if !kernelPath(n) {
			return 0, fmt.Errorf("the node's answer has a name beside disk %q that the kernel does not give: %q", d.Name, cut(n))
		}
	}
	links := len(d.ByID) + len(d.ByPath)
	for _, n := range slices.Concat(d.ByID, d.ByPath) {
		if !udevName(n) {
			return 0, fmt.Errorf("the node's answer has a name of disk %q that udev does not give: %q", d.Name, cut(n))
		}
	}
	names := len(kernel) + links
	if names > MaxNames {
		return 0, fmt.Errorf("the node's answer has %d names of disk %q, more than %d", names, d.Name, MaxNames)
	}
	return names, nil
}

func orName(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

// kernelPath reports whether it is a name of a device below /dev or in sysfs, where a "!" stands for a slash: of the characters that
// drivers and device-mapper give names of.
func kernelPath(name string) bool {
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part == "." || part == ".." || len(part) > maxName || part[0] == '-' {
			return false
		}
		for i := range len(part) {
			c := part[i]
			alphanumeric := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
			if !alphanumeric && strings.IndexByte(`#+-.:=@_!\`, c) < 0 {
				return false
			}
		}
	}
	return true
}

// udevName reports whether it can be a link's name below /dev/disk: udev replaces blanks, controls and what is no UTF-8 (systemd,
// src/shared/device-nodes.c).
func udevName(name string) bool {
	return name != "" && len(name) <= maxName && utf8.ValidString(name) && !strings.ContainsAny(name, "/ \"'`$;&|<>(){}*?[]!") &&
		!strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) })
}

func cut(s string) string {
	const most = 80
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// What a snapshot's file may have. Nodes are the largest values there are.
const (
	maxFile  = 128 << 20
	maxNodes = 10000
)

// check refuses what no collector writes. A node that says too much, or what cannot be, is a node of which nothing is known.
func (s *Snapshot) check() error {
	if len(s.Nodes) > maxNodes {
		return fmt.Errorf("it has %d nodes, more than %d", len(s.Nodes), maxNodes)
	}
	for i := range s.Nodes {
		n := &s.Nodes[i]
		if n.Selections.Value != nil {
			for _, selection := range *n.Selections.Value {
				if err := selection.check(); err != nil {
					n.Selections = Unread[[]Selection](problem.From(err))
					break
				}
			}
		}
		if _, err := netip.ParseAddr(n.Address); err != nil && checkName("node", n.Address) != nil {
			n.Address = ""
		}
		if n.Talos.Value != nil {
			n.Talos.Value.Refuse()
		}
		n.View = believed(n.View)
	}
	for _, o := range s.Others {
		for name, here := range o.Nodes {
			here.View = believed(here.View)
			o.Nodes[name] = here
		}
	}
	return s.CheckNames()
}

// believed is a view, unless it has what cannot be.
func believed(view Section[PodView]) Section[PodView] {
	if view.Value != nil {
		if err := view.Value.Check(); err != nil {
			return Unread[PodView](problem.From(err))
		}
	}
	return view
}

// checkName holds a name to the grammar that the API server has for it. There may be none in a file that a person has edited.
func checkName(what, name string) error {
	if name == "" || len(validation.IsDNS1123Subdomain(name)) == 0 {
		return nil
	}
	return fmt.Errorf("no %s can be called %q", what, cut(name))
}

// errAmplifies is a file that would take many times its size in memory, as an array of empty objects does.
var errAmplifies = errors.New("it has more elements than anything that this program writes has in that size")

// amplifies reports whether the elements of all arrays of a JSON text are more than a snapshot of that size has.
func amplifies(text []byte) bool {
	const (
		free       = 4096
		perElement = 12 // bytes, of the shortest names in compact JSON, on an average
	)
	most := free + len(text)/perElement
	elements := 0
	var arrays []bool // by depth: whether it is an array
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			for i++; i < len(text) && text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
		case '[', '{':
			arrays = append(arrays, text[i] == '[')
			if text[i] == '[' {
				elements++
			}
		case ']', '}':
			if len(arrays) > 0 {
				arrays = arrays[:len(arrays)-1]
			}
		case ',':
			if len(arrays) > 0 && arrays[len(arrays)-1] {
				elements++
			}
		}
		if elements > most {
			return true
		}
	}
	return false
}
