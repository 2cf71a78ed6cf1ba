// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestThePictureIsOfThePackagesThatAreThere(t *testing.T) {
	root := filepath.Join("..", "..")
	drawn, err := draw(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := os.ReadFile(filepath.Join(root, "docs", "rooms.svg"))
	if err != nil {
		t.Fatal(err)
	}
	if string(drawn) != string(kept) {
		t.Error("docs/rooms.svg shows other packages or imports: make docs")
	}
}

// TestTheTableHasEveryPackage holds docs/design.md to the packages that there are. What only tests use has no layer and may be there.
func TestTheTableHasEveryPackage(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "design.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range layers() {
		for _, p := range l.packages {
			if row := "| `" + p + "` | "; strings.Count(string(text), row) != 1 && p != "cmd/kubectl-talosdisk" {
				t.Errorf("docs/design.md has not one row that begins with %q", row)
			}
		}
	}
}

func TestArrange(t *testing.T) {
	two := []layer{{"upper", []string{"a", "b"}}, {"lower", []string{"c"}}}
	for _, test := range []struct {
		name    string
		imports imports
		layers  []layer
		rows    string
		err     string
	}{
		{name: "downwards", layers: two, imports: imports{"a": {"b", "c"}, "b": {"c"}, "c": nil}, rows: "upper: a | b | lower: c"},
		{name: "side by side", layers: two, imports: imports{"a": {"c"}, "b": {"c"}, "c": nil}, rows: "upper: a b | lower: c"},
		{
			name:    "upwards",
			layers:  two,
			imports: imports{"a": nil, "b": nil, "c": {"b"}},
			err:     `c of layer "lower" imports b of layer "upper", which is above it`,
		},
		{name: "in no layer", layers: two, imports: imports{"a": nil, "b": nil, "c": nil, "d": nil}, err: `package "d" is in no layer`},
		{
			name:    "gone",
			layers:  two,
			imports: imports{"a": nil, "c": nil},
			err:     `layer "upper" names package "b", which the program does not have`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			rows, err := arrange(test.layers, test.imports)
			if test.err != "" {
				if err == nil || err.Error() != test.err {
					t.Fatalf("%v, expected %s", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var words []string
			for _, r := range rows {
				row := strings.Join(r.packages, " ")
				if r.layer != "" {
					row = r.layer + ": " + row
				}
				words = append(words, row)
			}
			if got := strings.Join(words, " | "); got != test.rows {
				t.Errorf("%s, expected %s", got, test.rows)
			}
		})
	}
}

func TestDirect(t *testing.T) {
	kept := direct(imports{"a": {"b", "c", "d"}, "b": {"c"}, "c": nil, "d": nil})
	if !slices.Equal(kept["a"], []string{"b", "d"}) || !slices.Equal(kept["b"], []string{"c"}) {
		t.Errorf("%v", kept)
	}
}
