// SPDX-License-Identifier: Apache-2.0

package cluster

import (
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

	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/kubelet"
	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/poll"
)

// Mount is an extra mount of a kubelet, as in machine.kubelet.extraMounts.
type Mount struct {
	Source      string
	Destination string
	// Options are those of a bind mount; rbind, rslave and rw if there are none.
	Options []string
}

// Container is what a kubelet runs in.
type Container struct {
	// Talos is the release whose mounts it has, such as v1.9.5; one of the latest
	// v1.13 if it is empty.
	Talos string
	// ExtraMounts come after the release's own, in their order, and are handed to
	// runc as they are.
	ExtraMounts []specs.Mount
}

func (c Container) release() (kubelet.Release, error) {
	if c.Talos == "" {
		return kubelet.Latest, nil
	}
	return kubelet.ParseRelease(c.Talos)
}

// RuntimeError is why runc did not start a kubelet, in its own words.
type RuntimeError string

func (e RuntimeError) Error() string { return string(e) }

const kubeletTimeout = 30 * time.Second

// uncut bounds what is done to a kubelet's container once it has begun. The end of ctx does not cut it off: a kubelet that was
// sent its signal, or that is being started, looks like one that runs, for a moment.
func uncut(ctx context.Context) (context.Context, context.CancelFunc, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), kubeletTimeout)
	return bounded, cancel, nil
}

// StopKubelet ends the kubelet and leaves the pods running.
func (n *Node) StopKubelet(ctx context.Context) error {
	if !n.hasKubelet() {
		return nil
	}
	ctx, cancel, err := uncut(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	// One that has died already cannot be told to end.
	_, killErr := n.runc(ctx, "kill", kubelet.ContainerID, "TERM")
	err = poll.Until(ctx, func(ctx context.Context) error {
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
	var container Container
	for _, m := range extra {
		if len(m.Options) == 0 {
			m.Options = []string{"rbind", "rslave", "rw"}
		}
		container.ExtraMounts = append(container.ExtraMounts,
			specs.Mount{Type: "bind", Source: m.Source, Destination: m.Destination, Options: m.Options})
	}
	if err := n.LaunchKubelet(ctx, container); err != nil {
		return err
	}
	return n.WaitKubelet(ctx)
}

// LaunchKubelet starts the kubelet and returns when its process runs; how long
// that lives, and what it can do, is not its business. A kubelet that runs is
// stopped before. A RuntimeError is in the error if runc refused.
func (n *Node) LaunchKubelet(ctx context.Context, container Container) error {
	release, err := container.release()
	if err != nil {
		return err
	}
	if err := n.StopKubelet(ctx); err != nil {
		return err
	}
	ctx, cancel, err := uncut(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	if err := kubelet.WriteBundle(n.info, release, container.ExtraMounts); err != nil {
		return fmt.Errorf("node %q: describe the kubelet's container: %w", n.Name(), err)
	}
	log, err := os.OpenFile(n.cluster.dir.Log(n.Name()+"-kubelet"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	// Its stderr becomes the kubelet's, so what runc says has a file of its own.
	cmd := n.runcCommand(ctx, "--log", kubelet.RuncLog, "--log-format", "json",
		"run", "--detach", "--bundle", kubelet.Bundle, kubelet.ContainerID)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Run(); err != nil {
		if said := n.runcError(); said != "" {
			err = RuntimeError(said)
		}
		return fmt.Errorf("node %q: start the kubelet: %w", n.Name(), err)
	}
	return nil
}

// runcError is the last error that runc logged when it started the kubelet.
func (n *Node) runcError() string {
	data, err := os.ReadFile(filepath.Join(n.Root(), kubelet.RuncLog))
	if err != nil {
		return ""
	}
	var last string
	for line := range strings.Lines(string(data)) {
		var entry struct{ Level, Msg string }
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Level == "error" {
			last = entry.Msg
		}
	}
	return last
}

// WaitKubelet returns when the node is ready, and its kubelet is reached through
// the API server, as tests will reach it.
func (n *Node) WaitKubelet(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, kubeletTimeout)
	defer cancel()
	if err := poll.Until(ctx, n.kubeletReady); err != nil {
		return fmt.Errorf("node %q: wait for the kubelet: %w", n.Name(), err)
	}
	return nil
}

func (n *Node) kubeletReady(ctx context.Context) error {
	if running, err := n.KubeletRunning(ctx); err == nil && !running {
		return poll.Permanent{Err: errors.New("it ended")}
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

// KubeletRunning reports whether the kubelet's process is there.
func (n *Node) KubeletRunning(ctx context.Context) (bool, error) {
	pid, err := n.KubeletPID(ctx)
	return pid > 0, err
}

// KubeletPID is the kubelet's process as the node counts; 0 if there is none.
func (n *Node) KubeletPID(ctx context.Context) (int, error) {
	if !n.hasKubelet() {
		return 0, nil
	}
	out, err := n.runc(ctx, "state", kubelet.ContainerID)
	if err != nil {
		return 0, err
	}
	var state specs.State
	if err := json.Unmarshal([]byte(out), &state); err != nil {
		return 0, fmt.Errorf("node %q: read the state of the kubelet: %w", n.Name(), err)
	}
	if state.Status != specs.StateRunning {
		return 0, nil
	}
	return state.Pid, nil
}

// KubeletIn is KubeletPID, but 0 also if the kubelet was started in another
// container than this.
func (n *Node) KubeletIn(ctx context.Context, container Container) (int, error) {
	release, err := container.release()
	if err != nil {
		return 0, err
	}
	same, err := kubelet.Wrote(n.info, release, container.ExtraMounts)
	if err != nil || !same {
		return 0, err
	}
	return n.KubeletPID(ctx)
}

// hasKubelet reports whether runc knows the container, whatever became of it.
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
