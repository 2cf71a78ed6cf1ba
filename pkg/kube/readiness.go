// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
)

// Readiness is the Ready condition of a node as it is now.
func Readiness(ctx context.Context, client Client, node string) (mounts.Readiness, error) {
	n, err := client.CoreV1().Nodes().Get(ctx, node, metav1.GetOptions{})
	if err != nil {
		return mounts.Readiness{}, err
	}
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return mounts.Readiness{
				Ready: c.Status == corev1.ConditionTrue, Why: c.Message, Heartbeat: c.LastHeartbeatTime.String(),
			}, nil
		}
	}
	return mounts.Readiness{Why: "it reports no Ready condition"}, nil
}
