// SPDX-License-Identifier: Apache-2.0

package machineconfig

import (
	"bytes"
	"strings"
	"testing"
)

func TestEditReplacesScalars(t *testing.T) {
	for name, c := range map[string]struct {
		raw, want string
		rebind    []int
		err       string
	}{
		"in lines": {
			raw:    "machine:\n  kubelet:\n    extraMounts:\n    - destination: /bind # bind\n      options:\n        - bind   # why not rbind\n        - rshared\n    - destination: /b\n      options: [bind]\n",
			want:   "machine:\n  kubelet:\n    extraMounts:\n    - destination: /bind # bind\n      options:\n        - rbind   # why not rbind\n        - rshared\n    - destination: /b\n      options: [bind]\n",
			rebind: []int{0},
		},
		"in brackets": {
			raw:    `machine: {kubelet: {extraMounts: [{destination: /a}, {options: ['bind', "bind", bind,rw], destination: bind}]}}`,
			want:   `machine: {kubelet: {extraMounts: [{destination: /a}, {options: ['rbind', "rbind", rbind,rw], destination: bind}]}}`,
			rebind: []int{1},
		},
		"both": {
			raw:    "machine:\r\n kubelet:\r\n  extraMounts:\r\n  - {destination: /a, options: [bind]}\r\n  - {destination: /b, options: [rw, bind]}",
			want:   "machine:\r\n kubelet:\r\n  extraMounts:\r\n  - {destination: /a, options: [rbind]}\r\n  - {destination: /b, options: [rw, rbind]}",
			rebind: []int{1, 0, 1},
		},
		"behind letters of several bytes": {
			raw:    `machine: {kubelet: {extraMounts: [{destination: /ä€😀, options: [bind]}]}}`,
			want:   `machine: {kubelet: {extraMounts: [{destination: /ä€😀, options: [rbind]}]}}`,
			rebind: []int{0},
		},
		"none there": {
			raw:    "machine: {kubelet: {extraMounts: [{destination: /a, options: [rw]}]}}",
			want:   "machine: {kubelet: {extraMounts: [{destination: /a, options: [rw]}]}}",
			rebind: []int{0},
		},
		"written in code": {
			raw:    `machine: {kubelet: {extraMounts: [{destination: /a, options: ["b\x69nd"]}]}}`,
			want:   `machine: {kubelet: {extraMounts: [{destination: /a, options: ["rb\x69nd"]}]}}`,
			rebind: []int{0},
		},
		"a block": {
			raw:    "machine:\n  kubelet:\n    extraMounts:\n    - options:\n      - |-\n        bind\n",
			rebind: []int{0},
			err:    "in which no edit is safe",
		},
		"an anchor": {
			raw:    "machine: {kubelet: {extraMounts: [{destination: /a, options: [&a bind]}]}}",
			rebind: []int{0},
			err:    "number 1 has an anchor, an alias or a tag (line 1), and is not changed",
		},
		"an alias": {
			raw:    "x: &a [bind]\nmachine: {kubelet: {extraMounts: [{destination: /a, options: *a}]}}",
			rebind: []int{0},
			err:    "is not changed",
		},
		"no such entry": {raw: "machine: {kubelet: {extraMounts: []}}", rebind: []int{0}, err: "no extra mount number 1"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := editMounts([]byte(c.raw), mountsChange{Rebind: c.rebind})
			switch {
			case c.err != "":
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("got %v:\n%s", err, got)
				}
			case err != nil || string(got) != c.want:
				t.Errorf("%v: got\n%s\nwant\n%s", err, got, c.want)
			}
		})
	}
	// With everything else that one edit can do.
	const raw = "machine:\n  kubelet:\n    extraMounts:\n      - {destination: /a, options: [bind]}\n      - {destination: /b, options: [bind]}\n"
	got, err := editMounts([]byte(raw), mountsChange{Rebind: []int{1}, Remove: []int{0}, Add: []extraMount{disks()}})
	want := "machine:\n  kubelet:\n    extraMounts:\n      - {destination: /b, options: [rbind]}\n      - " + disksFlow + "\n"
	if err != nil || string(got) != want {
		t.Errorf("%v: got\n%s\nwant\n%s", err, got, want)
	}
	for _, line := range []string{"options:", "- bind", "- rbind"} {
		if diff := diffMounts([]byte(raw), bytes.Replace([]byte(raw), []byte("/b, options: [bind]"), []byte("/b, options: [rbind]"),
			1)); !strings.Contains(diff, line) {
			t.Errorf("the difference lacks %q:\n%s", line, diff)
		}
	}
}

// The comparison sees an entry of which more was changed than bind.
func TestEditedReplacesScalars(t *testing.T) {
	const before = "machine: {kubelet: {extraMounts: [{destination: /a, options: [bind, rw]}, {destination: /b, options: [bind]}]}}\n"
	for name, c := range map[string]struct {
		from, to string
		want     bool
	}{
		"what it should":      {"[bind, rw]", "[rbind, rw]", true},
		"nothing":             {"", "", false},
		"another option":      {"[bind, rw]", "[rbind, ro]", false},
		"an option less":      {"[bind, rw]", "[rbind]", false},
		"another destination": {"/a, options: [bind", "/c, options: [rbind", false},
		"the other entry":     {"options: [bind]", "options: [rbind]", false},
	} {
		was, err1 := Parse([]byte(before))
		now, err2 := Parse([]byte(strings.Replace(before, c.from, c.to, 1)))
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		if got := mountsList.edited(was, now, mountsChange{Rebind: []int{0}}.ofList()); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
