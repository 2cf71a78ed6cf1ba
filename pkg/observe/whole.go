// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/pager"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// readAll reads the whole cluster: one list of each kind that is asked for.
func (d *observation) readAll(ctx context.Context) error {
	o, r := &d.objects, d.request
	g, ctx := errgroup.WithContext(ctx)
	if r.wants(Users | Workload) {
		g.Go(func() error {
			err := d.listPods(ctx, metav1.NamespaceAll, metav1.ListOptions{}, d.addPod)
			if err != nil {
				o.podsProblem = problem.From(err)
			}
			return nil
		})
	}
	if r.wants(Workload) {
		g.Go(func() error {
			err := d.listClaims(ctx, metav1.NamespaceAll,
				func(pvc *corev1.PersistentVolumeClaim) { o.claims[key(pvc.Namespace, pvc.Name)] = claimOf(pvc) })
			if err != nil {
				o.claimsProblem = problem.From(err)
			}
			return nil
		})
	}
	g.Go(func() error { return d.listVolumes(ctx) })
	g.Go(func() error {
		if err := d.listChosenNodes(ctx); err != nil {
			return d.unread(snapshot.PartNodes, err)
		}
		return nil
	})
	return g.Wait()
}

// addPod keeps a pod, or the names of its claims' users.
func (d *observation) addPod(p snapshot.UserPod) {
	if len(p.Volumes) == 0 || over(p) {
		return
	}
	o := &d.objects
	if d.request.wants(Workload) {
		o.pods[key(p.Namespace, p.Name)] = p
	}
	if d.request.wants(Users) {
		for _, ref := range claimsOf(p) {
			o.users[ref] = append(o.users[ref], p.Name)
		}
	}
}

// listChosenNodes reads the nodes that are chosen by name or label.
func (d *observation) listChosenNodes(ctx context.Context) error {
	r := d.request
	options := metav1.ListOptions{}
	if r.Selector != nil {
		options.LabelSelector = r.Selector.String()
	}
	if err := d.listNodes(ctx, options); err != nil {
		return err
	}
	nodes := d.objects.nodes
	if len(nodes) == 0 && options.LabelSelector != "" {
		return failure.New("no node has the labels "+options.LabelSelector, "kubectl get nodes --show-labels")
	}
	return keepMatching(nodes, r.Nodes)
}

// keepMatching leaves the nodes that match any of the names and globs; one that matches nothing is an error.
func keepMatching(nodes map[string]corev1.Node, patterns []string) error {
	if len(patterns) == 0 {
		return nil
	}
	matched := make(map[string]bool)
	for name := range nodes {
		chosen := false
		for _, p := range patterns {
			if ok, _ := path.Match(p, name); ok {
				matched[p], chosen = true, true
			}
		}
		if !chosen {
			delete(nodes, name)
		}
	}
	for _, p := range patterns {
		if !matched[p] {
			return failure.New(fmt.Sprintf("no node is called %q", p), "kubectl get nodes")
		}
	}
	return nil
}

// keepLocal leaves of the whole cluster what has to do with local volumes.
func (d *observation) keepLocal() {
	o := &d.objects
	claimsRead := o.claimsProblem.IsZero()
	foreign := make(map[snapshot.ClaimRef]bool)
	for k, c := range o.claims {
		if !d.ours(c) {
			foreign[c.ClaimRef] = true
			delete(o.claims, k)
		}
	}
	dirs := d.hostDirs()
	own := make(map[types.UID]bool)
	for _, p := range d.allOwn() {
		own[p.UID] = true
	}
	for k, p := range o.pods {
		p, ok := trimmed(p, func(p snapshot.UserPod, v snapshot.PodVolume) bool {
			if v.Claim != "" { // One that does not exist is kept, to be reported.
				return claimsRead && !foreign[snapshot.ClaimRef{Namespace: p.Namespace, Name: v.Claim}]
			}
			return slices.ContainsFunc(dirs, func(dir string) bool { return v.HostPath == dir || strings.HasPrefix(v.HostPath, dir+"/") })
		})
		if !ok || own[p.UID] {
			delete(o.pods, k)
			continue
		}
		o.pods[k] = p
	}
}

// ours reports whether a claim is, or asks to be, of a local volume. One that waits for a
// class that does not exist may be meant to be.
func (d *observation) ours(c snapshot.Claim) bool {
	if c.Volume != "" {
		if _, local := d.objects.volumes[c.Volume]; local {
			return true
		}
		if d.objects.foreign[c.Volume] != "" {
			return false
		}
	}
	if c.Class == nil {
		return false
	}
	class := *c.Class
	for _, i := range d.installs {
		if _, ours := i.install.ClassOf(class); ours {
			return true
		}
	}
	known, ok := d.s.StorageClasses[class]
	if !ok {
		return class != "" && c.Volume == "" && d.s.Unread[snapshot.PartStorageClasses].IsZero()
	}
	return known.Provisioner == noProvisioner
}

// listPods, listClaims, listVolumes and listNodes read in pages.

func (d *observation) listPods(ctx context.Context, namespace string, options metav1.ListOptions, f func(snapshot.UserPod)) error {
	return items(ctx, options, func(o metav1.ListOptions) (runtime.Object, error) {
		return d.Client.CoreV1().Pods(namespace).List(ctx, o)
	},
		func(p *corev1.Pod) { f(userPodOf(p)) })
}

func (d *observation) listClaims(ctx context.Context, namespace string, f func(*corev1.PersistentVolumeClaim)) error {
	return items(ctx, metav1.ListOptions{}, func(o metav1.ListOptions) (runtime.Object, error) {
		return d.Client.CoreV1().PersistentVolumeClaims(namespace).List(ctx, o)
	}, f)
}

func (d *observation) listVolumes(ctx context.Context) error {
	err := items(ctx, metav1.ListOptions{}, func(o metav1.ListOptions) (runtime.Object, error) {
		return d.Client.CoreV1().PersistentVolumes().List(ctx, o)
	}, d.objects.add)
	if err != nil {
		return d.unread(snapshot.PartVolumes, err)
	}
	d.s.AllVolumes = true
	return nil
}

func (d *observation) listNodes(ctx context.Context, options metav1.ListOptions) error {
	return items(ctx, options, func(o metav1.ListOptions) (runtime.Object, error) { return d.Client.CoreV1().Nodes().List(ctx, o) },
		func(n *corev1.Node) { d.objects.nodes[n.Name] = *n })
}

// items hands over every item of a list, read in pages.
func items[T any](ctx context.Context, options metav1.ListOptions, list func(metav1.ListOptions) (runtime.Object, error),
	f func(*T)) error {
	return each(ctx, pager.SimplePageFunc(list), options, func(o runtime.Object) error {
		if item, ok := any(o).(*T); ok {
			f(item)
		}
		return nil
	})
}
