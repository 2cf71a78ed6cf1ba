// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"fmt"
	"strings"
)

// Record is one thing that a node script says: fields in order, a key as often
// as it has values.
type Record struct {
	Kind string
	// Raw is the record's text as it came, less its end.
	Raw    string
	fields []field
}

type field struct{ key, value string }

// Get is the first value of a key, empty if it has none.
func (r Record) Get(key string) string {
	for _, f := range r.fields {
		if f.key == key {
			return f.value
		}
	}
	return ""
}

// Has tells whether the key was said at all.
func (r Record) Has(key string) bool {
	for _, f := range r.fields {
		if f.key == key {
			return true
		}
	}
	return false
}

// All are the values of a key.
func (r Record) All(key string) []string {
	var all []string
	for _, f := range r.fields {
		if f.key == key {
			all = append(all, f.value)
		}
	}
	return all
}

const (
	fieldEnd = "\x1f"
	// RecordEnd ends every record, and is nowhere else.
	RecordEnd = "\x1e"
	// Observed is what follows all that a node says of itself.
	Observed = "record=observed" + fieldEnd + RecordEnd
	// End is what a whole answer ends with.
	End = "record=end" + fieldEnd + RecordEnd
)

// Records reads the output of a node script. Every whole record is returned; the
// error says that the output does not end as it should, so that something is missing.
func Records(out string) ([]Record, error) {
	var records []Record
	for {
		text, rest, whole := strings.Cut(out, RecordEnd)
		if !whole {
			if strings.TrimSpace(text) != "" {
				return records, fmt.Errorf("the node's answer stops in the middle: %q", shorten(text))
			}
			return records, fmt.Errorf("the node's answer has no end")
		}
		out = rest
		r := Record{Raw: text}
		fields, ended := strings.CutSuffix(text, fieldEnd)
		if !ended {
			return records, fmt.Errorf("the node's answer is not understood: %q", shorten(text))
		}
		for i, f := range strings.Split(fields, fieldEnd) {
			key, value, ok := strings.Cut(f, "=")
			if !ok || i == 0 && key != "record" {
				return records, fmt.Errorf("the node's answer is not understood: %q", shorten(f))
			}
			if i == 0 {
				r.Kind = value
				continue
			}
			r.fields = append(r.fields, field{key, value})
		}
		if r.Kind == "end" {
			return records, nil
		}
		records = append(records, r)
	}
}

func shorten(s string) string {
	const most = 80
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
