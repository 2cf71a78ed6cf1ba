// SPDX-License-Identifier: Apache-2.0

// Package observe fills snapshots: it reads Kubernetes, and looks at nodes through
// their provisioner pods and their Talos API. It decides nothing, and changes nothing.
package observe

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/version"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/internal/shell"
	"github.com/talosdisk/kubectl-talosdisk/pkg/exec"
	"github.com/talosdisk/kubectl-talosdisk/pkg/kube"
	"github.com/talosdisk/kubectl-talosdisk/pkg/nodescript"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// Observer observes one cluster.
type Observer struct {
	Client kube.Client
	// Pods are how nodes are looked at; Observe finds out which they are. Without them no pod is asked.
	Pods *kube.Pods
	// Talos, if set, is asked about the nodes that are looked at, and Kubelet, if set, connects to a node's Talos API, to ask it about
	// the kubelet. If they are not set where they would be, NoTalos says why.
	Talos   Talos
	Kubelet func(snapshot.Machine) TalosNode
	NoTalos problem.Problem
	// KubeletProbe, if set, looks through the eyes of the kubelets of which Talos does not tell
	// what they see. It makes something in the cluster for that, and removes it.
	KubeletProbe KubeletProber
	// Limit is how many nodes are looked at, and how many requests are made, at once; 0 is no limit. Timeout is each look's own;
	// 0 is none.
	Limit   int
	Timeout time.Duration
	// Progress, if set, is called with the number of nodes to look at, and what
	// it returns after each. It must be safe to call from several goroutines.
	Progress func(nodes int) (step func())
}

// Talos is the Talos API of a cluster. It is called from several goroutines.
type Talos interface {
	// Inventory asks a node about its disks. An error means that nothing could be read.
	Inventory(ctx context.Context, machine snapshot.Machine) (snapshot.Talos, error)
}

// Parts are what a snapshot can have. The nodes, volumes and StorageClasses, the installations of the provisioner with their
// classes and pods, and what is recorded of volumes' disks are always read.
type Parts uint

// The parts.
const (
	// Server is the API server's version and time. Without it the snapshot is of this machine's time.
	Server Parts = 1 << iota
	// Users are the names of the pods that use claims.
	Users
	// Workload are the claims of local volumes and the pods that use them, or directories of classes.
	Workload
	// Provisioner is the state of the installations beside their configuration.
	Provisioner
	// Logs are the provisioners' logs.
	Logs
	// CleaningJobs are the Jobs that clean volumes.
	CleaningJobs
	// Events are those about everything else in the snapshot.
	Events
	// PodViews are what the provisioners' pods see of their nodes.
	PodViews
	// VolumePaths adds to them where the paths of volumes lead, and VolumeDisks has them read and open the disks of volumes.
	VolumePaths
	VolumeDisks
	// TalosInventory is what the nodes' Talos API tells of their disks.
	TalosInventory
	// KubeletMounts are what kubelets see, and the configurations say of that and of disks.
	KubeletMounts
	// VolumeStats are the sizes of the file systems of claims.
	VolumeStats

	// OnNodes are the parts that a decision on disks needs of nodes.
	OnNodes = PodViews | VolumePaths | TalosInventory
	// Diagnosis are those that a diagnosis reads.
	Diagnosis = Server | Workload | Provisioner | Logs | CleaningJobs | Events | PodViews | VolumeDisks |
		TalosInventory | KubeletMounts | VolumeStats
)

// Request is what to observe.
type Request struct {
	// Parts of the snapshot that are wanted. The others are not asked for.
	Parts Parts
	// Strict makes an error of what is a problem in the snapshot otherwise: an object of the API server that cannot be read, and an
	// installation that is missing or has to be chosen. What concerns one node, or another installation than the chosen one, stays
	// a problem.
	Strict bool

	// Nodes are names and globs, and Selector chooses among nodes; empty: all.
	Nodes    []string
	Selector labels.Selector
	// Targets are pods, claims (pvc), volumes (pv) and nodes, and PodSelector chooses pods, in PodNamespace or in all. With any of
	// them only what belongs to them is observed, and not the whole cluster.
	Targets       []snapshot.Ref
	PodSelector   labels.Selector
	PodNamespace  string
	AllNamespaces bool

	// Namespace and DaemonSet of the provisioner; empty: to be found.
	Namespace, DaemonSet string
	// Every is about all installations of the provisioner where none is named; otherwise
	// several are an error.
	Every bool
	// NamedOnly leaves out the installations that are not named. Otherwise they are the snapshot's Others.
	NamedOnly bool
	// Check, if set, judges the provisioner before any node is looked at.
	Check func(*snapshot.Snapshot) error
	// Trust refuses a provisioner that nobody vouches for, before any node is looked at: for commands that change something.
	Trust bool

	// Closely are the disks to read and open, as nodescript.Look takes them.
	Closely []string
	// StepsFollow says that the nodes will be asked to do something.
	StepsFollow bool
	// WithoutPod asks Talos about the nodes too that have no provisioner pod.
	WithoutPod bool
	// EventReasons are those of the events that are kept. Others may say what has no place in a file that people send around: the
	// answer of a pod's failed probe, for one.
	EventReasons []string
	// LogLine, if set, reports whether a line of a provisioner's log is kept that is neither a warning nor an error.
	LogLine func(string) bool
}

