// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

const written = `# Which disk each volume is on. Written by kubectl talosdisk layout; review it like code.
apiVersion: talosdisk.dev/v1alpha1
kind: DiskBindings
metadata: {name: workers}
nodes:
  w-1:
    a-2: {serial: "0815"}
    a-10: {name: vdf, wwid: naa.5000c500a1b2c3d4, serial: "Z \"A\": 1", byID: ata-X_1, byPath: pci-0000:00:1f.2-ata-1, size: 480103981056}
  w-2: {}
`

func someBindings() Bindings {
	return Bindings{Nodes: map[string]map[string]Binding{
		"w-2": nil,
		"w-1": {
			"a-10": {
				Name: "vdf", WWID: "naa.5000c500a1b2c3d4", Serial: `Z "A": 1`, ByID: "ata-X_1", ByPath: "pci-0000:00:1f.2-ata-1", Size: 480103981056,
			},
			"a-2": {Serial: "0815"},
		},
	}}
}

func TestWithBindings(t *testing.T) {
	layout, bindings, _ := strings.Cut(base, "---\n")
	crlf := strings.NewReplacer("\n", "\r\n")
	for name, c := range map[string]struct{ file, want string }{
		"appended":             {file: layout, want: layout + "---\n" + written},
		"appended to no break": {file: strings.TrimSuffix(layout, "\n"), want: layout + "---\n" + written},
		"replaced":             {file: base, want: layout + "---\n" + written},
		"replaced, no break":   {file: strings.TrimSuffix(base, "\n"), want: layout + "---\n" + written},
		"its comments go":      {file: layout + "---\n# old\n" + bindings + "# end\n", want: layout + "---\n" + written},
		"others stay":          {file: "# a\n" + layout + "# b\n--- # c\n" + bindings, want: "# a\n" + layout + "# b\n--- # c\n" + written},
		"before the layout":    {file: bindings + "---\n" + layout, want: written + "---\n" + layout},
		"behind a marker":      {file: "---\n" + bindings + "...\n---\n" + layout, want: "---\n" + written + "...\n---\n" + layout},
		"between empty ones": {
			file: "---\n---\n" + layout + "---\n" + bindings + "---\n",
			want: "---\n---\n" + layout + "---\n" + written + "---\n",
		},
		"carriage returns stay": {file: crlf.Replace(base), want: crlf.Replace(layout + "---\n" + written)},
		"a marker in a text": {
			file: strings.Replace(layout, "{count: 1}", "{match: '\n      --- \n      '}", 1) + "---\n" + bindings,
			want: strings.Replace(layout, "{count: 1}", "{match: '\n      --- \n      '}", 1) + "---\n" + written,
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := Decode("f", []byte(c.file))
			if err != nil {
				t.Fatal(err)
			}
			got, err := f.WithBindings(someBindings())
			if err != nil || string(got) != c.want {
				t.Errorf("%v\n%s", err, got)
			}
		})
	}
}

func TestBindingsThatCannotBeExchanged(t *testing.T) {
	layout, _, _ := strings.Cut(base, "---\n")
	for name, text := range map[string]string{
		"on the line of its marker": layout +
			"--- {apiVersion: talosdisk.dev/v1alpha1, kind: DiskBindings, metadata: {name: workers}, nodes: {}}\n",
		"breaks that only YAML counts": "#\u2028\u2028\u2028\u2028\u2028\u2028\u2028\u2028\u2028\u2028\n" +
			"{apiVersion: talosdisk.dev/v1alpha1, kind: DiskBindings, metadata: {name: workers}, nodes: {}}\n---\n" + layout,
	} {
		t.Run(name, func(t *testing.T) {
			f, err := Decode("f", []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := f.WithBindings(someBindings()); err == nil || got != nil {
				t.Errorf("%s, %v", got, err)
			}
		})
	}
}

func TestNoBindings(t *testing.T) {
	f, err := Decode("f", []byte(base))
	if err != nil {
		t.Fatal(err)
	}
	got, err := f.WithBindings(Bindings{})
	if err != nil || !strings.HasSuffix(string(got), "metadata: {name: workers}\nnodes: {}\n") {
		t.Errorf("%s, %v", got, err)
	}
}

// Whatever the identifiers of disks are, they are read as they were written, each on its line.
func TestBindingsAreReadAsTheyAreWritten(t *testing.T) {
	f, err := Decode("f", []byte(base))
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	letters := []rune(`aZ09 .:_-{}[],#&*!|>'"%@\` + "`~=?/éß界\U0001F4A9\u00a0\u2028\ufeff")
	words := []string{
		"true", "No", "null", "~", "1e3", "0x1F", "0b1", "1_000", "12:30:45", "2001-01-01", ".inf", "-", "---", "a:", "a: b", "=", "<<", "y",
	}
	text := func() string {
		if random.IntN(4) == 0 {
			return words[random.IntN(len(words))]
		}
		var out []rune
		for range random.IntN(12) {
			out = append(out, letters[random.IntN(len(letters))])
		}
		return string(out)
	}
	valid := func(ok func(string) bool) string {
		for {
			if s := text(); ok(s) {
				return s
			}
		}
	}
	for range 300 {
		b := f.Layout.NewBindings()
		for n := range 3 {
			node := map[string]Binding{}
			for v := range random.IntN(4) {
				node[VolumeName("fast", v+1)] = Binding{
					WWID: valid(fact), Serial: valid(fact) + "x", ByID: valid(udevName), ByPath: valid(udevName), Size: Size(random.IntN(2) * 512),
				}
			}
			b.Nodes[fmt.Sprintf("w-%d", n)] = node
		}
		raw, err := f.WithBindings(b)
		if err != nil {
			t.Fatal(err)
		}
		back, err := Decode("f", raw)
		if err != nil || !reflect.DeepEqual(back.Bindings, b) {
			t.Fatalf("%v\n%+v", err, b)
		}
		again, err := back.WithBindings(back.Bindings)
		if err != nil || string(again) != string(raw) {
			t.Fatalf("written again it is another file: %v", err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{base, "", "---\n", written, "- a", "a: &a [*a]", "? {a: b}\n: c", strings.ReplaceAll(base, "\n", "\r\n")} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		file, err := Decode("f", []byte(text))
		if err != nil {
			return
		}
		raw, err := file.WithBindings(someBindings())
		if err != nil {
			return
		}
		back, err := Decode("f", raw)
		if err != nil || !reflect.DeepEqual(back.Layout, file.Layout) {
			t.Errorf("%v\n%s", err, raw)
		}
	})
}
