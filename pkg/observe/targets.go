// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/internal/shell"
	"github.com/talosdisk/kubectl-talosdisk/pkg/exec"
	"github.com/talosdisk/kubectl-talosdisk/pkg/kube"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// noProvisioner is the provisioner of a StorageClass whose volumes nobody makes for a
// claim (Kubernetes, pkg/volume/plugins.go).
const noProvisioner = "kubernetes.io/no-provisioner"

// few is how many objects of a kind are read one by one. Of more, a list is read.
const few = 8

// objects are what was read of the API server, by name; those of a namespace by
// "namespace/name".
type objects struct {
	pods    map[string]snapshot.UserPod
	claims  map[string]snapshot.Claim
	volumes map[string]snapshot.Volume
	// foreign are PersistentVolumes that are not local ones, and what they are.
	foreign map[string]string
	nodes   map[string]corev1.Node
	// wantedNodes belong to what is observed. The others are there beside them.
	wantedNodes map[string]bool
	// wantedVolumes too; without targets it is not used.
	wantedVolumes map[string]bool
	// users are the names of the pods that use each claim, where nothing else is asked of them.
	users map[snapshot.ClaimRef][]string

	podsProblem, claimsProblem problem.Problem
}

func newObjects() objects {
	return objects{
		pods: make(map[string]snapshot.UserPod), claims: make(map[string]snapshot.Claim), volumes: make(map[string]snapshot.Volume),
		foreign: make(map[string]string), nodes: make(map[string]corev1.Node),
		wantedNodes: make(map[string]bool), wantedVolumes: make(map[string]bool), users: make(map[snapshot.ClaimRef][]string),
	}
}

func (o *objects) nodesWanted() []string { return slices.Sorted(maps.Keys(o.wantedNodes)) }

// add keeps a PersistentVolume.
func (o *objects) add(pv *corev1.PersistentVolume) {
	if v, local := kube.VolumeOf(pv); local {
		o.volumes[v.Name] = v
	} else {
		o.foreign[pv.Name] = sourceOf(pv)
	}
}

// readTargets reads the targets and what belongs to them: a pod's claims and a claim's
// pods, the volumes and the nodes.
func (d *observation) readTargets(ctx context.Context) error {
	targets := make(map[string][]snapshot.Ref)
	for _, t := range d.s.Targets {
		if !slices.Contains([]string{kindPod, kindClaim, kindVolume, kindNode}, t.Kind) {
			return failure.New(fmt.Sprintf("%q cannot be diagnosed", t.String()), "pod/NAME, pvc/NAME, pv/NAME or node/NAME")
		}
		targets[t.Kind] = append(targets[t.Kind], t)
	}
	if err := d.readNamed(ctx, targets); err != nil {
		return err
	}
	wanted := d.claimsOfVolumes()
	for _, t := range targets[kindClaim] {
		wanted[snapshot.ClaimRef{Namespace: t.Namespace, Name: t.Name}] = true
	}
	d.readUsers(ctx, wanted)
	if d.objects.claimsProblem.IsZero() {
		for _, p := range d.objects.pods {
			for _, ref := range claimsOf(p) {
				wanted[ref] = true
			}
		}
		d.readClaims(ctx, wanted)
	}
	if d.objects.claimsProblem.IsZero() {
		var missing []snapshot.Ref
		for _, t := range targets[kindClaim] {
			if _, ok := d.objects.claims[key(t.Namespace, t.Name)]; !ok {
				missing = append(missing, t)
			}
		}
		if err := notThere(missing); err != nil {
			return err
		}
	}
	pending, err := d.readVolumes(ctx)
	if err != nil {
		return err
	}
	d.readRivals(ctx)
	d.wantNodes(targets[kindNode])
	return d.readNodes(ctx, pending)
}

