// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/json"
	apiversion "k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/kubectl/pkg/util/templates"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/internal/version"
	"github.com/talosdisk/kubectl-talosdisk/pkg/output"
)

// versionFlags are the flags of the version command.
type versionFlags struct {
	ClientOnly bool
	Format     string
}

// versionOptions are what the version command needs to run.
type versionOptions struct {
	clientOnly bool
	printer    *output.Printer
}

// versionInfo is what version -o prints.
type versionInfo struct {
	metav1.TypeMeta `json:",inline"`
	Client          version.Info     `json:"client"`
	Server          *apiversion.Info `json:"server,omitempty"`
}

func newVersion(s *shared) *cobra.Command {
	flags := &versionFlags{}
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the versions of this program and of the API server",
		Long:  "Print the versions of this program and of the API server. With --client no server is asked.",
		Example: templates.Examples(`
			# Print both versions
			kubectl talosdisk version

			# Print only this program's, for a bug report
			kubectl talosdisk version --client -o yaml`),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			options, err := flags.ToOptions()
			if err != nil {
				return usage(cmd, err)
			}
			return options.run(cmd.Context(), s)
		},
	}
	cmd.Flags().BoolVar(&flags.ClientOnly, "client", flags.ClientOnly, "Only print this program's version; no server is asked.")
	cmd.Flags().StringVarP(&flags.Format, "output", "o", flags.Format, "Output format. One of: (json, yaml).")
	return cmd
}

// ToOptions checks the flags.
func (f *versionFlags) ToOptions() (*versionOptions, error) {
	switch f.Format {
	case "", "json", "yaml":
	default:
		return nil, failure.New(fmt.Sprintf("--output: %q is not json or yaml", f.Format), "")
	}
	printer, err := (&output.Flags{Format: f.Format}).ToPrinter()
	return &versionOptions{clientOnly: f.ClientOnly, printer: printer}, err
}

// run prints what is known, even if the server cannot be reached.
func (o *versionOptions) run(ctx context.Context, s *shared) error {
	info := versionInfo{
		TypeMeta: metav1.TypeMeta{APIVersion: output.APIVersion, Kind: "VersionInfo"},
		Client:   version.Get(),
	}
	var failed error
	if !o.clientOnly {
		info.Server, failed = serverVersion(ctx, s)
	}
	if err := o.print(s, info); err != nil {
		return err
	}
	return failed
}

func (o *versionOptions) print(s *shared, info versionInfo) error {
	if !o.printer.IsTable() {
		return o.printer.Print(s.Out, info, nil)
	}
	_, err := fmt.Fprintf(s.Out, "Client Version: %s\n", info.Client.Version)
	if err == nil && info.Server != nil {
		_, err = fmt.Fprintf(s.Out, "Server Version: %s\n", info.Server.GitVersion)
	}
	return err
}

func serverVersion(ctx context.Context, s *shared) (*apiversion.Info, error) {
	config, err := s.RESTConfig()
	if err != nil {
		return nil, err
	}
	config = rest.CopyConfig(config)
	config.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	client, err := rest.UnversionedRESTClientFor(config)
	if err != nil {
		return nil, err
	}
	body, err := client.Get().AbsPath("/version").Do(ctx).Raw()
	if err != nil {
		return nil, err
	}
	info := &apiversion.Info{}
	if err := json.Unmarshal(body, info); err != nil {
		return nil, failure.Wrap(err, "cannot understand the server's version", "")
	}
	return info, nil
}
