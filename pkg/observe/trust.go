// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/internal/shell"
	"github.com/talosdisk/kubectl-talosdisk/pkg/kubeletprobe"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
)

// privileged is the Pod Security level under which pods have the node.
const privileged = "privileged"

// vouchedFor reports whether what a DaemonSet says, or runs, may lead to a change. What one is recognised by proves nothing:
// anybody who may make a DaemonSet in any namespace can make it look like the provisioner. So the user has named the
// namespace, or the namespace is one where pods have the node anyway, which an administrator decided. A DaemonSet's name alone
// can be taken in another namespace.
func vouchedFor(named bool, namespace, level string) bool {
	return named || namespace == kubeletprobe.Namespace || level == privileged
}

// trust fails unless somebody vouches for the provisioner.
func (c *Observer) trust(ctx context.Context, r Request, i provisioner.Install) error {
	if vouchedFor(r.Namespace != "", i.Namespace, "") {
		return nil
	}
	namespace, err := c.Client.CoreV1().Namespaces().Get(ctx, i.Namespace, metav1.GetOptions{})
	if err != nil {
		return err
	}
	level := namespace.Labels[labelPodSecurity]
	if vouchedFor(false, i.Namespace, level) {
		return nil
	}
	says := "has no label " + labelPodSecurity
	if level != "" {
		says = fmt.Sprintf("enforces the Pod Security level %q", level)
	}
	return failure.New(
		fmt.Sprintf("DaemonSet %q is not known to be the provisioner's: namespace %q %s, and in a namespace without %q anybody who may make a DaemonSet can make one that looks like it",
			key(i.Namespace, i.Name), i.Namespace, says, privileged),
		fmt.Sprintf("if it is yours, name its namespace: %s", shell.Command("--provisioner-namespace", i.Namespace)))
}

// Find is the one installation that there is, or that was asked for. Its classes are not read.
func (c *Observer) Find(ctx context.Context, r Request) (provisioner.Install, error) {
	found, err := c.installationsIn(ctx, r.Namespace)
	if err == nil {
		found, err = chooseFrom(found, r)
	}
	if err != nil {
		return provisioner.Install{}, err
	}
	return found[0].install, nil
}
