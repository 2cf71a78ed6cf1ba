// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"context"
	"strings"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/talosdisk/kubectl-talosdisk/pkg/observe"
)

// completeTargets completes TYPE/NAME: pods of the namespace that do not run first come
// to mind, but all are offered.
func (s *shared) completeTargets(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	kind, _, named := strings.Cut(toComplete, "/")
	if !named {
		return withPrefix([]string{"pod/", "pvc/", "pv/", "node/"}, toComplete),
			cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
	}
	namespace, _, err := s.Kube.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names := s.completeFromNodes(cmd.Context(), func(ctx context.Context, c *observe.Observer) []string {
		var found []string
		add := func(o metav1.Object) { found = append(found, kind+"/"+o.GetName()) }
		core, options := c.Client.CoreV1(), metav1.ListOptions{Limit: 500}
		switch kind {
		case "pod":
			list, err := core.Pods(namespace).List(ctx, options)
			if err != nil {
				return nil
			}
			for i := range list.Items {
				add(&list.Items[i])
			}
		case "pvc":
			list, err := core.PersistentVolumeClaims(namespace).List(ctx, options)
			if err != nil {
				return nil
			}
			for i := range list.Items {
				add(&list.Items[i])
			}
		case "pv":
			list, err := core.PersistentVolumes().List(ctx, options)
			if err != nil {
				return nil
			}
			for i := range list.Items {
				add(&list.Items[i])
			}
		case "node":
			list, err := core.Nodes().List(ctx, options)
			if err != nil {
				return nil
			}
			for i := range list.Items {
				add(&list.Items[i])
			}
		}
		return found
	})
	return withPrefix(names, toComplete), cobra.ShellCompDirectiveNoFileComp
}
