// SPDX-License-Identifier: Apache-2.0

package standin

import "testing"

func TestPVName(t *testing.T) {
	for _, tc := range []struct{ entry, node, class, want string }{
		// FNV-1a 32 of "foobar" and of "" are published test vectors.
		{"foobar", "", "", "local-pv-bf9cf968"},
		{"foo", "b", "ar", "local-pv-bf9cf968"},
		{"", "", "", "local-pv-811c9dc5"},
		// Sums that start with zeros are not padded.
		{"vd1215", "w-2", "block-storage", "local-pv-607f29"},
	} {
		if got := PVName(tc.entry, tc.node, tc.class); got != tc.want {
			t.Errorf("PVName(%q, %q, %q) = %s, want %s", tc.entry, tc.node, tc.class, got, tc.want)
		}
	}
}

func TestRoundDown(t *testing.T) {
	const mib, gib = 1 << 20, 1 << 30
	for _, tc := range []struct{ bytes, want int64 }{
		{0, 0},
		{10*mib - 1, 10*mib - 1},
		{10 * mib, 10 * mib},
		{10*mib + 1, 10 * mib},
		{10*gib - 1, 10*gib - mib},
		{10 * gib, 10 * gib},
		{11*gib - 1, 10 * gib},
	} {
		if got := RoundDown(tc.bytes); got != tc.want {
			t.Errorf("RoundDown(%d) = %d, want %d", tc.bytes, got, tc.want)
		}
	}
}

func TestMatches(t *testing.T) {
	for _, tc := range []struct {
		pattern, name string
		want          bool
	}{
		{"*", "vdb", true},
		{"*", ".vdb", true},
		{"vd*", "vdb", true},
		{"vd*", "sdb", false},
		{"r-*,vd?", "vdb", true},
		{"r-*,vd?", "r-data", true},
		{"r-*,vd?", "u-data", false},
		{"r-*, vd?", "vdb", false}, // the blank is part of the pattern
		{",", "vdb", false},
	} {
		got, err := Class{NamePattern: tc.pattern}.matches(tc.name)
		if err != nil || got != tc.want {
			t.Errorf("matches(%q, %q) = %v, %v, want %v", tc.pattern, tc.name, got, err, tc.want)
		}
	}
	if _, err := (Class{NamePattern: "[a"}).matches("b"); err == nil {
		t.Error("a malformed pattern matched without an error")
	}
}
