// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/internal/shell"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// Options choose among the checks.
type Options struct {
	// Only are the checks to run; none: all. Skip are those not to run.
	Only, Skip []Code
}

func (o Options) wants(c Code) bool {
	return (len(o.Only) == 0 || slices.Contains(o.Only, c)) && !slices.Contains(o.Skip, c)
}

// allNodes stands in a finding's texts for the names of the nodes that it is about,
// so that the same cause on several nodes is one finding: in a command they are
// joined by commas, in a sentence as a person would.
const allNodes = "{nodes}"

// answer is one check's on one subject.
type answer struct {
	subject *Subject
	check   Check
	outcome Outcome
	// why is the reason of any outcome but a finding; of an unknown one unread is the same, with its kind.
	why     string
	unread  problem.Problem
	leftOut bool
	found   []Finding
	masked  []bool
}

func (a *answer) unknown(why problem.Problem) {
	a.outcome, a.why, a.unread = OutcomeUnknown, why.Message, why
}

// Run diagnoses what the snapshot's targets are. The same snapshot makes the same report.
func Run(s *snapshot.Snapshot, o Options) Report { return run(s, o, Checks()) }

func run(s *snapshot.Snapshot, o Options, checks []Check) Report {
	s = ordered(s)
	subjects, missing := subjectsOf(s)
	var answers []*answer
	for _, subject := range subjects {
		for _, check := range checks {
			if check.About == subject.Kind && o.wants(check.Code) {
				answers = append(answers, ask(check, subject))
			}
		}
	}
	if len(s.Targets) > 0 {
		leaveOut(answers, subjects)
	}
	mask(answers)
	sayOnce(answers)
	r := Report{Missing: missing}
	var causes, symptoms []placed
	for _, a := range answers {
		r.Results = append(r.Results, Result{Code: a.check.Code, Subject: a.subject.Name, Outcome: a.outcome, Why: a.why, leftOut: a.leftOut})
		for i, f := range a.found {
			if a.masked[i] {
				symptoms = append(symptoms, placed{a.subject, f})
			} else {
				causes = append(causes, placed{a.subject, f})
			}
		}
	}
	if len(s.Nodes) == 0 && len(s.Targets) == 0 && o.wants(codeNoPod) {
		// No node was asked about, and so none is well.
		r.Results = append(r.Results, Result{
			Code:    codeNoPod,
			Subject: string(OfCluster),
			Outcome: OutcomeUnknown,
			Why:     cmp.Or(s.Unread[snapshot.PartNodes].Message, "the cluster has no nodes"),
		})
	}
	r.Findings, r.Masked = group(causes), group(symptoms)
	r.Chains = chains(subjects, answers)
	return r
}

// sayOnce gives all that is unknown because a node's kubelet has just started that one reason, whatever each check was after.
func sayOnce(answers []*answer) {
	for _, a := range answers {
		if a.outcome == OutcomeUnknown && a.unread.Kind == problem.KubeletStarting {
			a.why = problem.Starting(a.unread.Object).Message
		}
	}
}

