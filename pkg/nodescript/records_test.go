// SPDX-License-Identifier: Apache-2.0

package nodescript

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// A fixture in testdata is the script's output with its bytes 0x1f and 0x1e written as lines: a
// line begins a record, indented ones are its fields, # begins a comment. A value in double
// quotes is one of Go.

// raw turns a fixture into what the script says.
func raw(t testing.TB, text string) string {
	t.Helper()
	var b strings.Builder
	open := false
	for i, line := range strings.Split(text, "\n") {
		trimmed := strings.TrimSpace(line)
		if trimmed == "" || strings.HasPrefix(trimmed, "#") {
			continue
		}
		if line[0] != ' ' && line[0] != '\t' {
			if open {
				b.WriteString(recordEnd)
			}
			open = true
			b.WriteString("record=" + trimmed + fieldEnd)
			continue
		}
		key, value, ok := strings.Cut(trimmed, "=")
		if strings.HasPrefix(value, `"`) {
			var err error
			value, err = strconv.Unquote(value)
			ok = ok && err == nil
		}
		if !ok || !open {
			t.Fatalf("line %d of the fixture: %q", i+1, line)
		}
		b.WriteString(key + "=" + value + fieldEnd)
	}
	if open {
		b.WriteString(recordEnd)
	}
	return b.String()
}

// readable is the inverse of raw.
func readable(t testing.TB, out string) string {
	t.Helper()
	var b strings.Builder
	for _, r := range strings.Split(strings.TrimSuffix(out, recordEnd), recordEnd) {
		for i, f := range strings.Split(strings.TrimSuffix(r, fieldEnd), fieldEnd) {
			key, value, _ := strings.Cut(f, "=")
			quoted := strconv.Quote(value)
			switch {
			case i == 0:
				b.WriteString(value + "\n")
			case quoted != `"`+value+`"` || strings.TrimSpace(value) != value:
				fmt.Fprintf(&b, "  %s=%s\n", key, quoted)
			default:
				fmt.Fprintf(&b, "  %s=%s\n", key, value)
			}
		}
	}
	return b.String()
}

func TestRecords(t *testing.T) {
	out := raw(t, "start\n  version=1\n  empty=\n  text=\"a\\nb=c\"\n  part=p1\n  part=p2\nnext\nend\n")
	got, err := Records(out)
	if err != nil || len(got) != 2 || got[0].Kind != "start" || got[1].Kind != "next" {
		t.Fatalf("%+v, %v", got, err)
	}
	r := got[0]
	if r.Get("version") != "1" || r.Get("text") != "a\nb=c" || r.Get("none") != "" || strings.Join(r.All("part"), ",") != "p1,p2" ||
		r.Get("part") != "p1" ||
		r.All("none") != nil || !r.Has("empty") || r.Has("none") || r.Has("record") {
		t.Errorf("%+v", r)
	}
	if _, err := Records(End); err != nil {
		t.Errorf("only an end: %v", err)
	}
	// What comes after the end is none of it.
	if got, err := Records(End + "record=more" + fieldEnd + recordEnd); err != nil || len(got) != 0 {
		t.Errorf("after the end: %+v, %v", got, err)
	}
}

func TestRecordsRefuses(t *testing.T) {
	for out, want := range map[string]string{
		"":                            "no end",
		"\n":                          "no end",
		"record=start\x1f\x1e":        "no end",
		"record=start\x1f":            "stops in the middle",
		"record=end\x1f":              "stops in the middle",
		"record=end":                  "stops in the middle",
		"sh: not found\n" + End:       "not understood",
		"kind=start\x1f\x1e" + End:    "not understood",
		"record=a\x1fb\x1f\x1e" + End: "not understood",
		"record=end\x1e":              "not understood",
		"record=end\x1fa=b\x1f\x1e":   "not understood",
		"\x1e" + End:                  "not understood",
		"record=a\x1f\x1f\x1e" + End:  "not understood",
		strings.Repeat("x", 500):      "x…\"",
	} {
		if _, err := Records(out); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Records(%q): %v, want %q", out, err, want)
		}
	}
}

// cut says that an answer may be cut after any byte, and is never accepted then.
func cut(t *testing.T, out string) {
	t.Helper()
	for i := range len(out) {
		if _, err := Records(out[:i]); err == nil {
			t.Errorf("accepted after %d of %d bytes: …%q", i, len(out), out[max(0, i-40):i])
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range fixtures(f) {
		f.Add(load(f, name))
	}
	f.Add(End)
	f.Add("")
	f.Add("record=start\x1fversion=1\x1fmountinfo=x\x1f\x1e" + End)
	f.Add("record=start\x1fversion=1\x1f\x1erecord=disk\x1fnumber=1:1\x1fsize=99999999999999999999\x1f\x1e" + End)
	f.Fuzz(func(t *testing.T, out string) {
		records, err := Records(out)
		if _, err2 := Parse(out); err != nil && err2 == nil {
			t.Errorf("Parse accepts what Records refuses: %v", err)
		}
		if err != nil {
			return
		}
		end := strings.Index(out, End)
		if end < 0 {
			t.Fatalf("accepted without an end: %d records", len(records))
		}
		for _, i := range []int{0, end / 2, end, end + len(End) - 1} {
			if _, err := Records(out[:i]); err == nil {
				t.Errorf("a prefix of %d of %d bytes is accepted", i, len(out))
			}
		}
	})
}