// readNamed reads the pods, volumes and nodes that were named, and the pods that the
// selector chooses.
func (d *observation) readNamed(ctx context.Context, targets map[string][]snapshot.Ref) error {
	o := &d.objects
	var pods map[string]*corev1.Pod
	var volumes map[string]*corev1.PersistentVolume
	var nodes map[string]*corev1.Node
	var podsErr, volumesErr, nodesErr error
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { pods, podsErr = d.getPods(gctx, targets[kindPod]); return nil })
	g.Go(func() error {
		volumes, volumesErr = d.getVolumes(gctx, names(targets[kindVolume]))
		return nil
	})
	g.Go(func() error { nodes, nodesErr = d.getNodes(gctx, names(targets[kindNode])); return nil })
	var selected []snapshot.UserPod
	var selectErr error
	if r := d.request; r.PodSelector != nil && !r.PodSelector.Empty() {
		g.Go(func() error { selected, selectErr = d.selectPods(gctx); return nil })
	}
	_ = g.Wait() // What failed is reported below, each by itself.

	var missing []snapshot.Ref
	for _, t := range targets[kindPod] {
		if p, ok := pods[key(t.Namespace, t.Name)]; ok {
			o.pods[key(t.Namespace, t.Name)] = userPodOf(p)
		} else if podsErr == nil {
			missing = append(missing, t)
		}
	}
	for _, t := range targets[kindVolume] {
		if pv, ok := volumes[t.Name]; ok {
			if o.add(pv); o.foreign[t.Name] != "" {
				return failure.New(fmt.Sprintf("PersistentVolume %q is not a local one, but %s", t.Name, o.foreign[t.Name]), "")
			}
			o.wantedVolumes[t.Name] = true
		} else if volumesErr == nil {
			missing = append(missing, t)
		}
	}
	for _, t := range targets[kindNode] {
		if n, ok := nodes[t.Name]; ok {
			o.nodes[t.Name] = *n
		} else if nodesErr == nil {
			missing = append(missing, t)
		}
	}
	if err := notThere(missing); err != nil {
		return err
	}
	for _, p := range selected {
		o.pods[key(p.Namespace, p.Name)] = p
		d.s.Targets = append(d.s.Targets, snapshot.Ref{Kind: kindPod, Namespace: p.Namespace, Name: p.Name})
	}
	switch {
	case podsErr != nil:
		o.podsProblem = problem.From(podsErr)
	case selectErr != nil:
		o.podsProblem = problem.From(selectErr)
	case len(selected) == 0 && len(d.s.Targets) == 0:
		where, hint := fmt.Sprintf("namespace %q", d.request.PodNamespace),
			shell.Command("kubectl", "-n", d.request.PodNamespace, "get", "pods", "--show-labels")
		if d.request.AllNamespaces {
			where, hint = "any namespace", "kubectl get pods -A --show-labels"
		}
		return failure.New(fmt.Sprintf("no pod in %s has the labels %s", where, d.request.PodSelector), hint)
	}
	if volumesErr != nil {
		if err := d.unread(snapshot.PartVolumes, volumesErr); err != nil {
			return err
		}
	}
	if nodesErr != nil {
		if err := d.unread(snapshot.PartNodes, nodesErr); err != nil {
			return err
		}
	}
	if len(targets[kindNode]) > 0 {
		if err := d.listVolumes(ctx); err != nil {
			return err
		}
		hostnames := make(map[string]bool)
		for _, t := range targets[kindNode] {
			hostnames[hostname(o.nodes[t.Name], t.Name)] = true
		}
		for _, v := range o.volumes {
			if hostnames[v.Node] {
				o.wantedVolumes[v.Name] = true
			}
		}
	}
	return nil
}

// hostname is by what volumes name a node.
func hostname(n corev1.Node, name string) string {
	if h := n.Labels[corev1.LabelHostname]; h != "" {
		return h
	}
	return name
}

// claimsOfVolumes are the claims of the volumes that are observed.
func (d *observation) claimsOfVolumes() map[snapshot.ClaimRef]bool {
	refs := make(map[snapshot.ClaimRef]bool)
	for name := range d.objects.wantedVolumes {
		if ref := d.objects.volumes[name].Claim; ref != nil {
			refs[*ref] = true
		}
	}
	return refs
}

// readUsers reads the pods that use the wanted claims, beside those that are targets.
func (d *observation) readUsers(ctx context.Context, wanted map[snapshot.ClaimRef]bool) {
	o := &d.objects
	if len(wanted) == 0 || !o.podsProblem.IsZero() {
		return
	}
	spaces := make(map[string]bool)
	for ref := range wanted {
		spaces[ref.Namespace] = true
	}
	err := d.listPods(ctx, oneOrAll(spaces), metav1.ListOptions{}, func(p snapshot.UserPod) { d.addUser(p, wanted) })
	if err != nil {
		o.podsProblem = problem.From(err)
	}
}

// addUser keeps a pod for the wanted claims that it uses.
func (d *observation) addUser(p snapshot.UserPod, wanted map[snapshot.ClaimRef]bool) {
	if _, ok := d.objects.pods[key(p.Namespace, p.Name)]; ok || over(p) {
		return
	}
	p, ok := trimmed(p, func(p snapshot.UserPod, v snapshot.PodVolume) bool {
		return v.Claim != "" && wanted[snapshot.ClaimRef{Namespace: p.Namespace, Name: v.Claim}]
	})
	if ok {
		d.objects.pods[key(p.Namespace, p.Name)] = p
	}
}

