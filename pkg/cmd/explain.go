// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubectl/pkg/util/templates"

	"github.com/talosdisk/kubectl-talosdisk/docs"
	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/output"
)

// explainFlags are the flags of explain.
type explainFlags struct {
	output *output.Flags
}

func newExplain(s *shared) *cobra.Command {
	flags := &explainFlags{output: output.NewFlags()}
	cmd := &cobra.Command{
		Use:   "explain [CODE]",
		Short: "Explain a code: what it means, how it is fixed and checked",
		Long: templates.LongDesc(`
			Print the page of a code that doctor names: what it means, how it shows, why, how to fix it and how to check that
			it is fixed. Without a code, list all. The pages are part of the program: no cluster is asked.

			CODE is written TD0401, td0401, 0401 or 401.`),
		Example: templates.Examples(`
			# The page of a code
			kubectl talosdisk explain TD0401

			# All codes
			kubectl talosdisk explain`),
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeCodes,
		RunE: func(cmd *cobra.Command, args []string) error {
			printer, err := flags.output.ToPrinter()
			if err != nil {
				return usage(cmd, err)
			}
			if len(args) == 0 {
				list := codeList{TypeMeta: metav1.TypeMeta{APIVersion: output.APIVersion, Kind: "CodeList"}, Items: allCodes()}
				return printer.Print(s.Out, list, func() *metav1.Table { return codeTable(list.Items) })
			}
			code, err := findCode(args[0], docs.Codes())
			if err != nil {
				return usage(cmd, err)
			}
			e := explanationOf(code)
			if printer.IsTable() {
				_, err := io.WriteString(s.Out, e.text(s.Colour.Style(s.Out)))
				return err
			}
			e.TypeMeta = metav1.TypeMeta{APIVersion: output.APIVersion, Kind: "Code"}
			return printer.Print(s.Out, e, nil)
		},
	}
	flags.output.AddFlags(cmd.Flags())
	return cmd
}

// explanation is what explain prints of one code.
type explanation struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        metav1.ObjectMeta `json:"metadata"`
	Title           string            `json:"title"`
	Sections        []pageSection     `json:"sections,omitempty"`
}

// pageSection is a part of a page. Its text is Markdown.
type pageSection struct {
	Title string `json:"title"`
	Text  string `json:"text"`
}

// codeList is what explain prints without a code.
type codeList struct {
	metav1.TypeMeta `json:",inline"`
	Items           []explanation `json:"items"`
}

// explanationOf takes the page of a code apart.
func explanationOf(code string) explanation {
	page, _ := docs.Page(code)
	head, rest, _ := strings.Cut(page, "\n")
	e := explanation{Metadata: metav1.ObjectMeta{Name: code}, Title: strings.TrimPrefix(head, "# "+code+": ")}
	for _, part := range strings.Split(rest, "\n## ")[1:] {
		title, text, _ := strings.Cut(part, "\n")
		e.Sections = append(e.Sections, pageSection{Title: title, Text: strings.Trim(text, "\n") + "\n"})
	}
	return e
}

// text is the page for a terminal, laid out as the help of kubectl's commands is.
func (e explanation) text(style output.Style) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", style.Warning(e.Metadata.Name), e.Title)
	for _, section := range e.Sections {
		fmt.Fprintf(&b, "\n%s\n", style.Hint(section.Title+":"))
		for line := range strings.Lines(section.Text) {
			if line != "\n" {
				b.WriteString("  ")
			}
			b.WriteString(line)
		}
	}
	return b.String()
}

// allCodes are the codes with their titles only.
func allCodes() []explanation {
	var all []explanation
	for _, code := range docs.Codes() {
		e := explanationOf(code)
		e.Sections = nil
		all = append(all, e)
	}
	return all
}

func codeTable(all []explanation) *metav1.Table {
	t := newTable("Code", "Title")
	for _, e := range all {
		addRow(t, e.Metadata.Name, e.Title)
	}
	return t
}

// codePrefix begins every code; four digits follow.
const (
	codePrefix = "TD"
	codeDigits = 4
)

// findCode is the code that a person means: TD0401, td0401, 0401, 401.
func findCode(arg string, codes []string) (string, error) {
	digits := strings.TrimPrefix(strings.ToUpper(arg), codePrefix)
	code := codePrefix + strings.Repeat("0", max(0, codeDigits-len(digits))) + digits
	if slices.Contains(codes, code) {
		return code, nil
	}
	const list = "list all codes with: kubectl talosdisk explain"
	if digits == "" || len(digits) > codeDigits || strings.Trim(digits, "0123456789") != "" {
		return "", failure.New(fmt.Sprintf("%q is not a code: codes are %s and %d digits", arg, codePrefix, codeDigits), list)
	}
	message := fmt.Sprintf("there is no code %q", code)
	if near := nearCodes(code, codes); len(near) > 0 {
		message += fmt.Sprintf("; did you mean %s?", strings.Join(near, " or "))
	}
	return "", failure.New(message, list)
}

// nearCodes are up to three codes that differ from code in one digit, those that are the closest by number first.
func nearCodes(code string, codes []string) []string {
	near := slices.DeleteFunc(slices.Clone(codes), func(c string) bool {
		wrong := 0
		for i := range c {
			if c[i] != code[i] {
				wrong++
			}
		}
		return wrong != 1
	})
	distance := func(c string) int {
		d, unit := 0, 1
		for i := len(c) - 1; i >= 0; i-- {
			d += (int(c[i]) - int(code[i])) * unit
			unit *= 10
		}
		return max(d, -d)
	}
	slices.SortStableFunc(near, func(a, b string) int { return cmp.Compare(distance(a), distance(b)) })
	return near[:min(len(near), 3)]
}

// completeCodes completes codes, with their titles for shells that show them.
func completeCodes(_ *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var found []string
	for _, e := range allCodes() {
		// What is typed stays as it is typed: shells drop completions with another beginning.
		for _, form := range []string{e.Metadata.Name, strings.ToLower(e.Metadata.Name), strings.TrimPrefix(e.Metadata.Name, codePrefix)} {
			if strings.HasPrefix(form, toComplete) {
				found = append(found, cobra.CompletionWithDesc(form, e.Title))
				break
			}
		}
	}
	return found, cobra.ShellCompDirectiveNoFileComp
}
