// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// index is the page of the root command.
const index = "README.md"

// pages are the pages of a command tree by file name.
func pages(root *cobra.Command) map[string]string {
	all := make(map[string]string)
	var list strings.Builder
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			if sub.Hidden {
				continue
			}
			all[file(sub)] = page(sub)
			fmt.Fprintf(&list, "| [%s](%s) | %s |\n", strings.TrimPrefix(sub.CommandPath(), root.CommandPath()+" "), file(sub), cell(sub.Short))
			visit(sub)
		}
	}
	visit(root)
	all[index] = "# Commands\n\nWritten by `make docs` from the program's own help.\n\n| command | what it does |\n|---|---|\n" + list.String()
	return all
}

// file is a command's page: "mounts_list.md" for "kubectl talosdisk mounts list".
func file(c *cobra.Command) string {
	_, path, _ := strings.Cut(c.CommandPath(), c.Root().CommandPath()+" ")
	return strings.ReplaceAll(path, " ", "_") + ".md"
}

func page(c *cobra.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n%s.\n\n    %s [options]\n\n", c.CommandPath(), text(c.Short), c.UseLine())
	for line := range strings.Lines(strings.TrimSpace(c.Long)) {
		b.WriteString(text(strings.TrimSpace(line)) + "\n")
	}
	b.WriteString("\n## Examples\n\n")
	for line := range strings.Lines(strings.TrimSpace(c.Example)) {
		b.WriteString(strings.TrimRight("    "+strings.TrimSpace(line), " ") + "\n")
	}
	flags := c.LocalFlags()
	if c.Name() == "options" {
		flags = c.Root().PersistentFlags()
	}
	var rows strings.Builder
	flags.VisitAll(func(f *pflag.Flag) {
		if !f.Hidden && f.Name != "help" {
			rows.WriteString(row(f))
		}
	})
	if rows.Len() > 0 {
		b.WriteString("\n## Flags\n\n| flag | default | meaning |\n|---|---|---|\n" + rows.String())
	}
	if c.Name() != "options" {
		b.WriteString("\nThe flags that every command takes: [options](options.md).\n")
	}
	return b.String()
}

func row(f *pflag.Flag) string {
	name, usage := pflag.UnquoteUsage(f)
	flag := "--" + f.Name
	if f.Shorthand != "" {
		flag = "-" + f.Shorthand + ", " + flag
	}
	if name != "" {
		flag += " " + name
	}
	value := f.DefValue
	if value == "[]" || f.Value.Type() == "bool" && value == "false" {
		value = ""
	}
	if value != "" {
		value = "`" + value + "`"
	}
	return fmt.Sprintf("| `%s` | %s | %s |\n", flag, value, cell(usage))
}

// text has nothing in it that Markdown takes for markup.
func text(s string) string {
	return strings.NewReplacer(`*`, `\*`, `<`, `\<`, `_`, `\_`, "`", "\\`").Replace(s)
}

// cell is text within a table.
func cell(s string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(text(s)), " "), "|", `\|`)
}
