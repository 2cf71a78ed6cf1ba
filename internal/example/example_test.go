// SPDX-License-Identifier: Apache-2.0

package example

import (
	"reflect"
	"strings"
	"testing"
)

func TestIn(t *testing.T) {
	got := In(`# Title
    $ not/in ## a heading
    out

      more
## Two
text $ no

    before
    $ a
    $ b c
      x
    y
after
`)
	want := []Example{
		{"Title", 2, "not/in ## a heading", []string{"out"}},
		{"Two", 10, "a", nil},
		{"Two", 11, "b c", []string{"  x", "y"}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestBlocks(t *testing.T) {
	got := Blocks("## A\ntext\n\n    a: b\n      c\n\n    d\n")
	want := []Block{{"A", 4, []string{"a: b", "  c"}}, {"A", 7, []string{"d"}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if text := got[0].Text(); text != "a: b\n  c\n" {
		t.Errorf("text %q", text)
	}
}

func TestMatch(t *testing.T) {
	for _, tc := range []struct {
		name, output, printed string
		why                   string // empty: it matches
	}{
		{"same", "a\nb", "a\nb\n", ""},
		{"other line", "a\nb", "a\nc\n", `printed: "c"`},
		{"other width", "a  b", "a b\n", `printed: "a b"`},
		{"missing", "a\nb", "a\n", `not printed: "b"`},
		{"more", "a", "a\nb\n", `printed, too: "b"`},
		{"lines left out", "a\n...\nd", "a\nb\nc\nd\n", ""},
		{"indented lines left out", "a\n  ...\nd", "a\n  b\nd\n", ""},
		{"end left out", "a\n...", "a\nb\nc\n", ""},
		{"nothing left out", "a\n...\nb", "a\nb\n", `not printed: "b"`},
		{"nothing left out at the end", "a\n...", "a\n", "leaves out nothing"},
		{"after what was left out", "a\n...\nd", "a\nb\nc\n", `not printed: "d"`},
		{"text left out", "a ... z", "a b c z\n", ""},
		{"other text", "a ... z", "a b c y\n", `printed: "a b c y"`},
		{"no pattern", "a.b*", "axbb\n", `printed: "axbb"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := Example{Output: strings.Split(tc.output, "\n")}.Match(tc.printed)
			if (err == nil) != (tc.why == "") || err != nil && !strings.Contains(err.Error(), tc.why) {
				t.Errorf("%v, want %q", err, tc.why)
			}
		})
	}
}
