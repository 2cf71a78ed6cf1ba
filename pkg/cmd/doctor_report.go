// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/talosdisk/kubectl-talosdisk/internal/shell"
	"github.com/talosdisk/kubectl-talosdisk/pkg/doctor"
	"github.com/talosdisk/kubectl-talosdisk/pkg/output"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// doctorReport is what doctor prints.
type doctorReport struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        metav1.ObjectMeta `json:"metadata"`
	Time            time.Time         `json:"time"`
	doctor.Report
}

func (o *doctorOptions) print(s *snapshot.Snapshot, r doctor.Report) error {
	if !o.printer.IsTable() {
		return o.printer.Print(o.Out, doctorReport{
			TypeMeta: metav1.TypeMeta{APIVersion: output.APIVersion, Kind: "Diagnosis"}, Metadata: metav1.ObjectMeta{Name: "cluster"}, Time: s.Time,
			Report: r,
		}, nil)
	}
	p := reportText{w: &strings.Builder{}, style: o.Colour.Style(o.Out)}
	if o.short {
		p.short(r)
	} else {
		p.full(s, r)
	}
	_, err := io.WriteString(o.Out, p.w.String())
	return err
}

// reportText writes a report for people.
type reportText struct {
	w     *strings.Builder
	style output.Style
}

func (p reportText) line(format string, args ...any) { fmt.Fprintf(p.w, format+"\n", args...) }

// mostChains is how many chains are printed. Of a whole cluster, or of more, the
// causes are: a thousand pods with one cause are one thing to fix.
const mostChains = 10

func (p reportText) full(s *snapshot.Snapshot, r doctor.Report) {
	if len(s.Targets) > 0 && len(r.Chains) <= mostChains {
		for _, c := range r.Chains {
			p.chain(c)
		}
	}
	for _, t := range s.Targets {
		if t.Kind == "pod" && s.Pods.Value != nil && !slices.Contains(r.Missing, t) && !slices.ContainsFunc(r.Chains, func(c doctor.Chain) bool {
			return c.Target.Kind == t.Kind && c.Target.Namespace == t.Namespace && c.Target.Name == t.Name && len(c.Links) > 1
		}) {
			p.line("%s in %s uses no claim: nothing of it was looked at", t, t.Namespace)
		}
	}
	p.findings(r.Findings)
	p.end(r)
}

// mostAlike is how many findings of one code are printed in full: a thousand links that
// each lead nowhere in their own way are not read one by one.
const mostAlike = 5

func (p reportText) findings(all []doctor.Finding) {
	count := make(map[string]int)
	for _, f := range all {
		count[p.head(f)]++
	}
	printed := make(map[string]int)
	for _, f := range all {
		printed[p.head(f)]++
		switch n := printed[p.head(f)]; {
		case n <= mostAlike:
			p.finding(f)
		case n == mostAlike+1:
			p.line("%s %d more; --only %s --short has a line for each", p.head(f), count[p.head(f)]-mostAlike, f.Code)
		}
	}
}

// chain is its title, and each link with a mark and a word.
func (p reportText) chain(c doctor.Chain) {
	p.line("%s", c.Title)
	width := 0
	for _, l := range c.Links {
		width = max(width, len(l.Name))
	}
	for _, l := range c.Links {
		p.line("  %s %-*s  %s", p.mark(l.Mark), width, l.Name, l.Text)
	}
}

func (p reportText) mark(m doctor.Mark) string {
	switch m {
	case doctor.MarkOK:
		return p.style.Good("✓")
	case doctor.MarkBroken:
		return p.style.Error("✗")
	case doctor.MarkUnknown:
		return p.style.Warning("?")
	}
	return "-"
}

func (p reportText) head(f doctor.Finding) string {
	head := fmt.Sprintf("%s[%s]:", f.Severity, f.Code)
	switch f.Severity {
	case doctor.Error:
		return p.style.Error(head)
	case doctor.Warning:
		return p.style.Warning(head)
	}
	return p.style.Hint(head)
}

func (p reportText) finding(f doctor.Finding) {
	f, moreEvidence, moreSteps := f.Brief()
	p.line("%s %s", p.head(f), f.Summary)
	field := func(name, text string) {
		if text != "" {
			p.line("  %-9s %s", name+":", strings.ReplaceAll(text, "\n", "\n            "))
		}
	}
	if len(f.Objects) > 1 {
		field("affects", objects(f.Objects))
	}
	field("because", f.Because)
	for _, e := range f.Evidence {
		field("evidence", e)
	}
	if moreEvidence > 0 {
		field("evidence", fmt.Sprintf("… and %d more", moreEvidence))
	}
	for _, step := range f.Fix {
		text := step.Text
		switch {
		case text == "":
			text = step.Command
		case step.Command != "":
			text += "\n" + step.Command
		}
		field("fix", text)
	}
	if moreSteps > 0 {
		field("fix", fmt.Sprintf("… and %d more steps like these for the others, which -o json has", moreSteps))
	}
	field("more", shell.Command("kubectl", "talosdisk", "explain", string(f.Code)))
}

// objects counts them by kind and names the first.
func objects(refs []snapshot.Ref) string {
	const most = 4
	var names []string
	for _, r := range refs[:min(most, len(refs))] {
		name := r.String()
		if r.Namespace != "" {
			name = r.Kind + "/" + r.Name + " in " + r.Namespace
		}
		names = append(names, name)
	}
	text := strings.Join(names, ", ")
	if more := len(refs) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

func (p reportText) short(r doctor.Report) {
	for _, f := range r.Findings {
		text := f.Summary
		if n := len(f.Objects); n > 1 {
			text += fmt.Sprintf(" (%d objects)", n)
		}
		p.line("%s %s", p.head(f), text)
	}
	p.end(r)
}

// end says what could not be looked at; and, where nothing was found, what that means.
func (p reportText) end(r doctor.Report) {
	unknown, none := r.Unknown(), r.NoQuestion()
	if len(r.Findings) == 0 && len(r.Missing) == 0 {
		if len(unknown)+len(none) == 0 {
			p.line("No problems found.")
		} else {
			p.line("No problems found in what could be looked at.")
		}
	}
	p.reasons(p.style.Warning("unknown:")+" not everything could be looked at", unknown)
	p.reasons(p.style.Hint("not asked:")+" what cannot be known, or not yet", none)
}

// mostReasons is how many of them are printed: each of many nodes may have its own.
const mostReasons = 10

// reasons are why there is no answer, each once, with the codes of what was asked.
func (p reportText) reasons(title string, results []doctor.Result) {
	if len(results) == 0 {
		return
	}
	type reason struct {
		why   string
		codes []string
	}
	var reasons []reason
	at := make(map[string]int)
	for _, u := range results {
		i, known := at[u.Why]
		if !known {
			i = len(reasons)
			reasons, at[u.Why] = append(reasons, reason{why: u.Why}), i
		}
		if code := string(u.Code); !slices.Contains(reasons[i].codes, code) {
			reasons[i].codes = append(reasons[i].codes, code)
		}
	}
	p.line("%s", title)
	for _, r := range reasons[:min(mostReasons, len(reasons))] {
		p.line("  %s (%s)", r.why, codes(r.codes))
	}
	if more := len(reasons) - mostReasons; more > 0 {
		p.line("  … and %d more reasons, which -o json has", more)
	}
}

// codes names the first few.
func codes(all []string) string {
	const most = 6
	text := strings.Join(all[:min(most, len(all))], ", ")
	if more := len(all) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
