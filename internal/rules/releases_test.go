// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// number is a text that is a release of Talos, or the beginning of one.
var number = regexp.MustCompile(`^v?1\.\d*(\.\d.*)?$`)

// TestOnlyOneRoomKnowsReleases holds that what depends on a release of Talos is in the table of pkg/talosrelease: a number in
// another room is one to compare with. Which packages can compare at all is a rule of imports.
func TestOnlyOneRoomKnowsReleases(t *testing.T) {
	seen := 0
	for _, room := range []string{"pkg", "internal", "cmd"} {
		err := filepath.WalkDir(filepath.Join("..", "..", room), func(file string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			switch d.Name() {
			case "talosrelease", "talostest": // The table, and the releases that tests ask for.
				return filepath.SkipDir
			}
			if filepath.Ext(file) != ".go" || strings.HasSuffix(file, "_test.go") {
				return nil
			}
			seen++
			files := token.NewFileSet()
			f, err := parser.ParseFile(files, file, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if e, ok := n.(ast.Expr); ok {
					if text, ok := textOf(e); ok && number.MatchString(text) {
						t.Errorf("%s: %q looks like a release of Talos; ask pkg/talosrelease", files.Position(n.Pos()), text)
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if seen < 100 {
		t.Errorf("looked at %d files only", seen)
	}
	for text, want := range map[string]bool{
		"v1.12":           true,
		"1.10.4":          true,
		"v1.":             true,
		"v1.13.0-alpha.0": true,
		"v1":              false,
		"v1alpha1":        false,
		"10.0.0.1":        false,
		"Talos v1.10":     false,
	} {
		if number.MatchString(text) != want {
			t.Errorf("%q: %v", text, !want)
		}
	}
}