// readClaims reads the wanted claims. One that does not exist is simply not there.
func (d *observation) readClaims(ctx context.Context, wanted map[snapshot.ClaimRef]bool) {
	refs := slices.SortedFunc(maps.Keys(wanted), func(a, b snapshot.ClaimRef) int { return strings.Compare(a.String(), b.String()) })
	keep := func(pvc *corev1.PersistentVolumeClaim) {
		d.objects.claims[key(pvc.Namespace, pvc.Name)] = claimOf(pvc)
	}
	var err error
	if len(refs) <= few {
		var found []*corev1.PersistentVolumeClaim
		found, err = getEach(ctx, d.Limit, refs, func(ctx context.Context, r snapshot.ClaimRef) (*corev1.PersistentVolumeClaim, error) {
			return d.Client.CoreV1().PersistentVolumeClaims(r.Namespace).Get(ctx, r.Name, metav1.GetOptions{})
		})
		for _, pvc := range found {
			keep(pvc)
		}
	} else {
		spaces := make(map[string]bool)
		for _, r := range refs {
			spaces[r.Namespace] = true
		}
		err = d.listClaims(ctx, oneOrAll(spaces), func(pvc *corev1.PersistentVolumeClaim) {
			if wanted[snapshot.ClaimRef{Namespace: pvc.Namespace, Name: pvc.Name}] {
				keep(pvc)
			}
		})
	}
	if err != nil {
		d.objects.claimsProblem = problem.From(err)
	}
}

// readVolumes reads the claims' volumes, or all of them where a claim has none: why
// nothing fits can only be seen from what there is. It reports whether that was so.
func (d *observation) readVolumes(ctx context.Context) (pending bool, err error) {
	o := &d.objects
	var missing []string
	for _, c := range o.claims {
		switch {
		case c.Volume != "":
			o.wantedVolumes[c.Volume] = true
			if _, ok := o.volumes[c.Volume]; !ok {
				missing = append(missing, c.Volume)
			}
		case c.Class == nil || d.s.StorageClasses == nil || !dynamic(d.s, *c.Class):
			pending = true
		}
	}
	switch {
	case d.s.AllVolumes || !d.isRead(snapshot.PartVolumes):
	case pending || len(missing) > few:
		err = d.listVolumes(ctx)
	case len(missing) > 0:
		slices.Sort(missing)
		found, getErr := d.getVolumes(ctx, slices.Compact(missing))
		for _, pv := range found {
			o.add(pv)
		}
		if getErr != nil {
			err = d.unread(snapshot.PartVolumes, getErr)
		}
	}
	for k, c := range o.claims {
		c.NotLocal = o.foreign[c.Volume]
		if c.Volume == "" && c.Class != nil && dynamic(d.s, *c.Class) {
			c.NotLocal = d.s.StorageClasses[*c.Class].Provisioner
		}
		o.claims[k] = c
	}
	for name := range o.wantedVolumes {
		if o.foreign[name] != "" {
			delete(o.wantedVolumes, name)
		}
	}
	return pending, err
}

// dynamic reports whether the volumes of a class are made for each claim.
func dynamic(s *snapshot.Snapshot, class string) bool {
	c, ok := s.StorageClasses[class]
	return ok && c.Provisioner != noProvisioner
}

// readRivals reads the pods that a pod may have to wait for: a claim of
// ReadWriteOncePod has one user at a time.
func (d *observation) readRivals(ctx context.Context) {
	wanted, spaces := make(map[snapshot.ClaimRef]bool), make(map[string]bool)
	for _, c := range d.objects.claims {
		if slices.Contains(c.AccessModes, string(corev1.ReadWriteOncePod)) {
			wanted[c.ClaimRef], spaces[c.Namespace] = true, true
		}
	}
	if len(wanted) == 0 || !d.objects.podsProblem.IsZero() {
		return
	}
	err := d.listPods(ctx, oneOrAll(spaces), metav1.ListOptions{}, func(p snapshot.UserPod) { d.addUser(p, wanted) })
	if err != nil {
		d.objects.podsProblem = problem.From(err)
	}
}

// wantNodes says which nodes belong to what is observed: those that were named, those
// of pods and of volumes, and those that a pod asks for by name.
func (d *observation) wantNodes(targets []snapshot.Ref) {
	o := &d.objects
	for _, t := range targets {
		o.wantedNodes[t.Name] = true
	}
	for _, p := range o.pods {
		if p.Node != "" {
			o.wantedNodes[p.Node] = true
		} else if h := p.NodeSelector[corev1.LabelHostname]; h != "" {
			o.wantedNodes[h] = true
		}
	}
	for name := range o.wantedVolumes {
		if v := o.volumes[name]; v.Node != "" && !o.named(v.Node) {
			o.wantedNodes[v.Node] = true
		}
	}
}

