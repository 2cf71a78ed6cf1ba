// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// legal are names of files that a copy brings along: LICENSE, LICENSE-APACHE, COPYING.txt, NOTICE, PATENTS, but not license.go.
var (
	legal = regexp.MustCompile(`(?i)^(licen[cs]e|copying|copyright|notice|patents)([-_.].+)?$`)
	code  = regexp.MustCompile(`\.(go|s|c|h)$`)
)

const (
	head = `What is linked into kubectl-talosdisk and does not belong to it, with the texts that come with it. A text that several
modules have is there once, below their names.
`
	heavy = "\n================================================================================\n"
	light = "--------------------------------------------------------------------------------\n"
)

// document has every text of every component once, under the names of those that have it, in the components' order. A component
// without any is an error: its licence is not known.
func document(components []component) (string, error) {
	names := make(map[string][]string) // by text
	var order []string
	for _, c := range components {
		texts, err := c.texts()
		if err != nil {
			return "", err
		}
		if len(texts) == 0 {
			return "", fmt.Errorf("%q has no licence in %q", c.name, c.root)
		}
		for _, t := range texts {
			if names[t.text] == nil {
				order = append(order, t.text)
			}
			names[t.text] = append(names[t.text], c.name+": "+t.file)
		}
	}
	var b strings.Builder
	b.WriteString(head)
	for _, text := range order {
		b.WriteString(heavy + strings.Join(names[text], "\n") + "\n" + light + "\n" + strings.Trim(text, "\n") + "\n")
	}
	return b.String(), nil
}

// text is a file of a component, by its path from the component's root.
type text struct{ file, text string }

// texts are the legal files in the directories of linked packages and above them, so that what a module took over from
// elsewhere is there, too.
func (c component) texts() ([]text, error) {
	dirs, err := c.directories()
	if err != nil {
		return nil, err
	}
	var all []text
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		for _, entry := range entries {
			if !entry.Type().IsRegular() || !legal.MatchString(entry.Name()) || code.MatchString(entry.Name()) {
				continue
			}
			path := filepath.Join(dir, entry.Name())
			content, err := os.ReadFile(path)
			if err != nil {
				return nil, err
			}
			file, err := filepath.Rel(c.root, path)
			if err != nil {
				return nil, err
			}
			all = append(all, text{filepath.ToSlash(file), strings.ReplaceAll(string(content), "\r\n", "\n")})
		}
	}
	return all, nil
}
