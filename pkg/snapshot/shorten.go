// SPDX-License-Identifier: Apache-2.0

package snapshot

import "strings"

// gap stands for what Shorten has left out.
const gap = " … "

// Shorten leaves out the middle of a text that has more characters than most: what it is about is at its head, and the cause, the
// larger part of what is kept, at its end.
func Shorten(text string, most int) string {
	runes := []rune(text)
	if len(runes) <= most {
		return text
	}
	kept := max(0, most-len([]rune(gap)))
	head := kept / 3
	return string(runes[:head]) + gap + string(runes[len(runes)-(kept-head):])
}

// Shortened reports whether something was left out of a text; older snapshots have texts without their end.
func Shortened(text string) bool {
	return strings.Contains(text, gap) || strings.HasSuffix(text, "…")
}
