// SPDX-License-Identifier: Apache-2.0

// Package cmd is the command line: one file per command, from Flags to Options to Run, and errors.go, which turns errors
// into text and exit codes.
//
// It is the only package that imports cobra. What a command does belongs into the rooms it calls.
package cmd

import (
	"bytes"
	"context"
	"errors"
	goflag "flag"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"k8s.io/kubectl/pkg/util/templates"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/internal/version"
	"github.com/talosdisk/kubectl-talosdisk/pkg/output"
)

// name is how people call the program.
const name = "kubectl talosdisk"

// Deps is what the command line needs from outside.
type Deps struct {
	Streams genericiooptions.IOStreams
}

// shared is what every command gets: dependencies and the flags of the root command.
type shared struct {
	genericiooptions.IOStreams
	Kube   *genericclioptions.ConfigFlags
	Colour output.Colour
	// ran is the command that was run, once it has ended.
	ran *cobra.Command
}

// New returns the command tree.
func New(deps Deps) *cobra.Command {
	root, _ := newRoot(deps)
	return root
}

// Execute runs the program with args (without the program's name), reports the error if there is one, and returns the exit code.
func Execute(ctx context.Context, deps Deps, args []string) int {
	root, s := newRoot(deps)
	root.SetArgs(append([]string{}, args...)) // cobra takes nil for os.Args.
	ran, err := root.ExecuteContextC(ctx)
	s.ran = ran
	return s.report(err)
}

// Args returns the arguments of the process's argv. Under the name kubectl_complete-talosdisk, which is what kubectl looks
// for when it completes a plugin's arguments, the program is its own completion.
func Args(argv []string) []string {
	if len(argv) == 0 {
		return nil
	}
	if strings.HasPrefix(filepath.Base(argv[0]), "kubectl_complete-") {
		return append([]string{cobra.ShellCompRequestCmd}, argv[1:]...)
	}
	return argv[1:]
}

