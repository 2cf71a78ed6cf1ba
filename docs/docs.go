// SPDX-License-Identifier: Apache-2.0

// Package docs is the part of the documentation that the program carries: the pages of the doctor's codes, one Markdown
// file each. It decides nothing, and only text may enter it.
package docs

import (
	"embed"
	"io/fs"
	"path"
	"strings"
)

//go:embed codes/*.md
var pages embed.FS

const ending = ".md"

// Page returns the Markdown of a code, such as "TD0401", and whether there is one. Its first line is "# CODE: title"; sections begin
// with "## ".
func Page(code string) (string, bool) {
	text, err := fs.ReadFile(pages, path.Join("codes", code+ending))
	return string(text), err == nil
}

// Codes returns every code that has a page, sorted.
func Codes() []string {
	names, err := fs.Glob(pages, "codes/*"+ending)
	if err != nil {
		return nil // Only a pattern that is wrong makes an error.
	}
	codes := make([]string, 0, len(names))
	for _, name := range names {
		codes = append(codes, strings.TrimSuffix(path.Base(name), ending))
	}
	return codes
}
