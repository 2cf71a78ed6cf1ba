// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"context"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/kubectl/pkg/util/templates"

	"github.com/talosdisk/kubectl-talosdisk/pkg/output"
)

// completionDeadline is how long a person who pressed Tab waits for the cluster. To look at the disks of a few nodes
// takes about a second, and longer where the API server is far away.
const completionDeadline = 4 * time.Second

func newCompletion(s *shared) *cobra.Command {
	return &cobra.Command{
		Use:   "completion",
		Short: "Explain how to get shell completion",
		Long: templates.LongDesc(`
			Explain how to get shell completion. kubectl completes a plugin's arguments by running a program called
			kubectl_complete-talosdisk; this program is that program when it is called by that name.`),
		Example: templates.Examples(`
			# How to get shell completion
			kubectl talosdisk completion

			# Get it, with the link beside the program itself
			ln -s "$(command -v kubectl-talosdisk)" "$(dirname "$(command -v kubectl-talosdisk)")/kubectl_complete-talosdisk"`),
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := io.WriteString(s.Out, completionText)
			return err
		},
	}
}

const completionText = `kubectl (1.26 and later) completes a plugin's arguments by running "kubectl_complete-talosdisk" from PATH. Make it a link to
the plugin itself, in any directory on PATH:

    ln -s "$(command -v kubectl-talosdisk)" "$(dirname "$(command -v kubectl-talosdisk)")/kubectl_complete-talosdisk"

kubectl's own completion must be loaded too:

    source <(kubectl completion bash)     # or zsh; "kubectl completion --help" has the rest

Then "kubectl talosdisk <Tab>" works.
`

type completionFunc = cobra.CompletionFunc

// completeFlags completes the flags that many commands have.
func (s *shared) completeFlags(root *cobra.Command) {
	choices := map[string]completionFunc{
		"output":                cobra.FixedCompletions(output.Formats(), cobra.ShellCompDirectiveNoFileComp),
		"color":                 cobra.FixedCompletions(output.Colours(), cobra.ShellCompDirectiveNoFileComp),
		"nodes":                 s.completeNodes,
		"namespace":             s.completeNamespaces,
		"provisioner-namespace": s.completeNamespaces,
		"context":               s.completeKubeconfig(func(c api.Config) []string { return slices.Collect(maps.Keys(c.Contexts)) }),
		"cluster":               s.completeKubeconfig(func(c api.Config) []string { return slices.Collect(maps.Keys(c.Clusters)) }),
		"user":                  s.completeKubeconfig(func(c api.Config) []string { return slices.Collect(maps.Keys(c.AuthInfos)) }),
	}
	choicesOf := map[string]map[string]completionFunc{
		"version": {"output": cobra.FixedCompletions([]string{"json", "yaml"}, cobra.ShellCompDirectiveNoFileComp)},
	}
	eachCommand(root, func(cmd *cobra.Command) {
		for flag, f := range choices {
			if own := choicesOf[cmd.Name()][flag]; own != nil {
				f = own
			}
			if _, taken := cmd.GetFlagCompletionFunc(flag); !taken &&
				(cmd.Flags().Lookup(flag) != nil || cmd.PersistentFlags().Lookup(flag) != nil) {
				_ = cmd.RegisterFlagCompletionFunc(flag, f) // It fails only for a flag that is not there or taken.
			}
		}
	})
}

// completeNodes completes the last of comma-separated node names.
func (s *shared) completeNodes(cmd *cobra.Command, _ []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	before := toComplete[:strings.LastIndex(toComplete, ",")+1]
	names := s.completeNames(cmd.Context(), schema.GroupVersionResource{Version: "v1", Resource: "nodes"},
		strings.TrimPrefix(toComplete, before))
	for i := range names {
		names[i] = before + names[i]
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func (s *shared) completeNamespaces(cmd *cobra.Command, _ []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	return s.completeNames(cmd.Context(), schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}, toComplete),
		cobra.ShellCompDirectiveNoFileComp
}

// completeNames lists the names of cluster-scoped objects that begin with prefix. Whatever goes wrong, it is silent and
// returns within completionDeadline.
func (s *shared) completeNames(ctx context.Context, resource schema.GroupVersionResource, prefix string) []string {
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completionDeadline)
	defer cancel()
	// In a goroutine, because a credential plugin that hangs does not look at the context.
	found := make(chan []string, 1)
	go func() {
		names, err := s.names(ctx, resource)
		if err != nil {
			names = nil
		}
		found <- names
	}()
	select {
	case names := <-found:
		return withPrefix(names, prefix)
	case <-ctx.Done():
		return nil
	}
}

func (s *shared) names(ctx context.Context, resource schema.GroupVersionResource) ([]string, error) {
	config, err := s.RESTConfig()
	if err != nil {
		return nil, err
	}
	config = rest.CopyConfig(config)
	config.WarningHandler = rest.NoWarnings{}
	if config.ExecProvider != nil {
		provider := config.ExecProvider.DeepCopy()
		provider.InteractiveMode = api.NeverExecInteractiveMode
		config.ExecProvider = provider
	}
	client, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	list, err := client.Resource(resource).List(ctx, metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(list.Items))
	for _, item := range list.Items {
		names = append(names, item.Name)
	}
	return names, nil
}

// completeKubeconfig completes what the kubeconfig knows.
func (s *shared) completeKubeconfig(names func(api.Config) []string) completionFunc {
	return func(_ *cobra.Command, _ []string, toComplete string) ([]string, cobra.ShellCompDirective) {
		config, err := s.Kube.ToRawKubeConfigLoader().RawConfig()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return withPrefix(names(config), toComplete), cobra.ShellCompDirectiveNoFileComp
	}
}

func withPrefix(names []string, prefix string) []string {
	names = slices.DeleteFunc(names, func(name string) bool { return !strings.HasPrefix(name, prefix) })
	slices.Sort(names)
	return names
}
