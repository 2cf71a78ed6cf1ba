// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"slices"
	"strings"
)

// ID is what tells one piece of hardware from another: facts that must not contradict
// each other. ByPath names a slot, not a device, and Size proves nothing alone: both
// are kept for people to read, and a size to contradict.
type ID struct {
	WWID   string   `json:"wwid,omitempty"`
	Serial string   `json:"serial,omitempty"`
	ByID   []string `json:"byID,omitempty"`
	ByPath []string `json:"byPath,omitempty"`
	// Size in bytes.
	Size uint64 `json:"size,omitempty"`
}

// Identity is the disk's ID. Left out are placeholders, and names that say what is
// written on a disk, not which disk it is. Whether another disk has one of these
// identifiers too is only known to a Set.
func (d Disk) Identity() ID {
	f := d.facts()
	id := ID{ByPath: slices.Clone(d.ByPath), Size: d.Size}
	if f.wwid != "" {
		id.WWID = d.WWID
	}
	if f.serial != "" {
		id.Serial = d.Serial
	}
	for _, n := range f.names {
		id.ByID = append(id.ByID, n.text)
	}
	return id
}

// Known reports whether anything in the ID identifies hardware.
func (id ID) Known() bool { return id.facts().known() }

// Same reports whether now is the device that the ID was taken of. Yes needs an
// identifier that both have, and no fact of the one may contradict the other: an equal
// WWID does not outweigh another serial or size. If nothing identifies the recorded
// one, the answer is Unknown, or No of another size: names and slots can be taken over by
// another disk. One that had an identifier does not lose it, so a device without any is not it.
func (id ID) Same(now ID) Answer {
	a, b := id.facts(), now.facts()
	switch {
	case !a.known() && a.contradicts(b):
		return No
	case !a.known():
		return Unknown
	case !b.known():
		return No
	}
	return a.compare(b)
}

// Compare reports whether two observers of one moment describe one device. Unlike
// Same, it does not count an identifier that only one of them tells.
func (id ID) Compare(other ID) Answer { return id.facts().compare(other.facts()) }

// SizeOnly reports whether two IDs have an identifier in common and only the
// size contradicts: a virtual disk that was grown, or another one under the same name.
func (id ID) SizeOnly(now ID) bool {
	a, b := id.facts(), now.facts()
	return a.compare(b) == No && a.unsized().compare(b.unsized()) == Yes
}

// String is the ID's strongest identifier, for messages.
func (id ID) String() string {
	f := id.facts()
	switch {
	case f.wwid != "":
		return "wwid " + id.WWID
	case f.serial != "":
		return "serial " + id.Serial
	case len(f.names) > 0:
		return bestByID(f.names, false)
	case len(id.ByPath) > 0:
		return "slot " + id.ByPath[0]
	}
	return "no identifier"
}

// facts are what identifies a device, each in a form that can be compared. What
// identifies nothing is left out.
type facts struct {
	wwid, serial string
	names        []name
	// size in bytes; 0: not known.
	size uint64
}

func (id ID) facts() facts {
	f := facts{wwid: wwidKey(id.WWID), serial: serialKey(id.Serial), size: id.Size}
	for _, text := range id.ByID {
		if n := parseName(text); n.telling() {
			f.names = append(f.names, n)
		}
	}
	return f
}

// facts are the disk's. Its model shows where an identifier is only that.
func (d Disk) facts() facts {
	f := ID{WWID: d.WWID, Serial: d.Serial, ByID: d.ByID, Size: d.Size}.facts()
	model := folded(d.Model)
	if model == "" {
		return f
	}
	models := []string{model, folded(d.Vendor) + model}
	if slices.Contains(models, f.serial) {
		f.serial = ""
	}
	// SCSI's type t10 is vendor, product and serial number in a row.
	if strings.HasPrefix(f.wwid, "t10.") && strings.HasSuffix(folded(f.wwid), model) {
		f.wwid = ""
	}
	f.names = slices.DeleteFunc(f.names, func(n name) bool { return !n.hex && slices.Contains(models, folded(n.rest)) })
	return f
}

// Keys are the ID's identifiers as texts of which two disks have one in common if they
// may be the same; the strongest first.
func (id ID) Keys() []string { return id.facts().keys() }