func (r Request) wants(p Parts) bool { return r.Parts&p != 0 }

// whole reports whether the request is about the cluster, and not about targets.
func (r Request) whole() bool {
	return len(r.Targets) == 0 && (r.PodSelector == nil || r.PodSelector.Empty())
}

// observation is a snapshot being filled.
type observation struct {
	*Observer
	request Request
	s       *snapshot.Snapshot
	// whole: there is no target.
	whole bool
	clock clock
	// mu guards the snapshot's Unread while several parts are read at once.
	mu sync.Mutex

	objects objects
	// installs are the installations of the snapshot, the first one first; none where there is none. Their pods are those on the
	// nodes that belong to what is observed.
	installs []*installation
	// records are what is known of volumes' disks beside the volumes.
	records map[string]snapshot.Record
}

// Observe fills a snapshot with the parts that are asked for. For one target the number of requests does not depend on the size of
// the cluster.
//
// What cannot be read is said in the snapshot, as far as the request does not make an error of it. An error means that there is
// nothing to decide on: the API server does not answer, or what was named does not exist.
func (c *Observer) Observe(ctx context.Context, r Request) (*snapshot.Snapshot, error) {
	d := c.observation(r)
	err := d.observe(ctx)
	if ended := context.Cause(ctx); ended != nil {
		return nil, ended
	}
	if err != nil {
		return nil, err
	}
	return d.s, nil
}

func (c *Observer) observation(r Request) *observation {
	return &observation{
		Observer: c, request: r, whole: r.whole(), objects: newObjects(),
		s: &snapshot.Snapshot{
			Version: snapshot.FormatVersion,
			Time:    time.Now(),
			Unread:  make(map[string]problem.Problem),
			Targets: slices.Clone(r.Targets),
		},
	}
}

func (d *observation) observe(ctx context.Context) error {
	if err := d.read(ctx); err != nil {
		return err
	}
	if d.request.Strict { // No node is asked by names that are not believed.
		if err := d.s.CheckNames(); err != nil {
			return err
		}
	}
	if err := d.look(ctx); err != nil {
		return err
	}
	d.finish()
	return d.s.CheckNames()
}

// read reads the API server's objects.
func (d *observation) read(ctx context.Context) error {
	if d.request.wants(Server) {
		if err := d.server(ctx); err != nil {
			return err
		}
	}
	classes := make(chan struct{})
	var found []*installation
	var installsErr error
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(classes)
		return d.classes(gctx)
	})
	g.Go(func() error {
		found, installsErr = d.listInstallations(gctx)
		return d.strictly(installsErr)
	})
	g.Go(func() error {
		if d.whole {
			return d.readAll(gctx)
		}
		<-classes // Which claims have volumes made for them is known from these.
		return d.readTargets(gctx)
	})
	if err := g.Wait(); err != nil {
		return err
	}
	if err := d.readInstallations(ctx, found, installsErr); err != nil {
		return err
	}
	if d.whole && d.request.wants(Workload) {
		d.keepLocal()
	}
	d.nodes()
	return nil
}

// strictly is the error where the request is strict about it.
func (d *observation) strictly(err error) error {
	if d.request.Strict {
		return err
	}
	return nil
}

// unread says why a part could not be read, or returns it where the request is strict.
func (d *observation) unread(part string, err error) error {
	if d.request.Strict {
		return err
	}
	d.note(part, err)
	return nil
}

// note says in the snapshot why a part could not be read.
func (d *observation) note(part string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.s.Unread[part] = problem.From(err)
}

// isRead reports whether nothing is said against a part.
func (d *observation) isRead(part string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.s.Unread[part].IsZero()
}

// server asks for the API server's version, and what time it is there. Everybody may, so
// that no answer means that there will be none to anything else.
func (d *observation) server(ctx context.Context) error {
	client, err := d.clock.through(d.Client.CoreV1().RESTClient())
	if err != nil {
		return err
	}
	body, err := client.Get().AbsPath("/version").DoRaw(ctx)
	var status apierrors.APIStatus
	switch {
	case err == nil:
		var info version.Info
		if err := json.Unmarshal(body, &info); err == nil {
			d.s.Kubernetes = info.GitVersion
		}
	case apierrors.IsUnauthorized(err), !errors.As(err, &status):
		return err
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

// classesOf reads the provisioner's ConfigMap.
func (c *Observer) classesOf(ctx context.Context, i provisioner.Install) ([]provisioner.Class, error) {
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
