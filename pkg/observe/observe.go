// SPDX-License-Identifier: Apache-2.0

// Package observe fills snapshots: it reads Kubernetes, and looks at nodes through
// their provisioner pods and their Talos API. It decides nothing, and changes nothing.
package observe

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/internal/shell"
	"github.com/talosdisk/kubectl-talosdisk/pkg/exec"
	"github.com/talosdisk/kubectl-talosdisk/pkg/kube"
	"github.com/talosdisk/kubectl-talosdisk/pkg/nodescript"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// Collector observes one cluster.
type Collector struct {
	Client kube.Client
	// Pods are how nodes are looked at; Observe finds out which they are.
	Pods *kube.Pods
	// Talos, if set, is asked about every node that is looked at, beside its pod. If
	// it is not set where it would be asked, NoTalos says why.
	Talos   Talos
	NoTalos problem.Problem
	// Progress, if set, is called with the number of nodes to look at, and what
	// it returns after each. It must be safe to call from several goroutines.
	Progress func(nodes int) (step func())
}

// Talos is the Talos API of a cluster. It is called from several goroutines.
type Talos interface {
	// Inventory asks a node about its disks. An error means that nothing could be read.
	Inventory(ctx context.Context, machine snapshot.Machine) (snapshot.Talos, error)
}

// Request is what to observe.
type Request struct {
	// Nodes are names and globs; empty: all.
	Nodes []string
	// Selector chooses nodes too.
	Selector labels.Selector
	// Namespace and DaemonSet of the provisioner; empty: to be found.
	Namespace, DaemonSet string
	// Closely are the disks to read and open, as nodescript.Look takes them.
	Closely []string
	// StepsFollow tells that the nodes will be asked to do something.
	StepsFollow bool
	// Podless asks Talos about the nodes too that have no provisioner pod.
	Podless bool
	// WithoutNodes asks no node.
	WithoutNodes bool
	// Users asks which pods use the claims of local volumes.
	Users bool
	// Every is about all installations of the provisioner where none is named; otherwise
	// several are an error.
	Every bool
	// Check, if set, judges the provisioner before any node is looked at.
	Check func(*snapshot.Snapshot) error
	// Trust refuses a provisioner that nobody vouches for, before any node is looked at: for commands that change something.
	Trust bool
}

// Observe fills a snapshot. What concerns one node is told in its sections; an
// error means that there is nothing to decide on.
func (c *Collector) Observe(ctx context.Context, r Request) (*snapshot.Snapshot, error) {
	s := &snapshot.Snapshot{Time: time.Now()}
	var nodes []corev1.Node
	var installs []provisioner.Install
	var unlisted problem.Problem
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) { installs, unlisted, err = c.listed(gctx, r); return err })
	g.Go(func() (err error) { nodes, err = c.nodes(gctx, r); return err })
	g.Go(func() (err error) { s.Volumes, err = c.volumes(gctx); return err })
	g.Go(func() (err error) { s.StorageClasses, err = c.storageClasses(gctx); return err })
	if r.Users {
		g.Go(func() error { s.Users = c.users(gctx); return nil })
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	install, err := choose(installs, r)
	if err != nil {
		return c.withoutInstall(ctx, s, nodes, installs, r, err)
	}
	s.Install = install
	if !unlisted.IsZero() {
		s.Unread = map[string]problem.Problem{snapshot.PartOthers: unlisted}
	}
	s.Others = c.others(ctx, installs, install)
	var pods []corev1.Pod
	var records map[string]snapshot.Record
	var classesErr, recordsErr error
	g, gctx = errgroup.WithContext(ctx)
	g.Go(func() error { s.Install.Classes, classesErr = c.classes(gctx, install); return nil })
	g.Go(func() error { records, recordsErr = kube.Records(gctx, c.Client, install.Namespace); return nil })
	g.Go(func() (err error) { pods, err = c.pods(gctx, install); return err })
	if err := g.Wait(); err != nil {
		return nil, err
	}
	if classesErr != nil {
		if !r.Every || !swapFirst(s, classesErr) {
			return nil, classesErr
		}
		if pods, err = c.pods(ctx, s.Install); err != nil {
			return nil, err
		}
	}
	if r.Check != nil {
		if err := r.Check(s); err != nil {
			return nil, err
		}
	}
	if r.Trust {
		if err := c.trust(ctx, r, s.Install); err != nil {
			return nil, err
		}
	}
	s.Nodes = join(s.Install, nodes, pods)
	c.joinOthers(ctx, s, nodes)
	for i := range s.Volumes {
		s.Volumes[i].Node = s.NodeByHostname(s.Volumes[i].Node)
	}
	if recordsErr != nil {
		if s.Unread == nil {
			s.Unread = make(map[string]problem.Problem)
		}
		s.Unread[snapshot.PartRecords] = problem.From(recordsErr)
	}
	s.Recall(records)
	if err := s.CheckNames(); err != nil {
		return nil, err
	}
	if !r.WithoutNodes {
		if err := c.look(ctx, s, r); err != nil {
			return nil, err
		}
	}
	return s, ctx.Err()
}

// look asks every node with a provisioner pod what it sees, and at the same time its
// Talos API.
func (c *Collector) look(ctx context.Context, s *snapshot.Snapshot, r Request) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	fill := c.askTalos(ctx, s, r)
	c.askOtherPods(ctx, s, r)
	err := c.askPods(ctx, s, r)
	if err != nil {
		cancel()
	}
	fill()
	return err
}

