// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// last is the highest code of each stage. Codes are counted without gaps and never renumbered.
var last = map[int]int{1: 7, 2: 17, 3: 11, 4: 11, 5: 8, 6: 14, 7: 12, 9: 1}

func TestExplainCodes(t *testing.T) {
	var want []string
	for stage := range 10 {
		for n := range last[stage] {
			want = append(want, fmt.Sprintf("TD%02d%02d", stage, n+1))
		}
	}
	if got := Codes(); !slices.Equal(got, want) {
		t.Errorf("pages for %v, want %v", got, want)
	}
}

func TestExplainUnknownCode(t *testing.T) {
	for _, code := range []string{"", "TD0000", "td0401", "../docs", "TD0401.md"} {
		if text, ok := Page(code); ok || text != "" {
			t.Errorf("there is a page %q", code)
		}
	}
}

// TestExplainPages holds the form of the pages: doctor prints their titles, explain takes them apart.
func TestExplainPages(t *testing.T) {
	sections := []*regexp.Regexp{
		regexp.MustCompile(`^What it means$`), regexp.MustCompile(`^How it shows$`), regexp.MustCompile(`^Why( on Talos)?$`),
		regexp.MustCompile(`^How to fix it$`), regexp.MustCompile(`^How to check$`),
	}
	titles := make(map[string]string)
	for _, code := range Codes() {
		t.Run(code, func(t *testing.T) {
			text, ok := Page(code)
			if !ok {
				t.Fatal("no page")
			}
			title, rest, _ := strings.Cut(text, "\n")
			if m := regexp.MustCompile(`^# ` + code + `: (\S.{5,70}[^.\s])$`).FindStringSubmatch(title); m == nil {
				t.Errorf("the first line is %q", title)
			} else if other := titles[m[1]]; other != "" {
				t.Errorf("%s has the same title", other)
			} else {
				titles[m[1]] = code
			}
			parts := strings.Split(rest, "\n## ")
			if len(parts) != len(sections)+1 || strings.TrimSpace(parts[0]) != "" {
				t.Fatalf("%d sections, want %d, and nothing before the first", len(parts)-1, len(sections))
			}
			for i, part := range parts[1:] {
				heading, body, _ := strings.Cut(part, "\n")
				if !sections[i].MatchString(heading) || strings.TrimSpace(body) == "" {
					t.Errorf("section %q is empty or not %s", heading, sections[i])
				}
			}
			// Who reads it looks for something to paste.
			for i, command := range map[int]string{4: "fix", 5: "check"} {
				if !strings.Contains(parts[i], "\n    ") {
					t.Errorf("nothing to paste to %s it", command)
				}
			}
			checkLines(t, text)
		})
	}
}

func checkLines(t *testing.T, text string) {
	if n := strings.Count(text, "\n"); n < 15 || n > 60 || !strings.HasSuffix(text, "\n") || strings.HasSuffix(text, "\n\n") {
		t.Errorf("it has %d lines, or does not end with one newline", n)
	}
	inList, afterBlank := false, true
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		isCode := strings.HasPrefix(line, "    ")
		if isCode && inList {
			t.Errorf("Markdown takes code right behind a list for text: %q", line)
		}
		switch {
		case strings.HasPrefix(line, "- "):
			inList = true
		case isCode || afterBlank && line != "" && !strings.HasPrefix(line, " "):
			inList = false
		}
		afterBlank = line == ""
		switch {
		case strings.ContainsAny(line, "\t\r") || strings.TrimRight(line, " ") != line:
			t.Errorf("tab or space at the end: %q", line)
		case strings.HasPrefix(line, "```"):
			t.Error("code is indented in these pages, not fenced")
		case regexp.MustCompile(`^[0-9]+\. `).MatchString(line):
			t.Errorf("steps are paragraphs in these pages, not numbers: %q", line)
		case !isCode && utf8.RuneCountInString(line) > 100:
			t.Errorf("more than 100 columns: %q", line)
		case strings.Contains(line, "talosctl patch") || strings.Contains(line, " patch machineconfig") || strings.Contains(line, " patch mc"):
			t.Errorf("a patch appends to lists: %q", line)
		}
	}
}
