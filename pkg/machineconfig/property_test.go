// SPDX-License-Identifier: Apache-2.0

package machineconfig

import (
	"bytes"
	"errors"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
)

// cases is how many configurations are generated for a property.
const cases = 1000

// decode reads all documents, and takes the extra mounts out of the one that has them.
func decode(t *testing.T, raw []byte) (docs []map[string]any, mounts []any) {
	t.Helper()
	for decoder := yaml.NewDecoder(bytes.NewReader(raw)); ; {
		var doc map[string]any
		err := decoder.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return docs, mounts
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, kind := doc["kind"]; !kind && doc != nil {
			machine, _ := doc["machine"].(map[string]any)
			kubelet, _ := machine["kubelet"].(map[string]any)
			mounts, _ = kubelet["extraMounts"].([]any)
			delete(kubelet, "extraMounts")
			if len(kubelet) == 0 {
				delete(machine, "kubelet")
			}
			if len(machine) == 0 {
				delete(doc, "machine")
			}
		}
		docs = append(docs, doc)
	}
}

// wish is the change that leaves exactly the wanted entries behind the first kept.
func wish(config mountsConfig, wanted []extraMount) mountsChange {
	var c mountsChange
	for _, m := range wanted {
		if !slices.ContainsFunc(config.ExtraMounts, func(have extraMount) bool { return equalMount(have, m) }) {
			c.Add = append(c.Add, m)
		}
	}
	return c
}

// silent holds that nothing secret is said.
func silent(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if i := strings.Index(text, "CANARY"); i >= 0 {
			t.Errorf("a secret is told: %s", text)
		}
	}
}

func TestEditAnything(t *testing.T) {
	for seed := range uint64(cases) {
		w := newWriter(seed)
		raw := []byte(w.config(false))
		editing(t, raw, w)
		if t.Failed() {
			t.Fatalf("seed %d:\n%s", seed, raw)
		}
	}
}

// editing holds what is true of every edit of a configuration.
func editing(t *testing.T, raw []byte, w *writer) {
	config, err := readMounts(raw)
	if err != nil {
		t.Errorf("the generator is wrong: %v", err)
		return
	}
	docs, had := decode(t, raw)
	wanted := []extraMount{disks(), {Destination: "/var/b c: d", Source: "/var/b", Options: []string{"rbind"}}}[:1+w.IntN(2)]
	added, err := editMounts(raw, wish(config, wanted))
	if err != nil {
		t.Errorf("cannot add: %v", err)
		return
	}
	gotDocs, got := decode(t, added)
	if !reflect.DeepEqual(gotDocs, docs) {
		t.Errorf("adding changes something else:\n%s", added)
	}
	if len(got) != len(had)+len(wanted) || len(had) > 0 && !reflect.DeepEqual(got[:len(had)], had) {
		t.Errorf("adding leaves %v:\n%s", got, added)
	}
	if !insertion(raw, added) && !writtenNull(raw) {
		t.Errorf("adding changes bytes:\n%s", added)
	}
	silent(t, diffMounts(raw, added))
	now, err := readMounts(added)
	if err != nil {
		t.Error(err)
		return
	}
	if again, err := editMounts(added, wish(now, wanted)); err != nil || !bytes.Equal(again, added) {
		t.Errorf("the same wish again: %v\n%s", err, again)
	}
	restored, err := editMounts(added, mountsChange{Remove: numbers(len(had), len(got))})
	if err != nil {
		t.Errorf("cannot remove what was added: %v\n%s", err, added)
		return
	}
	if !bytes.Equal(restored, raw) && restorable(raw) {
		t.Errorf("adding and removing leaves a trace:\n%s", restored)
	}
	if len(had) == 0 {
		return
	}
	rebinding(t, raw, config)
	remove := numbers(0, len(had))
	w.Shuffle(len(remove), func(i, j int) { remove[i], remove[j] = remove[j], remove[i] })
	remove = remove[:1+w.IntN(len(remove))]
	removed, err := editMounts(raw, mountsChange{Remove: remove})
	if err != nil {
		t.Errorf("cannot remove %v: %v", remove, err)
		return
	}
	gotDocs, got = decode(t, removed)
	var kept []any
	for i, entry := range had {
		if !slices.Contains(remove, i) {
			kept = append(kept, entry)
		}
	}
	if !reflect.DeepEqual(gotDocs, docs) || len(got) != len(kept) || len(kept) > 0 && !reflect.DeepEqual(got, kept) {
		t.Errorf("removing %v leaves %v:\n%s", remove, got, removed)
	}
	if !bytes.Contains(removed, []byte("[]")) && !subsequence(removed, raw) {
		t.Errorf("removing %v adds bytes:\n%s", remove, removed)
	}
	silent(t, diffMounts(raw, removed))
}

// writtenNull reports whether the edit removes the word null.
// rebinding holds that bind becomes rbind where it should, by letters that are put in.
func rebinding(t *testing.T, raw []byte, config mountsConfig) {
	var rebind []int
	letters := 0
	want := slices.Clone(config.ExtraMounts)
	for i, m := range want {
		if i%2 == 0 {
			rebind, want[i] = append(rebind, i), rebound(m)
			letters += len(slices.DeleteFunc(slices.Clone(m.Options), func(o string) bool { return o != "bind" }))
		}
	}
	after, err := editMounts(raw, mountsChange{Rebind: rebind})
	if err != nil {
		t.Errorf("cannot make rbind of bind: %v", err)
		return
	}
	if now, err := readMounts(after); err != nil || !slices.EqualFunc(now.ExtraMounts, want, equalMount) {
		t.Errorf("rbind leaves %v, %v:\n%s", now.ExtraMounts, err, after)
	}
	if len(after) != len(raw)+letters || !subsequence(raw, after) {
		t.Errorf("rbind changes other bytes:\n%s", after)
	}
	silent(t, diffMounts(raw, after))
}

