// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

var update = flag.Bool("update", false, "accept what is different in testdata")

// Every command that a fix of any case has is in testdata/commands.golden, one a line, with
// the code that prints it. That those of this program parse is tested in pkg/cmd, which reads
// the file; that each does what its text says is for the eyes of who changes it.
func TestCommands(t *testing.T) {
	var lines []string
	for _, tt := range everyCase() {
		w := well(t)
		tt.change(w)
		r := Run(w.Snapshot, Options{})
		for _, f := range slices.Concat(r.Findings, r.Masked) {
			for _, step := range f.Fix {
				if step.Command != "" {
					lines = append(lines, fmt.Sprintf("%s %s", f.Code, strings.ReplaceAll(step.Command, "\n", `\n`)))
				}
				if strings.Contains(step.Text+step.Command, allNodes) {
					t.Errorf("%s: %+v", f.Code, step)
				}
			}
		}
	}
	slices.Sort(lines)
	got := strings.Join(slices.Compact(lines), "\n") + "\n"
	path := filepath.Join("testdata", "commands.golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs, -update accepts it; got\n%s", path, got)
	}
}

// A snapshot that somebody has edited may lack anything: it is diagnosed anyway.
func TestAnythingMayLack(t *testing.T) {
	w := well(t)
	w.blind()
	w.claimFor()
	w.release("Delete")
	w.refused()
	var file bytes.Buffer
	if err := snapshot.Save(&file, w.Snapshot); err != nil {
		t.Fatal(err)
	}
	var tree any
	if err := json.Unmarshal(file.Bytes(), &tree); err != nil {
		t.Fatal(err)
	}
	diagnose := func(path string) {
		defer func() {
			if p := recover(); p != nil {
				t.Errorf("without %s: %v", path, p)
			}
		}()
		text, err := json.Marshal(tree)
		if err != nil {
			t.Fatal(err)
		}
		if s, err := snapshot.Load(bytes.NewReader(text)); err == nil {
			Run(s, Options{})
		}
	}
	var walk func(path string, node any)
	walk = func(path string, node any) {
		switch n := node.(type) {
		case map[string]any:
			for key, value := range n {
				delete(n, key)
				diagnose(path + "." + key)
				n[key] = nil
				diagnose(path + "." + key + " (null)")
				n[key] = value
				walk(path+"."+key, value)
			}
		case []any:
			for i, value := range n {
				walk(fmt.Sprintf("%s[%d]", path, i), value)
			}
		}
	}
	walk("", tree)
}