func newRoot(deps Deps) (*cobra.Command, *shared) {
	s := &shared{
		IOStreams: output.Filter(deps.Streams),
		Kube:      genericclioptions.NewConfigFlags(true),
	}
	s.Kube.CacheDir = nil // It is for what discovery finds, and nothing here asks for that.
	s.Kube.WrapConfigFn = s.tune

	root := &cobra.Command{
		Use:         "kubectl-talosdisk",
		Annotations: map[string]string{cobra.CommandDisplayNameAnnotation: name},
		Short:       "Local PersistentVolumes on the disks of Talos nodes",
		Long: templates.LongDesc(`
			Local PersistentVolumes on the extra disks of Talos nodes: shows the disks of every node, links them for the
			local volume static provisioner through its pods, lets the kubelets see the links, and says why a pod with
			such a volume does not start.`),
		Example: templates.Examples(`
			# Why does this pod not start?
			kubectl talosdisk doctor pod/nginx-pod

			# The disks of every node, and what uses them
			kubectl talosdisk disks

			# Link two disks on every node, and wait for their PersistentVolumes
			kubectl talosdisk link vdf vdg

			# Let the kubelets see the links
			kubectl talosdisk mounts`),
		Args:                       unknownCommand,
		RunE:                       func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceErrors:              true,
		SilenceUsage:               true,
		SuggestionsMinimumDistance: 2,
		CompletionOptions:          cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.SetIn(s.In)
	root.SetOut(s.Out)
	root.SetErr(s.ErrOut)

	s.Kube.AddFlags(root.PersistentFlags())
	root.PersistentFlags().Var(&s.Colour, "color", "Colour the output: auto, always or never. auto also minds NO_COLOR.")
	s.addLogFlag(root)

	groups := templates.CommandGroups{
		{Message: "Disks:", Commands: []*cobra.Command{
			newDisks(s),
			newLink(s),
			newUnlink(s),
		}},
		{Message: "Layout:", Commands: []*cobra.Command{
			newLayout(s),
			newDiff(s),
			newValues(s),
		}},
		{Message: "Kubelets:", Commands: []*cobra.Command{
			newMounts(s),
		}},
		{Message: "Diagnosis:", Commands: []*cobra.Command{
			newDoctor(s),
			newStatus(s),
			newExplain(s),
		}},
		{Message: "Settings and Help:", Commands: []*cobra.Command{
			newCompletion(s),
			newVersion(s),
		}},
	}
	groups.Add(root)
	root.AddCommand(newOptions(s))
	templates.ActsAsRootCommand(root, []string{"options", "help"}, groups...)
	properlyNamed(root)
	root.SetFlagErrorFunc(usage)
	s.completeFlags(root)
	eachCommand(root, func(cmd *cobra.Command) {
		cmd.DisableFlagsInUseLine = true // kubectl's template says [options].
		if check := cmd.Args; check != nil {
			cmd.Args = func(cmd *cobra.Command, args []string) error { return usage(cmd, check(cmd, args)) }
		}
	})
	return root, s
}

// tune is applied to every client configuration.
func (s *shared) tune(config *rest.Config) *rest.Config {
	// The API server protects itself with priority and fairness; the client's own limit of 5 requests a second would only
	// make a run over many nodes crawl. exec.Each bounds what happens at once.
	config.QPS = -1
	config.UserAgent = "kubectl-talosdisk/" + version.Get().Version
	config.WarningHandler = rest.NewWarningWriter(s.ErrOut, rest.WarningWriterOptions{Deduplicate: true})
	return config
}

// RESTConfig is the cluster and the user that the flags choose. Where nothing chooses a cluster it is an error:
// kubectl's libraries would try localhost:8080 then.
func (s *shared) RESTConfig() (*rest.Config, error) {
	config, err := s.Kube.ToRESTConfig()
	if err != nil {
		return nil, err
	}
	if *s.Kube.APIServer != "" || *s.Kube.ClusterName != "" || config.Host != clientcmd.ClusterDefaults.Server {
		return config, nil
	}
	loader := s.Kube.ToRawKubeConfigLoader()
	raw, err := loader.RawConfig()
	if err != nil {
		return nil, err
	}
	files := loader.ConfigAccess().GetLoadingPrecedence()
	switch {
	case len(raw.Contexts) == 0 && len(raw.Clusters) == 0:
		return nil, failure.New(fmt.Sprintf("no kubeconfig found in %s", strings.Join(files, ", ")),
			"set KUBECONFIG or pass --kubeconfig; for a Talos cluster \"talosctl kubeconfig\" writes one")
	case raw.CurrentContext == "" && *s.Kube.Context == "":
		return nil, failure.New(fmt.Sprintf("no context chosen, and none is current in %s", strings.Join(files, ", ")),
			"pass --context, or choose one with: kubectl config use-context NAME (kubectl config get-contexts lists them)")
	}
	return config, nil
}

// properlyNamed fixes the help of root, in which kubectl's template calls it by its file name.
func properlyNamed(root *cobra.Command) {
	usage := root.UsageFunc()
	root.SetUsageFunc(func(cmd *cobra.Command) error {
		var text bytes.Buffer
		out := cmd.OutOrStderr()
		cmd.SetOut(&text)
		err := usage(cmd)
		cmd.SetOut(out)
		if err != nil {
			return err
		}
		_, err = io.WriteString(out, strings.ReplaceAll(text.String(), root.Name()+" ", name+" "))
		return err
	})
}

// addLogFlag adds -v; klog's other flags are not offered. With -v the libraries log to stderr, through its filter. Without it they log
// nothing: what they log is returned as errors, too.
func (s *shared) addLogFlag(root *cobra.Command) {
	all := goflag.NewFlagSet("", goflag.ContinueOnError)
	klog.InitFlags(all)
	v := all.Lookup("v")
	v.Usage = "Number for the log level verbosity, as kubectl's."
	root.PersistentFlags().AddGoFlag(v)
	root.PersistentPreRunE = func(*cobra.Command, []string) error {
		if !klog.V(1).Enabled() {
			klog.SetLogger(logr.Discard())
			return nil
		}
		// klog's own way to stderr leads past the filter. What is severe is written as INFO, too, so that has everything once.
		for _, severity := range []string{"FATAL", "ERROR", "WARNING"} {
			klog.SetOutputBySeverity(severity, io.Discard)
		}
		klog.SetOutputBySeverity("INFO", s.ErrOut)
		return errors.Join(all.Set("logtostderr", "false"), all.Set("stderrthreshold", "FATAL"))
	}
}

// unknownCommand is the root command's check: any argument that reaches it is a command that does not exist.
func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	text := fmt.Sprintf("unknown command %q", args[0])
	if like := cmd.SuggestionsFor(args[0]); len(like) > 0 {
		text += fmt.Sprintf("; did you mean %q?", strings.Join(like, `" or "`))
	}
	return fmt.Errorf("%s", text)
}

func eachCommand(cmd *cobra.Command, f func(*cobra.Command)) {
	f(cmd)
	for _, c := range cmd.Commands() {
		eachCommand(c, f)
	}
}
