// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"context"
	"path"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/exec"
	"github.com/talosdisk/kubectl-talosdisk/pkg/kube"
	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
	"github.com/talosdisk/kubectl-talosdisk/pkg/nodescript"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// look looks at the nodes that belong to what is observed, and reads what was
// reported of it: everything at once. The error is that no pod may be looked through, where the request is strict.
func (d *observation) look(ctx context.Context) error {
	r := d.request
	if r.wants(TalosInventory | KubeletMounts) {
		d.s.NoTalos = d.NoTalos
	}
	var nodes []*snapshot.Node
	for i := range d.s.Nodes {
		if r.wants(PodViews|TalosInventory|KubeletMounts|VolumeStats) && !d.s.Nodes[i].Skipped {
			nodes = append(nodes, &d.s.Nodes[i])
		}
	}
	looks := d.podLooks()
	// A run that is to act looks through pods, and counts those.
	counts := func(n *snapshot.Node) bool { return !r.Strict || n.Pod.Value != nil }
	step := func() {}
	if counted := slices.DeleteFunc(slices.Clone(nodes), func(n *snapshot.Node) bool { return !counts(n) }); d.Progress != nil &&
		len(counted) > 0 {
		step = d.Progress(len(counted))
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var ways sync.WaitGroup
	if r.wants(Events) {
		about := d.subjects()
		ways.Go(func() { d.readEvents(ctx, about) })
	}
	if r.wants(Logs) {
		down := make(map[string]string) // The nodes are being filled in while logs are read.
		for i := range d.s.Nodes {
			down[d.s.Nodes[i].Name] = d.s.Nodes[i].NotReady
		}
		ways.Go(func() { d.readLogs(ctx, down) })
	}
	if r.wants(CleaningJobs) {
		ways.Go(func() { d.readCleaners(ctx) })
	}
	ways.Go(func() {
		exec.Each(ctx, nodes, d.Limit, 0, func(ctx context.Context, n *snapshot.Node) error {
			if err := d.lookAt(ctx, n, looks); err != nil {
				stop(err)
			}
			if counts(n) {
				step()
			}
			return nil
		})
	})
	ways.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	for i, look := range looks[min(1, len(looks)):] {
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
	return nil
}

// lookAt looks at one node in every way that is asked for, each in its own time.
func (d *observation) lookAt(ctx context.Context, n *snapshot.Node, looks []*podLook) (refused error) {
	r, was := d.request, *n // What is filled in beside does not matter to the others.
	within := func(f func(context.Context)) {
		ctx, cancel := failure.WithTimeout(ctx, d.Timeout)
		defer cancel()
		f(ctx)
	}
	var ways sync.WaitGroup
	ways.Go(func() {
		// One after the other: two looks at a disk at the same time would be in each other's way.
		read := false
		for i, look := range looks {
			within(func(ctx context.Context) {
				view, err := look.at(ctx, d, was.Name, read)
				if i == 0 {
					n.View, refused = view, d.strictly(err)
				}
			})
			read = read || look.has(was.Name)
		}
	})
	if r.wants(TalosInventory) {
		ways.Go(func() { within(func(ctx context.Context) { n.Talos = d.talosOf(ctx, was) }) })
	}
	if r.wants(KubeletMounts) {
		ways.Go(func() {
			within(func(ctx context.Context) { n.Kubelet, n.Selections = d.kubeletOf(ctx, was) })
			within(func(ctx context.Context) { n.Kubelet, n.Probe = d.probeKubelet(ctx, was, n.Kubelet) })
		})
	}
	if r.wants(VolumeStats) {
		ways.Go(func() { within(func(ctx context.Context) { n.Stats = d.statsOf(ctx, was) }) })
	}
	ways.Wait()
	return refused
}

// podLook is a look through the pods of one installation.
type podLook struct {
	// as is the snapshot as the installation has it, and stays as it is while the nodes are looked at.
	as   *snapshot.Snapshot
	pods *kube.Pods
	// nodes are those of as, by name.
	nodes map[string]snapshot.Node
	// follow keeps the sessions open for the steps that follow.
	follow bool

	mu sync.Mutex
	// views are what they see, by node.
	views map[string]snapshot.Section[snapshot.PodView]
}

// podLooks are those of all installations, in their order; none if pods are not asked.
func (d *observation) podLooks() []*podLook {
	if d.Pods == nil || !d.request.wants(PodViews) {
		return nil
	}
	var all []*podLook
	for i, as := range d.s.Installations() {
		look := &podLook{
			as:    as,
			pods:  d.Pods,
			nodes: make(map[string]snapshot.Node, len(as.Nodes)),
			views: make(map[string]snapshot.Section[snapshot.PodView]),
		}
		if i > 0 {
			look.pods = &kube.Pods{Executor: d.Pods.Executor, Limit: d.Pods.Limit, Timeout: d.Pods.Timeout}
		}
		look.pods.Targets, look.pods.Classes, look.pods.Volumes = kube.Targets(as), as.Install.Classes, nil
		if i == 0 {
			look.follow = d.request.StepsFollow && len(look.pods.Targets) <= kube.MaxSessions
			if d.request.wants(VolumePaths) {
				look.pods.Volumes = nodescript.VolumePaths(as)
			}
		}
		for _, n := range as.Nodes {
			look.nodes[n.Name] = n
		}
		all = append(all, look)
	}
	return all
}

// has reports whether there is a pod to look through on a node.
func (l *podLook) has(node string) bool { return l.nodes[node].Pod.Value != nil }

// at looks at a node. read: the disks that the request names are read already. The error is that looking is not allowed.
func (l *podLook) at(ctx context.Context, d *observation, node string, read bool) (snapshot.Section[snapshot.PodView], error) {
	var closely []string
	if !read {
		closely = slices.Clone(d.request.Closely)
	}
	if d.request.wants(VolumeDisks) {
		closely = append(closely, volumeDisks(l.as, sorted(d.objects.volumes), node)...)
	}
	view, err := l.view(ctx, l.nodes[node], closely)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.views[node] = view
	return view, err
}

// view is what the installation's pod sees on a node.
func (l *podLook) view(ctx context.Context, n snapshot.Node, closely []string) (snapshot.Section[snapshot.PodView], error) {
	if n.Pod.Value == nil {
		return snapshot.Unread[snapshot.PodView](n.Pod.Why()), nil
	}
	if why := l.as.Unread[snapshot.PartInstall]; !why.IsZero() {
		return snapshot.Unread[snapshot.PodView](why), nil
	}
	answer := l.pods.Observe(ctx, []string{n.Name}, closely, l.follow, nil)[0]
	if answer.NotStarted && apierrors.IsForbidden(answer.Err) {
		return viewOf(n.Name, answer), answer.Err
	}
	return viewOf(n.Name, answer), nil
}

// volumeDisks are the entries of the node's volumes, as its provisioner pod sees them: the
// disks behind them are read and opened.
func volumeDisks(s *snapshot.Snapshot, volumes []snapshot.Volume, node string) []string {
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
func (d *observation) talosOf(ctx context.Context, n snapshot.Node) snapshot.Section[snapshot.Talos] {
	switch {
	case d.Talos == nil:
		return snapshot.Section[snapshot.Talos]{Problem: d.NoTalos}
	case n.Pod.Value == nil && !d.request.WithoutPod:
		return snapshot.Section[snapshot.Talos]{}
	}
	if n.Address == "" {
		return snapshot.Unread[snapshot.Talos](problem.Text(noAddress))
	}
	inventory, err := d.Talos.Inventory(ctx, n.Machine())
	if err != nil {
		return snapshot.Unread[snapshot.Talos](problem.From(err))
	}
	return snapshot.Read(inventory)
}

// kubeletOf is what the configuration says of the node's kubelet, and what that sees; and which disks
// the configuration selects.
func (d *observation) kubeletOf(ctx context.Context,
	n snapshot.Node) (snapshot.Section[mounts.NodeState], snapshot.Section[[]snapshot.Selection]) {
	if d.Kubelet == nil {
		return snapshot.Section[mounts.NodeState]{Problem: d.NoTalos}, snapshot.Section[[]snapshot.Selection]{Problem: d.NoTalos}
	}
	if n.Address == "" {
		return snapshot.Unread[mounts.NodeState](problem.Text(noAddress)), snapshot.Unread[[]snapshot.Selection](problem.Text(noAddress))
	}
	volumes, node := sorted(d.objects.volumes), d.Kubelet(n.Machine())
	k := kubeletOf(ctx, volumes, n, d.dirs(volumes, n.Name), node)
	if k.Err != nil && !k.State.Release.Known() {
		return snapshot.Unread[mounts.NodeState](problem.From(k.Err)), snapshot.Unread[[]snapshot.Selection](problem.From(k.Err))
	}
	return snapshot.Read(k.State), k.selections(ctx, node)
}

const noAddress = "the node's status has no InternalIP to reach Talos by"

// dirs are the directories to look at on a node: the classes', those of its volumes,
// and those that the pods there have of the node.
func (d *observation) dirs(volumes []snapshot.Volume, node string) []string {
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
func (d *observation) statsOf(ctx context.Context, n snapshot.Node) snapshot.Section[[]snapshot.VolumeStat] {
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
