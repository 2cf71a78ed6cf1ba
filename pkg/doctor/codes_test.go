// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A code is written once, as the constant beside its check; all else has the constant.
func TestCodesAreWrittenOnce(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	code := regexp.MustCompile(`^"TD\d{4}"$`)
	written := make(map[string]string)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		set := token.NewFileSet()
		tree, err := parser.ParseFile(set, file, source, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			if l, ok := n.(*ast.BasicLit); ok && code.MatchString(l.Value) {
				at := set.Position(l.Pos()).String()
				if before := written[l.Value]; before != "" {
					t.Errorf("%s: %s is written at %s too", at, l.Value, before)
				}
				written[l.Value] = at
			}
			return true
		})
	}
	if len(written) != len(Checks()) {
		t.Errorf("%d codes are written, of %d checks", len(written), len(Checks()))
	}
}
