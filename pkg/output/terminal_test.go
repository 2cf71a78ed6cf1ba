// SPDX-License-Identifier: Apache-2.0

package output

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
)

func TestPromptWithoutTerminal(t *testing.T) {
	var stderr bytes.Buffer
	yes, err := Prompt(t.Context(), genericiooptions.IOStreams{In: strings.NewReader("y\n"), ErrOut: &stderr}, "Continue?")
	if yes || !errors.Is(err, ErrNoTerminal) {
		t.Errorf("%v, %v", yes, err)
	}
	if hint := failure.Hint(err); !strings.Contains(hint, "--yes") || !strings.Contains(hint, "--dry-run=client") {
		t.Errorf("hint %q", hint)
	}
	if stderr.Len() > 0 {
		t.Errorf("it asked: %q", stderr.String())
	}
}

func TestProgressWithoutTerminal(t *testing.T) {
	var stderr bytes.Buffer
	for _, p := range []*Progress{NewProgress(&stderr), nil} {
		p.Show("looking")
		step := p.Count("%d/%d", 2)
		step()
		p.Clear()
	}
	if stderr.Len() > 0 {
		t.Errorf("wrote %q", stderr.String())
	}
}

func TestProgress(t *testing.T) {
	var stderr bytes.Buffer
	p := &Progress{to: &stderr}
	step := p.Count("looked at %d/%d nodes", 2)
	step()
	p.Clear()
	step()
	p.Clear()
	p.Clear()
	want := "\rlooked at 0/2 nodes\x1b[K" + "\rlooked at 1/2 nodes\x1b[K" + "\r\x1b[K" + "\rlooked at 2/2 nodes\x1b[K" + "\r\x1b[K"
	if stderr.String() != want {
		t.Errorf("stderr %q, want %q", stderr.String(), want)
	}
}

func TestProgressSideBySide(t *testing.T) {
	var stderr bytes.Buffer
	p := &Progress{to: &stderr}
	step := p.Count("%d/%d", 100)
	var group sync.WaitGroup
	for range 100 {
		group.Go(step)
	}
	group.Wait()
	if !strings.HasSuffix(stderr.String(), "\r100/100\x1b[K") {
		t.Errorf("ended with %q", stderr.String()[stderr.Len()-20:])
	}
}

func TestColour(t *testing.T) {
	var c Colour
	if c.String() != "auto" || c.Set("blue") == nil {
		t.Errorf("zero value %q, or blue is a mode", c.String())
	}
	for mode, want := range map[string]string{"always": "\x1b[1;31merror:\x1b[0m", "never": "error:", "auto": "error:"} {
		if err := c.Set(mode); err != nil {
			t.Fatal(err)
		}
		if got := c.Style(&bytes.Buffer{}).Error("error:"); got != want {
			t.Errorf("%s: %q, want %q", mode, got, want)
		}
	}
}
