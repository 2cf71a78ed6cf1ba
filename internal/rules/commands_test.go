// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// begun is a text in which a command that a reader may paste has begun.
var begun = regexp.MustCompile(`(^|[\s(:;|"])(kubectl|talosctl|helm) `)

// TestCommandsAreMadeOfWords holds that a command with anything in it that is not written in the source is made by internal/shell, which
// quotes its words: no text that begins a command is joined to or formatted with a value.
func TestCommandsAreMadeOfWords(t *testing.T) {
	seen := 0
	for _, room := range []string{"pkg", "internal", "cmd"} {
		err := filepath.WalkDir(filepath.Join("..", "..", room), func(file string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || filepath.Ext(file) != ".go" || strings.HasSuffix(file, "_test.go") {
				return err
			}
			seen++
			for _, at := range pastedTogether(t, file) {
				t.Errorf("%s: a command is put together from text; make it with shell.Command", at)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if seen < 100 {
		t.Errorf("looked at %d files only", seen)
	}
}

func pastedTogether(t *testing.T, file string) []token.Position {
	t.Helper()
	files := token.NewFileSet()
	f, err := parser.ParseFile(files, file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var found []token.Position
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BinaryExpr: // The right side follows the text at the end of the left.
			if n.Op == token.ADD && unended(lastText(n.X)) && !isText(n.Y) {
				found = append(found, files.Position(n.Pos()))
			}
		case *ast.CallExpr:
			if fun, ok := n.Fun.(*ast.SelectorExpr); ok && strings.HasSuffix(fun.Sel.Name, "f") && fun.Sel.Name != "Getenvf" {
				for _, arg := range n.Args {
					if text, ok := textOf(arg); ok && formats(text) {
						found = append(found, files.Position(n.Pos()))
					}
				}
			}
		}
		return true
	})
	return found
}

// unended reports whether a value that follows the text would be a word of a command: one has begun, and nothing ended it.
func unended(text string) bool {
	at := begun.FindAllStringIndex(text, -1)
	return len(at) > 0 && !strings.ContainsAny(text[at[len(at)-1][1]:], ";()\",\n")
}

// formats reports whether a verb stands in a command.
func formats(text string) bool {
	for i := 0; i+1 < len(text); i++ {
		if text[i] == '%' && text[i+1] != '%' && unended(text[:i]) {
			return true
		}
	}
	return false
}

func lastText(e ast.Expr) string {
	if b, ok := e.(*ast.BinaryExpr); ok && b.Op == token.ADD {
		if text, ok := textOf(b.Y); ok {
			return lastText(b.X) + text
		}
		return ""
	}
	text, _ := textOf(e)
	return text
}

func isText(e ast.Expr) bool {
	_, ok := textOf(e)
	return ok
}

func textOf(e ast.Expr) (string, bool) {
	l, ok := e.(*ast.BasicLit)
	if !ok || l.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(l.Value)
	return text, err == nil
}

func TestWhatIsPastedTogether(t *testing.T) {
	for text, want := range map[string]bool{
		"kubectl get pv ": true, "see: talosctl -n ": true, "(kubectl get pv": true, "make one: kubectl get x (": false, "kubectl is ": true,
		"look at it; ": false,
	} {
		if unended(text) != want {
			t.Errorf("%q: %v", text, !want)
		}
	}
	if !formats("restart it: talosctl -n %s reboot") || formats("%s: kubectl get nodes") || formats("kubectl get 100%%") {
		t.Error("formats are not told apart")
	}
}
