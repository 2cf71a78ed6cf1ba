// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// Sizes, in pixels.
const (
	width     = 860
	margin    = 16
	labelSpan = 120
	rowHeight = 84
	boxHeight = 34
	charWidth = 8.0
)

// style has the colours for light and for dark surroundings.
const style = `
.ground{fill:#f6f8fa;stroke:#d1d9e0}
.line{stroke:#d1d9e0}
.box{fill:#fff;stroke:#59636e}
.import{fill:none;stroke:#0969da;stroke-opacity:.55;stroke-width:1.3}
.head{fill:#0969da}
text{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:#1f2328}
.l{fill:#59636e;font-style:italic}
@media (prefers-color-scheme:dark){
.ground{fill:#151b23;stroke:#3d444d}
.line{stroke:#3d444d}
.box{fill:#0d1117;stroke:#9198a1}
.import{stroke:#4493f8}
.head{fill:#4493f8}
text{fill:#e6edf3}
.l{fill:#9198a1}
}
`

// place is a box.
type place struct{ x, y, width float64 }

// svg draws the rows from the top down, and an arrow for each import.
func svg(rows []row, arrows imports) []byte {
	height := 2*margin + rowHeight*len(rows)
	places := make(map[string]place)
	for i, r := range rows {
		span := float64(width-labelSpan-2*margin) / float64(len(r.packages))
		for j, p := range r.packages {
			w := float64(utf8.RuneCountInString(shown(p)))*charWidth + 24
			places[p] = place{
				x: labelSpan + margin + span*(float64(j)+0.5) - w/2, width: w,
				y: float64(margin + rowHeight*i + (rowHeight-boxHeight)/2),
			}
		}
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-labelledby="t d">`+
		"\n", width, height, width, height)
	fmt.Fprintf(&b, "<title id=\"t\">The packages of kubectl talosdisk</title>\n<desc id=\"d\">%s</desc>\n<style>%s</style>\n",
		described(rows), style)
	b.WriteString(`<defs><marker id="a" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path class="head" d="M0 0L8 4L0 8z"/></marker></defs>` +
		"\n")
	fmt.Fprintf(&b, `<rect class="ground" x=".5" y=".5" width="%d" height="%d" rx="8"/>`+"\n", width-1, height-1)
	for i, r := range rows {
		y := margin + rowHeight*i
		if r.layer == "" {
			continue
		}
		if i > 0 {
			fmt.Fprintf(&b, `<path class="line" d="M%d %dH%d"/>`+"\n", margin, y, width-margin)
		}
		fmt.Fprintf(&b, `<text class="l" x="%d" y="%d">%s</text>`+"\n", margin, y+rowHeight/2+4, r.layer)
	}
	for _, from := range slices.Sorted(maps.Keys(arrows)) {
		for _, to := range slices.Sorted(slices.Values(arrows[from])) {
			arrow(&b, places[from], places[to])
		}
	}
	for _, p := range slices.Sorted(maps.Keys(places)) {
		at := places[p]
		fmt.Fprintf(&b, `<rect class="box" x="%.0f" y="%.0f" width="%.0f" height="%d" rx="5"/>`+"\n", at.x, at.y, at.width, boxHeight)
		fmt.Fprintf(&b, `<text x="%.0f" y="%.0f" text-anchor="middle">%s</text>`+"\n", at.x+at.width/2, at.y+boxHeight/2+4.5, shown(p))
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// arrow leads from the lower edge of a box to the upper edge of another one.
func arrow(b *bytes.Buffer, from, to place) {
	x1, y1 := from.x+from.width/2, from.y+boxHeight
	x2, y2 := to.x+to.width/2, to.y
	// It arrives beside the middle, on the side that it comes from, so that arrows from several boxes stay apart.
	x2 += max(-to.width/3, min(to.width/3, (x1-x2)/8))
	bend := (y2 - y1) / 2
	fmt.Fprintf(b, `<path class="import" d="M%.0f %.0fC%.0f %.0f %.0f %.0f %.0f %.0f" marker-end="url(#a)"/>`+"\n", x1, y1, x1, y1+bend, x2,
		y2-bend, x2, y2)
}

// shown is a package's name in the picture.
func shown(p string) string { return strings.TrimPrefix(p, "pkg/") }

// described is the picture in words.
func described(rows []row) string {
	var words []string
	for _, r := range rows {
		if r.layer != "" {
			words = append(words, r.layer+": "+strings.Join(r.packages, ", "))
			continue
		}
		words[len(words)-1] += ", " + strings.Join(r.packages, ", ")
	}
	return "Packages in layers, from the top down; an arrow is an import, all lead downwards. " + strings.Join(words, "; ") + "."
}
