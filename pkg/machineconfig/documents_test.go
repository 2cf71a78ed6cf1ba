// SPDX-License-Identifier: Apache-2.0

package machineconfig

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

func TestPut(t *testing.T) {
	const volume = "apiVersion: v1alpha1\nkind: UserVolumeConfig\nname: data # ours\n"
	for name, c := range map[string]struct{ before, after, err string }{
		"below all others":     {before: "machine: {} # mine\n", after: "machine: {} # mine\n---\n" + volume},
		"without a line break": {before: "machine: {}", after: "machine: {}\n---\n" + volume},
		"behind a marker":      {before: "machine: {}\n...\n", after: "machine: {}\n...\n---\n" + volume},
		"in the place of the old one": {
			before: "machine: {}\n---\n# old\nname: data\nkind: UserVolumeConfig\napiVersion: v1alpha1\nfilesystem: {type: xfs}\n\n---\nkind: B # keep\n",
			after:  "machine: {}\n---\n" + volume + "---\nkind: B # keep\n",
		},
		"on the marker's line": {
			before: "machine: {}\n--- {apiVersion: v1alpha1, kind: UserVolumeConfig, name: data}\n",
			after:  "machine: {}\n---\n" + volume,
		},
		"above all others": {
			before: "apiVersion: v1alpha1\nkind: UserVolumeConfig\nname: data\n---\nmachine: {}\n",
			after:  volume + "---\nmachine: {}\n",
		},
		"at the end": {
			before: "machine: {}\n---\napiVersion: v1alpha1\nkind: UserVolumeConfig\nname: data\n...\n",
			after:  "machine: {}\n---\n" + volume + "...\n",
		},
		"beside another name": {
			before: "machine: {}\n---\napiVersion: v1alpha1\nkind: UserVolumeConfig\nname: data-2\n",
			after:  "machine: {}\n---\napiVersion: v1alpha1\nkind: UserVolumeConfig\nname: data-2\n---\n" + volume,
		},
		"beside somebody's own": {
			before: "machine: {}\n---\napiVersion: example.org/v1\nkind: UserVolumeConfig\nname: data\n",
			after:  "machine: {}\n---\napiVersion: example.org/v1\nkind: UserVolumeConfig\nname: data\n---\n" + volume,
		},
		"twice there": {
			before: "machine: {}\n---\n" + volume + "---\n" + volume,
			err:    `several documents "UserVolumeConfig" "data" (lines 3 and 7)`,
		},
		"no YAML": {before: "machine: [CANARY\n", err: "not valid YAML"},
	} {
		for _, newline := range []string{"\n", "\r\n"} {
			got, err := Put([]byte(strings.ReplaceAll(c.before, "\n", newline)), []byte(volume))
			want := strings.ReplaceAll(c.after, "\n", newline)
			if !strings.Contains(c.before, "\n") { // There is no line break to write others like.
				want = c.after
			}
			switch {
			case c.err != "":
				if err == nil || !strings.Contains(err.Error(), c.err) || strings.Contains(err.Error(), "CANARY") {
					t.Errorf("%s: %v", name, err)
				}
			case err != nil || string(got) != want:
				t.Errorf("%s: %v, got\n%q\nwant\n%q", name, err, got, want)
			}
		}
	}
	for _, document := range []string{"", "kind: A\n", "a: b\n", "- a\n", volume + "---\n" + volume, "kind: [\n"} {
		if got, err := Put([]byte("machine: {}\n"), []byte(document)); err == nil {
			t.Errorf("%q was taken:\n%s", document, got)
		}
	}
}

func TestDrop(t *testing.T) {
	const volume = "apiVersion: v1alpha1\nkind: UserVolumeConfig\nname: data\n"
	for name, c := range map[string]struct{ before, after string }{
		"in the middle":  {"machine: {}\n---\n# about it\n" + volume + "\n---\nkind: B\n", "machine: {}\n---\nkind: B\n"},
		"at the end":     {"machine: {}\n---\n" + volume, "machine: {}\n"},
		"with markers":   {"machine: {}\n...\n---\n" + volume + "...\n", "machine: {}\n...\n"},
		"above":          {volume + "---\nmachine: {}\n", "---\nmachine: {}\n"},
		"no line break":  {"machine: {}\n---\n" + strings.TrimSuffix(volume, "\n"), "machine: {}\n"},
		"not there":      {"machine: {} # as it is", "machine: {} # as it is"},
		"another's kind": {"machine: {}\n---\nkind: UserVolumeConfig\nname: data\n", "machine: {}\n---\nkind: UserVolumeConfig\nname: data\n"},
	} {
		if got, err := Drop([]byte(c.before), "UserVolumeConfig", "data"); err != nil || string(got) != c.after {
			t.Errorf("%s: %v, got\n%q\nwant\n%q", name, err, got, c.after)
		}
	}
}

// What is put into any configuration is all that is new, and leaves no trace when it is dropped again.
func TestPutAndDropAnything(t *testing.T) {
	const first, second = "apiVersion: v1alpha1\nkind: RawVolumeConfig\nname: put\n",
		"# other\napiVersion: v1alpha1\nkind: RawVolumeConfig\nname: put\nprovisioning: {minSize: 1GiB}\n"
	for seed := range uint64(cases) {
		raw := []byte(newWriter(seed).config(seed%2 == 0))
		before, mounts := decode(t, raw)
		added, err := Put(raw, []byte(first))
		if err != nil {
			if bytes.HasSuffix(raw, []byte("\n")) { // A scalar that ends without a line break is another one with text below it.
				t.Fatalf("seed %d: %v\n%s", seed, err, raw)
			}
			continue
		}
		after, mountsAfter := decode(t, added)
		if !bytes.HasPrefix(added, raw) || len(after) != len(before)+1 || !reflect.DeepEqual(after[:len(before)], before) ||
			!reflect.DeepEqual(mounts, mountsAfter) {
			t.Fatalf("seed %d: something else is changed\n%s", seed, added)
		}
		changed, err := Put(added, []byte(second))
		if err != nil || !bytes.HasPrefix(changed, raw) ||
			!bytes.HasSuffix(changed, []byte("---\n"+second)) &&
				!bytes.HasSuffix(changed, []byte("---\r\n"+strings.ReplaceAll(second, "\n", "\r\n"))) {
			t.Fatalf("seed %d: %v\n%s", seed, err, changed)
		}
		dropped, err := Drop(changed, "RawVolumeConfig", "put")
		if err != nil || !bytes.Equal(bytes.TrimRight(dropped, "\r\n"), bytes.TrimRight(raw, "\r\n")) {
			t.Fatalf("seed %d: %v\n%s", seed, err, dropped)
		}
		if seed%2 == 0 {
			without, err := Drop(raw, "KubeletConfig", "")
			if docs, _ := decode(t, without); err != nil || len(docs) != len(before)-1 {
				t.Fatalf("seed %d: %v\n%s", seed, err, without)
			}
		}
	}
}
