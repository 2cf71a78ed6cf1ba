// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/version"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/internal/shell"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// The kinds of a snapshot.Ref.
const (
	kindPod       = "pod"
	kindClaim     = "pvc"
	kindVolume    = "pv"
	kindNode      = "node"
	kindDaemonSet = "daemonset"
)

// DiagnoseRequest is what to diagnose, and how to look at it.
type DiagnoseRequest struct {
	// Targets are pods, claims (pvc), volumes (pv) and nodes. With neither targets nor a
	// selector the whole cluster is diagnosed: every claim of a local class, and what
	// belongs to it.
	Targets []snapshot.Ref
	// Selector chooses pods, in Namespace or in all. Nil or empty: it chooses none.
	Selector      labels.Selector
	Namespace     string
	AllNamespaces bool
	// ProvisionerNamespace and DaemonSet of the provisioner; empty: to be found.
	ProvisionerNamespace, DaemonSet string
	// Exec looks at nodes through the provisioner's pods.
	Exec bool
	// Kubelet, if set, connects to a node's Talos API, to ask it about the kubelet. If it
	// is not set where it would be, the Collector's NoTalos says why.
	Kubelet func(snapshot.Machine) TalosNode
	// KubeletProbe, if set, looks through the eyes of the kubelets of which Talos does not tell
	// what they see. It makes something in the cluster for that, and takes it away.
	KubeletProbe KubeletProber
	// Events are the reasons of the events that are kept. Others may say what has no place in a file that people send around: the
	// answer of a pod's failed probe, for one.
	Events []string
	// LogLine, if set, reports whether a line of a provisioner's log is kept that is neither a warning nor an error.
	LogLine func(string) bool
	// Limit is how many nodes are looked at, and how many requests are made, at once; 0
	// is no limit. Timeout is each look's own; 0 is none.
	Limit   int
	Timeout time.Duration
}

// diagnosis is a snapshot being filled to diagnose.
type diagnosis struct {
	*Collector
	request DiagnoseRequest
	s       *snapshot.Snapshot
	// whole: there is no target.
	whole bool
	clock clock

	objects objects
	// own are the provisioner's pods on the nodes that belong to what is diagnosed, those of the
	// first installation and those of each further one.
	own         []corev1.Pod
	ownOfOthers [][]corev1.Pod
	// looks are those through the pods of the further installations.
	looks []*otherLook
	// records are what is known of volumes' disks beside the volumes.
	records map[string]snapshot.Record
}

// Diagnose fills a snapshot with everything that there is to know about the targets.
// For one pod the number of requests does not depend on the size of the cluster.
//
// What cannot be read is said in the snapshot. An error means that there is nothing to diagnose: the API server does not
// answer, or a target does not exist.
func (c *Collector) Diagnose(ctx context.Context, r DiagnoseRequest) (*snapshot.Snapshot, error) {
	d := &diagnosis{
		Collector: c, request: r,
		s:       &snapshot.Snapshot{Version: snapshot.FormatVersion, Unread: make(map[string]problem.Problem), NoTalos: c.NoTalos, Targets: slices.Clone(r.Targets)},
		whole:   len(r.Targets) == 0 && (r.Selector == nil || r.Selector.Empty()),
		objects: newObjects(),
	}
	if err := d.read(ctx); err != nil {
		return nil, cmp.Or(context.Cause(ctx), err)
	}
	d.look(ctx)
	d.finish()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if err := d.s.CheckNames(); err != nil {
		return nil, err
	}
	return d.s, nil
}

// read reads the API server's objects.
func (d *diagnosis) read(ctx context.Context) error {
	if err := d.server(ctx); err != nil {
		return err
	}
	d.classes(ctx)
	var candidates []candidate
	var candidatesErr error
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { candidates, candidatesErr = d.candidates(gctx); return nil })
	g.Go(func() error {
		if d.whole {
			d.readAll(gctx)
			return nil
		}
		return d.readTargets(gctx)
	})
	if err := g.Wait(); err != nil {
		return err
	}
	if candidatesErr != nil {
		d.noInstall(candidatesErr)
	} else {
		d.provisioner(ctx, candidates)
	}
	d.readOwnPods(ctx)
	if d.whole {
		d.keepLocal()
	}
	d.nodes()
	return nil
}

