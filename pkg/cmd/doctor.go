// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/kubectl/pkg/util/templates"

	"github.com/talosdisk/kubectl-talosdisk/docs"
	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/cluster"
	"github.com/talosdisk/kubectl-talosdisk/pkg/doctor"
	"github.com/talosdisk/kubectl-talosdisk/pkg/observe"
	"github.com/talosdisk/kubectl-talosdisk/pkg/output"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// doctorFlags are the flags of doctor.
type doctorFlags struct {
	commonFlags
	AllNamespaces bool
	Selector      string
	Short, List   bool
	FailOn        string
	Only, Skip    []string
	Save, From    string
	Probe         bool
}

func newDoctor(s *shared) *cobra.Command {
	flags := &doctorFlags{commonFlags: newCommonFlags(), FailOn: string(doctor.Error)}
	flags.nodes = nil // -l chooses pods here.
	cmd := &cobra.Command{
		Use:   "doctor [TYPE/NAME...]",
		Short: "Say why a pod does not get its disk, and what fixes it",
		Long: templates.LongDesc(`
			Follow the chain from a pod to its disk: claim, volume, the path on the node, the provisioner's pod, and what the
			kubelet really sees. Say which link is broken, by what that is known, and what fixes it. Nothing is changed, and except
			for --probe nothing is made.

			TYPE is pod, pvc, pv or node. Without any, the whole cluster is looked at.

			What could not be looked at is unknown, and never ok. Without a talosconfig the kubelet's view is known from
			events only, or by --probe: that makes a Job in kube-system for each node whose kubelet's mounts Talos does not tell.
			Its pod has the provisioner's image, the node's processes (hostPID) and the capability SYS_PTRACE, runs one fixed
			script that reads, and is deleted at once; it ends by itself if it cannot be.

			Exit code: 0 nothing is wrong; 2 something is, as bad as --fail-on or worse; 3 nothing was found to be wrong, but not
			everything could be looked at; 1 it could not run.

			Needs, in Kubernetes: get or list pods, claims, volumes, storageclasses, nodes, events and daemonsets; get the
			provisioner's configmap and logs; create pods/exec in its namespace. In Talos: os:reader; os:admin for configurations
			and mounts. With --probe, in kube-system: create, list and delete jobs; list and watch pods; get pods/log. What is
			not allowed is said.`),
		Example: templates.Examples(`
			# Why does this pod not start?
			kubectl talosdisk doctor pod/nginx-pod

			# The whole cluster, one line for each cause
			kubectl talosdisk doctor --short

			# What does its kubelet see? Without a talosconfig
			kubectl talosdisk doctor pod/nginx-pod --probe

			# Keep what was seen, to look at it elsewhere
			kubectl talosdisk doctor pod/nginx-pod --save-snapshot nginx.json
			kubectl talosdisk doctor --from-snapshot nginx.json`),
		ValidArgsFunction: s.completeTargets,
		RunE:              runE(flags.run, func(args []string) (*doctorOptions, error) { return flags.ToOptions(s, args) }),
	}
	flags.AddFlags(cmd.Flags())
	must(cmd.RegisterFlagCompletionFunc("fail-on", cobra.FixedCompletions(words(doctor.Severities()), cobra.ShellCompDirectiveNoFileComp)))
	for _, name := range []string{"only", "skip"} {
		must(cmd.RegisterFlagCompletionFunc(name, completeCodes))
	}
	return cmd
}

// AddFlags adds the flags of doctor.
func (f *doctorFlags) AddFlags(fs *pflag.FlagSet) {
	f.commonFlags.AddFlags(fs)
	fs.BoolVarP(&f.AllNamespaces, "all-namespaces", "A", f.AllNamespaces, "With -l: the pods of all namespaces.")
	fs.StringVarP(&f.Selector, "selector", "l", f.Selector, "Diagnose the pods with these labels.")
	fs.BoolVar(&f.Short, "short", f.Short, "One line for each cause.")
	fs.BoolVar(&f.List, "list", f.List, "List the checks, and look at nothing.")
	fs.StringVar(&f.FailOn, "fail-on", f.FailOn, "End with exit code 2 for findings as bad as this, or worse: error, warning or info.")
	fs.StringSliceVar(&f.Only, "only", f.Only, "Only these checks, by code, comma-separated.")
	fs.StringSliceVar(&f.Skip, "skip", f.Skip, "Not these checks, by code, comma-separated.")
	fs.BoolVar(&f.Probe, "probe", f.Probe,
		"Where Talos does not tell what a kubelet sees, look by a Job on its node, in kube-system, and delete it again. Without this nothing is ever made in the cluster.")
	fs.StringVar(&f.Save, "save-snapshot", f.Save, "Write what was seen to a file, too. It holds no secrets.")
	fs.StringVar(&f.From, "from-snapshot", f.From, "Diagnose what such a file holds. No cluster is asked.")
}

