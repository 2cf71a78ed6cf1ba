// SPDX-License-Identifier: Apache-2.0

package shell_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/internal/shell"
	"github.com/talosdisk/kubectl-talosdisk/internal/shell/shelltest"
)

func TestOrdinaryWordsStayAsTheyAre(t *testing.T) {
	const want = "kubectl -n kube-system get pods/w-1.example.com -l app=x,y=z -o wide --field-selector=a:b user@host /dev/disk/by-id/wwn-0x5 --a+b 50%"
	if got := shell.Command(strings.Fields(want)...); got != want {
		t.Errorf("%s, not %s", got, want)
	}
}

func TestWordsThatMeanSomethingAreQuoted(t *testing.T) {
	for word, want := range map[string]string{
		"":                "''",
		"a b":             "'a b'",
		"it's":            `'it'"'"'s'`,
		"w1;curl evil|sh": "'w1;curl evil|sh'",
		"$(me)":           "'$(me)'",
		"`me`":            "'`me`'",
		"~":               "'~'",
		"#x":              "'#x'",
		"a\nEOF\ncurl x":  "'a\nEOF\ncurl x'",
		"!!":              "'!!'",
		"{a,b}":           "'{a,b}'",
		"é":               "'é'",
	} {
		if got := shell.Word(word); got != want {
			t.Errorf("%q becomes %s, not %s", word, got, want)
		}
	}
}

func TestFeedHasNoHereDocument(t *testing.T) {
	got := shell.Feed("kind: X\nname: 'z'\nEOF\ncurl evil|sh\n", "kubectl", "apply", "-f", "-")
	const want = `printf '%s\n' 'kind: X' 'name: '"'"'z'"'"'' EOF 'curl evil|sh' | kubectl apply -f -`
	if got != want {
		t.Errorf("%s, not %s", got, want)
	}
	out, err := exec.CommandContext(t.Context(), "sh", "-c", strings.Replace(got, "kubectl apply -f -", "cat", 1)).Output()
	if err != nil || string(out) != "kind: X\nname: 'z'\nEOF\ncurl evil|sh\n" {
		t.Errorf("a shell makes of it %q, %v", out, err)
	}
}

// FuzzCommand lets a shell's parser read what Command wrote: it is one simple command, and its words are those that went in.
func FuzzCommand(f *testing.F) {
	for _, word := range []string{"", "w-1", "it's", "a\nEOF\ncurl x", "$(me)", "`me`", "w1;curl evil|sh", "\x1b[31m", "\xff", "\\", "~root",
		"-n", "a=b", "=x", "\u202e"} {
		f.Add(word, "kubectl")
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		if strings.ContainsRune(first+second, 0) {
			t.Skip("no argument of a program can have it")
		}
		want := []string{"kubectl", first, second}
		got, err := shelltest.Words(shell.Command(want...))
		if err != nil {
			t.Fatal(err)
		}
		for i, w := range want {
			want[i] = shelltest.Seen(w)
		}
		if len(got) != 1 || !slices.Equal(got[0], want) {
			t.Errorf("%q, not %q", got, want)
		}
	})
}
