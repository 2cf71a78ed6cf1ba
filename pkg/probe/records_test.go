// SPDX-License-Identifier: Apache-2.0

package probe

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
