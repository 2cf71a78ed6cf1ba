// SPDX-License-Identifier: Apache-2.0

package output

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/yaml"
)

func TestFilterEscapes(t *testing.T) {
	for text, want := range map[string]string{
		"plain text, é, ✓, 漢字\n\tand a tab": "plain text, é, ✓, 漢字\n\tand a tab",
		"\x1b[31mred":                      `\u001b[31mred`,
		"\x00\a\b\v\f\r\x7f":               `\u0000\u0007\u0008\u000b\u000c\u000d\u007f`,
		"\u0080\u009b31m\u009f":            `\u0080\u009b31m\u009f`,
		"\x9b31m \xff \xc3":                `\x9b31m \xff \xc3`,
		"\u202atext\u202e \u2066\u2069":    `\u202atext\u202e \u2066\u2069`,
		"\u200e\u200f\u061c":               `\u200e\u200f\u061c`,
		"\u2028\u2029":                     `\u2028\u2029`,
		"a\u200bb\u200c\u200d\u2060\ufeff": `a\u200bb\u200c\u200d\u2060\ufeff`,
		"\u00ad\u3164\U000e0041":           `\u00ad\u3164\udb40\udc41`,
	} {
		var out, errOut bytes.Buffer
		streams := Filter(genericiooptions.IOStreams{Out: &out, ErrOut: &errOut})
		for _, w := range []io.Writer{streams.Out, streams.ErrOut} {
			if n, err := io.WriteString(w, text); n != len(text) || err != nil {
				t.Errorf("%q: wrote %d bytes, %v", text, n, err)
			}
		}
		if out.String() != want || errOut.String() != want {
			t.Errorf("%q becomes %q and %q, not %q", text, out.String(), errOut.String(), want)
		}
	}
}

func TestFilterOnce(t *testing.T) {
	var out bytes.Buffer
	streams := Filter(Filter(genericiooptions.IOStreams{Out: &out}))
	fmt.Fprint(streams.Out, "\x1b")
	if out.String() != `\u001b` || streams.ErrOut != nil {
		t.Errorf("%q, %v", out.String(), streams.ErrOut)
	}
}

// The program colours a word that holds what a node said, and only the program.
func TestColourGoesThroughTheFilter(t *testing.T) {
	var out bytes.Buffer
	streams := Filter(genericiooptions.IOStreams{Out: &out, ErrOut: io.Discard})
	c := Colour("always")
	fmt.Fprintf(streams.Out, "%s %s\n", c.Style(streams.Out).Error("error: \x1b[32m"), "\x1b[33m")
	if want := "\x1b[1;31merror: \\u001b[32m\x1b[0m \\u001b[33m\n"; out.String() != want {
		t.Errorf("%q, not %q", out.String(), want)
	}
}

func TestProgressIsFiltered(t *testing.T) {
	var stderr bytes.Buffer
	p := &Progress{to: &stderr}
	p.Show("%s: looked at", "w-1\x1b[2J\nw-2")
	if want := "\r" + `w-1\u001b[2J w-2: looked at` + "\x1b[K"; stderr.String() != want {
		t.Errorf("%q, not %q", stderr.String(), want)
	}
}

// What a program reads stays what it was.
func TestFilterLeavesMachineOutputItsValue(t *testing.T) {
	const evil = "a\x1b[31m\u009b\u202e\x7f\U000e0041"
	for _, format := range []string{"json", "yaml"} {
		var out bytes.Buffer
		p, err := (&Flags{Format: format}).ToPrinter()
		if err != nil {
			t.Fatal(err)
		}
		one := fruit{TypeMeta: metav1.TypeMeta{APIVersion: APIVersion, Kind: "Fruit"}, Tags: []string{evil}}
		if err := p.Print(Filter(genericiooptions.IOStreams{Out: &out}).Out, one, nil); err != nil {
			t.Fatal(err)
		}
		got := fruit{}
		if format == "json" {
			if err := json.Unmarshal(out.Bytes(), &got); err != nil {
				t.Fatalf("%s: %v", out.String(), err)
			}
			if strings.ContainsAny(out.String(), "\x1b\u009b\u202e\x7f") {
				t.Errorf("%q", out.String())
			}
		} else if err := yaml.Unmarshal(out.Bytes(), &got); err != nil {
			t.Fatalf("%s: %v", out.String(), err)
		}
		if len(got.Tags) != 1 || got.Tags[0] != evil {
			t.Errorf("%s: %q, not %q", format, got.Tags, evil)
		}
	}
}

func FuzzFilter(f *testing.F) {
	for _, text := range []string{"", "plain\n", "\x1b[31m", "\u009b", "\x9b", "\u202e", "\x00KEY\x00", "\U000e0041"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var out bytes.Buffer
		n, err := io.WriteString(Filter(genericiooptions.IOStreams{Out: &out}).Out, text)
		if n != len(text) || err != nil {
			t.Fatalf("wrote %d of %d bytes, %v", n, len(text), err)
		}
		if !utf8.Valid(out.Bytes()) || strings.ContainsFunc(out.String(), disturbs) {
			t.Errorf("%q becomes %q", text, out.String())
		}
		if again := Escape(out.String()); again != out.String() {
			t.Errorf("%q is escaped again: %q", out.String(), again)
		}
	})
}

// The bytes of a file stay as they are where no terminal shows them.
func TestExact(t *testing.T) {
	var out bytes.Buffer
	streams := Filter(genericiooptions.IOStreams{Out: &out})
	if _, err := Exact(streams.Out).Write([]byte("a\u202eb\x1b")); err != nil || out.String() != "a\u202eb\x1b" {
		t.Errorf("%q, %v", out.String(), err)
	}
	if Exact(&out) != io.Writer(&out) {
		t.Error("a stream without a filter is another one")
	}
}
