// SPDX-License-Identifier: Apache-2.0

package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/talosdisk/kubectl-talosdisk/pkg/cmd"
)

const committed = "../../docs/commands"

// TestReferenceIsCurrent holds the committed pages to the program.
func TestReferenceIsCurrent(t *testing.T) {
	// Nothing of who writes the pages may get into them.
	t.Setenv("HOME", t.TempDir())
	t.Setenv("KUBECACHEDIR", t.TempDir())
	want := pages(cmd.New(cmd.Deps{Streams: genericiooptions.NewTestIOStreamsDiscard()}))
	files, err := filepath.Glob(filepath.Join(committed, "*"))
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, file := range files {
		found = append(found, filepath.Base(file))
	}
	if names := slices.Sorted(maps.Keys(want)); !slices.Equal(found, names) || len(names) < 10 {
		t.Errorf("%s has %v, want %v; make docs writes them", committed, found, names)
	}
	for name, page := range want {
		got, err := os.ReadFile(filepath.Join(committed, name))
		if err == nil && string(got) != page {
			t.Errorf("%s is not what the program's help says; make docs writes it", name)
		}
		for _, secret := range []string{os.Getenv("HOME"), os.Getenv("KUBECACHEDIR")} {
			if strings.Contains(page, secret) {
				t.Errorf("%s has %s in it", name, secret)
			}
		}
	}
}

func TestPage(t *testing.T) {
	root := &cobra.Command{Use: "root"}
	sub := &cobra.Command{
		Use: "do THING...", Short: "Do it", Long: " One.\n\n Two with a * and a_b.", DisableFlagsInUseLine: true,
		Example: "  # So\n  root do x > y", Run: func(*cobra.Command, []string) {},
	}
	sub.Flags().StringP("output", "o", "", "One of: a|b.")
	sub.Flags().Bool("yes", false, "Do not ask.")
	sub.Flags().Int("n", 3, "How many `TIMES`.")
	root.AddCommand(sub, &cobra.Command{Use: "hidden", Hidden: true, Run: sub.Run})
	const want = `# root do

Do it.

    root do THING... [options]

One.

Two with a \* and a\_b.

## Examples

    # So
    root do x > y

## Flags

| flag | default | meaning |
|---|---|---|
| ` + "`--n TIMES` | `3`" + ` | How many TIMES. |
| ` + "`-o, --output string`" + ` |  | One of: a\|b. |
| ` + "`--yes`" + ` |  | Do not ask. |

The flags that every command takes: [options](options.md).
`
	all := pages(root)
	if got := all["do.md"]; got != want {
		t.Errorf("%s", got)
	}
	if want := "| [do](do.md) | Do it |\n"; !strings.HasSuffix(all[index], want) || len(all) != 2 {
		t.Errorf("%v", all)
	}
}
