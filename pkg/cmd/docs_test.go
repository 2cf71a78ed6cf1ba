// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// documents are the Markdown files of the repository, by path from its root.
func documents(t *testing.T) map[string]string {
	t.Helper()
	root := filepath.Join("..", "..")
	all := make(map[string]string)
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || d.Name() == "testdata" || d.Name() == "dist"):
			return fs.SkipDir
		case d.IsDir() || filepath.Ext(file) != ".md":
			return nil
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, file)
		all[filepath.ToSlash(name)] = string(text)
		return err
	})
	if err != nil || len(all) < 10 {
		t.Fatalf("%d documents, %v", len(all), err)
	}
	return all
}

// commandsIn are the command lines of ours in a Markdown text, without the program's name: lines of code, with a prompt or without
// one, and what is between backquotes.
func commandsIn(text string) []string {
	var lines []string
	for line := range strings.Lines(text) {
		code, ok := strings.CutPrefix(line, "    ")
		code = strings.TrimPrefix(strings.TrimSpace(code), "$ ")
		if code, ours := strings.CutPrefix(code, name+" "); ok && ours {
			lines = append(lines, code)
		}
	}
	for _, m := range commandInText.FindAllStringSubmatch(strings.ReplaceAll(text, "\n", " "), -1) {
		if line := strings.Join(strings.Fields(m[1]), " "); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// TestDocumentedCommands holds that what the documents tell people to type is what the program takes.
func TestDocumentedCommands(t *testing.T) {
	found := 0
	for file, text := range documents(t) {
		for _, line := range commandsIn(text) {
			if strings.HasPrefix(file, "docs/commands/") && strings.HasSuffix(line, " [options]") {
				continue // A usage line.
			}
			found++
			if err := parse(line); err != nil {
				t.Errorf("%s: %q: %v", file, line, err)
			}
		}
	}
	if found < 100 {
		t.Errorf("only %d commands found", found)
	}
}

func TestCommandsIn(t *testing.T) {
	got := commandsIn("Say `" + name + " a\n  b`, `" + name + "` or\n\n    $ " + name + " c d\n    " + name + " e | f\n" + name +
		" in words\n    # " + name + " g\n")
	if want := "c d; e | f; a b"; strings.Join(got, "; ") != want {
		t.Errorf("%q, want %q", got, want)
	}
}
