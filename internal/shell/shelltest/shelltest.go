// SPDX-License-Identifier: Apache-2.0

// Package shelltest reads printed commands as a shell does, for tests. It runs nothing.
package shelltest

import (
	"errors"
	"fmt"
	"strings"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"
)

// Seen is a word as Words returns it. A shell takes carriage returns and bytes that are no UTF-8 as they are; the parser used here does
// not.
func Seen(word string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(word, "\ufffd"), "\r", "\ufffd")
}

// Words are the words of the commands in text, which has to be one pipeline of plain commands: nothing is assigned, redirected,
// substituted, put in the background or run after it.
func Words(text string) ([][]string, error) {
	file, err := syntax.NewParser(syntax.Variant(syntax.LangPOSIX), syntax.KeepComments(true)).Parse(strings.NewReader(Seen(text)), "")
	if err != nil {
		return nil, fmt.Errorf("a shell cannot read %q: %w", text, err)
	}
	if len(file.Stmts) != 1 || len(file.Last) > 0 || len(file.Stmts[0].Comments) > 0 {
		return nil, fmt.Errorf("%q is %d commands, or has a comment", text, len(file.Stmts))
	}
	return words(file.Stmts[0])
}

func words(s *syntax.Stmt) ([][]string, error) {
	if len(s.Redirs) > 0 || s.Background || s.Negated {
		return nil, errors.New("a command is redirected, negated or in the background")
	}
	switch c := s.Cmd.(type) {
	case *syntax.BinaryCmd:
		if c.Op != syntax.Pipe {
			return nil, fmt.Errorf("commands are joined by %s", c.Op)
		}
		left, err := words(c.X)
		if err != nil {
			return nil, err
		}
		right, err := words(c.Y)
		return append(left, right...), err
	case *syntax.CallExpr:
		if len(c.Assigns) > 0 {
			return nil, errors.New("a variable is set")
		}
		for _, w := range c.Args {
			if err := constant(w); err != nil {
				return nil, err
			}
		}
		fields, err := expand.Fields(nil, c.Args...)
		return [][]string{fields}, err
	}
	return nil, fmt.Errorf("%T is no plain command", s.Cmd)
}

// constant reports whether a word is the same wherever it is pasted.
func constant(w *syntax.Word) (err error) {
	for _, part := range w.Parts {
		switch part := part.(type) {
		case *syntax.SglQuoted:
		case *syntax.Lit:
			if i := strings.IndexAny(part.Value, "*?[]{}~\\"); i >= 0 {
				err = fmt.Errorf("%q is not quoted", part.Value)
			}
		case *syntax.DblQuoted:
			for _, inner := range part.Parts {
				if _, ok := inner.(*syntax.Lit); !ok {
					err = fmt.Errorf("a word has %T in it", inner)
				}
			}
		default:
			err = fmt.Errorf("a word has %T in it", part)
		}
	}
	return err
}
