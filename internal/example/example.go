// SPDX-License-Identifier: Apache-2.0

// Package example reads the examples of documents, a command and what it prints, and reports whether that is what was printed.
// It runs nothing: the tests that hold the documents do.
package example

import (
	"fmt"
	"regexp"
	"strings"
)

const (
	indent = "    "
	prompt = "$ "
	// elided stands for lines that the document leaves out, or within a line for text.
	elided = "..."
)

// Block is a piece of code in a Markdown text: lines that are indented by four spaces.
type Block struct {
	// Heading is the text of the nearest heading above.
	Heading string
	// Line is where it begins, from 1.
	Line int
	// Lines are without the indentation.
	Lines []string
}

// Text is the block as it would be pasted.
func (b Block) Text() string { return strings.Join(b.Lines, "\n") + "\n" }

// Blocks returns the code of a Markdown text.
func Blocks(markdown string) []Block {
	var all []Block
	heading, inside := "", false
	for i, line := range strings.Split(markdown, "\n") {
		code, isCode := strings.CutPrefix(line, indent)
		if isCode && !inside {
			all = append(all, Block{Heading: heading, Line: i + 1})
		}
		inside = isCode
		switch {
		case isCode:
			last := &all[len(all)-1]
			last.Lines = append(last.Lines, code)
		case strings.HasPrefix(line, "#"):
			heading = strings.TrimSpace(strings.TrimLeft(line, "#"))
		}
	}
	return all
}

// Example is a command of a document with what it prints.
type Example struct {
	// Heading is the text of the nearest heading above.
	Heading string
	// Line is where it begins, from 1.
	Line int
	// Command is what follows the prompt.
	Command string
	// Output is what the document says that it prints, by lines.
	Output []string
}

// In returns the examples of a Markdown text: in its code, each line that begins with a prompt, and the lines below it.
func In(markdown string) []Example {
	var all []Example
	for _, block := range Blocks(markdown) {
		begun := false
		for i, line := range block.Lines {
			command, begins := strings.CutPrefix(line, prompt)
			switch {
			case begins:
				all = append(all, Example{Heading: block.Heading, Line: block.Line + i, Command: command})
				begun = true
			case begun:
				last := &all[len(all)-1]
				last.Output = append(last.Output, line)
			}
		}
	}
	return all
}

// Match returns nil if the output is what was printed, and else the first line at which it is not. A line "..." stands for one
// line or more, "..." within a line for some text.
func (e Example) Match(printed string) error {
	var lines []string
	for line := range strings.Lines(printed) {
		lines = append(lines, strings.TrimSuffix(line, "\n"))
	}
	skip := false
	for _, want := range e.Output {
		if strings.TrimSpace(want) == elided {
			if len(lines) == 0 {
				return fmt.Errorf("%q leaves out nothing", elided)
			}
			lines, skip = lines[1:], true
			continue
		}
		for skip && len(lines) > 0 && !matches(want, lines[0]) {
			lines = lines[1:]
		}
		skip = false
		switch {
		case len(lines) == 0:
			return fmt.Errorf("not printed: %q", want)
		case !matches(want, lines[0]):
			return fmt.Errorf("printed: %q\n   want: %q", lines[0], want)
		}
		lines = lines[1:]
	}
	if len(lines) > 0 && !skip {
		return fmt.Errorf("printed, too: %q", lines[0])
	}
	return nil
}

func matches(want, line string) bool {
	pattern := strings.ReplaceAll(regexp.QuoteMeta(want), regexp.QuoteMeta(elided), ".+")
	return regexp.MustCompile("^" + pattern + "$").MatchString(line)
}
