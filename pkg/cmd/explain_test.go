// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/talosdisk/kubectl-talosdisk/docs"
)

func TestExplainGolden(t *testing.T) {
	for name, args := range map[string]string{
		"explain":         "explain",
		"explain-code":    "explain TD0401",
		"explain-colour":  "explain 0106 --color=always",
		"explain-yaml":    "explain TD0106 -o yaml",
		"explain-unknown": "explain TD0412",
		"explain-no-code": "explain kubelet",
	} {
		t.Run(name, func(t *testing.T) { golden(t, name, run(t, strings.Fields(args)...)) })
	}
}

func TestExplainForms(t *testing.T) {
	want := run(t, "explain", "TD0401")
	if want.code != 0 || !strings.HasPrefix(want.stdout, "TD0401: ") {
		t.Fatalf("%+v", want)
	}
	for _, form := range []string{"td0401", "0401", "401", "Td401"} {
		if got := run(t, "explain", form); got != want {
			t.Errorf("%s: %+v", form, got)
		}
	}
}

func TestExplainFindCode(t *testing.T) {
	codes := []string{"TD0101", "TD0401", "TD0402", "TD0409", "TD0410", "TD0411", "TD0901"}
	for arg, want := range map[string]string{
		"TD0401": "TD0401", "901": "TD0901",
		"TD0412":  `there is no code "TD0412"; did you mean TD0411 or TD0410 or TD0402?`,
		"0201":    `there is no code "TD0201"; did you mean TD0101 or TD0401 or TD0901?`,
		"7777":    `there is no code "TD7777"`,
		"":        `"" is not a code: codes are TD and 4 digits`,
		"TD":      `"TD" is not a code: codes are TD and 4 digits`,
		"00401":   `"00401" is not a code: codes are TD and 4 digits`,
		"TDTD401": `"TDTD401" is not a code: codes are TD and 4 digits`,
		"-401":    `"-401" is not a code: codes are TD and 4 digits`,
	} {
		got, err := findCode(arg, codes)
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: %s, want %s", arg, got, want)
		}
	}
}

// All of a page is printed, whichever way.
func TestExplainIsComplete(t *testing.T) {
	squeeze := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	for _, code := range docs.Codes() {
		page, _ := docs.Page(code)
		var printed explanation
		if err := json.Unmarshal([]byte(run(t, "explain", code, "-o", "json").stdout), &printed); err != nil {
			t.Fatal(err)
		}
		again := "# " + code + ": " + printed.Title
		for _, s := range printed.Sections {
			again += "\n## " + s.Title + "\n" + s.Text
		}
		if squeeze(again) != squeeze(page) {
			t.Errorf("%s: the JSON lacks something of the page", code)
		}
		text := squeeze(run(t, "explain", code).stdout)
		for _, s := range printed.Sections {
			if !strings.Contains(text, s.Title+": "+squeeze(s.Text)) {
				t.Errorf("%s: the text lacks %q", code, s.Title)
			}
		}
	}
}

func TestExplainCompletion(t *testing.T) {
	all := len(docs.Codes())
	for typed, want := range map[string]int{"": all, "TD": all, "td04": 11, "040": 9, "TD0401": 1, "9": 0, "x": 0} {
		found, _ := completeCodes(nil, nil, typed)
		if len(found) != want {
			t.Errorf("%q: %d completions, want %d", typed, len(found), want)
		}
		for _, c := range found {
			if code, title, _ := strings.Cut(c, "\t"); !strings.HasPrefix(code, typed) || title == "" {
				t.Errorf("%q is completed by %q", typed, c)
			}
		}
	}
	if found, _ := completeCodes(nil, []string{"TD0401"}, ""); len(found) > 0 {
		t.Errorf("a second code is completed: %q", found)
	}
}

// commandInText is a command of ours within a sentence.
var commandInText = regexp.MustCompile("`" + name + "( [^`]*)?`")

// TestExplainCommands holds what the pages tell people to type.
func TestExplainCommands(t *testing.T) {
	streams, _, _, _ := genericiooptions.NewTestIOStreams()
	var commands []string
	for _, c := range New(Deps{Streams: streams}).Commands() {
		commands = append(commands, c.Name())
	}
	known, mentioned := docs.Codes(), regexp.MustCompile(`TD\d{4}`)
	for _, code := range known {
		page, _ := docs.Page(code)
		var lines []string
		for line := range strings.Lines(page) {
			if line, ok := strings.CutPrefix(strings.TrimSpace(line), name+" "); ok {
				lines = append(lines, line)
			}
		}
		for _, m := range commandInText.FindAllStringSubmatch(strings.ReplaceAll(page, "\n", " "), -1) {
			lines = append(lines, strings.Join(strings.Fields(m[1]), " "))
		}
		for _, line := range lines {
			first, _, _ := strings.Cut(line, " ")
			// A page may be ahead of the program by a whole command, never by a flag.
			if (first == "doctor" || first == "status") && !slices.Contains(commands, first) {
				continue
			}
			if err := parse(line); err != nil {
				t.Errorf("%s: %q: %v", code, line, err)
			}
		}
		for _, other := range mentioned.FindAllString(page, -1) {
			if !slices.Contains(known, other) {
				t.Errorf("%s sends people to %s, which is no code", code, other)
			}
		}
	}
}
