// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/pager"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/kube"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// each lists in pages and hands over every object, so that of the large lists
// only what is projected stays in memory.
func each(ctx context.Context, list pager.ListPageFunc, options metav1.ListOptions, f func(runtime.Object) error) error {
	p := pager.New(list)
	// A page of a thousand pods is a few MiB; the pager's buffer of further pages
	// would only hold more of them.
	p.PageSize, p.PageBufferSize = 500, 0
	return p.EachListItem(ctx, options, f)
}

func (c *Collector) installs(ctx context.Context, r Request) ([]provisioner.Install, error) {
	sets, err := c.Client.AppsV1().DaemonSets(r.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	return provisioner.Detect(sets.Items), nil
}

func (c *Collector) nodes(ctx context.Context, r Request) ([]corev1.Node, error) {
	options := metav1.ListOptions{}
	if r.Selector != nil {
		options.LabelSelector = r.Selector.String()
	}
	nodes, err := c.Client.CoreV1().Nodes().List(ctx, options)
	if err != nil {
		return nil, err
	}
	if len(nodes.Items) == 0 && options.LabelSelector != "" {
		return nil, failure.New("no node has the labels "+options.LabelSelector, "kubectl get nodes --show-labels")
	}
	return matching(nodes.Items, r.Nodes)
}

func (c *Collector) volumes(ctx context.Context) ([]snapshot.Volume, error) {
	var volumes []snapshot.Volume
	list := pager.SimplePageFunc(func(o metav1.ListOptions) (runtime.Object, error) {
		return c.Client.CoreV1().PersistentVolumes().List(ctx, o)
	})
	err := each(ctx, list, metav1.ListOptions{}, func(o runtime.Object) error {
		if pv, ok := o.(*corev1.PersistentVolume); ok {
			if v, local := kube.VolumeOf(pv); local {
				volumes = append(volumes, v)
			}
		}
		return nil
	})
	return volumes, err
}

func (c *Collector) storageClasses(ctx context.Context) (map[string]snapshot.StorageClass, error) {
	classes, err := c.Client.StorageV1().StorageClasses().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	byName := make(map[string]snapshot.StorageClass, len(classes.Items))
	for _, sc := range classes.Items {
		projected := snapshot.StorageClass{Name: sc.Name, Provisioner: sc.Provisioner}
		if sc.ReclaimPolicy != nil {
			projected.ReclaimPolicy = string(*sc.ReclaimPolicy)
		}
		if sc.VolumeBindingMode != nil {
			projected.BindingMode = string(*sc.VolumeBindingMode)
		}
		byName[sc.Name] = projected
	}
	return byName, nil
}

func (c *Collector) pods(ctx context.Context, i provisioner.Install) ([]corev1.Pod, error) {
	pods, err := c.Client.CoreV1().Pods(i.Namespace).List(ctx, metav1.ListOptions{LabelSelector: metav1.FormatLabelSelector(i.Selector)})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(pods.Items, func(p corev1.Pod) bool { return !controls(i.UID, &p) }), nil
}

// controls reports whether a DaemonSet controls a pod. Labels prove nothing: whoever may make a pod in the namespace can give it
// those that the DaemonSet selects.
func controls(uid types.UID, pod *corev1.Pod) bool {
	owner := metav1.GetControllerOfNoCopy(pod)
	return owner != nil && owner.Kind == "DaemonSet" && owner.UID == uid
}

// users lists every pod of the cluster and keeps the names of those that use claims.
func (c *Collector) users(ctx context.Context) snapshot.Section[map[snapshot.ClaimRef][]string] {
	users := make(map[snapshot.ClaimRef][]string)
	list := pager.SimplePageFunc(func(o metav1.ListOptions) (runtime.Object, error) {
		return c.Client.CoreV1().Pods(metav1.NamespaceAll).List(ctx, o)
	})
	err := each(ctx, list, metav1.ListOptions{}, func(o runtime.Object) error {
		pod, ok := o.(*corev1.Pod)
		if !ok || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
			return nil
		}
		for _, v := range pod.Spec.Volumes {
			if v.PersistentVolumeClaim != nil {
				ref := snapshot.ClaimRef{Namespace: pod.Namespace, Name: v.PersistentVolumeClaim.ClaimName}
				users[ref] = append(users[ref], pod.Name)
			}
		}
		return nil
	})
	if err != nil {
		return snapshot.Unread[map[snapshot.ClaimRef][]string](problem.From(err))
	}
	return snapshot.Read(users)
}
