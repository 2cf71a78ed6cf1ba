// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/talosdisk/kubectl-talosdisk/test/lab"
	"github.com/talosdisk/kubectl-talosdisk/test/manifests"
)

const doctorRounds = 15

// doctor compares the diagnosis of a pod whose kubelet does not see its disk, with the
// Talos API, with the first three looks that people take one after the other: at the
// pod, at its claim, and at the links in the provisioner's pod.
func (b *bench) doctor(ctx context.Context) error {
	if err := b.ServeTalos(ctx); err != nil {
		return err
	}
	links, err := b.fallIll(ctx)
	if err != nil {
		return fmt.Errorf("a pod that does not get its disk: %w", err)
	}
	diagnose := contestant{"doctor", func(ctx context.Context) error {
		out, err := b.Output(ctx, "kubectl-talosdisk", "doctor", "pod/reader")
		// It ends with 2 where it has found what is wrong.
		if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == 2 {
			return nil
		}
		if err != nil {
			return err
		}
		return fmt.Errorf("it did not find what is wrong: %s", out)
	}}
	look := contestant{"describe, describe, exec", func(ctx context.Context) error {
		for _, argv := range [][]string{{"kubectl", "describe", "pod", "reader"}, {"kubectl", "describe", "pvc", "raw-claim"}, links} {
			if _, err := b.Output(ctx, argv...); err != nil {
				return err
			}
		}
		return nil
	}}
	return race(ctx, "doctor-vs-describe", doctorRounds, diagnose, look)
}

// fallIll makes the pod, and returns how to look at the links of its node.
func (b *bench) fallIll(ctx context.Context) ([]string, error) {
	if err := b.unlinkAll(ctx); err != nil {
		return nil, err
	}
	p := manifests.Default()
	p.DiscoveryPeriod = time.Second // Now there is to be a volume.
	if err := b.Install(ctx, p); err != nil {
		return nil, err
	}
	if err := b.ours(ctx, []string{"vdb"}); err != nil {
		return nil, err
	}
	claim := manifests.Claim("default", "raw-claim", b.class.Name, corev1.PersistentVolumeBlock, resource.MustParse("10Gi"))
	if err := b.Apply(ctx, claim, manifests.BlockPod("default", "reader", "raw-claim")); err != nil {
		return nil, err
	}
	err := lab.Eventually(ctx, func() error {
		out, err := b.Output(ctx, "kubectl", "get", "events", "--field-selector", "reason=FailedMapVolume", "-o", "name")
		if err == nil && !strings.Contains(out, "event/") {
			err = errors.New("the pod has no event FailedMapVolume")
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	node, err := b.Output(ctx, "kubectl", "get", "pod", "reader", "-o", "jsonpath={.spec.nodeName}")
	if err != nil {
		return nil, err
	}
	pod, err := b.Output(ctx, "kubectl", "-n", b.namespace, "get", "pods", "-l", b.selector, "--field-selector", "spec.nodeName="+node, "-o",
		"name")
	return []string{"kubectl", "-n", b.namespace, "exec", strings.TrimSpace(pod), "--", "ls", "-l", b.class.MountDir}, err
}