func writtenNull(raw []byte) bool {
	t, err := Parse(raw)
	if err != nil {
		return false
	}
	return slices.ContainsFunc([]*yaml.Node{t.At("machine"), t.At("machine", "kubelet"), t.At("machine", "kubelet", "extraMounts")},
		func(n *yaml.Node) bool {
			return n != nil && isNull(n) && n.Value != ""
		})
}

func numbers(from, to int) []int {
	var all []int
	for i := from; i < to; i++ {
		all = append(all, i)
	}
	return all
}

// insertion reports whether after is before with bytes put in at one place.
func insertion(before, after []byte) bool {
	prefix, suffix := 0, 0
	for prefix < len(before) && prefix < len(after) && before[prefix] == after[prefix] {
		prefix++
	}
	for suffix < len(before) && suffix < len(after) && before[len(before)-1-suffix] == after[len(after)-1-suffix] {
		suffix++
	}
	return prefix+suffix >= len(before)
}

func subsequence(short, long []byte) bool {
	for _, c := range short {
		i := bytes.IndexByte(long, c)
		if i < 0 {
			return false
		}
		long = long[i+1:]
	}
	return true
}

// restorable is false where the same bytes are written for different ones: a null is
// filled as if it had not been there.
func restorable(raw []byte) bool {
	t, err := Parse(raw)
	if err != nil {
		return false
	}
	machine, kubelet := t.At("machine"), t.At("machine", "kubelet")
	key, _ := child(machine, "kubelet")
	mounts, list := child(kubelet, "extraMounts")
	flow := machine.Style&yaml.FlowStyle != 0
	return (key != nil || !flow) && (key == nil || !isNull(kubelet)) && (mounts == nil || !isNull(list)) &&
		(kubelet == nil || kubelet.Style&yaml.FlowStyle == 0 || mounts == nil || len(list.Content) > 0)
}

func TestConvertAnything(t *testing.T) {
	for seed := range uint64(cases) {
		w := newWriter(seed)
		raw := []byte(w.config(true))
		converting(t, raw)
		if t.Failed() {
			t.Fatalf("seed %d:\n%s", seed, raw)
		}
	}
}

// converting holds what is true of every conversion.
func converting(t *testing.T, raw []byte) {
	got, err := convertMounts(raw, mountsChange{Add: []extraMount{disks()}})
	if err != nil {
		// What is refused is refused in silence about what it says.
		silent(t, err.Error(), failure.Hint(err))
		// A scalar that ends without a line break is another one with text below it.
		if !strings.Contains(err.Error(), "in brackets") && bytes.HasSuffix(raw, []byte("\n")) {
			t.Errorf("cannot convert: %v", err)
		}
		return
	}
	silent(t, diffMounts(raw, got))
	before, _ := decode(t, raw)
	after, mounts := decode(t, got)
	var document map[string]any
	before = slices.DeleteFunc(before, func(doc map[string]any) bool {
		if doc["kind"] == "KubeletConfig" {
			document = doc
		}
		return doc["kind"] == "KubeletConfig"
	})
	for _, doc := range after {
		machine, ok := doc["machine"].(map[string]any)
		if !ok {
			continue
		}
		kubelet, _ := machine["kubelet"].(map[string]any)
		delete(machine, "kubelet")
		want := map[string]any{"disableManifestsDirectory": true}
		for field, value := range document {
			switch field {
			case "apiVersion", "kind":
			case "config":
				want["extraConfig"] = value
			default:
				want[field] = value
			}
		}
		if !reflect.DeepEqual(kubelet, want) {
			t.Errorf("machine.kubelet is %v, want %v", kubelet, want)
		}
	}
	if !reflect.DeepEqual(before, after) || len(mounts) != 1 {
		t.Errorf("something else is changed:\n%s", got)
	}
}

// FuzzEdit takes any bytes: nothing panics, and what succeeds is right.
func FuzzEdit(f *testing.F) {
	for seed := range uint64(40) {
		f.Add([]byte(newWriter(seed).config(seed%2 == 0)), uint8(seed))
	}
	for _, name := range []string{"testdata/generated-1.13.yaml", "testdata/generated-1.14.yaml"} {
		raw, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw, uint8(0))
	}
	f.Add([]byte("machine: &a {kubelet: {extraMounts: [*a]}}"), uint8(1))
	f.Fuzz(func(t *testing.T, raw []byte, n uint8) {
		change := mountsChange{Add: []extraMount{disks()}}
		if n%2 == 1 {
			change = mountsChange{Remove: []int{int(n / 2)}}
		}
		for _, edit := range []func([]byte, mountsChange) ([]byte, error){editMounts, convertMounts} {
			got, err := edit(raw, change)
			if err != nil {
				continue
			}
			before, err := readMounts(raw)
			if err != nil {
				t.Fatalf("%v, and yet it was edited", err)
			}
			after, err := readMounts(got)
			if err != nil {
				t.Fatalf("%v after the edit:\n%s", err, got)
			}
			want := slices.Concat(before.ExtraMounts, change.Add)
			if n%2 == 1 {
				want = slices.Delete(want, int(n/2), int(n/2)+1)
			}
			if !slices.EqualFunc(after.ExtraMounts, want, equalMount) {
				t.Errorf("got %v, want %v", after.ExtraMounts, want)
			}
			if !slices.Equal(before.UserVolumes, after.UserVolumes) || !slices.Equal(before.MachineDisks, after.MachineDisks) {
				t.Errorf("something else is changed:\n%s", got)
			}
		}
		diffMounts(raw, append(slices.Clone(raw), "\n# more"...))
	})
}
