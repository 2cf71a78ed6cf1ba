// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// layerOf is the part of the package that a file belongs to.
func layerOf(file string) string {
	for _, layer := range []string{"facts", "checks"} {
		if strings.HasPrefix(filepath.Base(file), layer+"_") {
			return layer
		}
	}
	return "engine"
}

// crossing are the names of the other parts that a part may use; a part that is not listed may use all of them.
var crossing = map[[2]string][]string{
	// What is known of a snapshot does not depend on what is asked of it.
	{"facts", "checks"}: {"kubeletReport"}, // A subject keeps what was found out once.
	{"facts", "engine"}: nil,
	// The engine knows few checks by name: the lists of the stages, and those that stand for more than themselves.
	{"engine", "checks"}: {
		"accessChecks", "hostChecks", "kubeletChecks", "linkChecks", "podChecks", "provisionerChecks", "selectorChecks", "sharedChecks",
		"talosChecks", "volumeChecks", "waitingChecks",
		"CodeRights", "codeNoPod", "codeOtherCapacity", "codeWaits",
	},
}

// The engine runs checks, and checks ask facts; nothing goes the other way.
func TestLayers(t *testing.T) {
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	set := token.NewFileSet()
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(set, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	info := types.Info{Uses: make(map[*ast.Ident]types.Object)}
	config := types.Config{Error: func(error) {}, Importer: nothing{}} // What is imported does not matter here.
	pkg, _ := config.Check("doctor", set, files, &info)
	seen := 0
	for use, object := range info.Uses {
		if object.Pkg() != pkg || !object.Pos().IsValid() || object.Parent() != nil && object.Parent() != pkg.Scope() {
			continue
		}
		if field, ok := object.(*types.Var); ok && field.IsField() {
			continue
		}
		from, to := layerOf(set.Position(use.Pos()).Filename), layerOf(set.Position(object.Pos()).Filename)
		allowed, limited := crossing[[2]string{from, to}]
		if seen++; limited && !slices.Contains(allowed, object.Name()) {
			t.Errorf("%s: %s uses %s of %s", set.Position(use.Pos()), from, object.Name(), to)
		}
	}
	if seen < 1000 {
		t.Errorf("looked at %d uses only", seen)
	}
}

// nothing imports packages as empty ones.
type nothing struct{}

func (nothing) Import(path string) (*types.Package, error) {
	p := types.NewPackage(path, filepath.Base(path))
	p.MarkComplete()
	return p, nil
}
