// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"context"
	"path"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/exec"
	"github.com/talosdisk/kubectl-talosdisk/pkg/kube"
	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
	"github.com/talosdisk/kubectl-talosdisk/pkg/nodescript"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
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
		d.Pods.Targets, d.Pods.Classes, d.Pods.Volumes = kube.Targets(d.s), d.s.Install.Classes, nodescript.VolumePaths(d.s)
	}
	d.looks = d.otherLooks()
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
	ways.Go(func() { d.readCleaners(ctx) })
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
	for i, look := range d.looks {
		for name, view := range look.views {
			here := d.s.Others[i].Nodes[name]
			here.View = view
			d.s.Others[i].Nodes[name] = here
		}
	}
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
			ctx, cancel := failure.WithTimeout(ctx, d.request.Timeout)
			defer cancel()
			f(ctx)
		}
	}
	var ways sync.WaitGroup
	ways.Go(func() {
		within(func(ctx context.Context) { n.View = d.viewOf(ctx, d.s, d.Pods, was) })()
		// One after the other: two looks at a disk at the same time would be in each other's way.
		for i := range d.looks {
			within(func(ctx context.Context) { d.looks[i].at(ctx, d, was.Name) })()
		}
	})
	ways.Go(within(func(ctx context.Context) { n.Talos = d.talosOf(ctx, was) }))
	ways.Go(func() {
		within(func(ctx context.Context) { n.Kubelet, n.Selections = d.kubeletOf(ctx, was) })()
		within(func(ctx context.Context) { n.Kubelet, n.Probe = d.probeKubelet(ctx, was, n.Kubelet) })()
	})
	ways.Go(within(func(ctx context.Context) { n.Stats = d.statsOf(ctx, was) }))
	ways.Wait()
}

// otherLook is a look through the pods of a further installation.
type otherLook struct {
	as   *snapshot.Snapshot
	pods *kube.Pods
	mu   sync.Mutex
	// views are what they see, by node.
	views map[string]snapshot.Section[snapshot.PodView]
}

// otherLooks are those of all further installations.
func (d *diagnosis) otherLooks() []*otherLook {
	var all []*otherLook
	for _, as := range d.s.Installations()[1:] {
		look := &otherLook{as: as, views: make(map[string]snapshot.Section[snapshot.PodView])}
		if d.Pods != nil {
			look.pods = &kube.Pods{Executor: d.Pods.Executor, Limit: d.Pods.Limit, Timeout: d.Pods.Timeout, Targets: kube.Targets(as), Classes: as.Install.Classes}
		}
		all = append(all, look)
	}
	return all
}

// at looks at a node.
func (l *otherLook) at(ctx context.Context, d *diagnosis, node string) {
	n, _ := l.as.NodeByName(node)
	view := d.viewOf(ctx, l.as, l.pods, n)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.views[node] = view
}

// viewOf is what the pod of an installation, that of the snapshot, sees on the node.
func (d *diagnosis) viewOf(ctx context.Context, s *snapshot.Snapshot, pods *kube.Pods, n snapshot.Node) snapshot.Section[snapshot.PodView] {
	switch {
	case !d.request.Exec || pods == nil:
		return snapshot.Section[snapshot.PodView]{}
	case n.Pod.Value == nil:
		return snapshot.Unread[snapshot.PodView](n.Pod.Why())
	case !s.Unread[snapshot.PartInstall].IsZero():
		return snapshot.Unread[snapshot.PodView](s.Unread[snapshot.PartInstall])
	}
	entries := closely(s, sorted(d.objects.volumes), n.Name)
	return viewOf(n.Name, pods.Observe(ctx, []string{n.Name}, entries, false, nil)[0])
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
		if v.Identity == nil {
			continue
		}
		// The disk that it was made for may be another one than its link leads to: whether it can be linked again
		// is decided from what is seen of it.
		for _, name := range v.Identity.ByID {
			if !strings.ContainsAny(name, "/ \t\n*?[]\\") {
				paths = append(paths, "/dev/disk/by-id/"+name)
			}
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
		return snapshot.Unread[snapshot.Talos](problem.Text(noAddress))
	}
	told, err := d.Talos.Inventory(ctx, n.Machine())
	if err != nil {
		return snapshot.Unread[snapshot.Talos](problem.From(err))
	}
	return snapshot.Read(told)
}

// kubeletOf is what the configuration says of the node's kubelet, and what that sees; and which disks
// the configuration selects.
func (d *diagnosis) kubeletOf(ctx context.Context, n snapshot.Node) (snapshot.Section[mounts.NodeState], snapshot.Section[[]snapshot.Selection]) {
	if d.request.Kubelet == nil {
		return snapshot.Section[mounts.NodeState]{Problem: d.NoTalos}, snapshot.Section[[]snapshot.Selection]{Problem: d.NoTalos}
	}
	if n.Address == "" {
		return snapshot.Unread[mounts.NodeState](problem.Text(noAddress)), snapshot.Unread[[]snapshot.Selection](problem.Text(noAddress))
	}
	volumes, node := sorted(d.objects.volumes), d.request.Kubelet(n.Machine())
	k := kubeletOf(ctx, volumes, n, d.dirs(volumes, n.Name), node)
	if k.Err != nil && !k.State.Release.Known() {
		return snapshot.Unread[mounts.NodeState](problem.From(k.Err)), snapshot.Unread[[]snapshot.Selection](problem.From(k.Err))
	}
	return snapshot.Read(k.State), k.selections(ctx, node)
}

const noAddress = "the node's status has no InternalIP to reach Talos by"

// dirs are the directories to look at on a node: the classes', those of its volumes,
// and those that the pods there have of the node.
func (d *diagnosis) dirs(volumes []snapshot.Volume, node string) []string {
	dirs := d.hostDirs()
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
		return snapshot.Unread[[]snapshot.VolumeStat](problem.Text(n.NotReady))
	}
	stats, err := d.readStats(ctx, n.Name)
	if err != nil {
		return snapshot.Unread[[]snapshot.VolumeStat](problem.From(err))
	}
	// What other pods have is nobody's business.
	stats = slices.DeleteFunc(stats, func(v snapshot.VolumeStat) bool { _, ok := d.objects.pods[key(v.Namespace, v.Pod)]; return !ok })
	return snapshot.Read(stats)
}
