// SPDX-License-Identifier: Apache-2.0

// Package kube is the edge to Kubernetes: it projects objects to the values of
// package snapshot, and carries out what a plan decided on, in pods and on
// PersistentVolumes. It decides nothing.
package kube

import (
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// The annotations of a PersistentVolume that say which disk it was made for.
const (
	annotationWWID   = "talosdisk.dev/wwid"
	annotationSerial = "talosdisk.dev/serial"
	annotationByID   = "talosdisk.dev/by-id"
	annotationByPath = "talosdisk.dev/by-path"
	annotationSize   = "talosdisk.dev/size"
)

// annotationProvisionedBy names who made a PersistentVolume
// (sig-storage-lib-external-provisioner, controller/controller.go).
const annotationProvisionedBy = "pv.kubernetes.io/provisioned-by"

// annotations of an identity. Lists are joined by commas, which udev puts into
// no name.
func annotations(id disk.ID) map[string]string {
	all := map[string]string{
		annotationWWID:   id.WWID,
		annotationSerial: id.Serial,
		annotationByID:   strings.Join(id.ByID, ","),
		annotationByPath: strings.Join(id.ByPath, ","),
		annotationSize:   strconv.FormatUint(id.Size, 10),
	}
	for key, value := range all {
		if value == "" {
			delete(all, key)
		}
	}
	return all
}

// identity is the inverse of annotations; nil if the volume has none of them.
func identity(a map[string]string) *disk.ID {
	list := func(key string) []string {
		if a[key] == "" {
			return nil
		}
		return strings.Split(a[key], ",")
	}
	recorded := slices.ContainsFunc([]string{annotationWWID, annotationSerial, annotationByID, annotationByPath, annotationSize},
		func(key string) bool { _, ok := a[key]; return ok })
	if !recorded {
		return nil
	}
	// Anyone who may edit volumes writes annotations: what no disk has is no evidence of anything.
	for _, value := range append(append(list(annotationByID), list(annotationByPath)...), a[annotationWWID], a[annotationSerial]) {
		if !plain(value) {
			return nil
		}
	}
	// Nor is a size that is no number.
	size, _ := strconv.ParseUint(a[annotationSize], 10, 64)
	return &disk.ID{
		WWID:   a[annotationWWID],
		Serial: a[annotationSerial],
		ByID:   list(annotationByID),
		ByPath: list(annotationByPath),
		Size:   size,
	}
}

// VolumeOf projects a PersistentVolume; false if it is not a local one.
func VolumeOf(pv *corev1.PersistentVolume) (snapshot.Volume, bool) {
	if pv.Spec.Local == nil {
		return snapshot.Volume{}, false
	}
	capacity := pv.Spec.Capacity[corev1.ResourceStorage]
	v := snapshot.Volume{
		Name:            pv.Name,
		UID:             pv.UID,
		ResourceVersion: pv.ResourceVersion,
		Created:         pv.CreationTimestamp.Time,
		Deleting:        pv.DeletionTimestamp != nil,
		Class:           pv.Spec.StorageClassName,
		Mode:            provisioner.Filesystem,
		Path:            pv.Spec.Local.Path,
		Capacity:        capacity.Value(),
		Node:            nodeOf(pv),
		Phase:           string(pv.Status.Phase),
		ReclaimPolicy:   string(pv.Spec.PersistentVolumeReclaimPolicy),
		Labels:          pv.Labels,
		Message:         pv.Status.Message,
		ProvisionedBy:   pv.Annotations[annotationProvisionedBy],
		Identity:        identity(pv.Annotations),
	}
	for _, m := range pv.Spec.AccessModes {
		v.AccessModes = append(v.AccessModes, string(m))
	}
	if pv.Spec.VolumeMode != nil {
		v.Mode = provisioner.Mode(*pv.Spec.VolumeMode)
	}
	if ref := pv.Spec.ClaimRef; ref != nil {
		v.Claim = &snapshot.ClaimRef{Namespace: ref.Namespace, Name: ref.Name}
		v.ClaimUID = ref.UID
	}
	return v, true
}

// nodeOf is the node's hostname that every term of the affinity asks for; empty where one of them, any of
// which is enough, allows for others.
func nodeOf(pv *corev1.PersistentVolume) string {
	if pv.Spec.NodeAffinity == nil || pv.Spec.NodeAffinity.Required == nil {
		return ""
	}
	node := ""
	for i, term := range pv.Spec.NodeAffinity.Required.NodeSelectorTerms {
		only := ""
		for _, e := range term.MatchExpressions {
			if e.Key == corev1.LabelHostname && e.Operator == corev1.NodeSelectorOpIn && len(e.Values) == 1 {
				only = e.Values[0]
			}
		}
		if only == "" || i > 0 && only != node {
			return ""
		}
		node = only
	}
	return node
}