// named reports whether a node that is known has this hostname.
func (o *objects) named(host string) bool {
	for name, n := range o.nodes {
		if hostname(n, name) == host {
			return true
		}
	}
	return false
}

// readNodes reads the nodes that belong to what is observed, or all of them. What is
// wanted by a hostname is then wanted by name.
func (d *observation) readNodes(ctx context.Context, all bool) error {
	o := &d.objects
	if !d.isRead(snapshot.PartNodes) {
		return nil
	}
	var unknown []string
	for _, name := range o.nodesWanted() {
		if _, ok := o.nodes[name]; !ok {
			unknown = append(unknown, name)
		}
	}
	var err error
	if all || len(unknown) > few {
		err = d.listNodes(ctx, metav1.ListOptions{})
	} else {
		var found map[string]*corev1.Node
		found, err = d.getNodes(ctx, unknown)
		for name, n := range found {
			o.nodes[name] = *n
		}
		for _, name := range unknown {
			if _, ok := found[name]; !ok && err == nil {
				err = d.listNodes(ctx, metav1.ListOptions{LabelSelector: corev1.LabelHostname + "=" + name})
			}
		}
	}
	if err != nil {
		return d.unread(snapshot.PartNodes, err)
	}
	for _, wanted := range o.nodesWanted() {
		if _, ok := o.nodes[wanted]; ok {
			continue
		}
		delete(o.wantedNodes, wanted)
		for name, n := range o.nodes {
			if hostname(n, name) == wanted {
				o.wantedNodes[name] = true
			}
		}
	}
	return nil
}

// selectPods are the pods that the selector chooses.
func (d *observation) selectPods(ctx context.Context) ([]snapshot.UserPod, error) {
	namespace := d.request.PodNamespace
	if d.request.AllNamespaces {
		namespace = metav1.NamespaceAll
	}
	var pods []snapshot.UserPod
	err := d.listPods(ctx, namespace, metav1.ListOptions{LabelSelector: d.request.PodSelector.String()},
		func(p snapshot.UserPod) { pods = append(pods, p) })
	return pods, err
}

// getPods, getVolumes and getNodes read objects by name. One that does not exist is not
// in the answer.

func (d *observation) getPods(ctx context.Context, refs []snapshot.Ref) (map[string]*corev1.Pod, error) {
	found, err := getEach(ctx, d.Limit, refs, func(ctx context.Context, r snapshot.Ref) (*corev1.Pod, error) {
		return d.Client.CoreV1().Pods(r.Namespace).Get(ctx, r.Name, metav1.GetOptions{})
	})
	byName := make(map[string]*corev1.Pod, len(found))
	for _, p := range found {
		byName[key(p.Namespace, p.Name)] = p
	}
	return byName, err
}

func (d *observation) getVolumes(ctx context.Context, names []string) (map[string]*corev1.PersistentVolume, error) {
	found, err := getEach(ctx, d.Limit, names, func(ctx context.Context, name string) (*corev1.PersistentVolume, error) {
		return d.Client.CoreV1().PersistentVolumes().Get(ctx, name, metav1.GetOptions{})
	})
	byName := make(map[string]*corev1.PersistentVolume, len(found))
	for _, pv := range found {
		byName[pv.Name] = pv
	}
	return byName, err
}

func (d *observation) getNodes(ctx context.Context, names []string) (map[string]*corev1.Node, error) {
	found, err := getEach(ctx, d.Limit, names, func(ctx context.Context, name string) (*corev1.Node, error) {
		return d.Client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	})
	byName := make(map[string]*corev1.Node, len(found))
	for _, n := range found {
		byName[n.Name] = n
	}
	return byName, err
}

// getEach gets every item that exists. The error is the first other one.
func getEach[K, T any](ctx context.Context, limit int, items []K, get func(context.Context, K) (*T, error)) ([]*T, error) {
	var mu sync.Mutex
	var first error
	answers := exec.Each(ctx, items, limit, 0, func(ctx context.Context, item K) *T {
		got, err := get(ctx, item)
		switch {
		case err == nil:
			return got
		case apierrors.IsNotFound(err):
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		if first == nil {
			first = err
		}
		return nil
	})
	return slices.DeleteFunc(answers, func(t *T) bool { return t == nil }), first
}

func names(refs []snapshot.Ref) []string {
	all := make([]string, 0, len(refs))
	for _, r := range refs {
		all = append(all, r.Name)
	}
	return all
}

// oneOrAll is the only namespace, or all of them.
func oneOrAll(spaces map[string]bool) string {
	if len(spaces) == 1 {
		for name := range spaces {
			return name
		}
	}
	return metav1.NamespaceAll
}

// onNode chooses the pods of a node.
func onNode(name string) string { return fields.OneTermEqualSelector("spec.nodeName", name).String() }
