// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// evil moves the cursor, colours, reorders, hides and rings.
const evil = "x\x1b[31m\x1b]0;t\a\u009b2J\u202e\u2066\u200b\u2028\x7f\r\b"

// disturbs reports whether text has a character that a terminal does not just show.
func disturbs(text string) bool {
	return !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool {
		return r != '\n' && r != '\t' && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
	})
}

// poison has evil at the end of every text whose key is one of keys; of every text if there are none.
func poison(value any, key string, keys []string) any {
	switch v := value.(type) {
	case map[string]any:
		for k, inner := range v {
			v[k] = poison(inner, k, keys)
		}
	case []any:
		for i, inner := range v {
			v[i] = poison(inner, key, keys)
		}
	case string:
		if key != "apiVersion" && (len(keys) == 0 || slices.Contains(keys, key)) {
			return v + evil
		}
	}
	return value
}

// poisoned is the name of a file with the snapshot, in which others wrote what they liked.
func poisoned(t *testing.T, keys ...string) string {
	t.Helper()
	body, err := os.ReadFile("testdata/unseen.json")
	if err != nil {
		t.Fatal(err)
	}
	var content any
	if err := json.Unmarshal(body, &content); err != nil {
		t.Fatal(err)
	}
	if body, err = json.Marshal(poison(content, "", keys)); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "hostile.json")
	if err := os.WriteFile(name, body, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// What others wrote into a cluster, a file or the command line disturbs no terminal, whatever is printed and wherever.
func TestNothingHostileIsPrinted(t *testing.T) {
	all := poisoned(t)
	texts := poisoned(t, "message", "why", "reason", "logs", "summary", "text")
	names := poisoned(t, "name", "disk", "node", "class")
	for _, args := range [][]string{
		{"doctor", "--from-snapshot", all},
		{"doctor", "--from-snapshot", texts},
		{"doctor", "--from-snapshot", names},
		{"doctor", "--from-snapshot", texts, "--short"},
		{"doctor", "--from-snapshot", texts, "--color=always"},
		{"doctor", "--from-snapshot", texts, "-o", "json"},
		{"doctor", "--from-snapshot", texts, "-o", "wide"},
		{"doctor", "--from-snapshot", texts, "-o", "jsonpath={}"},
		{"doctor", "--from-snapshot", texts, "-o", "go-template={{.}}"},
		{"doctor", "--from-snapshot", texts, "-o", "custom-columns=A:.findings"},
		{"doctor", "--from-snapshot", evil},
		{"doctor", evil},
		{"doctor", "pod/" + evil},
		{"explain", evil},
		{evil},
		{"--" + evil},
		{"version", "-o", evil},
		{"version", "--kubeconfig", evil},
		{"version", "--context", evil},
		{"disks", "--nodes", evil},
		{"link", evil, "--accept", evil},
		{"unlink", evil},
		{"mounts", "--talosconfig", evil},
	} {
		t.Run(strings.ReplaceAll(strings.Join(args, " "), evil, "EVIL"), func(t *testing.T) {
			r := run(t, args...)
			stdout := r.stdout
			if slices.Contains(args, "--color=always") { // The program's own colours.
				stdout = strings.NewReplacer("\x1b[1;31m", "", "\x1b[33m", "", "\x1b[36m", "", "\x1b[32m", "", "\x1b[0m", "").Replace(stdout)
				if stdout == r.stdout {
					t.Errorf("nothing is coloured in %q", stdout)
				}
			}
			if disturbs(stdout) || disturbs(r.stderr) || r.code == exitDone {
				t.Errorf("exit code %d, prints %q and %q", r.code, r.stdout, r.stderr)
			}
			if slices.Contains(args, "--color=always") && strings.Contains(stdout, "x\x1b[31m") {
				t.Error("a colour is not the program's")
			}
		})
	}
}
