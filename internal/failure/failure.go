// SPDX-License-Identifier: Apache-2.0

// Package failure is the error that every room can return: one sentence, what caused it, and the
// command that helps.
//
// It decides nothing about how an error looks on a terminal or which exit code it means; pkg/cmd
// does that. It must not import any other package of this module.
package failure

import (
	"errors"
	"strings"
)

// Error is a failure with a way out.
type Error struct {
	// Message is one sentence in lower case, without a full stop, objects in double quotes.
	Message string
	// Hint says what to do next, best as a command that can be pasted. May be empty.
	Hint string
	// Cause is printed after a colon. May be nil.
	Cause error
}

// New returns a failure without an underlying cause.
func New(message, hint string) error {
	return &Error{Message: message, Hint: hint}
}

// Wrap returns a failure caused by cause, or nil if cause is nil. The cause stays visible to errors.Is and errors.As.
func Wrap(cause error, message, hint string) error {
	if cause == nil {
		return nil
	}
	return &Error{Message: message, Hint: hint, Cause: cause}
}

// Error is the message and the cause in one line. The hint is not part of it.
func (e *Error) Error() string {
	switch {
	case e.Cause == nil:
		return e.Message
	case e.Message == "":
		return e.Cause.Error()
	default:
		return e.Message + ": " + e.Cause.Error()
	}
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Hint returns the outermost hint in err's chain, or "".
func Hint(err error) string {
	for err != nil {
		var e *Error
		if !errors.As(err, &e) {
			return ""
		}
		if e.Hint != "" {
			return e.Hint
		}
		err = e.Cause
	}
	return ""
}

// Part is what went wrong for one object of a run over many.
type Part struct {
	// Subject names the object as the user would: a node, or "node/disk".
	Subject string
	Err     error
}

// Partial is a run over many objects of which some failed. The rest was done and is not undone.
type Partial struct {
	// Message is the summary, such as "1 of 4 links refused".
	Message string
	Parts   []Part
}

// Several returns a Partial, or nil if there are no parts.
func Several(message string, parts []Part) error {
	if len(parts) == 0 {
		return nil
	}
	return &Partial{Message: message, Parts: parts}
}

// Error is all parts in one line.
func (p *Partial) Error() string {
	var b strings.Builder
	b.WriteString(p.Message)
	for i, part := range p.Parts {
		if i == 0 {
			b.WriteString(": ")
		} else {
			b.WriteString("; ")
		}
		b.WriteString(part.Subject + ": " + part.Err.Error())
	}
	return b.String()
}

// Unwrap returns the errors of all parts.
func (p *Partial) Unwrap() []error {
	errs := make([]error, len(p.Parts))
	for i, part := range p.Parts {
		errs[i] = part.Err
	}
	return errs
}
