// SPDX-License-Identifier: Apache-2.0

// Package shell writes commands that a reader pastes into a shell. Every word is quoted, so a name with blanks, quotes or line breaks in it
// stays one word, and an ordinary name stays as it is. All commands that the program prints are made here. It must not run anything.
package shell

import (
	"strings"

	"al.essio.dev/pkg/shellescape"
)

// Word is a word as a POSIX shell takes it: as it is, or in single quotes where it has a meaning for the shell.
func Word(word string) string { return shellescape.Quote(word) }

// Command is a command of one program: its name and its arguments, each of them a word.
func Command(words ...string) string { return shellescape.QuoteCommand(words) }

// Pipe is a pipeline of commands as Command makes them.
func Pipe(commands ...string) string { return strings.Join(commands, " | ") }

// Feed is a command that reads text. Each line of text is a word of printf, so the whole stays in one line, and nothing in text can end it
// as a line can end a here-document.
func Feed(text string, words ...string) string {
	printf := []string{"printf", `%s\n`}
	printf = append(printf, strings.Split(strings.TrimSuffix(text, "\n"), "\n")...)
	return Pipe(Command(printf...), Command(words...))
}
