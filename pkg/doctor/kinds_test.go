// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// talosError is an error that package talos makes: the name of its kind, and its text with
// X for what is not known before it runs.
type talosError struct{ kind, text, at string }

var verbs = regexp.MustCompile(`%[a-zA-Z]`)

// textOf is what an expression of the source will say.
func textOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if text, err := strconv.Unquote(e.Value); err == nil {
			return text
		}
	case *ast.BinaryExpr:
		return textOf(e.X) + textOf(e.Y)
	case *ast.CallExpr:
		if f, ok := e.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "Sprintf" {
			return verbs.ReplaceAllString(textOf(e.Args[0]), "X")
		}
	}
	return "X"
}

// talosErrors are all that the source of package talos makes, and the words of its kinds.
func talosErrors(t *testing.T) (all []talosError, kinds map[string]string) {
	t.Helper()
	files, err := filepath.Glob("../talos/*.go")
	if err != nil {
		t.Fatal(err)
	}
	kinds = make(map[string]string)
	set := token.NewFileSet()
	name := func(e ast.Expr) string {
		if i, ok := e.(*ast.Ident); ok && strings.HasPrefix(i.Name, "Err") {
			return i.Name
		}
		return ""
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(set, file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ValueSpec: // ErrDenied Kind = "role too weak"
				if typ, ok := n.Type.(*ast.Ident); ok && typ.Name == "Kind" && len(n.Values) == 1 {
					kinds[n.Names[0].Name] = textOf(n.Values[0])
				}
			case *ast.CallExpr: // fail(ErrDenied, message, cause, hint)
				if f, ok := n.Fun.(*ast.Ident); ok && f.Name == "fail" && name(n.Args[0]) != "" {
					all = append(all, talosError{name(n.Args[0]), textOf(n.Args[1]), set.Position(n.Pos()).String()})
				}
			case *ast.CompositeLit: // &Error{Kind: ErrConfig, err: failure.Wrap(cause, message, hint)}
				if typ, ok := n.Type.(*ast.Ident); !ok || typ.Name != "Error" || len(n.Elts) != 2 {
					return true
				}
				kind := name(n.Elts[0].(*ast.KeyValueExpr).Value)
				if made, ok := n.Elts[1].(*ast.KeyValueExpr).Value.(*ast.CallExpr); ok && kind != "" {
					all = append(all, talosError{kind, textOf(made.Args[len(made.Args)-2]), set.Position(n.Pos()).String()})
				}
			}
			return true
		})
	}
	return all, kinds
}

// Some problems come as a text only. Each text of package talos is taken for the kind that it
// is made with, and those of kinds that no check is about for none.
func TestTextsOfTalosAreKnown(t *testing.T) {
	all, kinds := talosErrors(t)
	seen := map[string]bool{kindOther: true}
	for _, e := range all {
		want := kinds[e.kind]
		switch want {
		case kindNotConfigured, kindConfig, kindTLS, kindExpired, kindDenied, kindForwarding, kindOtherNode, kindUnproven, kindUnreachable:
		case "":
			t.Errorf("%s: no kind is called %s", e.at, e.kind)
		default:
			want = kindOther
		}
		if got := kindOf(e.text + ": X"); got != want {
			t.Errorf("%s: %q is taken for %q, and is %q", e.at, e.text, got, want)
		}
		seen[want] = true
	}
	for _, kind := range []string{kindNotConfigured, kindConfig, kindTLS, kindExpired, kindDenied, kindForwarding, kindOtherNode, kindUnproven, kindUnreachable} {
		if !seen[kind] {
			t.Errorf("no error of kind %q was found in the source", kind)
		}
	}
}
