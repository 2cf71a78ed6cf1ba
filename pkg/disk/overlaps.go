// SPDX-License-Identifier: Apache-2.0

package disk

// Overlaps finds which of many devices of a set lie on the same bytes as one.
type Overlaps struct {
	set *Set
	// at are the numbers of what was added at a device, over of what lies on it.
	at, over map[int][]int
}

// NewOverlaps is an empty one.
func NewOverlaps(s *Set) *Overlaps {
	return &Overlaps{set: s, at: make(map[int][]int), over: make(map[int][]int)}
}

// Add adds a device as number n; each is greater than the one before.
func (o *Overlaps) Add(d Disk, n int) {
	i, there := o.set.at(d)
	if !there {
		return
	}
	o.at[o.set.same[i]] = append(o.at[o.set.same[i]], n)
	for _, lower := range o.set.beneath(i) {
		o.over[lower] = append(o.over[lower], n)
	}
}

// First is the smallest number of a device that overlaps with one, but those to skip.
func (o *Overlaps) First(d Disk, skip func(n int) bool) (int, bool) {
	i, there := o.set.at(d)
	if !there {
		return 0, false
	}
	best := -1
	try := func(numbers []int) {
		for _, n := range numbers {
			if best >= 0 && n >= best {
				return
			}
			if skip == nil || !skip(n) {
				best = n
				return
			}
		}
	}
	try(o.over[o.set.same[i]])
	for _, lower := range o.set.beneath(i) {
		try(o.at[lower])
	}
	return best, best >= 0
}
