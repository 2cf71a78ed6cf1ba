// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/enter"
	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/kubelet"
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

// Mount is an extra mount of a kubelet, as in machine.kubelet.extraMounts.
type Mount struct {
	Source      string
	Destination string
	// Options are those of a bind mount; rbind, rslave and rw if there are none.
	Options []string
}

const kubeletTimeout = 30 * time.Second

// Name is the node's name in Kubernetes.
func (n *Node) Name() string { return n.info.Name }

// IP is the node's address in the cluster's network.
func (n *Node) IP() string { return n.info.IP() }

// PID is the node's first process, as the machine counts.
func (n *Node) PID() int { return n.info.PID }

// Root is a directory of the machine that is the node's root. Absolute links
// in it lead astray.
func (n *Node) Root() string { return n.info.Root() }

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

// StopKubelet ends the kubelet and leaves the pods running.
func (n *Node) StopKubelet(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, kubeletTimeout)
	defer cancel()
	if !n.hasKubelet() {
		return nil
	}
	// One that has died already cannot be told to end.
	_, killErr := n.runc(ctx, "kill", kubelet.ContainerID, "TERM")
	err := poll(ctx, func(ctx context.Context) error {
		_, err := n.runc(ctx, "delete", kubelet.ContainerID)
		return err
	})
	if err != nil {
		return fmt.Errorf("node %q: stop the kubelet: %w", n.Name(), errors.Join(err, killErr))
	}
	return nil
}

// StartKubelet starts the kubelet with these extra mounts and no others, and
// returns when the node is ready. A kubelet that runs is stopped before.
func (n *Node) StartKubelet(ctx context.Context, extra ...Mount) error {
	if err := n.StopKubelet(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, kubeletTimeout)
	defer cancel()
	mounts := make([]specs.Mount, 0, len(extra))
	for _, m := range extra {
		if len(m.Options) == 0 {
			m.Options = []string{"rbind", "rslave", "rw"}
		}
		mounts = append(mounts, specs.Mount{Type: "bind", Source: m.Source, Destination: m.Destination, Options: m.Options})
	}
	if err := kubelet.WriteBundle(n.info, mounts); err != nil {
		return fmt.Errorf("node %q: describe the kubelet's container: %w", n.Name(), err)
	}
	log, err := os.OpenFile(n.cluster.dir.Log(n.Name()+"-kubelet"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := n.runcCommand(ctx, "run", "--detach", "--bundle", kubelet.Bundle, kubelet.ContainerID)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("node %q: start the kubelet: %w", n.Name(), err)
	}
	if err := poll(ctx, n.kubeletReady); err != nil {
		return fmt.Errorf("node %q: wait for the kubelet: %w", n.Name(), err)
	}
	return nil
}

// kubeletReady asks the kubelet through the API server, as tests will reach
// it, and then what it reported.
func (n *Node) kubeletReady(ctx context.Context) error {
	if running, err := n.KubeletRunning(ctx); err == nil && !running {
		return permanent{errors.New("it ended")}
	}
	core := n.cluster.kube.CoreV1()
	err := core.RESTClient().Get().Resource("nodes").Name(n.Name()).SubResource("proxy").Suffix("healthz").Do(ctx).Error()
	if err != nil {
		return err
	}
	node, err := core.Nodes().Get(ctx, n.Name(), metav1.GetOptions{})
	if err != nil {
		return err
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			if condition.Status == corev1.ConditionTrue {
				return nil
			}
			return fmt.Errorf("the node is not ready: %s", condition.Message)
		}
	}
	return errors.New("the node has not reported yet")
}

// KubeletRunning tells whether the kubelet's process is there.
func (n *Node) KubeletRunning(ctx context.Context) (bool, error) {
	if !n.hasKubelet() {
		return false, nil
	}
	out, err := n.runc(ctx, "state", kubelet.ContainerID)
	if err != nil {
		return false, err
	}
	var state specs.State
	if err := json.Unmarshal([]byte(out), &state); err != nil {
		return false, fmt.Errorf("node %q: read the state of the kubelet: %w", n.Name(), err)
	}
	return state.Status == specs.StateRunning, nil
}

// hasKubelet tells whether runc knows the container, whatever became of it.
func (n *Node) hasKubelet() bool {
	_, err := os.Stat(filepath.Join(n.Root(), kubelet.RuncRoot, kubelet.ContainerID))
	return err == nil
}

func (n *Node) runcCommand(ctx context.Context, args ...string) *exec.Cmd {
	return n.Command(ctx, append([]string{"runc", "--root", kubelet.RuncRoot}, args...)...)
}

func (n *Node) runc(ctx context.Context, args ...string) (string, error) {
	return n.Exec(ctx, append([]string{"runc", "--root", kubelet.RuncRoot}, args...)...)
}
