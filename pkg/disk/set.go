// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Set is the devices of one node with what can only be said of all of them: which are
// the same disk, which lie on one another, and which of their identifiers identify
// nothing because two disks have them.
type Set struct {
	disks []Disk
	facts []facts
	// byName are positions by name in /dev, byKernel by the kernel's name, byNumber by
	// device number.
	byName, byKernel map[string]int
	byNumber         map[Number]int
	// same has for each device the first one that is the same disk.
	same []int
	// lower are the devices that each lies on directly.
	lower [][]int
	// wwids and serials are those that stand on disks that differ otherwise.
	wwids, serials map[string]bool
	// What follows is of whole disks, to find who else can claim a name: by serial number,
	// by model, by the digits of a WWID, and by NVMe's names less the namespace.
	bySerial, byModel, byDigits, byDrive map[string][]int
	// byPath are devices by every path that leads to them; byKey whole disks by identifier.
	byPath, byKey map[string][]int
	claims        map[string][]string
	// used are the devices that are known to be in use, by the first one that is the same disk.
	used map[int][]int
	// foreign tells that there is one that is no hardware of the node.
	foreign bool
}

// Doubts are what is known about identifiers beside a node's own devices.
type Doubts struct {
	// WWIDs are those that stand on disks of any node that differ otherwise (Repeated).
	WWIDs map[string]bool
	// Claims are the kernel's names of the devices that have a path below /dev, where
	// a report names it: udev can only make one link of a name that two devices have.
	Claims map[string][]string
}

// Repeated are the WWIDs, in a form for Doubts, that stand on disks which differ
// otherwise. Each view is what one observer saw of one node.
func Repeated(views ...[]Disk) map[string]bool {
	groups, repeated := make(map[string]*mixture), make(map[string]bool)
	for _, view := range views {
		for _, d := range view {
			// A node that has not looked again since a LUN was grown tells its old size.
			if f := d.facts().unsized(); d.Whole() && worldwide(f.wwid) && groupOf(groups, f.wwid).add(f) {
				repeated[f.wwid] = true
			}
		}
	}
	return repeated
}

// mixture is the facts of several devices of one identifier, to find out whether they
// can be one disk.
type mixture struct {
	all facts
	// kinds are the kinds of all.names, each with the names of the first device that has any.
	kinds map[string]bool
}

func groupOf(groups map[string]*mixture, key string) *mixture {
	if groups[key] == nil {
		groups[key] = &mixture{kinds: make(map[string]bool)}
	}
	return groups[key]
}

// add reports whether the device's facts contradict those before it.
func (m *mixture) add(f facts) bool {
	known := m.all
	bad := known.contradicts(f)
	m.all = facts{
		wwid:   cmp.Or(known.wwid, f.wwid),
		serial: cmp.Or(known.serial, f.serial),
		size:   cmp.Or(known.size, f.size),
		names:  known.names,
	}
	for _, n := range f.names {
		if !m.kinds[n.kind] {
			m.all.names = append(m.all.names, n)
		}
	}
	for _, n := range f.names {
		m.kinds[n.kind] = true
	}
	return bad
}

// NewSet indexes the devices of one node.
func NewSet(disks []Disk, doubts Doubts) *Set {
	s := &Set{
		disks: disks, facts: make([]facts, len(disks)), same: make([]int, len(disks)), lower: make([][]int, len(disks)),
		byName: make(map[string]int), byKernel: make(map[string]int), byNumber: make(map[Number]int),
		wwids: make(map[string]bool), serials: make(map[string]bool),
		bySerial: make(map[string][]int), byModel: make(map[string][]int), byDigits: make(map[string][]int), byDrive: make(map[string][]int),
		byPath: make(map[string][]int), byKey: make(map[string][]int), claims: doubts.Claims,
	}
	first := func(m map[string]int, key string, i int) {
		if _, is := m[key]; !is && key != "" {
			m[key] = i
		}
	}
	groups := make(map[string]*mixture)
	for i, d := range disks {
		s.facts[i], s.same[i] = d.facts(), i
		for _, path := range d.Names() {
			s.byPath[path] = append(s.byPath[path], i)
		}
		first(s.byName, d.Name, i)
		first(s.byKernel, d.Kernel, i)
		if _, is := s.byNumber[d.Number]; !is && d.Number != (Number{}) {
			s.byNumber[d.Number] = i
		}
		f := s.facts[i]
		if d.Whole() && f.wwid != "" && (groupOf(groups, f.wwid).add(f) || doubts.WWIDs[f.wwid]) {
			s.wwids[f.wwid] = true
		}
	}
	s.findSame()
	s.used = make(map[int][]int)
	for i, d := range disks {
		if d.Used() {
			s.used[s.same[i]] = append(s.used[s.same[i]], i)
		}
		_, foreign := d.Origin()
		s.foreign = s.foreign || foreign
	}
	s.findLower()
	s.findRepeated()
	return s
}

