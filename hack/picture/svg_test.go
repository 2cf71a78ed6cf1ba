// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestThePictureIsWhatIsPrinted draws the README's picture again.
func TestThePictureIsWhatIsPrinted(t *testing.T) {
	docs := filepath.Join("..", "..", "docs")
	want, err := draw(t.Context(), filepath.Join(docs, "testdata", "unseen.json"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(docs, "doctor.svg"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("docs/doctor.svg is not what doctor prints: make docs")
	}
}

func TestNoPictureOfAnError(t *testing.T) {
	if _, err := draw(t.Context(), "nothing.json"); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("error %v", err)
	}
}

func TestSVG(t *testing.T) {
	picture, err := svg("run <it>", "It & more", "  \x1b[32m✓\x1b[0m a  b\n\n\x1b[1;31mno:\x1b[0m <c>\n")
	if err != nil {
		t.Fatal(err)
	}
	for decoder := xml.NewDecoder(bytes.NewReader(picture)); ; {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%v\n%s", err, picture)
		}
	}
	for _, want := range []string{
		"<title id=\"t\">run &lt;it&gt;</title>",
		`<desc id="d">It &amp; more</desc>`,
		`width="117" height="112"`, // "$ run <it>" is 10 characters; four lines.
		`<text class="g" x="32.8" y="50" textLength="8.4" lengthAdjust="spacingAndGlyphs" xml:space="preserve">✓</text>`,
		`<text x="49.6" y="50" textLength="33.6" lengthAdjust="spacingAndGlyphs" xml:space="preserve">a  b</text>`,
		`<text class="e" x="16.0" y="90" textLength="25.2" lengthAdjust="spacingAndGlyphs" xml:space="preserve">no:</text>`,
		`<text x="49.6" y="90" textLength="25.2" lengthAdjust="spacingAndGlyphs" xml:space="preserve">&lt;c&gt;</text>`,
	} {
		if !strings.Contains(string(picture), want) {
			t.Errorf("not in the picture: %s\n%s", want, picture)
		}
	}
}

// A colour that the program learns must be given a style here.
func TestSVGUnknownColour(t *testing.T) {
	if _, err := svg("run", "", "\x1b[35mx\x1b[0m"); err == nil || !strings.Contains(err.Error(), `"35"`) {
		t.Errorf("error %v", err)
	}
}
