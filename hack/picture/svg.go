// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Sizes, in pixels at full width. A character's width is what most monospaced fonts have at that size; each piece of text is
// told its width, so that columns are straight in those that have another.
const (
	fontSize   = 14
	charWidth  = 8.4
	lineHeight = 20
	margin     = 16
)

// classes are the styles of the terminal's colours that the program uses, by what follows "ESC [".
var classes = map[string]string{"0": "", "1;31": "e", "33": "w", "36": "h", "32": "g"}

// style has the colours for light and for dark surroundings, each with a contrast of 4.5 or more on its ground.
const style = `
.ground{fill:#f6f8fa;stroke:#d1d9e0}
text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:#1f2328;white-space:pre}
.p{fill:#59636e}.c{font-weight:600}.e{fill:#c21722;font-weight:700}.w{fill:#8a5a00}.h{fill:#0b6a73}.g{fill:#1a7f37}
@media (prefers-color-scheme:dark){
.ground{fill:#151b23;stroke:#3d444d}
text{fill:#e6edf3}
.p{fill:#9198a1}.e{fill:#ff7b72}.w{fill:#e3b341}.h{fill:#56d4dd}.g{fill:#56d364}
}
`

var escape = regexp.MustCompile("\x1b\\[([^m]*)m")

// svg draws a command and what it printed.
func svg(command, description, printed string) ([]byte, error) {
	lines := strings.Split(strings.TrimRight(printed, "\n"), "\n")
	columns := utf8.RuneCountInString("$ " + command)
	for _, line := range lines {
		columns = max(columns, utf8.RuneCountInString(escape.ReplaceAllString(line, "")))
	}
	width, height := 2*margin+int(float64(columns)*charWidth+1), 2*margin+lineHeight*(len(lines)+1)

	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-labelledby="t d">`+
		"\n", width, height, width, height)
	fmt.Fprintf(&b, "<title id=\"t\">%s</title>\n<desc id=\"d\">%s</desc>\n<style>%s</style>\n", escaped(command), escaped(description), style)
	fmt.Fprintf(&b, `<rect class="ground" x=".5" y=".5" width="%d" height="%d" rx="8"/>`+"\n", width-1, height-1)
	text(&b, 0, 0, "p", "$")
	text(&b, 0, 2, "c", command)
	for i, line := range lines {
		if err := drawLine(&b, i+1, line); err != nil {
			return nil, err
		}
	}
	b.WriteString("</svg>\n")
	return b.Bytes(), nil
}

// drawLine draws a line, each colour by itself.
func drawLine(b *bytes.Buffer, row int, line string) error {
	class, column := "", 0
	for line != "" {
		end := len(line)
		if at := escape.FindStringSubmatchIndex(line); at != nil && at[0] == 0 {
			known := false
			if class, known = classes[line[at[2]:at[3]]]; !known {
				return fmt.Errorf("no style for the terminal's %q", line[at[2]:at[3]])
			}
			line = line[at[1]:]
			continue
		} else if at != nil {
			end = at[0]
		}
		text(b, row, column, class, line[:end])
		column += utf8.RuneCountInString(line[:end])
		line = line[end:]
	}
	return nil
}

// text draws a piece of a line from a column on.
func text(b *bytes.Buffer, row, column int, class, piece string) {
	shown := strings.TrimLeft(piece, " ")
	column += len(piece) - len(shown)
	shown = strings.TrimRight(shown, " ")
	if shown == "" {
		return
	}
	attribute := ""
	if class != "" {
		attribute = fmt.Sprintf(` class="%s"`, class)
	}
	fmt.Fprintf(b, `<text%s x="%.1f" y="%d" textLength="%.1f" lengthAdjust="spacingAndGlyphs" xml:space="preserve">%s</text>`+"\n",
		attribute, margin+float64(column)*charWidth, margin+row*lineHeight+fontSize, float64(utf8.RuneCountInString(shown))*charWidth,
		escaped(shown))
}

func escaped(s string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(s)) // A buffer takes all.
	return b.String()
}