// findSame joins the devices that are one disk: several nodes of one number, and
// several paths to one disk by its WWID. Where that is one that repeats, the serial
// number must be the same too.
func (s *Set) findSame() {
	firsts := make(map[string]int)
	for i, d := range s.disks {
		at, there := s.byNumber[d.Number]
		if there && at != i {
			s.same[i] = s.same[at]
			continue
		}
		f := s.facts[i]
		key := f.wwid
		if s.wwids[f.wwid] {
			key += "\n" + f.serial
		}
		if f.wwid == "" || !d.Whole() || s.wwids[f.wwid] && f.serial == "" {
			continue
		}
		// Members of a WWID that does not repeat do not contradict each other.
		if at, there := firsts[key]; !there {
			firsts[key] = i
		} else if !s.facts[at].contradicts(f) {
			s.same[i] = at
		}
	}
	// A partition is the same one on each path to its disk.
	for i, d := range s.disks {
		parent, there := s.byName[d.Parent]
		if d.Kind != KindPartition || !there || s.same[parent] == parent {
			continue
		}
		part, ok := strings.CutPrefix(d.Name, d.Parent)
		other, there := s.byName[s.disks[s.same[parent]].Name+part]
		if ok && there {
			s.same[i] = s.same[other]
		}
	}
}

// findLower finds what lies on what: a partition on its disk, a device on those that
// it is made of, a loop device on the one that it has as its file.
func (s *Set) findLower() {
	for i, d := range s.disks {
		if at, there := s.byName[d.Parent]; there && d.Kind == KindPartition {
			s.lower[i] = append(s.lower[i], at)
		}
		for _, slave := range d.Slaves {
			if at, there := s.byKernel[slave]; there {
				s.lower[i] = append(s.lower[i], at)
			}
		}
		if at, there := s.byNumber[d.Over]; there {
			s.lower[i] = append(s.lower[i], at)
		} else if d.Backing != "" {
			s.lower[i] = append(s.lower[i], s.byPath[d.Backing]...)
		}
	}
}

// findRepeated fills serials and what names are compared by.
func (s *Set) findRepeated() {
	for i, d := range s.disks {
		if !d.Whole() {
			continue
		}
		f := s.facts[i]
		for _, key := range f.keys() {
			s.byKey[key] = append(s.byKey[key], i)
		}
		if f.serial != "" {
			if of := s.bySerial[f.serial]; len(of) > 0 && s.same[of[0]] != s.same[i] {
				s.serials[f.serial] = true
			}
			s.bySerial[f.serial] = append(s.bySerial[f.serial], i)
		}
		if model := folded(d.Model); model != "" {
			s.byModel[model] = append(s.byModel[model], i)
		}
		if f.wwid != "" {
			digits := digitsOf(f.wwid)
			s.byDigits[digits] = append(s.byDigits[digits], i)
		}
		for _, n := range f.names {
			if n.namespace != "" {
				drive := strings.TrimSuffix(n.text, "_"+n.namespace)
				s.byDrive[drive] = append(s.byDrive[drive], i)
			}
		}
	}
}

// digitsOf are the digits that names made of a WWID have.
func digitsOf(key string) string {
	_, digits, _ := strings.Cut(key, ".")
	return strings.ToLower(folded(digits))
}

// at is the position of a device of the set.
func (s *Set) at(d Disk) (int, bool) {
	i, there := s.byName[d.Name]
	return i, there
}

// ByName is the device with that name in /dev.
func (s *Set) ByName(name string) (Disk, bool) { return found(s, s.byName, name) }

// ByNumber is the device of a number, "MAJOR:MINOR".
func (s *Set) ByNumber(number string) (Disk, bool) {
	n, err := ParseNumber(number)
	if err != nil {
		return Disk{}, false
	}
	return found(s, s.byNumber, n)
}

// ByPath is the device that has the path among its names.
func (s *Set) ByPath(path string) (Disk, bool) {
	if of := s.byPath[path]; len(of) > 0 {
		return s.disks[of[0]], true
	}
	return Disk{}, false
}

