// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/enter"
	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/layout"
)

// Node is one node: a set of namespaces with a containerd, a kubelet and disks.
//
// Its root is a small read-only system, its /var an ext4 on /dev/vda, its /dev
// its own. Its kubelet runs in a mount namespace with Talos's mounts: besides
// /dev and what Kubernetes needs it sees /var/mnt, and nothing else of /var.
type Node struct {
	cluster *Cluster
	info    layout.NodeInfo
}

// Name is the node's name in Kubernetes.
func (n *Node) Name() string { return n.info.Name }

// IP is the node's address in the cluster's network.
func (n *Node) IP() string { return n.info.IP() }

// PID is the node's first process, as the machine counts.
func (n *Node) PID() int { return n.info.PID }

// Root is a directory of the machine that is the node's root. Absolute links
// in it lead astray.
func (n *Node) Root() string { return n.info.Root() }

// MachineID is the content of its /etc/machine-id, which its kubelet reports.
func (n *Node) MachineID() (string, error) {
	id, err := os.ReadFile(filepath.Join(n.Root(), "etc", "machine-id"))
	return strings.TrimSpace(string(id)), err
}

// Command returns a command that runs in the node. The context's end ends it.
func (n *Node) Command(ctx context.Context, argv ...string) *exec.Cmd {
	return enter.Node(ctx, n.cluster.clusterd(), n.info, argv...)
}

// Exec runs a command in the node and returns its output; what it says on
// stderr is in the error.
func (n *Node) Exec(ctx context.Context, argv ...string) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd := n.Command(ctx, argv...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		err = fmt.Errorf("node %q: %s: %w", n.Name(), strings.Join(argv, " "), err)
		if text := strings.TrimSpace(stderr.String()); text != "" {
			err = fmt.Errorf("%w: %s", err, text)
		}
		return stdout.String(), err
	}
	return stdout.String(), nil
}

// LoadImage imports an image archive for the node's pods.
func (n *Node) LoadImage(ctx context.Context, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	var output bytes.Buffer
	cmd := n.Command(ctx, "ctr", "--namespace=k8s.io", "images", "import", "-")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = file, &output, &output
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("node %q: import %q: %w: %s", n.Name(), path, err, strings.TrimSpace(output.String()))
	}
	return nil
}
