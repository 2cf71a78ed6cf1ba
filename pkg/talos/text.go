// SPDX-License-Identifier: Apache-2.0

package talos

import (
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxText is how many bytes of a server's text are repeated.
const maxText = 400

// dumps begin what Talos adds to some messages, content of a machine configuration:
// "diff: …", "unknown keys found during decoding: …", and YAML's "cannot construct
// !!str `LS0tLS1…` into int", whose values are cut short, and so not found by conceal.
var dumps = regexp.MustCompile(`(?i)\bdiff:|\bunknown keys found during decoding:|\bcannot \w+ !!\w+`)

// brief is what a server said in one line: without what it dumps of a machine
// configuration, and not more than anybody reads.
func brief(text string) string {
	if at := dumps.FindStringIndex(text); at != nil {
		// What follows may be anything; what the words say is kept.
		text = strings.TrimRight(text[:at[1]], ": \n\t") + " (the rest is not shown, as it may hold secrets)"
	}
	var lines []string
	for line := range strings.Lines(text) {
		// hashicorp's multierror: "2 errors occurred:", then "\t* ..." for each.
		line = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "*"))
		if line != "" && !counted.MatchString(line) {
			lines = append(lines, line)
		}
	}
	text = strings.ReplaceAll(strings.Join(lines, "; "), ":; ", ": ")
	if len(text) > maxText {
		cut := maxText
		for !utf8.RuneStart(text[cut]) {
			cut--
		}
		text = text[:cut] + "…"
	}
	return text
}

var counted = regexp.MustCompile(`^\d+ errors? occurred:$`)

// described finds what gRPC wraps: connection error: desc = "transport: Error
// while dialing: dial tcp …".
var described = regexp.MustCompile(`desc = ("(?:[^"\\]|\\.)*")`)

// userinfo is the name and password in a proxy's URL.
var userinfo = regexp.MustCompile(`//[^/@\s"]*@`)

// transport is why a connection failed, without gRPC's words around it.
func transport(text string) string {
	for {
		m := described.FindStringSubmatch(text)
		if m == nil {
			break
		}
		inner, err := strconv.Unquote(m[1])
		if err != nil {
			break
		}
		text = inner
	}
	for _, prefix := range []string{"transport: ", "Error while dialing: ", "authentication handshake failed: ",
		"error reading server preface: "} {
		text = strings.TrimPrefix(text, prefix)
	}
	switch {
	case text == "context deadline exceeded": // The connection's, not the request's.
		text = "no connection within " + connectTimeout.String()
	case strings.HasSuffix(text, "produced zero addresses"):
		text = "the name has no address"
	}
	return brief(userinfo.ReplaceAllString(text, "//"))
}

// quoted is the words in double quotes, with commas.
func quoted(words []string) string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = strconv.Quote(w)
	}
	return strings.Join(out, ", ")
}
