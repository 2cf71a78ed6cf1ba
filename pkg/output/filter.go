// SPDX-License-Identifier: Apache-2.0

package output

import (
	"crypto/rand"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// Filter returns streams of which Out and ErrOut show every character that could move a cursor, colour, reorder or hide text as an escape.
// So what a node, an object's name or an error of a server says cannot disturb a terminal, no matter who prints it. A Style of such a
// stream colours through it, and so does a Progress.
func Filter(streams genericiooptions.IOStreams) genericiooptions.IOStreams {
	key := "\x00" + rand.Text() + "\x00"
	for _, w := range []*io.Writer{&streams.Out, &streams.ErrOut} {
		if _, already := (*w).(*filtered); !already && *w != nil {
			*w = &filtered{to: *w, key: key}
		}
	}
	return streams
}

// filtered is a stream behind the filter.
type filtered struct {
	to io.Writer
	// key begins and ends a mark that a Style makes. It is random, so that no text from elsewhere has one.
	key string
}

// Write writes b with escapes. It is all or nothing: a text of which only some bytes were written counts as none.
func (f *filtered) Write(b []byte) (int, error) {
	var out strings.Builder
	for i, part := range strings.Split(string(b), f.key) {
		if i%2 == 1 { // Between two keys.
			out.WriteString("\x1b[" + part + "m")
			continue
		}
		escape(&out, part)
	}
	if _, err := io.WriteString(f.to, out.String()); err != nil {
		return 0, err
	}
	return len(b), nil
}

// behind is the stream that a filter writes to, or w if there is no filter.
func behind(w io.Writer) io.Writer {
	if f, ok := w.(*filtered); ok {
		return f.to
	}
	return w
}

// Exact is a filtered stream for the bytes of a file: where no person reads along, none of them becomes an escape.
func Exact(w io.Writer) io.Writer {
	if IsTerminal(w) {
		return w
	}
	return behind(w)
}

// Escape is text as a filtered stream shows it. The escapes are those of JSON strings (and \xff for a byte that is no UTF-8), so in JSON
// they change nothing. Line feeds and tabs stay.
func Escape(text string) string {
	var out strings.Builder
	escape(&out, text)
	return out.String()
}

func escape(out *strings.Builder, text string) {
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(out, `\x%02x`, text[i])
		case !disturbs(r):
			out.WriteString(text[i : i+size])
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(out, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(out, `\u%04x`, r)
		}
		i += size
	}
}

// blank are characters that show nothing although Unicode calls them letters or marks.
var blank = &unicode.RangeTable{
	R16: []unicode.Range16{{0x034f, 0x034f, 1}, {0x115f, 0x1160, 1}, {0x17b4, 0x17b5, 1}, {0x3164, 0x3164, 1}, {0xffa0, 0xffa0, 1}},
}

// disturbs reports whether a character does something to a terminal other than showing itself: controls but line feed and tab, what
// reorders text or has no width, and the separators of lines and paragraphs.
func disturbs(r rune) bool {
	if r < 0x7f {
		return r < ' ' && r != '\n' && r != '\t'
	}
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, blank)
}
