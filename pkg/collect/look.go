// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"context"
	"errors"
	"path"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"

	"github.com/talosdisk/kubectl-talosdisk/pkg/exec"
	"github.com/talosdisk/kubectl-talosdisk/pkg/kube"
	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talos"
)

// look looks at the nodes that belong to what is diagnosed, and reads what was
// reported of it: everything at once.
func (d *diagnosis) look(ctx context.Context) {
	var nodes []*snapshot.Node
	for i := range d.s.Nodes {
		if !d.s.Nodes[i].Aside {
			nodes = append(nodes, &d.s.Nodes[i])
		}
	}
	if d.Pods != nil {
		d.Pods.Targets, d.Pods.Classes = kube.Targets(d.s), d.s.Install.Classes
	}
	var step func()
	if d.Progress != nil && len(nodes) > 0 {
		step = d.Progress(len(nodes))
	}
	about := d.subjects()
	var ways sync.WaitGroup
	down := make(map[string]string) // The nodes are being filled in while logs are read.
	for i := range d.s.Nodes {
		down[d.s.Nodes[i].Name] = d.s.Nodes[i].NotReady
	}
	ways.Go(func() { d.readEvents(ctx, about) })
	ways.Go(func() { d.readLogs(ctx, down) })
	ways.Go(func() {
		exec.Each(ctx, nodes, d.request.Limit, 0, func(ctx context.Context, n *snapshot.Node) error {
			d.lookAt(ctx, n)
			if step != nil {
				step()
			}
			return nil
		})
	})
	ways.Wait()
	for _, n := range nodes {
		if d.s.Events.Value != nil {
			n.KubeletStarted = kubeletStart(n.Name, *d.s.Events.Value)
		}
		n.KubeletStarted = started(*n)
	}
}

// lookAt looks at one node in every way that there is, each in its own time.
func (d *diagnosis) lookAt(ctx context.Context, n *snapshot.Node) {
	was := *n // What is filled in beside does not matter to the others.
	within := func(f func(context.Context)) func() {
		return func() {
			ctx, cancel := exec.WithTimeout(ctx, d.request.Timeout)
			defer cancel()
			f(ctx)
		}
	}
	var ways sync.WaitGroup
	ways.Go(within(func(ctx context.Context) { n.View = d.viewOf(ctx, was) }))
	ways.Go(within(func(ctx context.Context) { n.Talos = d.talosOf(ctx, was) }))
	ways.Go(func() {
		within(func(ctx context.Context) { n.Kubelet = d.kubeletOf(ctx, was) })()
		within(func(ctx context.Context) { n.Kubelet, n.Probe = d.peekOf(ctx, was, n.Kubelet) })()
	})
	ways.Go(within(func(ctx context.Context) { n.Stats = d.statsOf(ctx, was) }))
	ways.Wait()
}

// viewOf is what the node's provisioner pod sees.
func (d *diagnosis) viewOf(ctx context.Context, n snapshot.Node) snapshot.Section[snapshot.PodView] {
	switch {
	case !d.request.Exec || d.Pods == nil:
		return snapshot.Section[snapshot.PodView]{}
	case n.Pod.Value == nil:
		return snapshot.Unread[snapshot.PodView](n.Pod.Why())
	case d.s.Unread[snapshot.PartInstall] != "":
		return snapshot.Unread[snapshot.PodView](d.s.Unread[snapshot.PartInstall])
	}
	entries := closely(d.s, sorted(d.objects.volumes), n.Name)
	return viewOf(d.Pods.Observe(ctx, []string{n.Name}, entries, false, nil)[0])
}

// closely are the entries of the node's volumes, as its provisioner pod sees them: the
// disks behind them are read and opened.
func closely(s *snapshot.Snapshot, volumes []snapshot.Volume, node string) []string {
	var paths []string
	for _, v := range volumes {
		class, ok := s.Install.ClassOf(v.Class)
		if !ok || v.Node != node || path.Dir(v.Path) != class.HostDir {
			continue
		}
		// The script splits words at blanks, and reads patterns.
		if entry := class.EntryPath(path.Base(v.Path)); !strings.ContainsAny(entry, " \t\n*?[]\\") {
			paths = append(paths, entry)
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// talosOf is what the node's Talos API tells of its disks.
func (d *diagnosis) talosOf(ctx context.Context, n snapshot.Node) snapshot.Section[snapshot.Talos] {
	if d.Talos == nil {
		return snapshot.Section[snapshot.Talos]{Problem: d.NoTalos}
	}
	if n.Address == "" {
		return snapshot.Unread[snapshot.Talos](noAddress)
	}
	told, err := d.Talos.Inventory(ctx, n.Name, n.Address)
	if err != nil {
		return unreadTalos[snapshot.Talos](err)
	}
	return snapshot.Read(told)
}

// kubeletOf is what the configuration says of the node's kubelet, and what that sees.
func (d *diagnosis) kubeletOf(ctx context.Context, n snapshot.Node) snapshot.Section[mounts.NodeState] {
	if d.request.Kubelet == nil {
		return snapshot.Section[mounts.NodeState]{Problem: d.NoTalos}
	}
	if n.Address == "" {
		return snapshot.Unread[mounts.NodeState](noAddress)
	}
	volumes := sorted(d.objects.volumes)
	k := kubeletOf(ctx, volumes, n, d.dirs(volumes, n.Name), d.request.Kubelet(n.Name, n.Address))
	if k.Err != nil && !k.State.Version.Known() {
		return unreadTalos[mounts.NodeState](k.Err)
	}
	return snapshot.Read(k.State)
}

// unreadTalos is a section that Talos did not tell, with the kind of the error.
func unreadTalos[T any](err error) snapshot.Section[T] {
	section := snapshot.Unread[T](err.Error())
	var of *talos.Error
	if errors.As(err, &of) {
		section.Kind = string(of.Kind)
	}
	return section
}

const noAddress = "the node's status has no InternalIP to reach Talos by"

// dirs are the directories to look at on a node: the classes', those of its volumes,
// and those that the pods there have of the node.
func (d *diagnosis) dirs(volumes []snapshot.Volume, node string) []string {
	dirs := d.s.Install.HostDirs()
	for _, v := range volumes {
		if v.Node == node {
			dirs = append(dirs, path.Dir(v.Path))
		}
	}
	for _, p := range d.objects.pods {
		for _, v := range p.Volumes {
			if p.Node == node && v.HostPath != "" {
				dirs = append(dirs, path.Dir(path.Clean(v.HostPath)))
			}
		}
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}

// statsOf are the file systems of the claims of the node's pods, if such pods run.
func (d *diagnosis) statsOf(ctx context.Context, n snapshot.Node) snapshot.Section[[]snapshot.VolumeStat] {
	running := false
	for _, p := range d.objects.pods {
		running = running || p.Node == n.Name && p.Phase == string(corev1.PodRunning) && len(claimsOf(p)) > 0
	}
	if !running {
		return snapshot.Section[[]snapshot.VolumeStat]{}
	}
	if n.NotReady != "" { // Its kubelet would have to answer, and one that hangs takes all the time that it is given.
		return snapshot.Unread[[]snapshot.VolumeStat](n.NotReady)
	}
	stats, err := d.readStats(ctx, n.Name)
	if err != nil {
		return snapshot.Unread[[]snapshot.VolumeStat](err.Error())
	}
	// What other pods have is nobody's business.
	stats = slices.DeleteFunc(stats, func(v snapshot.VolumeStat) bool { _, ok := d.objects.pods[key(v.Namespace, v.Pod)]; return !ok })
	return snapshot.Read(stats)
}
