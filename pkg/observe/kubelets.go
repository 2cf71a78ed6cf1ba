// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"context"
	"slices"
	"time"

	"github.com/talosdisk/kubectl-talosdisk/pkg/exec"
	"github.com/talosdisk/kubectl-talosdisk/pkg/machineconfig"
	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talosrelease"
)

// TalosNode is what is asked of one node's Talos API to find out about its kubelet.
type TalosNode interface {
	// Verify fails unless it is proved that the node at the address is the one of Kubernetes.
	Verify(ctx context.Context) error
	Version(ctx context.Context) (string, error)
	Configs(ctx context.Context) (machineconfig.Current, error)
	View(ctx context.Context, dirs []string) (mounts.KubeletView, error)
	// Select tells which of the node's disks selectors match.
	Select(ctx context.Context, selectors []machineconfig.VolumeSelector) ([]snapshot.Selection, error)
}

// Kubelet is one node's kubelet: what the configuration says of it, and what it sees.
type Kubelet struct {
	State mounts.NodeState
	// Configs hold keys and tokens. They are no part of a snapshot.
	Configs machineconfig.Current
	// Err is why the node was not asked, or why its configuration could not be read.
	Err error
}

// Kubelets looks at the kubelets of the snapshot's nodes, at the directories that dirs has for each, at most limit
// at a time and each no longer than timeout. node makes the connection to one.
func Kubelets(ctx context.Context, s *snapshot.Snapshot, limit int, timeout time.Duration, dirs func(snapshot.Node) []string,
	node func(snapshot.Node) TalosNode, done func()) []Kubelet {
	return exec.Each(ctx, s.Nodes, limit, timeout, func(ctx context.Context, n snapshot.Node) Kubelet {
		if done != nil {
			defer done()
		}
		k := kubeletOf(ctx, s.Volumes, n, dirs(n), node(n))
		k.State.Used, k.State.UsedProblem = usedOn(s, n.Name)
		return k
	})
}

// usedOn are the volumes of a node that a pod has mounted, with the pods as
// NAMESPACE/NAME. One without a file system is not mounted.
func usedOn(s *snapshot.Snapshot, node string) (used map[string][]string, why string) {
	if s.Users.Value == nil {
		return nil, s.Users.Why().Message
	}
	used = make(map[string][]string)
	for _, v := range s.Volumes {
		if v.Node != node || v.Mode != provisioner.Filesystem || v.Claim == nil {
			continue
		}
		for _, pod := range (*s.Users.Value)[*v.Claim] {
			used[v.Name] = append(used[v.Name], v.Claim.Namespace+"/"+pod)
		}
	}
	return used, ""
}

// kubeletOf looks at a node's kubelet, at dirs and at what else is of interest there.
func kubeletOf(ctx context.Context, volumes []snapshot.Volume, n snapshot.Node, dirs []string, talos TalosNode) Kubelet {
	k := Kubelet{State: newState(volumes, n)}
	fail := func(err error) Kubelet {
		k.Err = err
		k.State.ConfigProblem, k.State.ViewProblem = problem.From(err), problem.From(err)
		return k
	}
	if err := talos.Verify(ctx); err != nil {
		return fail(err)
	}
	tag, err := talos.Version(ctx)
	if err != nil {
		return fail(err)
	}
	if k.State.Release, err = talosrelease.Parse(tag); err != nil {
		return fail(err)
	}
	k.Configs, err = talos.Configs(ctx)
	if err == nil {
		k.State.StagedDiffers, k.State.Tried = k.Configs.Pending(), k.Configs.Tried(k.State.Release)
		k.State.Settings, err = mounts.ReadSettings(k.Configs.Active)
	}
	if err != nil {
		k.Err, k.State.ConfigProblem = err, problem.From(err)
	}
	view, err := talos.View(ctx, look(k.State, dirs))
	if err != nil {
		k.State.ViewProblem = problem.From(err)
	} else {
		k.State.View = &view
	}
	return k
}

// selections are what the disk selectors of a kubelet's node match.
func (k Kubelet) selections(ctx context.Context, talos TalosNode) snapshot.Section[[]snapshot.Selection] {
	if !k.State.ConfigProblem.IsZero() {
		return snapshot.Unread[[]snapshot.Selection](k.State.ConfigProblem)
	}
	selectors, err := machineconfig.ReadVolumeSelectors(k.Configs.Active)
	if err != nil {
		return snapshot.Unread[[]snapshot.Selection](problem.From(err))
	}
	selections, err := talos.Select(ctx, selectors)
	if err != nil {
		return snapshot.Unread[[]snapshot.Selection](problem.From(err))
	}
	return snapshot.Read(selections)
}

// newState is what Kubernetes tells of a node and its volumes.
func newState(volumes []snapshot.Volume, n snapshot.Node) mounts.NodeState {
	state := mounts.NodeState{Node: n.Name, Address: n.Address, Ready: n.Ready, NotReady: n.NotReady, Volumes: make(map[string]string)}
	for _, v := range volumes {
		if v.Node == n.Name {
			state.Volumes[v.Name] = v.Path
		}
	}
	return state
}

// look are the directories to look at: those that are needed, by themselves and as
// one mount would bring them, and those that the configuration mounts.
func look(n mounts.NodeState, hostDirs []string) []string {
	dirs := slices.Clone(hostDirs)
	if required, err := mounts.Require(n.Release, hostDirs); err == nil {
		dirs = append(dirs, required...)
	}
	for _, m := range n.Settings.ExtraMounts {
		dirs = append(dirs, m.Destination)
	}
	dirs = slices.DeleteFunc(dirs, func(dir string) bool { return len(dir) == 0 || dir[0] != '/' })
	slices.Sort(dirs)
	return slices.Compact(dirs)
}