// doctorOptions are what doctor needs to run.
type doctorOptions struct {
	commonOptions
	request    observe.Request
	checks     doctor.Options
	failOn     doctor.Severity
	short      bool
	list       bool
	save, from string
	probe      bool
}

// ToOptions checks everything that can be checked without a server.
func (f *doctorFlags) ToOptions(s *shared, args []string) (*doctorOptions, error) {
	o := &doctorOptions{
		short: f.Short, list: f.List, save: f.Save, from: f.From, probe: f.Probe, failOn: doctor.Severity(f.FailOn),
	}
	var err error
	if o.commonOptions, err = f.commonFlags.ToOptions(s); err != nil {
		return nil, err
	}
	if !slices.Contains(doctor.Severities(), o.failOn) {
		return nil, failure.New(fmt.Sprintf("--fail-on: %q is not %s", f.FailOn, strings.Join(words(doctor.Severities()), ", ")), "")
	}
	if o.checks.Only, err = codesOf("--only", f.Only); err != nil {
		return nil, err
	}
	if o.checks.Skip, err = codesOf("--skip", f.Skip); err != nil {
		return nil, err
	}
	switch {
	case f.From != "" && f.Probe:
		return nil, failure.New("--from-snapshot asks no cluster, and --probe makes a Job in one: say one of them", "")
	case f.From != "" && (len(args) > 0 || f.Selector != "" || f.Save != ""):
		return nil, failure.New("--from-snapshot diagnoses what the file holds: targets, -l and --save-snapshot do not go with it", "")
	case f.Selector != "" && len(args) > 0:
		return nil, failure.New("name targets or choose them with -l, not both", "")
	case f.AllNamespaces && len(args) > 0:
		return nil, failure.New("-A goes with -l: a target is in one namespace", "")
	case f.From != "" || f.List:
		return o, nil
	}
	namespace, _, err := s.Kube.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return nil, err
	}
	if o.request.Targets, err = parseTargets(args, namespace); err != nil {
		return nil, err
	}
	if f.Selector != "" {
		if o.request.PodSelector, err = labels.Parse(f.Selector); err != nil {
			return nil, failure.Wrap(err, fmt.Sprintf("--selector: %q is not a label selector", f.Selector), "")
		}
	}
	o.request.PodNamespace, o.request.AllNamespaces = namespace, f.AllNamespaces
	return o, nil
}

// codesOf are codes as explain takes them.
func codesOf(flag string, args []string) ([]doctor.Code, error) {
	var codes []doctor.Code
	for _, a := range args {
		code, err := findCode(a, docs.Codes())
		if err != nil {
			return nil, failure.Wrap(err, flag, failure.Hint(err))
		}
		codes = append(codes, doctor.Code(code))
	}
	return codes, nil
}

// kinds are the words for what can be diagnosed, as kubectl takes them.
var kinds = map[string][]string{
	"pod":  {"pod", "pods", "po"},
	"pvc":  {"pvc", "persistentvolumeclaim", "persistentvolumeclaims"},
	"pv":   {"pv", "persistentvolume", "persistentvolumes"},
	"node": {"node", "nodes", "no"},
}

