// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"slices"
	"strings"
)

// name is a name in /dev/disk/by-id, taken apart.
type name struct {
	text string
	// kind is the prefix, which says what udev made the name of (60-persistent-storage.rules,
	// systemd 257); rest is what follows it.
	kind, rest string
	// hex: rest is a WWID's digits. Otherwise serial is the serial number in it, and ends that with what is before it.
	hex          bool
	serial, ends string
	// namespace is an NVMe namespace's number, where the name has it.
	namespace string
}

// nameKind is a prefix of names, and whether the digits of a WWID follow it.
type nameKind struct {
	prefix string
	hex    bool
}

// nameKinds are the prefixes, the longer before those that they begin with. The values
// tell those that digits of a WWID follow.
func nameKinds() [21]nameKind {
	return [...]nameKind{
		{prefix: "wwn-0x", hex: true}, {prefix: "wwn-", hex: true}, {prefix: "scsi-3", hex: true}, {prefix: "scsi-2", hex: true},
		{prefix: "scsi-8", hex: true}, {prefix: "scsi-S"}, {prefix: "scsi-1"}, {prefix: "scsi-0"},
		{prefix: "nvme-eui.", hex: true}, {prefix: "nvme-uuid.", hex: true}, {prefix: "nvme-nvme.", hex: true}, {prefix: "nvme-"},
		{prefix: "dm-uuid-mpath-3", hex: true}, {prefix: "dm-uuid-mpath-2", hex: true}, {prefix: "dm-uuid-mpath-eui.", hex: true},
		{prefix: "dm-uuid-mpath-uuid.", hex: true}, {prefix: "dm-uuid-"}, {prefix: "dm-name-"},
		{prefix: "md-uuid-"}, {prefix: "md-name-"}, {prefix: "lvm-pv-uuid-"},
	}
}

func parseName(text string) name {
	n := name{text: text, rest: text}
	if i := strings.IndexByte(text, '-'); i >= 0 {
		n.kind, n.rest = text[:i+1], text[i+1:]
	}
	for _, k := range nameKinds() {
		if rest, ok := strings.CutPrefix(text, k.prefix); ok {
			n.kind, n.rest, n.hex = k.prefix, rest, k.hex
			break
		}
	}
	if n.hex {
		return n
	}
	n.serial = n.rest
	if n.kind == "usb-" { // What follows is the unit's number: -0:0.
		if i := strings.LastIndexByte(n.serial, '-'); i >= 0 && strings.Trim(n.serial[i+1:], "0123456789:") == "" {
			n.serial = n.serial[:i]
		}
	}
	switch n.kind {
	case "dm-uuid-", "dm-name-", "md-uuid-", "md-name-", "lvm-pv-uuid-", "virtio-":
		return n
	case "nvme-": // MODEL_SERIAL, or MODEL_SERIAL_NAMESPACE.
		if i := strings.LastIndexByte(n.rest, '_'); i > 0 && len(n.rest)-i <= 4 && numeral(n.rest[i+1:]) && strings.Contains(n.rest[:i], "_") {
			n.serial, n.namespace = n.rest[:i], n.rest[i+1:]
		}
	}
	n.ends = n.serial
	n.serial = n.serial[strings.LastIndexByte(n.serial, '_')+1:]
	return n
}

func numeral(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// telling reports whether the name can be one device's own. The names dm-… and md-…
// are: only the mapping or the array itself has them.
func (n name) telling() bool {
	switch {
	case n.ofContent():
		return false
	case n.kind == "nvme-nvme.":
		return wwidKey("nvme."+n.rest) != ""
	case n.hex:
		return numbered(hexKind(n.kind), folded(n.rest))
	}
	return telling(folded(n.serial)) && (n.ends == "" || telling(folded(n.ends)))
}

// ofContent tells a name that udev derives from what is written on the device, and
// that therefore moves with the data (69-dm-lvm.rules).
func (n name) ofContent() bool { return n.kind == "lvm-pv-uuid-" }

// lun is the WWID in the name, as the kernel writes it, if it is of a type that names one disk on
// every machine; empty if there is none.
func (n name) lun() string {
	const digits = 16 // An NAA or EUI-64 has as many, or twice as many.
	kind := hexKind(n.kind)
	if kind == "" || len(folded(n.rest)) < digits {
		return ""
	}
	return wwidKey(kind + "." + n.rest)
}

// hexKind is the type of WWID, as the kernel writes it, of a kind of names that has one. The digit before it in
// SCSI's and multipath's names is the type: 2 is EUI-64, 3 is NAA (scsi_id, systemd 257). A map over NVMe
// has the kernel's text (multipath-tools, uid_attrs nvme:ID_WWN).
func hexKind(prefix string) string {
	switch prefix {
	case "wwn-0x", "scsi-3", "dm-uuid-mpath-3":
		return "naa"
	case "scsi-2", "nvme-eui.", "dm-uuid-mpath-2", "dm-uuid-mpath-eui.":
		return "eui"
	case "nvme-uuid.", "dm-uuid-mpath-uuid.":
		return "uuid"
	}
	return ""
}

// given tells a name that people choose and may change.
func (n name) given() bool { return n.kind == "dm-name-" || n.kind == "md-name-" }

func sharesName(a, b []name) bool {
	return slices.ContainsFunc(a, func(n name) bool {
		return slices.ContainsFunc(b, func(m name) bool { return n.text == m.text })
	})
}

// namesContradict reports whether there is a kind of which both have names and no two
// of them go together.
func namesContradict(a, b []name) bool {
	return slices.ContainsFunc(a, func(n name) bool {
		if n.given() {
			return false
		}
		both, agree := false, false
		for _, m := range b {
			if m.kind != n.kind {
				continue
			}
			both = true
			agree = agree || slices.ContainsFunc(a, func(n name) bool { return n.kind == m.kind && n.agrees(m) })
		}
		return both && !agree
	})
}

// agrees reports whether two names of one kind can be one device's: udev's rules
// change what they put before the serial number, and add a namespace behind it.
func (n name) agrees(o name) bool {
	switch {
	case n.text == o.text:
		return true
	case n.hex:
		return false
	case n.namespace != "" && o.namespace != "" && n.namespace != o.namespace:
		return false
	}
	return folded(n.serial) == folded(o.serial)
}