func (f facts) keys() []string {
	var keys []string
	if f.wwid != "" {
		keys = append(keys, "wwid "+f.wwid)
	}
	for _, lun := range f.luns() {
		if lun != f.wwid {
			keys = append(keys, "wwid "+lun)
		}
	}
	if f.serial != "" {
		keys = append(keys, "serial "+f.serial)
	}
	for _, n := range f.names {
		keys = append(keys, "name "+n.text)
	}
	return keys
}

// SameLUN reports whether both IDs have one WWID of a type that names one disk on every
// machine, and only the size contradicts: a node can be late to see that a LUN
// was grown. sized is false where it does.
func (id ID) SameLUN(other ID) (same, sized bool) {
	a, b := id.facts(), other.facts()
	theirs := b.luns()
	one := slices.ContainsFunc(a.luns(), func(lun string) bool { return slices.Contains(theirs, lun) })
	return one && !a.unsized().contradicts(b.unsized()), !a.contradicts(b)
}

// luns are the WWIDs that name one disk on every machine: the device's own, and those that
// udev made names of. A multipath map, which is a LUN more often than not, has no other.
func (f facts) luns() []string {
	var all []string
	if worldwide(f.wwid) {
		all = append(all, f.wwid)
	}
	for _, n := range f.names {
		if lun := n.lun(); lun != "" && !slices.Contains(all, lun) {
			all = append(all, lun)
		}
	}
	return all
}

func (f facts) known() bool { return f.wwid != "" || f.serial != "" || len(f.names) > 0 }

func (f facts) unsized() facts {
	f.size = 0
	return f
}

// compare is Yes if both have an identifier in common and nothing contradicts, No if
// something does, else Unknown. It is symmetric.
func (f facts) compare(o facts) Answer {
	switch {
	case f.contradicts(o):
		return No
	case f.wwid != "" && f.wwid == o.wwid, f.serial != "" && f.serial == o.serial, sharesName(f.names, o.names):
		return Yes
	}
	return Unknown
}

// contradicts reports whether the two cannot be of one device.
func (f facts) contradicts(o facts) bool {
	differ := func(a, b string) bool { return a != "" && b != "" && a != b }
	return f.size != 0 && o.size != 0 && f.size != o.size ||
		differ(f.wwid, o.wwid) || differ(f.serial, o.serial) || namesContradict(f.names, o.names)
}

// serialKey is a serial number without what one observer pads, escapes or leaves out;
// empty if it is a placeholder.
func serialKey(serial string) string {
	if key := folded(serial); telling(key) {
		return key
	}
	return ""
}

// wwidKey is a WWID as it is compared, empty if it identifies nothing. The kernel
// writes a type, a dot and the identifier: naa, eui, uuid and nvme in hexadecimal, t10
// in words (Linux 6.18, scsi_vpd_lun_id and nvme's wwid_show).
func wwidKey(wwid string) string {
	wwid = strings.Join(strings.Fields(wwid), " ")
	kind, rest, typed := strings.Cut(wwid, ".")
	if !typed {
		if !telling(folded(wwid)) {
			return ""
		}
		return strings.ToLower(wwid)
	}
	kind = strings.ToLower(kind)
	key := kind + "." + rest
	switch kind {
	case "naa", "eui", "uuid":
		key = strings.ToLower(key)
	case "nvme":
		key = strings.ToLower(key)
		// Without an identifier of its own: vendor, serial, model, namespace, the two in
		// the middle as the hexadecimal of their text.
		if parts := strings.Split(rest, "-"); len(parts) == 4 && !telling(folded(unhex(parts[1]))) {
			return ""
		}
	case "t10":
		words := strings.Fields(rest)
		if len(words) < 2 || !telling(folded(words[len(words)-1])) {
			return ""
		}
	}
	if !numbered(kind, folded(rest)) {
		return ""
	}
	return key
}

// worldwide reports whether a WWID is of a type that names one disk on every machine.
// The strings that t10 is made of are repeated by virtual machines.
func worldwide(key string) bool {
	return strings.HasPrefix(key, "naa.") || strings.HasPrefix(key, "eui.") || strings.HasPrefix(key, "uuid.")
}

// unhex is the text of hexadecimal digits, or the digits where they are none.
func unhex(digits string) string {
	const hex = "0123456789abcdef"
	var text strings.Builder
	for lower := strings.ToLower(digits); len(lower) > 1; lower = lower[2:] {
		hi, lo := strings.IndexByte(hex, lower[0]), strings.IndexByte(hex, lower[1])
		if hi < 0 || lo < 0 {
			return digits
		}
		text.WriteByte(byte(hi<<4 | lo))
	}
	return text.String()
}