// askTalos begins to ask the nodes' Talos APIs. The returned function waits for their answers and fills the Talos sections:
// until then the nodes can be read.
func (c *Collector) askTalos(ctx context.Context, s *snapshot.Snapshot, r Request) (fill func()) {
	s.NoTalos = c.NoTalos
	var of []*snapshot.Node
	var machines []snapshot.Machine
	for i := range s.Nodes {
		switch n := &s.Nodes[i]; {
		case c.Talos == nil && !c.NoTalos.IsZero():
			n.Talos = snapshot.Unread[snapshot.Talos](c.NoTalos)
		case c.Talos == nil, n.Pod.Value == nil && !r.Podless:
		case n.Address == "":
			n.Talos = snapshot.Unread[snapshot.Talos](problem.Text("the node's status has no InternalIP to reach Talos by"))
		default:
			of, machines = append(of, n), append(machines, n.Machine())
		}
	}
	var limit int
	var timeout time.Duration
	if c.Pods != nil {
		limit, timeout = c.Pods.Limit, c.Pods.Timeout
	}
	var told []snapshot.Section[snapshot.Talos]
	var asked sync.WaitGroup
	asked.Go(func() {
		told = exec.Each(ctx, machines, limit, timeout, func(ctx context.Context, m snapshot.Machine) snapshot.Section[snapshot.Talos] {
			told, err := c.Talos.Inventory(ctx, m)
			if err != nil {
				return snapshot.Unread[snapshot.Talos](problem.From(err))
			}
			return snapshot.Read(told)
		})
	})
	return func() {
		asked.Wait()
		for i, n := range of {
			n.Talos = told[i]
		}
	}
}

// askPods fills the nodes' views. To be forbidden to ask concerns no single node, and
// is an error.
func (c *Collector) askPods(ctx context.Context, s *snapshot.Snapshot, r Request) error {
	var names []string
	var of []*snapshot.Node
	for i := range s.Nodes {
		n := &s.Nodes[i]
		if n.Pod.Value == nil {
			n.View = snapshot.Unread[snapshot.PodView](n.Pod.Why())
			continue
		}
		names = append(names, n.Name)
		of = append(of, n)
	}
	if len(names) == 0 {
		return nil
	}
	var done func()
	if c.Progress != nil {
		done = c.Progress(len(names))
	}
	c.Pods.Targets, c.Pods.Classes, c.Pods.Volumes = kube.Targets(s), s.Install.Classes, nodescript.VolumePaths(s)
	for i, answer := range c.Pods.Observe(ctx, names, r.Closely, r.StepsFollow, done) {
		if answer.NotStarted && apierrors.IsForbidden(answer.Err) {
			return answer.Err
		}
		of[i].View = viewOf(names[i], answer)
	}
	return nil
}

func viewOf(node string, a nodescript.Answer) snapshot.Section[snapshot.PodView] {
	if exec.PodUnknown(a.Err) {
		return snapshot.Unread[snapshot.PodView](problem.Starting(node))
	}
	view, err := a.View()
	if err != nil {
		return snapshot.Unread[snapshot.PodView](problem.From(err))
	}
	return snapshot.Read(view)
}

// classes reads the provisioner's ConfigMap.
func (c *Collector) classes(ctx context.Context, i provisioner.Install) ([]provisioner.Class, error) {
	where := fmt.Sprintf("ConfigMap %q of the provisioner", i.Namespace+"/"+i.ConfigMap)
	look := shell.Command("kubectl", "-n", i.Namespace, "get", "configmap", i.ConfigMap, "-o", "yaml")
	config, err := c.Client.CoreV1().ConfigMaps(i.Namespace).Get(ctx, i.ConfigMap, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, badClasses(failure.New(where+" does not exist", shell.Command("kubectl", "-n", i.Namespace, "describe", "daemonset", i.Name)))
	}
	if err != nil {
		return nil, err
	}
	text, ok := config.Data[provisioner.ConfigKey]
	if !ok {
		return nil, badClasses(failure.New(fmt.Sprintf("%s has no %s", where, provisioner.ConfigKey), look))
	}
	classes, err := provisioner.ParseClasses(text)
	return classes, badClasses(failure.Wrap(err, where, look))
}

func badClasses(err error) error { return problem.WithKind(problem.BadClasses, err) }

// join puts nodes and their pods together, sorted by node.
func join(i provisioner.Install, nodes []corev1.Node, pods []corev1.Pod) []snapshot.Node {
	byNode := make(map[string][]corev1.Pod)
	for _, p := range pods {
		byNode[p.Spec.NodeName] = append(byNode[p.Spec.NodeName], p)
	}
	all := make([]snapshot.Node, 0, len(nodes))
	for _, n := range nodes {
		all = append(all, nodeOf(i, n, byNode[n.Name]))
	}
	slices.SortFunc(all, func(a, b snapshot.Node) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// matching filters nodes by names and globs; one that matches nothing is an error.
func matching(nodes []corev1.Node, patterns []string) ([]corev1.Node, error) {
	if len(patterns) == 0 {
		return nodes, nil
	}
	var chosen []corev1.Node
	matched := make(map[string]bool)
	for _, n := range nodes {
		taken := false
		for _, p := range patterns {
			if ok, _ := path.Match(p, n.Name); ok {
				matched[p], taken = true, true
			}
		}
		if taken {
			chosen = append(chosen, n)
		}
	}
	for _, p := range patterns {
		if !matched[p] {
			return nil, failure.New(fmt.Sprintf("no node is called %q", p), "kubectl get nodes")
		}
	}
	return chosen, nil
}
