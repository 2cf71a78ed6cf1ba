// SPDX-License-Identifier: Apache-2.0

package talos

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/client"
	"go.yaml.in/yaml/v3"
	"google.golang.org/grpc/status"
)

// conceal takes values of the configuration out of what a server said about it: a
// validation may well quote the value that it does not like.
func conceal(err error, config []byte) error {
	st := client.Status(err)
	if st == nil {
		return errors.New("the answer is not shown, as it may hold secrets")
	}
	text := st.Message()
	for _, secret := range secrets(config) {
		text = strings.ReplaceAll(text, secret, "[not shown]")
	}
	hidden := status.Error(st.Code(), text)
	if errors.As(err, new(unsent)) {
		return unsent{hidden}
	}
	return hidden
}

// sensitive are the keys of a machine configuration below which values are secret
// even where they are short.
var sensitive = regexp.MustCompile(`(?i)token|secret|key|crt|cert|^ca$|password|passphrase|auth|credential|identity|content|env`)

// secrets are the values of config, longest first, that must not be repeated: all
// that are long, and the short ones below a sensitive key. A path is no secret.
// Nothing of a configuration that cannot be read may be repeated but its words.
func secrets(config []byte) []string {
	var found []string
	add := func(value string, atLeast int) {
		for line := range strings.Lines(value) {
			if line = strings.TrimSpace(line); len(line) >= atLeast {
				found = append(found, line)
			}
		}
	}
	var walk func(node *yaml.Node, secret bool)
	walk = func(node *yaml.Node, secret bool) {
		switch node.Kind {
		case yaml.MappingNode:
			for i := 0; i+1 < len(node.Content); i += 2 {
				walk(node.Content[i+1], secret || sensitive.MatchString(node.Content[i].Value))
			}
		case yaml.ScalarNode:
			switch {
			case secret:
				add(node.Value, 4)
			case !strings.HasPrefix(node.Value, "/"):
				add(node.Value, 16)
			}
		default: // An alias leads to what is found where it is anchored.
			for _, child := range node.Content {
				walk(child, secret)
			}
		}
	}
	for decoder := yaml.NewDecoder(bytes.NewReader(config)); ; {
		var document yaml.Node
		err := decoder.Decode(&document)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			for _, word := range strings.FieldsFunc(string(config), func(r rune) bool { return strings.ContainsRune(" \t\r\n\"'`,", r) }) {
				add(word, 4)
			}
			break
		}
		walk(&document, false)
	}
	return byLength(found)
}

// byLength sorts the longest first, so that none is hidden in part only.
func byLength(words []string) []string {
	slices.SortFunc(words, func(a, b string) int {
		return cmp.Or(cmp.Compare(len(b), len(a)), strings.Compare(a, b))
	})
	return slices.Compact(words)
}
