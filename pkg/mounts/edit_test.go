// SPDX-License-Identifier: Apache-2.0

package mounts

import (
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
)

// What an edit does to the bytes is tested in package machineconfig.
func TestEditOfExtraMounts(t *testing.T) {
	const document = "machine:\n  type: worker\n---\napiVersion: v1alpha1\nkind: KubeletConfig\nimage: x\n"
	entry := ExtraMount{Destination: disksDir, Type: "bind", Source: disksDir, Options: []string{"rbind", "rw"}}
	for name, c := range map[string]struct {
		edit      func([]byte, Change) ([]byte, error)
		raw       string
		change    Change
		want      string
		err, hint string
	}{
		"all at once": {
			edit: Edit, raw: "machine: {kubelet: {extraMounts: [{destination: /a}, {destination: /b, options: [bind]}]}}\n",
			change: Change{Remove: []int{0}, Rebind: []int{1, 1}, Add: []ExtraMount{entry}},
			want:   "machine: {kubelet: {extraMounts: [{destination: /b, options: [rbind]}, {destination: /var/lib/disks, type: bind, source: /var/lib/disks, options: [rbind, rw]}]}}\n",
		},
		"a conversion": {
			edit: Convert, raw: document, change: Change{Add: []ExtraMount{entry}},
			want: "machine:\n  type: worker\n  kubelet:\n    image: x\n    disableManifestsDirectory: true\n    extraMounts:\n      - destination: /var/lib/disks\n" +
				"        type: bind\n        source: /var/lib/disks\n        options:\n          - rbind\n          - rw\n",
		},
		"beside a document": {
			edit:   Edit,
			raw:    document,
			change: Change{Add: []ExtraMount{entry}},
			err:    `has a "KubeletConfig" document, beside which Talos takes no extra mounts`,
			hint:   "mounts --convert-kubelet-config",
		},
		"out of a document": {edit: Convert, raw: document, change: Change{Remove: []int{0}}, err: "has no extra mounts to remove or change"},
		"no list": {
			edit:   Edit,
			raw:    "machine: {kubelet: {extraMounts: CANARY}}",
			change: Change{Add: []ExtraMount{entry}},
			err:    "not one that Talos takes (line 1)",
			hint:   "talosctl validate",
		},
		"no such entry": {
			edit:   Edit,
			raw:    "machine: {kubelet: {extraMounts: []}}",
			change: Change{Remove: []int{0}},
			err:    "no extra mount number 1",
		},
		"an anchor": {
			edit:   Edit,
			raw:    "machine: &a {kubelet: {}}",
			change: Change{Add: []ExtraMount{entry}},
			err:    `at "machine" (line 1)`,
			hint:   "kubectl talosdisk mounts -o patch",
		},
		"a line break": {
			edit:   Edit,
			raw:    "machine: {}",
			change: Change{Add: []ExtraMount{{Destination: "/a\n/b"}}},
			err:    "has control characters",
		},
		"a line break, convert": {
			edit:   Convert,
			raw:    document,
			change: Change{Add: []ExtraMount{{Destination: "/a\u2028/b"}}},
			err:    "has control characters",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := c.edit([]byte(c.raw), c.change)
			if c.err == "" {
				if err != nil || string(got) != c.want {
					t.Errorf("%v, got\n%s\nwant\n%s", err, got, c.want)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.err) || !strings.Contains(failure.Hint(err), c.hint) ||
				strings.Contains(err.Error(), "CANARY") {
				t.Errorf("%v, hint %q", err, failure.Hint(err))
			}
		})
	}
}

func TestDiffOfExtraMounts(t *testing.T) {
	got := Diff([]byte("machine: {token: CANARY}"), []byte("machine: {token: CANARY, kubelet: {extraMounts: [{destination: /a}]}}"))
	if want := " machine:\n     kubelet:\n+        extraMounts:\n+            - destination: /a\n"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got, want := Fragment([]ExtraMount{{Destination: "/a"}}),
		"machine:\n    kubelet:\n        extraMounts:\n            - destination: /a\n"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