// ordered is the snapshot with its lists in the order of names, whatever the order they
// were read in. The snapshot itself stays as it is.
func ordered(s *snapshot.Snapshot) *snapshot.Snapshot {
	o := *s
	o.Nodes, o.Volumes = slices.Clone(s.Nodes), slices.Clone(s.Volumes)
	slices.SortStableFunc(o.Nodes, func(a, b snapshot.Node) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortStableFunc(o.Volumes, func(a, b snapshot.Volume) int { return cmp.Compare(a.Name, b.Name) })
	o.Claims = inOrder(s.Claims, func(a, b snapshot.Claim) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	o.Pods = inOrder(s.Pods, func(a, b snapshot.UserPod) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	o.Events = inOrder(s.Events, func(a, b snapshot.Event) int {
		return cmp.Or(cmp.Compare(a.About.Kind, b.About.Kind), cmp.Compare(a.About.Namespace, b.About.Namespace),
			cmp.Compare(a.About.Name, b.About.Name),
			a.Last.Compare(b.Last), cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Message, b.Message))
	})
	return &o
}

func inOrder[T any](s snapshot.Section[[]T], compare func(a, b T) int) snapshot.Section[[]T] {
	if s.Value != nil {
		list := slices.Clone(*s.Value)
		slices.SortStableFunc(list, compare)
		s.Value = &list
	}
	return s
}

// ask is the only place where a missing part makes a check unknown.
func ask(c Check, s *Subject) *answer {
	a := &answer{subject: s, check: c}
	need := func(ofNode bool) bool {
		for _, n := range c.Needs {
			if why := n.missing(s); n.ofNode() == ofNode && !why.IsZero() {
				a.unknown(why)
				return false
			}
		}
		return true
	}
	if !need(false) {
		return a
	}
	if c.Applies != nil && !c.Applies(s) {
		a.outcome = OutcomeNone
		return a
	}
	if by := s.ofAnother(); by != "" && !c.LastResort {
		a.outcome, a.why = OutcomeNone, fmt.Sprintf("volume %q is of %s, which has rules of its own", s.Volume.Name, by)
		return a
	}
	if !need(true) {
		return a
	}
	v := c.Run(s)
	switch {
	case len(v.Findings) > 0:
		a.outcome = OutcomeFinding
	case !v.Unknown.IsZero():
		a.unknown(v.Unknown)
	case v.NoQuestion != "":
		a.outcome, a.why = OutcomeNone, v.NoQuestion
	default:
		a.outcome = OutcomeOK
	}
	for _, f := range v.Findings {
		a.found = append(a.found, complete(f, c, s))
	}
	a.masked = make([]bool, len(a.found))
	return a
}

// leaveOut drops what is wrong with other directories and classes than those of the chains
// that were asked for, unless the node itself was; and all that is wrong with the provisioner
// where none of them has to do with it.
func leaveOut(answers []*answer, subjects []*Subject) {
	asked := make(map[string]bool)
	var all []*Subject
	chains := make(map[string][]*Subject)
	for _, target := range subjects[0].Snapshot.Targets {
		asked[target.Name] = asked[target.Name] || target.Kind == "node"
	}
	for _, s := range subjects {
		if s.Kind == OfChain {
			chains[s.NodeName], all = append(chains[s.NodeName], s), append(all, s)
		}
	}
	ofNodes := slices.ContainsFunc(subjects[0].Snapshot.Targets, func(r snapshot.Ref) bool { return r.Kind == "node" })
	local := ofNodes || slices.ContainsFunc(all, func(s *Subject) bool { return !s.Unseen.IsZero() || s.ours() })
	for _, a := range answers {
		of := all
		switch {
		case len(a.found) == 0 || a.subject.Kind == OfChain, a.subject.Kind == OfCluster && ofNodes,
			a.subject.Kind == OfNode && asked[a.subject.NodeName]:
			continue
		case a.subject.Kind == OfNode: // A claim that waits could get a volume of any node.
			of = slices.Concat(chains[a.subject.NodeName], chains[""])
		}
		a.found = slices.DeleteFunc(a.found, func(f Finding) bool {
			return !local && a.check.Stage == StageProvisioner || !f.isAbout(of)
		})
		if a.masked = a.masked[:len(a.found)]; len(a.found) == 0 {
			a.outcome, a.why, a.leftOut = OutcomeNone, "it is about directories that were not asked for", true
		}
	}
}

// isAbout reports whether a finding's class or directory is one of the chains'.
func (f Finding) isAbout(chains []*Subject) bool {
	switch {
	case f.class != "":
		return slices.ContainsFunc(chains, func(s *Subject) bool { return s.ClassName == f.class })
	case f.Path != "":
		return slices.ContainsFunc(chains, func(s *Subject) bool { return s.touches(f.Path) })
	}
	return true
}

// complete fills what a check leaves to the engine.
func complete(f Finding, c Check, s *Subject) Finding {
	f.Code, f.stage = c.Code, c.Stage
	f.Severity = cmp.Or(f.Severity, c.Severity)
	if len(f.Objects) == 0 {
		f.Objects = s.refs()
	}
	if len(f.Nodes) == 0 && s.NodeName != "" {
		f.Nodes = []string{s.NodeName}
	}
	f.Fix = s.simulate(s.ofChosen(f.Fix))
	return f
}

// mask hides symptoms: findings that another one about the same chain, about its
// node or about the cluster explains.
func mask(answers []*answer) {
	causes := make(map[Code]reach)
	for _, a := range answers {
		for _, f := range a.found {
			for _, code := range f.Masks {
				if causes[code] == nil {
					causes[code] = make(reach)
				}
				causes[code].add(placed{a.subject, f})
			}
		}
	}
	all := everyCause(answers)
	for _, a := range answers {
		if len(a.found) == 0 {
			continue
		}
		a.outcome, a.why = OutcomeMasked, ""
		if a.check.LastResort {
			if cause := explaining(all, a.subject); cause != "" {
				a.found, a.masked, a.why = nil, nil, "explained by "+string(cause)
				continue
			}
		}
		for i, f := range a.found {
			for cause := range causes[f.Code].over(a.subject) {
				if cause.finding.Code != f.Code && cause.finding.near(f) {
					a.masked[i], a.why = true, "explained by "+string(cause.finding.Code)
					break
				}
			}
			if !a.masked[i] {
				a.outcome = OutcomeFinding
			}
		}
		if a.outcome == OutcomeFinding {
			a.why = ""
		}
	}
}

// everyCause are all findings by what they are about; those of chains by their pod, too, since what keeps one of a pod's
// volumes away keeps the pod.
func everyCause(answers []*answer) reach {
	all := make(reach)
	for _, a := range answers {
		for _, f := range a.found {
			p := placed{a.subject, f}
			all.add(p)
			if a.subject.Pod != nil {
				all[a.subject.Pod] = append(all[a.subject.Pod], p)
			}
		}
	}
	return all
}

// explaining is the code of a finding that explains why the subject waits; empty if none does.
func explaining(all reach, s *Subject) Code {
	keys := []any{s, s.NodeName, OfCluster}
	if s.Pod != nil {
		keys = append(keys, s.Pod, s.Pod.Node)
	}
	for _, key := range keys {
		for _, p := range all[key] {
			if explains(p, s) {
				return p.finding.Code
			}
		}
	}
	return ""
}

// near tells findings that are not of classes or directories apart from each other.
func (f Finding) near(other Finding) bool {
	if f.class != "" && other.class != "" && f.class != other.class {
		return false
	}
	return f.Path == "" || other.Path == "" || within(f.Path, other.Path) || within(other.Path, f.Path)
}

// covers reports whether a finding about one subject can be the cause of one about another.
func covers(of *Subject, f Finding, other *Subject) bool {
	if of.Snapshot != other.Snapshot { // It is another installation's.
		return false
	}
	if f.class != "" && other.ClassName != "" && other.ClassName != f.class {
		return false
	}
	if p := other.place(); f.Path != "" && p != "" && !within(p, f.Path) {
		return false
	}
	switch of.Kind {
	case OfCluster:
		return true
	case OfNode:
		return other.Kind != OfCluster && slices.Contains(f.Nodes, other.NodeName)
	}
	return of == other
}

// reach are findings by the subject or the node that they are about, so that those that
// can cover a subject are found without going through all.
type reach map[any][]placed

func (r reach) add(p placed) {
	switch p.subject.Kind {
	case OfChain:
		r[p.subject] = append(r[p.subject], p)
	case OfNode:
		for _, node := range once(slices.Clone(p.finding.Nodes)) {
			r[node] = append(r[node], p)
		}
	default:
		r[OfCluster] = append(r[OfCluster], p)
	}
}

// over are those that cover a subject.
func (r reach) over(s *Subject) iter.Seq[placed] {
	return func(yield func(placed) bool) {
		for _, key := range []any{s, s.NodeName, OfCluster} {
			for _, p := range r[key] {
				if covers(p.subject, p.finding, s) && !yield(p) {
					return
				}
			}
		}
	}
}

// placed is a finding with what it was found on.
type placed struct {
	subject *Subject
	finding Finding
}

// group makes one finding of the same cause on several subjects, the worst first.
func group(all []placed) []Finding {
	type key struct {
		code             Code
		severity         Severity
		summary, because string
	}
	var order []key
	groups := make(map[key]*Finding)
	for _, p := range all {
		f := p.finding
		k := key{f.Code, f.Severity, f.Summary, f.Because}
		g, ok := groups[k]
		if !ok {
			g = &f
			g.Objects, g.Nodes, g.Evidence = slices.Clone(f.Objects), slices.Clone(f.Nodes), slices.Clone(f.Evidence)
			g.Fix, g.Masks, g.each, g.nodesOf = slices.Clone(f.Fix), slices.Clone(f.Masks), len(f.Fix), make(map[Step][]string)
			groups[k], order = g, append(order, k)
		}
		for _, step := range f.Fix {
			g.nodesOf[step] = append(g.nodesOf[step], f.Nodes...)
		}
		if !ok {
			continue
		}
		g.Objects, g.Nodes = append(g.Objects, f.Objects...), append(g.Nodes, f.Nodes...)
		g.Evidence, g.Fix, g.Masks = append(g.Evidence, f.Evidence...), append(g.Fix, f.Fix...), append(g.Masks, f.Masks...)
		if g.Path != f.Path {
			g.Path = ""
		}
	}
	findings := make([]Finding, 0, len(order))
	for _, k := range order {
		findings = append(findings, groups[k].settled())
	}
	slices.SortStableFunc(findings, func(a, b Finding) int {
		return cmp.Or(
			slices.Index(Severities(), a.Severity)-slices.Index(Severities(), b.Severity),
			slices.Index(Stages(), a.stage)-slices.Index(Stages(), b.stage),
			cmp.Compare(a.Code, b.Code), cmp.Compare(a.Summary, b.Summary),
		)
	})
	return slices.Clip(findings)
}

// once keeps the first of each.
func once[T comparable](all []T) []T {
	have := make(map[T]bool, len(all))
	return slices.DeleteFunc(all, func(one T) bool {
		before := have[one]
		have[one] = true
		return before
	})
}

// settled names the nodes in the texts.
func (f *Finding) settled() Finding {
	f.Objects, f.Nodes, f.Evidence, f.Fix, f.Masks = once(f.Objects), once(f.Nodes), once(f.Evidence), once(f.Fix), once(f.Masks)
	slices.Sort(f.Nodes)
	slices.Sort(f.Masks)
	sentence := enumerate(f.Nodes)
	in := func(text string) string { return strings.ReplaceAll(text, allNodes, sentence) }
	nodesOf := f.nodesOf
	f.nodesOf = nil
	f.Summary, f.Because = in(f.Summary), in(f.Because)
	for i, e := range f.Evidence {
		f.Evidence[i] = in(e)
	}
	for i, step := range f.Fix {
		if nodes := once(slices.Clone(nodesOf[step])); len(nodes) > 0 && len(nodes) < len(f.Nodes) {
			slices.Sort(nodes)
			f.Fix[i] = Step{Text: strings.ReplaceAll(step.Text, allNodes, enumerate(nodes)), Command: naming(step.Command, nodes)}
			continue
		}
		f.Fix[i] = Step{Text: in(step.Text), Command: naming(step.Command, f.Nodes)}
	}
	return *f
}

// naming has the nodes' names where a word of the command stands for them. Where it is only a part of a name its quotes are others.
func naming(command string, nodes []string) string {
	return strings.TrimSuffix(strings.ReplaceAll(command+" ", " "+shell.Word(allNodes)+" ", " "+shell.Word(strings.Join(nodes, ","))+" "), " ")
}

// enumerate lists names as a sentence does; of many, the first few.
func enumerate(names []string) string {
	const few = 4
	switch n := len(names); {
	case n == 0:
		return "its node"
	case n == 1:
		return names[0]
	case n <= few:
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	default:
		return fmt.Sprintf("%s and %d more nodes", strings.Join(names[:few-1], ", "), n-few+1)
	}
}

// explains reports whether a finding is a cause for which a pod or a claim waits: one about a chain of the same pod or claim, or
// one about the node or the cluster that explains such troubles.
func explains(cause placed, s *Subject) bool {
	f, of := cause.finding, cause.subject
	if f.Code == codeWaits || f.Severity != Error {
		return false
	}
	if of.Kind == OfChain {
		return of == s || of.Pod != nil && of.Pod == s.Pod
	}
	symptoms := "TD07"
	if s.Pod == nil || s.Pod.Node == "" {
		symptoms = "TD06" // What a kubelet does not see keeps no pod from being scheduled.
	}
	return covers(of, f, s) && slices.ContainsFunc(f.Masks, func(c Code) bool { return strings.HasPrefix(string(c), symptoms) })
}
