// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// kubectlLetters are what kubectl's short flags are short for. People have them in their fingers.
var kubectlLetters = map[string]string{
	"n": "namespace", "A": "all-namespaces", "o": "output", "l": "selector", "f": "filename", "w": "watch",
	"c": "container", "R": "recursive", "v": "v", "s": "server", "h": "help",
}

// defaultTrue are kubectl's own flags that are true by default.
var defaultTrue = []string{"allow-missing-template-keys", "wait"}

// TestTree walks the whole command tree.
func TestTree(t *testing.T) {
	streams, _, _, _ := genericiooptions.NewTestIOStreams()
	flagName := regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)
	eachCommand(New(Deps{Streams: streams}), func(cmd *cobra.Command) {
		t.Run(strings.ReplaceAll(cmd.CommandPath(), " ", "_"), func(t *testing.T) {
			if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") || len(cmd.Short) > 80 {
				t.Errorf("Short is empty, too long or a sentence: %q", cmd.Short)
			}
			if cmd.Long == "" || strings.Contains(cmd.Long, "\t") {
				t.Errorf("Long is empty or has tabs: %q", cmd.Long)
			}
			if cmd.Args == nil && !strings.Contains(cmd.Use, " ") {
				t.Error("Use names no argument, but Args is not set, so cobra takes any")
			}
			if cmd.Run != nil || cmd.RunE == nil {
				t.Error("it must have RunE, and no Run")
			}
			checkExamples(t, cmd)
			cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
				// As --as, which is kubectl's, and whose it is.
				if global := cmd.Root().PersistentFlags().Lookup(f.Name); cmd.HasParent() && global != nil && global != f {
					t.Errorf("--%s hides the flag that every command takes", f.Name)
				}
			})
			cmd.Flags().VisitAll(func(f *pflag.Flag) {
				if f.Usage == "" || !flagName.MatchString(f.Name) {
					t.Errorf("--%s has no usage, or an unusual name", f.Name)
				}
				if long := kubectlLetters[f.Shorthand]; f.Shorthand != "" && long != f.Name {
					t.Errorf("-%s is --%s, but in kubectl --%s", f.Shorthand, f.Name, long)
				}
				if f.Value.Type() == "bool" && f.DefValue != "false" && !slices.Contains(defaultTrue, f.Name) {
					t.Errorf("--%s is %s by default", f.Name, f.DefValue)
				}
				if strings.HasPrefix(f.Name, "no-") && f.Name != "no-headers" {
					t.Errorf("--%s is a negative", f.Name)
				}
			})
		})
	})
}

func checkExamples(t *testing.T, cmd *cobra.Command) {
	var comments, ours int
	for line := range strings.Lines(cmd.Example) {
		line = strings.TrimSpace(line)
		switch {
		case line == "":
		case strings.HasPrefix(line, "# "):
			comments++
		case strings.HasPrefix(line, name):
			ours++
			if err := parse(strings.TrimPrefix(line, name)); err != nil {
				t.Errorf("example %q: %v", line, err)
			}
		}
	}
	if comments < 2 || comments > 4 || ours == 0 {
		t.Errorf("%d examples with a comment, want 2 to 4, and %d that begin with %q", comments, ours, name)
	}
}

// parse checks a command line with the program's own tree, without running it.
func parse(line string) error {
	line, _, _ = strings.Cut(line, " > ")
	line, _, _ = strings.Cut(line, " | ")
	// A shell takes the line apart, but must not look for files that match.
	words, err := exec.Command("sh", "-fc", "printf '%s\\0' "+line).Output()
	if err != nil {
		return err
	}
	args := strings.Split(strings.TrimSuffix(string(words), "\x00"), "\x00")
	streams, _, _, _ := genericiooptions.NewTestIOStreams()
	cmd, rest, err := New(Deps{Streams: streams}).Find(args)
	if err != nil {
		return err
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	return cmd.ValidateArgs(cmd.Flags().Args())
}

func TestParseNotices(t *testing.T) {
	for _, line := range []string{"nonsense", "version --nonsense", "version nonsense", "version 'open"} {
		if parse(line) == nil {
			t.Errorf("%q parses", line)
		}
	}
}
