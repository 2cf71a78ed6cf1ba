// SPDX-License-Identifier: Apache-2.0

package docs_test

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// documents are the repository's Markdown files, by path from its root.
func documents(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := filepath.WalkDir("..", func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{".git", "testdata", "dist"}, d.Name()):
			return fs.SkipDir
		case d.IsDir() || filepath.Ext(file) != ".md":
			return nil
		}
		text, err := os.ReadFile(file)
		all[strings.TrimPrefix(filepath.ToSlash(file), "../")] = string(text)
		return err
	})
	if err != nil || len(all) < 10 {
		t.Fatalf("%d documents, %v", len(all), err)
	}
	return all
}

var (
	link     = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	codeSpan = regexp.MustCompile("`[^`]*`")
)

// prose is a text without what is code in it.
func prose(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "    ") {
			b.WriteString(line)
		}
	}
	return codeSpan.ReplaceAllString(b.String(), "``")
}

// anchors are what GitHub calls the headings of a text: small letters, digits, hyphens for spaces, and nothing else.
func anchors(text string) []string {
	var all []string
	for line := range strings.Lines(text) {
		heading := strings.TrimLeft(line, "#")
		if heading == line || !strings.HasPrefix(heading, " ") {
			continue
		}
		all = append(all, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
				return unicode.ToLower(r)
			}
			return -1
		}, strings.TrimSpace(heading)))
	}
	return all
}

// TestLinksLeadSomewhere looks at every link within the repository.
func TestLinksLeadSomewhere(t *testing.T) {
	all, found := documents(t), 0
	for file, text := range all {
		for _, m := range link.FindAllStringSubmatch(prose(text), -1) {
			target := m[1]
			if strings.Contains(target, "://") {
				continue
			}
			found++
			to, anchor, _ := strings.Cut(target, "#")
			name := file
			if to != "" {
				name = path.Join(path.Dir(file), to)
			}
			if _, err := os.Stat(filepath.Join("..", filepath.FromSlash(name))); err != nil {
				t.Errorf("%s: %s leads nowhere", file, target)
			} else if anchor != "" && !slices.Contains(anchors(all[name]), anchor) {
				t.Errorf("%s: %s has no such heading", file, target)
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d links found", found)
	}
}

func TestAnchors(t *testing.T) {
	got := anchors("# Links in /var/lib/disks\ntext # no\n## Why is it refused?\n")
	if want := []string{"links-in-varlibdisks", "why-is-it-refused"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
