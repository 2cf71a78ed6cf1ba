// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubectl/pkg/util/templates"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/internal/shell"
	"github.com/talosdisk/kubectl-talosdisk/pkg/change"
	"github.com/talosdisk/kubectl-talosdisk/pkg/layout"
	"github.com/talosdisk/kubectl-talosdisk/pkg/output"
)

// valuesFlags are the flags of values.
type valuesFlags struct {
	commonFlags
	Filename string
	Diff     bool
}

func newValues(s *shared) *cobra.Command {
	flags := &valuesFlags{commonFlags: newCommonFlags()}
	flags.nodes, flags.output = nil, nil // A class has one directory on all its nodes.
	cmd := &cobra.Command{
		Use:   "values -f FILE",
		Short: "Print the provisioner's Helm values that a layout needs",
		Long: templates.LongDesc(`
			Print the values of the provisioner's Helm chart that a layout needs: its classes, and the tolerations for its
			nodes. Classes that are installed and are not in the layout stay as they are. All other values are left to you.
			The commands that install or upgrade the chart are on stderr. Nothing is changed.

			A class whose disks become volumes of Talos shares a directory of the node with others. It always has a
			namePattern, which takes only its own volumes.

			With --diff the installed classes are compared with those of the layout instead. Then the exit code is 0 where
			nothing is to be done, 2 where something is, and 3 where too little is known. What an upgrade cannot change, as a
			StorageClass's reclaimPolicy, is an error before it is tried.

			Needs, in Kubernetes: list daemonsets, nodes, persistentvolumes and storageclasses; in the provisioner's
			namespace get its configmap and list pods. In Talos, if it is asked: os:reader.`),
		Example: templates.Examples(`
			# The values for a layout
			kubectl talosdisk values -f layout.yaml > values.yaml

			# What an upgrade with them would change
			kubectl talosdisk values -f layout.yaml --diff`),
		Args: cobra.NoArgs,
		RunE: runE(flags.run, func([]string) (*valuesOptions, error) { return flags.ToOptions(s) }),
	}
	flags.AddFlags(cmd.Flags())
	return cmd
}

// AddFlags adds the flags of values.
func (f *valuesFlags) AddFlags(fs *pflag.FlagSet) {
	f.commonFlags.AddFlags(fs)
	addLayoutFile(fs, &f.Filename)
	fs.BoolVar(&f.Diff, "diff", f.Diff, "Compare with the installed classes instead of printing the values.")
}

// addLayoutFile adds the flag that names the file of a layout.
func addLayoutFile(fs *pflag.FlagSet, file *string) {
	fs.StringVarP(file, "filename", "f", *file, "The file of the layout. - is standard input.")
}

// layoutFileGiven is an error where a command has no file.
func layoutFileGiven(file string) error {
	if file == "" {
		return failure.New("-f names the file of a layout, and is missing", "kubectl talosdisk layout > layout.yaml writes one")
	}
	return nil
}

// valuesOptions are what values needs to run.
type valuesOptions struct {
	commonOptions
	filename string
	diff     bool
}

// ToOptions checks everything that can be checked without a server or a file.
func (f *valuesFlags) ToOptions(s *shared) (*valuesOptions, error) {
	o := &valuesOptions{filename: f.Filename, diff: f.Diff}
	var err error
	if o.commonOptions, err = f.commonFlags.ToOptions(s); err != nil {
		return nil, err
	}
	return o, layoutFileGiven(f.Filename)
}

func (o *valuesOptions) run(ctx context.Context) error {
	file, _, err := readLayout(o.In, o.filename)
	if err != nil {
		return err
	}
	c, err := o.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.AskTalos(ctx, o.talos); err != nil {
		return err
	}
	s, plan, err := c.LayoutValues(ctx, file)
	if err != nil {
		return err
	}
	o.noteNoTalos(s, "volumes of others are not known, and the patterns of names are narrow")
	o.warnTalos(s)
	if o.diff {
		return errors.Join(o.compare(plan), context.Cause(ctx))
	}
	return errors.Join(o.values(plan), context.Cause(ctx))
}

// values prints the values, and how to use them.
func (o *valuesOptions) values(p layout.ValuesPlan) error {
	if err := valuesError(p); err != nil {
		return err
	}
	if _, err := output.Exact(o.Out).Write(p.Values.YAML()); err != nil {
		return err
	}
	for _, command := range installCommands(p) {
		fmt.Fprintf(o.ErrOut, "  %s\n", command)
	}
	return nil
}

// valuesError is why values that are not safe to use are not printed.
func valuesError(p layout.ValuesPlan) error {
	var parts []failure.Part
	for _, c := range p.Classes {
		if c.Why != "" {
			parts = append(parts, failure.Part{Subject: "class " + c.Name, Err: failure.New(c.Why, "")})
		}
	}
	switch {
	case len(parts) > 0:
		return failure.Several("the provisioner cannot have the classes of the layout", parts)
	case p.Action == change.Skip:
		return failure.New("which values are needed is not known: "+p.Why, "")
	}
	return nil
}

// installCommands install or upgrade the chart with the values, which are in values.yaml.
func installCommands(p layout.ValuesPlan) []string {
	const chart, repository = "local-static-provisioner", "https://kubernetes-sigs.github.io/sig-storage-local-static-provisioner"
	var all []string
	if p.Action == change.Create {
		all = append(all, shell.Command("kubectl", "create", "namespace", p.Namespace),
			shell.Command("kubectl", "label", "namespace", p.Namespace, "pod-security.kubernetes.io/enforce=privileged"))
	}
	words := []string{"helm", "upgrade", "--install", p.Release, chart, "--repo", repository, "--namespace", p.Namespace}
	if p.Chart != "" {
		words = append(words, "--version", p.Chart)
	}
	if p.Action != change.Create {
		words = append(words, "--reset-then-reuse-values")
	}
	return append(all, shell.Command(append(words, "--values", "values.yaml")...))
}

// compare prints what would change.
func (o *valuesOptions) compare(p layout.ValuesPlan) error {
	if err := printTable(o.Out, valuesTable(p)); err != nil {
		return err
	}
	if p.Why != "" {
		o.warn(p.Why)
	}
	switch p.Action {
	case change.Keep:
		return nil
	case change.Skip:
		return exitCode(exitUnknown)
	}
	return exitCode(exitFound)
}

// valuesTable is a row for each class, and for each toleration that is added.
func valuesTable(p layout.ValuesPlan) *metav1.Table {
	t := newTable("What", "Name", "Action", "Changes")
	for _, c := range p.Classes {
		addRow(t, "class", c.Name, string(c.Action), changesOf(c))
	}
	for _, one := range p.Tolerations {
		addRow(t, "toleration", one.Key, string(change.Create), strings.Trim(one.Value+":"+string(one.Effect), ":"))
	}
	return t
}

// changesOf says of a class what changes, or why not.
func changesOf(c layout.ClassPlan) string {
	var fields []string
	for _, f := range c.Fields {
		fields = append(fields, fmt.Sprintf("%s: %s -> %s", f.Field, cmp.Or(f.From, "-"), cmp.Or(f.To, "-")))
	}
	switch {
	case c.Why != "":
		return c.Why
	case c.Kept:
		return "not in the layout, stays as it is"
	}
	return cmp.Or(strings.Join(fields, "; "), "-")
}