// Find is the whole disk that the ID was recorded of; false if it is not among the
// node's, or is not known.
func (s *Set) Find(recorded ID) (Disk, bool) {
	for _, key := range recorded.facts().keys() {
		for _, i := range s.byKey[key] {
			if d := s.disks[i]; s.facts[i].compare(recorded.facts()) == Yes && s.Same(recorded, d) == Yes {
				return d, true
			}
		}
	}
	return Disk{}, false
}

func found[K comparable](s *Set, index map[K]int, key K) (Disk, bool) {
	if i, there := index[key]; there {
		return s.disks[i], true
	}
	return Disk{}, false
}

// Identity is the disk's ID, less what another disk of the node has too.
func (s *Set) Identity(d Disk) ID {
	id := d.Identity()
	if s.wwids[wwidKey(id.WWID)] {
		id.WWID = ""
	}
	if s.serials[serialKey(id.Serial)] {
		id.Serial = ""
	}
	names, _ := s.names(d)
	id.ByID = nil
	for _, n := range names {
		id.ByID = append(id.ByID, n.text)
	}
	return id
}

// Same reports whether the disk is the one that the ID was recorded of, as ID.Same
// does. An identifier that another disk of the node has too does not say so.
func (s *Set) Same(recorded ID, d Disk) Answer {
	answer := recorded.Same(d.Identity())
	if answer == Yes && recorded.Compare(s.Identity(d)) != Yes {
		return Unknown
	}
	return answer
}

// SameDisk reports whether two devices are the same disk, under two names or by two paths.
func (s *Set) SameDisk(a, b Disk) bool {
	i, here := s.at(a)
	j, there := s.at(b)
	return here && there && s.same[i] == s.same[j]
}

// OtherPaths are the other devices that are the same disk.
func (s *Set) OtherPaths(d Disk) []Disk {
	i, there := s.at(d)
	if !there || s.facts[i].wwid == "" {
		return nil
	}
	var others []Disk
	for _, j := range s.byDigits[digitsOf(s.facts[i].wwid)] {
		if j != i && s.same[j] == s.same[i] {
			others = append(others, s.disks[j])
		}
	}
	return others
}

// OtherSizes are the other devices with the disk's WWID, of a type that names one disk on every machine, of which only
// the size is different: paths to one LUN of which not all have seen it grow, or disks with one placeholder.
func (s *Set) OtherSizes(d Disk) []Disk {
	i, there := s.at(d)
	if !there || !worldwide(s.facts[i].wwid) || !s.wwids[s.facts[i].wwid] {
		return nil
	}
	var others []Disk
	for _, j := range s.byDigits[digitsOf(s.facts[i].wwid)] {
		a, b := s.facts[i], s.facts[j]
		if a.wwid == b.wwid && a.contradicts(b) && !a.unsized().contradicts(b.unsized()) {
			others = append(others, s.disks[j])
		}
	}
	return others
}

// UsedBy is another path to the disk, or another node of it, that is known to be in use.
func (s *Set) UsedBy(d Disk) (Disk, bool) {
	i, there := s.at(d)
	if !there {
		return Disk{}, false
	}
	for _, j := range s.used[s.same[i]] {
		if j != i {
			return s.disks[j], true
		}
	}
	return Disk{}, false
}

// Identities are the disk's and, of a multipath map, which has no serial number and no WWID of its own, those of its paths.
func (s *Set) Identities(d Disk) []ID {
	all := []ID{s.Identity(d)}
	if !d.multipath() {
		return all
	}
	for _, slave := range d.Slaves {
		if path, there := found(s, s.byKernel, slave); there {
			all = append(all, s.Identity(path))
		}
	}
	return all
}

// First is a device of which the others of the same disk are only other paths.
func (s *Set) First(d Disk) Disk {
	if i, there := s.at(d); there {
		return s.disks[s.same[i]]
	}
	return d
}

// Firsts are the whole disks, each once.
func (s *Set) Firsts() []Disk {
	var all []Disk
	for i, d := range s.disks {
		if d.Whole() && s.same[i] == i {
			all = append(all, d)
		}
	}
	return all
}

