// SPDX-License-Identifier: Apache-2.0

package nodescript

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

// Has reports whether the key was said at all.
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

// What one answer may have; see snapshot.MaxDisks. Mount tables and udev's names are one value each, and bounded by the size of the answer.
const (
	maxRecords = 16384
	maxFields  = 2048
	maxValue   = 64 << 10
)

const (
	fieldEnd = "\x1f"
	// recordEnd ends every record, and is nowhere else.
	recordEnd = "\x1e"
	// Observed is what follows all that a node says of itself.
	Observed = "record=observed" + fieldEnd + recordEnd
	// End is what a whole answer ends with.
	End = "record=end" + fieldEnd + recordEnd
)

// Records reads the output of a node script. Every whole record is returned; the
// error says that the output does not end as it should, so that something is missing.
func Records(out string) ([]Record, error) {
	var records []Record
	for {
		if len(records) > maxRecords {
			return records, fmt.Errorf("the node's answer has more than %d records", maxRecords)
		}
		text, rest, whole := strings.Cut(out, recordEnd)
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
		if strings.Count(fields, fieldEnd) > maxFields {
			return records, fmt.Errorf("a record of the node's answer has more than %d fields", maxFields)
		}
		for i, f := range strings.Split(fields, fieldEnd) {
			key, value, ok := strings.Cut(f, "=")
			if len(value) > maxValue && key != "mountinfo" && key != "names" {
				return records, fmt.Errorf("the node's answer has a value of %d bytes for %q, more than %d", len(value), shorten(key), maxValue)
			}
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
			if len(r.fields) > 0 {
				return records, fmt.Errorf("the node's answer is not understood: %q", shorten(text))
			}
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
