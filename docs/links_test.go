// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"go.yaml.in/yaml/v3"
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

// snippet begins what is to be pasted into a YAML file.
var snippet = regexp.MustCompile(`^(---|apiVersion:|classes:|machine:|tolerations:)`)

// TestSnippetsAreYAML takes every YAML text of the guide as it would be pasted.
func TestSnippetsAreYAML(t *testing.T) {
	found := 0
	for i, block := range blocks(documents(t)["docs/guide.md"]) {
		if !snippet.MatchString(block) {
			continue
		}
		found++
		if err := readYAML(block); err != nil {
			t.Errorf("block %d: %v\n%s", i, err, block)
		}
	}
	if found < 8 {
		t.Errorf("only %d snippets found", found)
	}
}

// blocks are the indented blocks of a text.
func blocks(text string) []string {
	var all []string
	var b strings.Builder
	for line := range strings.Lines(text + "end\n") {
		if code, ok := strings.CutPrefix(line, "    "); ok {
			b.WriteString(code)
		} else if b.Len() > 0 {
			all = append(all, b.String())
			b.Reset()
		}
	}
	return all
}

// readYAML reads all documents of a text. A key twice is an error; a document is a mapping with something in it.
func readYAML(text string) error {
	documents := yaml.NewDecoder(bytes.NewBufferString(text))
	for {
		var value map[string]any
		switch err := documents.Decode(&value); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case len(value) == 0:
			return fmt.Errorf("an empty document")
		}
	}
}
