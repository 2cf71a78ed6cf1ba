// SPDX-License-Identifier: Apache-2.0

package output

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/spf13/pflag"
	"golang.org/x/term"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/cli-runtime/pkg/printers"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
)

// IsTerminal reports whether stream, a reader or a writer, is a terminal.
func IsTerminal(stream any) bool {
	if f, ok := stream.(*filtered); ok {
		stream = f.to
	}
	f, ok := stream.(interface{ Fd() uintptr })
	return ok && term.IsTerminal(int(f.Fd()))
}

// ErrNoTerminal is a question that could not be asked.
var ErrNoTerminal = failure.New("this needs a confirmation, and there is no terminal to ask on",
	"pass --yes to go on without being asked, or --dry-run=client to see what would be done")

// Prompt asks question on stderr and reports whether the answer was yes. If stdin or stderr is no terminal it asks nothing and
// returns ErrNoTerminal. When ctx is done while it waits, it returns the context's error; the pending read of stdin
// then goes on, so nothing else should read from it.
func Prompt(ctx context.Context, streams genericiooptions.IOStreams, question string) (bool, error) {
	if !IsTerminal(streams.In) || !IsTerminal(streams.ErrOut) {
		return false, ErrNoTerminal
	}
	if err := ctx.Err(); err != nil {
		return false, err
	}
	fmt.Fprintf(streams.ErrOut, "%s (y/N) ", question)
	type answer struct {
		line string
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		line, err := bufio.NewReader(streams.In).ReadString('\n')
		answers <- answer{line, err}
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(streams.ErrOut)
		return false, ctx.Err()
	case a := <-answers:
		if a.err != nil && !errors.Is(a.err, io.EOF) {
			return false, a.err
		}
		if a.err != nil {
			fmt.Fprintln(streams.ErrOut)
		}
		switch strings.ToLower(strings.TrimSpace(a.line)) {
		case "y", "yes":
			return true, nil
		}
		return false, nil
	}
}

// Progress is one line on a terminal that is written over and over, and nothing anywhere else. It is safe for
// concurrent use. A nil Progress does nothing.
type Progress struct {
	mu    sync.Mutex
	to    io.Writer // nil: not a terminal
	shown bool
}

// NewProgress returns a Progress on w, which should be stderr.
func NewProgress(w io.Writer) *Progress {
	if !IsTerminal(w) {
		return &Progress{}
	}
	return &Progress{to: behind(w)}
}

// Show replaces the line.
func (p *Progress) Show(format string, args ...any) {
	if p == nil || p.to == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.show(fmt.Sprintf(format, args...))
}

func (p *Progress) show(line string) {
	// Carriage return, text, erase to the end of the line: no flicker, and no trace of a longer line before.
	fmt.Fprintf(p.to, "\r%s\x1b[K", strings.ReplaceAll(Escape(line), "\n", " "))
	p.shown = true
}

// Count shows 0 of total at once and one more each time that the returned function is called. The format takes the two
// numbers, as in "looked at %d/%d nodes".
func (p *Progress) Count(format string, total int) (step func()) {
	if p == nil || p.to == nil {
		return func() {}
	}
	p.Show(format, 0, total)
	done := 0
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		done++
		p.show(fmt.Sprintf(format, done, total))
	}
}

// Clear removes the line.
func (p *Progress) Clear() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
}

func (p *Progress) clear() {
	if p.shown {
		fmt.Fprint(p.to, "\r\x1b[K")
		p.shown = false
	}
}

// Colour is the value of --color: auto, always or never. The zero value is auto.
type Colour string

var _ pflag.Value = (*Colour)(nil)

// Colours are the values of --color.
func Colours() []string { return []string{"auto", "always", "never"} }

// String returns the value.
func (c *Colour) String() string {
	if *c == "" {
		return "auto"
	}
	return string(*c)
}

// Set parses the value.
func (c *Colour) Set(s string) error {
	switch s {
	case "auto", "always", "never":
		*c = Colour(s)
		return nil
	}
	return fmt.Errorf("must be one of %s", strings.Join(Colours(), ", "))
}

// Type is what pflag shows.
func (c *Colour) Type() string { return "string" }

// Style returns the style for w: with auto in colour if w is a terminal, NO_COLOR is not set and TERM is not dumb.
func (c Colour) Style(w io.Writer) Style {
	s := Style{on: c == "always" || c != "never" && printers.AllowsColorOutput(behind(w))}
	if f, ok := w.(*filtered); ok {
		s.key = f.key
	}
	return s
}

// Style colours the word that begins a line, such as "error:". It is never the only sign of anything.
type Style struct {
	on bool
	// key is the filter's whose stream this is for, or "".
	key string
}

func (s Style) paint(code, word string) string {
	if !s.on {
		return word
	}
	if s.key != "" {
		return s.key + code + s.key + word + s.key + "0" + s.key
	}
	return "\x1b[" + code + "m" + word + "\x1b[0m"
}

// Error is for failures: bold red.
func (s Style) Error(word string) string { return s.paint("1;31", word) }

// Warning is for what needs attention: yellow.
func (s Style) Warning(word string) string { return s.paint("33", word) }

// Hint is for ways out: cyan.
func (s Style) Hint(word string) string { return s.paint("36", word) }

// Good is for what was looked at and is right: green.
func (s Style) Good(word string) string { return s.paint("32", word) }
