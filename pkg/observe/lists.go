// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/pager"

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

// classes reads the StorageClasses, all of them: they are few.
func (d *observation) classes(ctx context.Context) error {
	var err error
	if d.s.StorageClasses, err = d.storageClasses(ctx); err != nil {
		return d.unread(snapshot.PartStorageClasses, err)
	}
	return nil
}

func (c *Observer) storageClasses(ctx context.Context) (map[string]snapshot.StorageClass, error) {
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
		projected.Default = sc.Annotations["storageclass.kubernetes.io/is-default-class"] == "true"
		// Helm v3 and v4 mark all that they own (pkg/action/validate.go).
		if release := sc.Annotations["meta.helm.sh/release-name"]; release != "" {
			projected.HelmRelease = sc.Annotations["meta.helm.sh/release-namespace"] + "/" + release
		}
		byName[sc.Name] = projected
	}
	return byName, nil
}

// controls reports whether a DaemonSet controls a pod. Labels prove nothing: who may make a pod in the namespace can give it
// those that the DaemonSet selects.
func controls(uid types.UID, pod *corev1.Pod) bool {
	owner := metav1.GetControllerOfNoCopy(pod)
	return owner != nil && owner.Kind == "DaemonSet" && owner.UID == uid
}
