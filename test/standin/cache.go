// SPDX-License-Identifier: Apache-2.0

package standin

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// volumes are the volumes of one provisioner, by name (pkg/cache/cache.go). The real
// one fills them by a watch, so that in one pass it may miss a volume that it has
// just made. Here they are read once a pass, and a volume is known when it is made.
type volumes map[string]*corev1.PersistentVolume

// update makes the volumes what the API server has now (pkg/populator/populator.go). A volume
// that is known stays known, whatever becomes of its annotations.
func (p *Provisioner) update(config Config, all []corev1.PersistentVolume) {
	now := volumes{}
	for i := range all {
		now[all[i].Name] = &all[i]
	}
	for _, known := range p.volumes.sorted() {
		if pv, ok := now[known.Name]; !ok || pv.UID != known.UID {
			delete(p.volumes, known.Name)
			p.Log.Infof("Deleted pv %q from cache", known.Name)
		}
	}
	for _, pv := range now.sorted() {
		known, ok := p.volumes[pv.Name]
		switch {
		case !ok && p.made(config, pv):
			p.add(pv)
		case ok:
			p.volumes[pv.Name] = pv
			if pv.ResourceVersion != known.ResourceVersion {
				p.Log.Infof("Updated pv %q to cache", pv.Name)
			}
		}
	}
}

func (p *Provisioner) add(pv *corev1.PersistentVolume) {
	if p.volumes == nil {
		p.volumes = volumes{}
	}
	p.volumes[pv.Name] = pv
	p.Log.Infof("Added pv %q to cache", pv.Name)
}

// made tells the volumes that a provisioner of this name made. One of a node of the same
// name but another UID has another name.
func (p *Provisioner) made(config Config, pv *corev1.PersistentVolume) bool {
	name := ProvisionerName(p.Node, config.UseNodeNameOnly)
	by, ok := pv.Annotations[AnnotationProvisionedBy]
	if !ok {
		return false
	}
	earlier := config.UseNodeNameOnly && pv.Labels[corev1.LabelHostname] == p.Node.Name && strings.HasPrefix(by, name+"-")
	return by == name || earlier
}

// at returns the names of the volumes with a path on the node.
func (v volumes) at(hostPath string) []string {
	var names []string
	for _, pv := range v.sorted() {
		if pv.Spec.Local != nil && pv.Spec.Local.Path == hostPath {
			names = append(names, pv.Name)
		}
	}
	return names
}

func (v volumes) sorted() []*corev1.PersistentVolume {
	sorted := make([]*corev1.PersistentVolume, 0, len(v))
	for _, name := range slices.Sorted(maps.Keys(v)) {
		sorted = append(sorted, v[name])
	}
	return sorted
}
