// SPDX-License-Identifier: Apache-2.0

package output

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// terminal returns both ends of a pseudo-terminal: what the person has, and what the program has.
func terminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	skip := t.Skipf
	if os.Getenv("CI") == "true" {
		skip = t.Fatalf
	}
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		skip("no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { person.Close() })
	if err := unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		skip("no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { program.Close() })
	return person, program
}

// readUntil reads what appears on the person's screen.
func readUntil(t *testing.T, screen *bufio.Reader, end string) string {
	t.Helper()
	var seen strings.Builder
	for !strings.HasSuffix(seen.String(), end) {
		b, err := screen.ReadByte()
		if err != nil {
			t.Fatalf("after %q: %v", seen.String(), err)
		}
		seen.WriteByte(b)
	}
	return seen.String()
}

func TestPromptOnTerminal(t *testing.T) {
	for typed, want := range map[string]bool{
		"y\n":   true,
		"YES\n": true,
		" y \n": true,
		"n\n":   false,
		"\n":    false,
		"yep\n": false,
		"\x04":  false,
	} {
		t.Run(fmt.Sprintf("%q", typed), func(t *testing.T) {
			person, program := terminal(t)
			done := make(chan struct{})
			go func() {
				defer close(done)
				yes, err := Prompt(t.Context(), genericiooptions.IOStreams{In: program, ErrOut: program}, "Continue?")
				if yes != want || err != nil {
					t.Errorf("%v, %v, want %v", yes, err, want)
				}
			}()
			readUntil(t, bufio.NewReader(person), "Continue? (y/N) ")
			if _, err := person.WriteString(typed); err != nil {
				t.Fatal(err)
			}
			<-done
		})
	}
}

func TestPromptInterrupted(t *testing.T) {
	person, program := terminal(t)
	ctx, cancel := context.WithCancel(t.Context())
	asked := make(chan error, 1)
	go func() {
		_, err := Prompt(ctx, genericiooptions.IOStreams{In: program, ErrOut: program}, "Continue?")
		asked <- err
	}()
	readUntil(t, bufio.NewReader(person), "(y/N) ")
	cancel()
	if err := <-asked; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	// The pending read holds the file open until the person answers.
	fmt.Fprintln(person)
}

func TestTerminalDecides(t *testing.T) {
	person, program := terminal(t)
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "")
	os.Unsetenv("NO_COLOR")
	NewProgress(program).Show("looking")
	readUntil(t, bufio.NewReader(person), "\rlooking\x1b[K")
	if got := Colour("auto").Style(program).Hint("hint:"); got != "\x1b[36mhint:\x1b[0m" {
		t.Errorf("on a terminal: %q", got)
	}
	t.Setenv("NO_COLOR", "1")
	if got := Colour("auto").Style(program).Hint("hint:"); got != "hint:" {
		t.Errorf("with NO_COLOR: %q", got)
	}
}

// On a terminal the bytes of a file are shown as all else is.
func TestExactOnATerminal(t *testing.T) {
	_, program := terminal(t)
	streams := Filter(genericiooptions.IOStreams{Out: program})
	if Exact(streams.Out) != streams.Out {
		t.Error("nothing escapes what would disturb it")
	}
}