// server asks for the API server's version, and what time it is there. Everybody may, so
// that no answer means that there will be none to anything else.
func (d *diagnosis) server(ctx context.Context) error {
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

// classes reads the StorageClasses, all of them: they are few.
func (d *diagnosis) classes(ctx context.Context) {
	var err error
	if d.s.StorageClasses, err = d.storageClasses(ctx); err != nil {
		d.unread(snapshot.PartStorageClasses, err)
	}
}

// unread says why a part could not be read.
func (d *diagnosis) unread(part string, err error) { d.s.Unread[part] = problem.From(err) }

// nodes puts the nodes and the provisioner's pods on them together.
func (d *diagnosis) nodes() {
	s, o := d.s, &d.objects
	if !s.Unread[snapshot.PartNodes].IsZero() {
		d.nameNodes()
	}
	all := make([]corev1.Node, 0, len(o.nodes))
	for _, n := range o.nodes {
		all = append(all, n)
	}
	s.Nodes = join(s.Install, all, d.own)
	for _, i := range d.installations()[min(1, len(d.installations())):] {
		o := d.other(i)
		o.Nodes = presences(join(i.install, all, *i.own))
	}
	busy := make(map[string]bool)
	for name, v := range o.volumes {
		v.Node = s.NodeByHostname(v.Node)
		o.volumes[name], busy[v.Node] = v, true
	}
	for _, p := range o.pods {
		busy[p.Node] = true
	}
	// A provisioner that is meant for no node at all is not meant to be so.
	anywhere := slices.ContainsFunc(s.Nodes, s.WantedBy)
	for i := range s.Nodes {
		n := &s.Nodes[i]
		n.Aside = d.whole && anywhere && !s.WantedBy(*n) && !busy[n.Name] || !d.whole && !o.wantedNodes[n.Name]
		switch p := s.Provisioner.Value; {
		case n.Aside && !d.whole: // Its pods were not read.
			n.Pod = snapshot.Section[snapshot.Pod]{}
		case p == nil:
			n.Pod = snapshot.Unread[snapshot.Pod](s.Provisioner.Why())
		case !p.PodsProblem.IsZero():
			n.Pod = snapshot.Unread[snapshot.Pod](p.PodsProblem)
		case n.UID == "" && !s.Unread[snapshot.PartNodes].IsZero():
			n.NotReady, n.Pod = "", podOn(n.Name, s.Install, d.own, s.Unread[snapshot.PartNodes])
		}
		for _, i := range d.installations()[min(1, len(d.installations())):] {
			here := d.other(i).Nodes[n.Name]
			switch {
			case n.Aside && !d.whole:
				here.Pod = snapshot.Section[snapshot.Pod]{}
			case !i.state.PodsProblem.IsZero():
				here.Pod = snapshot.Unread[snapshot.Pod](i.state.PodsProblem)
			case n.UID == "" && !s.Unread[snapshot.PartNodes].IsZero():
				here.Pod = podOn(n.Name, i.install, *i.own, s.Unread[snapshot.PartNodes])
			}
			d.other(i).Nodes[n.Name] = here
		}
	}
}

// other is a further installation in the snapshot.
func (d *diagnosis) other(i installation) *snapshot.Installation {
	at := slices.IndexFunc(d.s.Others, func(o snapshot.Installation) bool { return o.Provisioner.Value == i.state })
	return &d.s.Others[at]
}

// nameNodes adds the nodes that could not be read but are known, by name, from what lies
// on them. Nothing else is known of them.
func (d *diagnosis) nameNodes() {
	o := &d.objects
	names := slices.Collect(maps.Keys(o.wantedNodes))
	if d.whole {
		for _, v := range o.volumes {
			names = append(names, v.Node)
		}
		for _, p := range o.pods {
			names = append(names, p.Node)
		}
		for _, p := range d.allOwn() {
			names = append(names, p.Spec.NodeName)
		}
	}
	for _, name := range names {
		if _, ok := o.nodes[name]; !ok && name != "" {
			n := corev1.Node{}
			n.Name = name
			o.nodes[name] = n
		}
	}
}

// podOn is an installation's pod on a node of which nothing else is known, which why tells.
func podOn(node string, install provisioner.Install, own []corev1.Pod, why problem.Problem) snapshot.Section[snapshot.Pod] {
	here := slices.DeleteFunc(slices.Clone(own), func(p corev1.Pod) bool { return p.Spec.NodeName != node })
	pod, down := runningPod(install, here)
	if pod == nil {
		return snapshot.Unread[snapshot.Pod](cmp.Or(down, why))
	}
	return snapshot.Read(podOf(install, pod))
}

// finish puts what was read into the snapshot, without the labels that nobody asks for.
func (d *diagnosis) finish() {
	s, o := d.s, &d.objects
	s.Time = d.clock.now()
	s.Volumes = sorted(o.volumes)
	s.Recall(d.records)
	switch {
	case !o.claimsProblem.IsZero():
		s.Claims = snapshot.Unread[[]snapshot.Claim](o.claimsProblem)
	case !o.podsProblem.IsZero() && len(o.claims) == 0: // It is not known which to read.
	default:
		s.Claims = snapshot.Read(sorted(o.claims))
	}
	if !o.podsProblem.IsZero() {
		s.Pods = snapshot.Unread[[]snapshot.UserPod](o.podsProblem)
	} else {
		s.Pods = snapshot.Read(sorted(o.pods))
	}
	if d.whole && s.Pods.Value != nil {
		s.Users = snapshot.Read(users(*s.Pods.Value))
	}
	for i, t := range s.Targets {
		switch t.Kind {
		case kindPod:
			s.Targets[i].UID = o.pods[key(t.Namespace, t.Name)].UID
		case kindClaim:
			s.Targets[i].UID = o.claims[key(t.Namespace, t.Name)].UID
		case kindVolume:
			s.Targets[i].UID = o.volumes[t.Name].UID
		case kindNode:
			s.Targets[i].UID = o.nodes[t.Name].UID
		}
	}
	if len(s.Unread) == 0 {
		s.Unread = nil
	}
	forgetLabels(s)
}

// users are the pods of each claim.
func users(pods []snapshot.UserPod) map[snapshot.ClaimRef][]string {
	by := make(map[snapshot.ClaimRef][]string)
	for _, p := range pods {
		for _, ref := range claimsOf(p) {
			by[ref] = append(by[ref], p.Name)
		}
	}
	return by
}

// forgetLabels leaves the labels that a selector in the snapshot asks for. Others are
// nobody's business.
func forgetLabels(s *snapshot.Snapshot) {
	ofNodes := map[string]bool{corev1.LabelHostname: true}
	for _, as := range s.Installations() {
		for k := range as.Install.NodeSelector {
			ofNodes[k] = true
		}
	}
	if s.Pods.Value != nil {
		for _, p := range *s.Pods.Value {
			for k := range p.NodeSelector {
				ofNodes[k] = true
			}
			for _, term := range p.NodeAffinity {
				addKeys(ofNodes, term)
			}
		}
	}
	ofVolumes := make(map[string]bool)
	if s.Claims.Value != nil {
		for _, c := range *s.Claims.Value {
			addKeys(ofVolumes, c.Selector)
		}
	}
	for i := range s.Nodes {
		s.Nodes[i].Labels = only(s.Nodes[i].Labels, ofNodes)
	}
	for i := range s.Volumes {
		s.Volumes[i].Labels = only(s.Volumes[i].Labels, ofVolumes)
	}
}

// addKeys adds the labels that a selector asks for.
func addKeys(keys map[string]bool, selector string) {
	parsed, err := labels.Parse(selector)
	if err != nil {
		return
	}
	requirements, _ := parsed.Requirements()
	for _, r := range requirements {
		keys[r.Key()] = true
	}
}

func only(all map[string]string, keys map[string]bool) map[string]string {
	kept := make(map[string]string)
	for k, v := range all {
		if keys[k] {
			kept[k] = v
		}
	}
	if len(kept) == 0 {
		return nil
	}
	return kept
}

// key names an object of a namespace.
func key(namespace, name string) string { return namespace + "/" + name }

// notThere is the error about targets that do not exist.
func notThere(refs []snapshot.Ref) error {
	if len(refs) == 0 {
		return nil
	}
	var parts []failure.Part
	for _, r := range refs {
		text, hint := "does not exist", shell.Command("kubectl", "get", r.Kind)
		if r.Namespace != "" {
			text, hint = "does not exist in namespace \""+r.Namespace+"\"", shell.Command("kubectl", "-n", r.Namespace, "get", r.Kind)
		}
		if len(refs) == 1 {
			return failure.New("\""+r.String()+"\" "+text, hint)
		}
		parts = append(parts, failure.Part{Subject: r.String(), Err: failure.New("it "+text, hint)})
	}
	return failure.Several("not all targets exist", parts)
}

// classNames are the classes of what is diagnosed.
func (d *diagnosis) classNames() []string {
	var names []string
	for _, c := range d.objects.claims {
		if c.Class != nil && c.NotLocal == "" {
			names = append(names, *c.Class)
		}
	}
	for _, v := range d.objects.volumes {
		names = append(names, v.Class)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
