// SPDX-License-Identifier: Apache-2.0

package standin

import (
	"context"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// APIServer is the Cluster behind a client.
type APIServer struct {
	Client kubernetes.Interface
}

// PVs implements Cluster.
func (a APIServer) PVs(ctx context.Context) ([]corev1.PersistentVolume, error) {
	list, err := a.Client.CoreV1().PersistentVolumes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}

// StorageClass implements Cluster. The error for a missing class is the one of
// client-go's cache ("storageclass", where the API server says
// "storageclasses"), because the real provisioner reads the class from there.
func (a APIServer) StorageClass(ctx context.Context, name string) (*storagev1.StorageClass, error) {
	class, err := a.Client.StorageV1().StorageClasses().Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, apierrors.NewNotFound(storagev1.Resource("storageclass"), name)
	}
	return class, err
}

// CreatePV implements Cluster.
func (a APIServer) CreatePV(ctx context.Context, pv *corev1.PersistentVolume) (*corev1.PersistentVolume, error) {
	return a.Client.CoreV1().PersistentVolumes().Create(ctx, pv, metav1.CreateOptions{})
}

// DeletePV implements Cluster.
func (a APIServer) DeletePV(ctx context.Context, name string) error {
	return a.Client.CoreV1().PersistentVolumes().Delete(ctx, name, metav1.DeleteOptions{})
}

// Job implements Cluster.
func (a APIServer) Job(ctx context.Context, namespace, name string) (*batchv1.Job, error) {
	return a.Client.BatchV1().Jobs(namespace).Get(ctx, name, metav1.GetOptions{})
}

// CreateJob implements Cluster.
func (a APIServer) CreateJob(ctx context.Context, job *batchv1.Job) error {
	_, err := a.Client.BatchV1().Jobs(job.Namespace).Create(ctx, job, metav1.CreateOptions{})
	return err
}

// DeleteJob implements Cluster: the Job's pod goes first (pkg/util/api_util.go).
func (a APIServer) DeleteJob(ctx context.Context, namespace, name string) error {
	foreground := metav1.DeletePropagationForeground
	return a.Client.BatchV1().Jobs(namespace).Delete(ctx, name, metav1.DeleteOptions{PropagationPolicy: &foreground})
}