// parseTargets reads TYPE/NAME..., or TYPE NAME... as kubectl takes it too.
func parseTargets(args []string, namespace string) ([]snapshot.Ref, error) {
	if len(args) > 0 && !strings.Contains(args[0], "/") {
		if len(args) == 1 {
			return nil, failure.New(fmt.Sprintf("%q is not TYPE/NAME", args[0]), "kubectl talosdisk doctor pod/NAME")
		}
		for i, name := range args[1:] {
			if strings.Contains(name, "/") {
				return nil, failure.New(fmt.Sprintf("%q: say either TYPE NAME..., or TYPE/NAME...", name), "")
			}
			args[i+1] = args[0] + "/" + name
		}
		args = args[1:]
	}
	var targets []snapshot.Ref
	for _, arg := range args {
		word, name, ok := strings.Cut(arg, "/")
		if !ok || name == "" || strings.Contains(name, "/") {
			return nil, failure.New(fmt.Sprintf("%q is not TYPE/NAME", arg), "kubectl talosdisk doctor pod/NAME")
		}
		ref := snapshot.Ref{Name: name}
		for kind, all := range kinds {
			if slices.Contains(all, strings.ToLower(word)) {
				ref.Kind = kind
			}
		}
		switch ref.Kind {
		case "":
			return nil, failure.New(fmt.Sprintf("%q cannot be diagnosed", word), "one of pod, pvc, pv and node")
		case "pod", "pvc":
			ref.Namespace = namespace
		}
		if !slices.Contains(targets, ref) {
			targets = append(targets, ref)
		}
	}
	return targets, nil
}

func (o *doctorOptions) run(ctx context.Context) error {
	if o.list {
		return o.printChecks()
	}
	s, err := o.look(ctx)
	if err != nil {
		return err
	}
	if o.save != "" {
		if err := saveSnapshot(o.save, s); err != nil {
			return failure.Wrap(err, "the snapshot was not written", failure.Hint(err))
		}
		o.note(fmt.Sprintf("wrote the snapshot to %q", o.save))
	}
	report, err := cluster.Decided(ctx, func() (doctor.Report, error) { return doctor.Run(s, o.checks), nil })
	if err != nil {
		return err
	}
	if err := o.print(s, report); err != nil {
		return err
	}
	switch {
	case len(report.Missing) > 0:
		return failure.New(fmt.Sprintf("%q is not there", report.Missing[0]), "")
	case report.Problems(o.failOn) > 0:
		return exitCode(exitFound)
	case report.Incomplete():
		return exitCode(exitUnknown)
	}
	return nil
}

// look reads the snapshot from a file, or from the cluster.
func (o *doctorOptions) look(ctx context.Context) (*snapshot.Snapshot, error) {
	if o.from != "" {
		return loadSnapshot(o.In, o.from)
	}
	c, err := o.connectTo(o.provisioner.Namespace)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if err := c.AskTalos(ctx, o.talos); err != nil {
		return nil, err
	}
	return c.Diagnose(ctx, cluster.Diagnosis{Request: o.request, Probe: o.probe})
}

func loadSnapshot(stdin io.Reader, name string) (*snapshot.Snapshot, error) {
	file, err := openFile(stdin, name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	s, err := snapshot.Load(file)
	return s, failure.Wrap(err, fmt.Sprintf("%q", name), failure.Hint(err))
}

// printChecks lists the checks.
func (o *doctorOptions) printChecks() error {
	type check struct {
		Metadata metav1.ObjectMeta `json:"metadata"`
		Title    string            `json:"title"`
		Severity doctor.Severity   `json:"severity"`
		Stage    doctor.Stage      `json:"stage"`
		Needs    []doctor.Need     `json:"needs,omitempty"`
		Uses     []doctor.Need     `json:"uses,omitempty"`
	}
	list := struct {
		metav1.TypeMeta `json:",inline"`
		Items           []check `json:"items"`
	}{TypeMeta: metav1.TypeMeta{APIVersion: output.APIVersion, Kind: "CheckList"}}
	for _, c := range doctor.Checks() {
		list.Items = append(list.Items, check{metav1.ObjectMeta{Name: string(c.Code)}, c.Title, c.Severity, c.Stage, c.Needs, c.Uses})
	}
	return o.printer.Print(o.Out, list, func() *metav1.Table {
		t := newTable("Code", "Severity", "Stage", "Title")
		addWide(t, "Needs", "Uses")
		for _, c := range list.Items {
			addRow(t, c.Metadata.Name, string(c.Severity), string(c.Stage), c.Title, orNone(words(c.Needs)), orNone(words(c.Uses)))
		}
		return t
	})
}
