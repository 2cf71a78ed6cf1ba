// SPDX-License-Identifier: Apache-2.0

package failure

import (
	"errors"
	"fmt"
	"io"
	"testing"
)

func TestError(t *testing.T) {
	for name, c := range map[string]struct {
		err        error
		text, hint string
	}{
		"message":              {New("no such disk", "look"), "no such disk", "look"},
		"message and cause":    {Wrap(io.EOF, "cannot read", "try"), "cannot read: EOF", "try"},
		"cause only":           {Wrap(io.EOF, "", "try"), "EOF", "try"},
		"inside another error": {fmt.Errorf("node w-1: %w", New("no such disk", "look")), "node w-1: no such disk", "look"},
		"outer hint wins":      {Wrap(New("a", "inner"), "b", "outer"), "b: a", "outer"},
		"inner hint is found":  {Wrap(New("a", "inner"), "b", ""), "b: a", "inner"},
		"no hint":              {io.EOF, "EOF", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.err.Error(); got != c.text {
				t.Errorf("Error() = %q, want %q", got, c.text)
			}
			if got := Hint(c.err); got != c.hint {
				t.Errorf("Hint() = %q, want %q", got, c.hint)
			}
		})
	}
	if Wrap(nil, "message", "hint") != nil {
		t.Error("Wrap(nil) is an error")
	}
	if !errors.Is(Wrap(io.EOF, "x", ""), io.EOF) {
		t.Error("the cause is hidden from errors.Is")
	}
}

func TestPartial(t *testing.T) {
	err := Several("2 of 3 nodes failed", []Part{{"w-1", io.EOF}, {"w-2", New("no disk", "look")}})
	if got, want := err.Error(), "2 of 3 nodes failed: w-1: EOF; w-2: no disk"; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
	if !errors.Is(err, io.EOF) {
		t.Error("a part is hidden from errors.Is")
	}
	if Several("0 of 3 nodes failed", nil) != nil {
		t.Error("no parts is an error")
	}
}