// folded is the letters and digits of a text.
func folded(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, s)
}

// telling reports whether a folded value can be one device's own. Zeros, one repeated
// character or group, counting, and the words that firmware has for "nothing" are not.
func telling(s string) bool {
	s = strings.TrimPrefix(strings.ToLower(s), "0x")
	return strings.Trim(s, "0") != "" && !repeats(s) && !counts(s) && !sparse(s) &&
		!slices.Contains(placeholders(), s) && !slices.ContainsFunc(placeholders(), func(word string) bool {
		const long = 10 // Names have the model before it.
		return len(word) >= long && strings.HasSuffix(s, word)
	})
}

// repeats tells one character again and again, or a group of them. Shorter ones are given by people.
func repeats(s string) bool {
	for unit := 1; unit <= len(s)/2; unit++ {
		long := 4 // FFFF
		switch {
		case unit > 4:
			long = 16 // DEADBEEFDEADBEEF
		case unit > 1:
			long = max(8, 3*unit) // ABABABAB
		}
		if len(s) >= long && len(s)%unit == 0 && strings.Repeat(s[:unit], len(s)/unit) == s {
			return true
		}
	}
	return false
}

// counts tells a value that counts up or down, as digits, hexadecimal or letters, each once or
// twice: 123456, 9876543210, 0123456789ABCDEF, 112233445566. A long one may begin again:
// 12345678-1234-1234-1234-123456789abc.
func counts(s string) bool {
	const long = 6 // Shorter ones are given by people.
	if len(s)%2 == 0 {
		once := make([]byte, 0, len(s)/2)
		for i := 0; i < len(s) && s[i] == s[i+1]; i += 2 {
			once = append(once, s[i])
		}
		if len(once) == len(s)/2 && counts(string(once)) {
			return true
		}
	}
	up, down := 1, 1 // How many times it begins.
	for i := 1; i < len(s); i++ {
		if !follows(s[i-1], s[i]) {
			up++
		}
		if !follows(s[i], s[i-1]) {
			down++
		}
	}
	return len(s) >= long && min(up, down) <= len(s)/long
}

// follows reports whether b comes after a in counting.
func follows(a, b byte) bool {
	switch {
	case a == '9':
		return b == '0' || b == 'a'
	case a == 'f' && b == '0', a == 'z' && b == 'a':
		return true
	}
	return b == a+1
}

// sparse tells a long value that is all except zeros: bridges and cheap drives come with
// 5000000000000001.
func sparse(s string) bool {
	const long, digits = 16, 2
	return len(s) >= long && len(strings.ReplaceAll(s, "0", "")) <= digits
}

// numbered reports whether the digits of an NAA or EUI-64 have, behind the number of a vendor, what can be one device's
// own. NAA has its type before it, and an NVMe namespace's NGUID has the vendor in the middle (NVMe base specification).
func numbered(kind, digits string) bool {
	const oui, short, long = 6, 16, 32
	digits = strings.TrimPrefix(strings.ToLower(digits), "0x")
	switch {
	case !telling(digits):
		return false
	case kind == "naa" && (len(digits) == short || len(digits) == long):
		return own(digits[1+oui:])
	case kind == "eui" && len(digits) == short:
		return own(digits[oui:])
	case kind == "eui" && len(digits) == long:
		return telling(digits[:short] + digits[short+oui:])
	}
	return true
}

// own tells of a vendor's digits whether they number a device: not with one digit among zeros.
func own(digits string) bool { return telling(digits) && len(strings.ReplaceAll(digits, "0", "")) > 1 }

// placeholders are words that stand in the place of an identifier, folded, in lower case.
func placeholders() []string {
	return []string{
		"unknown", "unknownserial", "unknownserialnumber", "none", "null", "nil", "na", "empty", "blank", "invalid", "undefined", "unspecified",
		"default", "defaultstring",
		"notavailable", "notapplicable", "notspecified", "notset", "notpresent", "notprovided", "noserial", "noserialnumber", "tobefilledbyoem",
		"filledbyoem", "oem", "oemserial", "tbd",
		"serial", "serialno", "sernum", "serialnumber", "systemserialnumber", "productserial", "sn", "ssn", "generic", "xxx",
	}
}
