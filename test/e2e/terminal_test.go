// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminalProcess is the program with a person before it: stdin and stderr are a
// terminal, stdout is not.
type terminalProcess struct {
	*process
	person, program *os.File
	screen          *output
	drained         chan struct{}
}

func (c command) startInTerminal(t *testing.T) *terminalProcess {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { person.Close() })
	if err := unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Close() })
	p := &terminalProcess{person: person, program: program, screen: newOutput(), drained: make(chan struct{})}
	go func() {
		defer close(p.drained)
		_, _ = io.Copy(p.screen, person) // It ends when nobody has the other end.
	}()
	c.terminal = program
	c.env = append(c.env, "TERM=dumb", "NO_COLOR=1")
	p.process = c.start(t)
	return p
}

// expect waits until a text is on the screen.
func (p *terminalProcess) expect(text string) {
	p.t.Helper()
	eventually(p.t, 30*time.Second, func() string {
		if screen := p.screen.String(); !strings.Contains(screen, text) {
			return fmt.Sprintf("the screen has no %q:\n%s", text, screen)
		}
		return ""
	})
}

func (p *terminalProcess) send(keys string) {
	p.t.Helper()
	if _, err := io.WriteString(p.person, keys); err != nil {
		p.t.Fatal(err)
	}
}

// wait is that of process, with the screen as stderr.
func (p *terminalProcess) wait() result {
	r := p.process.wait()
	p.program.Close()
	<-p.drained
	r.stderr = visible(p.screen.String())
	return r
}

// visible is what stays on a screen: a line that is written over is not.
func visible(screen string) string {
	lines := strings.Split(strings.ReplaceAll(screen, "\r\n", "\n"), "\n")
	for i, line := range lines {
		lines[i] = strings.ReplaceAll(line[strings.LastIndex(line, "\r")+1:], "\x1b[K", "")
	}
	return strings.Join(lines, "\n")
}
