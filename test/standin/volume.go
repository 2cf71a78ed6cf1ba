// SPDX-License-Identifier: Apache-2.0

package standin

import (
	"fmt"
	"hash/fnv"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AnnotationProvisionedBy names, on a PersistentVolume, who made it.
const AnnotationProvisionedBy = "pv.kubernetes.io/provisioned-by"

// PVName is the name of the volume that an entry of a class directory becomes
// on a node. The hash is not padded, so names have up to eight digits.
func PVName(entry, node, class string) string {
	sum := fnv.New32a()
	for _, part := range []string{entry, node, class} {
		sum.Write([]byte(part))
	}
	return fmt.Sprintf("local-pv-%x", sum.Sum32())
}

// ProvisionerName is what a provisioner on a node calls itself, in the
// annotation of its volumes and as the source of its events.
func ProvisionerName(node *corev1.Node, useNodeNameOnly bool) string {
	if useNodeNameOnly {
		return "local-volume-provisioner-" + node.Name
	}
	return fmt.Sprintf("local-volume-provisioner-%s-%s", node.Name, node.UID)
}

// RoundDown rounds a size in bytes down to whole GiB from 10 GiB on and to
// whole MiB from 10 MiB on.
func RoundDown(bytes int64) int64 {
	const (
		mib = int64(1) << 20
		gib = int64(1) << 30
	)
	switch {
	case bytes >= 10*gib:
		return bytes - bytes%gib
	case bytes >= 10*mib:
		return bytes - bytes%mib
	default:
		return bytes
	}
}

// matches reports whether a class publishes entries of a name.
func (c Class) matches(name string) (bool, error) {
	if c.NamePattern == "" {
		return true, nil
	}
	for pattern := range strings.SplitSeq(c.NamePattern, ",") {
		if pattern == "" {
			continue
		}
		matched, err := filepath.Match(pattern, name)
		if err != nil || matched {
			return matched, err
		}
	}
	return false, nil
}

// containerPath translates the path that a volume carries into the path under
// which the provisioner's container sees the same entry.
func (c Class) containerPath(pv *corev1.PersistentVolume) (string, error) {
	below, err := filepath.Rel(c.HostDir, pv.Spec.Local.Path)
	if err != nil {
		return "", fmt.Errorf("Could not get relative path for pv %q: %w", pv.Name, err)
	}
	return filepath.Join(c.MountDir, below), nil
}

// found is an entry that is to become a volume.
type found struct {
	class        string
	config       Class
	entry        string
	bytes        int64
	reclaim      corev1.PersistentVolumeReclaimPolicy
	mountOptions []string
}

func (p *Provisioner) volume(config Config, f found) *corev1.PersistentVolume {
	labels := map[string]string{}
	for _, key := range config.NodeLabelsForPV {
		if value, ok := p.Node.Labels[key]; ok {
			labels[key] = value
		}
	}
	for key, value := range config.LabelsForPV {
		labels[key] = value
	}
	terms := append([]corev1.NodeSelectorTerm{{
		MatchExpressions: []corev1.NodeSelectorRequirement{{
			Key:      corev1.LabelHostname,
			Operator: corev1.NodeSelectorOpIn,
			Values:   []string{p.Node.Labels[corev1.LabelHostname]},
		}},
	}}, f.config.Selector...)
	source := &corev1.LocalVolumeSource{Path: filepath.Join(f.config.HostDir, f.entry)}
	if f.config.FSType != "" {
		source.FSType = &f.config.FSType
	}
	pv := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{
			Name:   PVName(f.entry, p.Node.Name, f.class),
			Labels: labels,
			Annotations: map[string]string{
				AnnotationProvisionedBy: ProvisionerName(p.Node, config.UseNodeNameOnly),
			},
		},
		Spec: corev1.PersistentVolumeSpec{
			Capacity: corev1.ResourceList{
				corev1.ResourceStorage: *resource.NewQuantity(RoundDown(f.bytes), resource.BinarySI),
			},
			PersistentVolumeSource:        corev1.PersistentVolumeSource{Local: source},
			AccessModes:                   []corev1.PersistentVolumeAccessMode{f.config.AccessMode},
			PersistentVolumeReclaimPolicy: f.reclaim,
			StorageClassName:              f.class,
			MountOptions:                  f.mountOptions,
			VolumeMode:                    &f.config.VolumeMode,
			NodeAffinity: &corev1.VolumeNodeAffinity{
				Required: &corev1.NodeSelector{NodeSelectorTerms: terms},
			},
		},
	}
	if config.SetPVOwnerRef {
		pv.OwnerReferences = []metav1.OwnerReference{{
			APIVersion: "v1", Kind: "Node", Name: p.Node.Name, UID: p.Node.UID,
		}}
	}
	return pv
}
