// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/link"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// Volumes are the cluster's local PersistentVolumes. It implements link.Volumes.
type Volumes struct {
	Client Client
	// NodeByHostname is snapshot.Snapshot's; nil: a node is called as its hostname.
	NodeByHostname func(hostname string) string
}

// project is VolumeOf with the node by its name.
func (v Volumes) project(pv *corev1.PersistentVolume) (snapshot.Volume, bool) {
	volume, local := VolumeOf(pv)
	if v.NodeByHostname != nil {
		volume.Node = v.NodeByHostname(volume.Node)
	}
	return volume, local
}

var _ link.Volumes = Volumes{}

// Await lists once and then watches from there; see link.Volumes.
func (v Volumes) Await(ctx context.Context, names []string, listed func(), seen func(snapshot.Volume) bool) error {
	api := v.Client.CoreV1().PersistentVolumes()
	take := func(pv *corev1.PersistentVolume) bool {
		if !slices.Contains(names, pv.Name) {
			return false
		}
		volume, local := v.project(pv)
		return local && seen(volume)
	}
	list, err := api.List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for i := range list.Items {
		if take(&list.Items[i]) {
			return nil
		}
	}
	listed()
	// What Until says of a watch that is refused is only that it was closed.
	var refused atomic.Value
	watcher := &cache.ListWatch{
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			w, err := api.Watch(ctx, o)
			if apierrors.IsForbidden(err) {
				refused.Store(err)
			}
			return w, err
		},
	}
	_, err = watchtools.Until(ctx, list.ResourceVersion, watcher, func(event watch.Event) (bool, error) {
		pv, ok := event.Object.(*corev1.PersistentVolume)
		added := event.Type == watch.Added || event.Type == watch.Modified
		return added && ok && take(pv), nil
	})
	if why, ok := refused.Load().(error); ok && errors.Is(err, watchtools.ErrWatchClosed) {
		return why
	}
	return err
}

// Get is the volume as it is now, or nil.
func (v Volumes) Get(ctx context.Context, name string) (*snapshot.Volume, error) {
	pv, err := v.Client.CoreV1().PersistentVolumes().Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, err
	}
	volume, local := v.project(pv)
	if !local {
		return nil, fmt.Errorf("PersistentVolume %q is not a local one", name)
	}
	return &volume, nil
}

// Record writes the identity into the volume's annotations. The UID in the patch
// makes the API server refuse it for another volume of that name.
func (v Volumes) Record(ctx context.Context, volume snapshot.Volume, id disk.ID) error {
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": volume.UID, "annotations": annotations(id)},
	})
	if err != nil {
		return err
	}
	_, err = v.Client.CoreV1().PersistentVolumes().Patch(ctx, volume.Name, types.MergePatchType, patch, metav1.PatchOptions{})
	return err
}

// Delete deletes the volume as it was read, and no later version of it.
func (v Volumes) Delete(ctx context.Context, volume snapshot.Volume) error {
	err := v.Client.CoreV1().PersistentVolumes().Delete(ctx, volume.Name, metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{UID: &volume.UID, ResourceVersion: &volume.ResourceVersion},
	})
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case apierrors.IsConflict(err):
		return link.ErrChanged
	}
	return err
}