// beneath are the devices that a device lies on, all the way down, itself first; of
// several that are one disk, one.
func (s *Set) beneath(i int) []int {
	all := []int{s.same[i]}
	if len(s.lower[i]) == 0 && len(s.lower[s.same[i]]) == 0 {
		return all
	}
	seen := make([]bool, len(s.disks)) // A view that was made up may go in circles.
	seen[s.same[i]] = true
	lower := s.lower[i]
	for next := 0; ; next++ {
		for _, j := range lower {
			if j = s.same[j]; !seen[j] {
				seen[j] = true
				all = append(all, j)
			}
		}
		if next == len(all) {
			return all
		}
		lower = s.lower[all[next]]
	}
}

// Overlap reports whether two devices lie on the same bytes: one device, two paths to
// one, one below the other.
func (s *Set) Overlap(a, b Disk) bool {
	i, here := s.at(a)
	j, there := s.at(b)
	if !here || !there {
		return a.Number == b.Number
	}
	return slices.Contains(s.beneath(i), s.same[j]) || slices.Contains(s.beneath(j), s.same[i])
}

// MapOf is the multipath map that a device is a path of.
func (s *Set) MapOf(d Disk) (Disk, bool) {
	for _, holder := range d.Holders {
		if m, there := found(s, s.byKernel, holder); there && m.multipath() {
			return m, true
		}
	}
	return Disk{}, false
}

// names are the names in by-id that only this disk of the set can have, and why the
// others are none.
func (s *Set) names(d Disk) (kept []name, doubt string) {
	f := d.facts()
	i, there := s.at(d)
	if of := slices.DeleteFunc(slices.Clone(d.ByID), func(n string) bool { return parseName(n).ofContent() }); len(f.names) < len(of) {
		doubt = "what it has there is a placeholder"
	}
	for _, n := range f.names {
		why := ""
		switch {
		case s.claimedElsewhere("/dev/disk/by-id/"+n.text, d):
			why = "another device has " + n.text + " too"
		case there:
			why = s.rival(i, n)
		}
		if why == "" {
			kept = append(kept, n)
		} else {
			doubt = why
		}
	}
	return kept, doubt
}

// claimedElsewhere reports whether another disk is reported to have the path.
func (s *Set) claimedElsewhere(path string, d Disk) bool {
	for _, kernel := range s.claims[path] {
		other, there := found(s, s.byKernel, kernel)
		if kernel != cmp.Or(d.Kernel, d.Name) && (!there || !s.Overlap(d, other)) {
			return true
		}
	}
	return false
}

// rival is who else can claim a name of a device; empty if nobody can.
func (s *Set) rival(i int, n name) string {
	if n.hex {
		digits := strings.ToLower(folded(n.rest))
		for _, j := range s.byDigits[digits] {
			if s.wwids[s.facts[j].wwid] {
				return fmt.Sprintf("the WWID in %s stands on different disks", n.text)
			}
			if !s.Overlap(s.disks[i], s.disks[j]) {
				return fmt.Sprintf("%s is of the WWID of %s", n.text, s.disks[j].Name)
			}
		}
		return ""
	}
	if n.kind == "nvme-" && n.namespace != "" {
		return ""
	}
	for _, j := range s.byDrive[n.text] {
		if s.same[j] != s.same[i] {
			return fmt.Sprintf("%s is another namespace of the drive in %s", s.disks[j].Name, n.text)
		}
	}
	d, f := s.disks[i], s.facts[i]
	for _, j := range s.bySerial[f.serial] {
		if e := s.disks[j]; s.same[j] != s.same[i] && folded(e.Model) == folded(d.Model) && s.couldHave(j, n) {
			return fmt.Sprintf("%s has the serial number in %s too", e.Name, n.text)
		}
	}
	for _, j := range s.byModel[folded(d.Model)] {
		e := s.disks[j]
		other := f.serial != "" && s.facts[j].serial != "" && f.serial != s.facts[j].serial
		if s.same[j] != s.same[i] && !other && folded(e.Vendor) == folded(d.Vendor) && strings.Contains(folded(n.rest), folded(d.Model)) &&
			s.couldHave(j, n) {
			return fmt.Sprintf("%s is of the same model and has no such name, so that %s may be its name too", e.Name, n.text)
		}
	}
	return ""
}

// couldHave reports whether udev would give a device the name, too. One that has
// another name of the kind would not, except for the name of an NVMe drive that leaves the
// namespace out.
func (s *Set) couldHave(i int, n name) bool {
	has := slices.ContainsFunc(s.facts[i].names, func(m name) bool { return m.kind == n.kind && m.text != n.text })
	return !has || n.kind == "nvme-" && n.namespace == ""
}
