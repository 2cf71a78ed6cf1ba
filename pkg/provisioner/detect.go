// SPDX-License-Identifier: Apache-2.0

package provisioner

import (
	"path"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// configPath is where every published manifest and chart mounts the ConfigMap.
const configPath = "/etc/provisioner/config"

// imageName ends the repository of every published image: registry.k8s.io/sig-storage/…,
// k8s.gcr.io/sig-storage/…, and quay.io/external_storage/… of the early releases.
const imageName = "local-volume-provisioner"

// Install is one installation of the provisioner.
type Install struct {
	Namespace string `json:"namespace"`
	// Name is the DaemonSet's, and UID its own: a pod is the installation's if that DaemonSet controls it.
	Name      string    `json:"name"`
	UID       types.UID `json:"uid,omitempty"`
	ConfigMap string    `json:"configMap"`
	// Container is the provisioner's among those of the pod.
	Container string `json:"container"`
	Image     string `json:"image"`
	// Selector finds the DaemonSet's pods.
	Selector *metav1.LabelSelector `json:"selector,omitempty"`
	// NodeSelector, NodeAffinity (as NodeTerms has it) and Tolerations say on which
	// nodes it wants to run.
	NodeSelector map[string]string   `json:"nodeSelector,omitempty"`
	NodeAffinity []string            `json:"nodeAffinity,omitempty"`
	Tolerations  []corev1.Toleration `json:"tolerations,omitempty"`
	// Mounts are the host's directories in the container.
	Mounts []Mount `json:"mounts"`
	// Classes are those of the ConfigMap.
	Classes []Class `json:"classes"`
}

// HostDirs are the directories of the classes on the nodes, sorted, each once.
func (i Install) HostDirs() []string {
	dirs := make([]string, 0, len(i.Classes))
	for _, c := range i.Classes {
		dirs = append(dirs, c.HostDir)
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}

// Mount is a hostPath volume in the provisioner's container.
type Mount struct {
	HostPath    string                      `json:"hostPath"`
	MountPath   string                      `json:"mountPath"`
	ReadOnly    bool                        `json:"readOnly,omitempty"`
	Propagation corev1.MountPropagationMode `json:"propagation,omitempty"`
}

// MountOf is the mount that shows a path of the container, the innermost one.
func (i Install) MountOf(containerPath string) (Mount, bool) {
	best, found := Mount{}, false
	for _, m := range i.Mounts {
		if within(containerPath, m.MountPath) && (!found || len(m.MountPath) > len(best.MountPath)) {
			best, found = m, true
		}
	}
	return best, found
}

// PathOf is a path of the node as the container has it, by the innermost mount that shows
// it; false if none does.
func (i Install) PathOf(hostPath string) (string, bool) {
	hostPath = path.Clean(hostPath)
	best, found := Mount{}, false
	for _, m := range i.Mounts {
		if within(hostPath, m.HostPath) && (!found || len(m.HostPath) > len(best.HostPath)) {
			best, found = m, true
		}
	}
	if !found {
		return "", false
	}
	return path.Join(best.MountPath, strings.TrimPrefix(hostPath, path.Clean(best.HostPath))), true
}

// DevMounted reports whether the host's /dev is the container's.
func (i Install) DevMounted() bool {
	m, ok := i.MountOf("/dev")
	return ok && path.Clean(m.HostPath) == "/dev" && path.Clean(m.MountPath) == "/dev"
}

// ClassOf is the class of that name.
func (i Install) ClassOf(name string) (Class, bool) {
	for _, c := range i.Classes {
		if c.Name == name {
			return c, true
		}
	}
	return Class{}, false
}

// Detect finds the installations among DaemonSets: by image, or by a ConfigMap
// mounted at /etc/provisioner/config. Labels and names differ between charts and
// releases and prove nothing. One that can run on no Linux node is none: Talos is
// Linux. The classes are left empty, since a ConfigMap can only be judged once it
// was read.
func Detect(daemonSets []appsv1.DaemonSet) []Install {
	var found []Install
	for _, ds := range daemonSets {
		spec := ds.Spec.Template.Spec
		if avoidsLinux(spec) {
			continue
		}
		for _, c := range spec.Containers {
			configMap := mountedConfigMap(spec, c)
			if configMap == "" {
				continue
			}
			if !isProvisionerImage(c.Image) && !mountsConfig(c) {
				continue
			}
			found = append(found, Install{
				Namespace: ds.Namespace, Name: ds.Name, UID: ds.UID,
				ConfigMap: configMap, Container: c.Name, Image: c.Image,
				Selector: ds.Spec.Selector, NodeSelector: spec.NodeSelector, NodeAffinity: NodeTerms(spec), Tolerations: spec.Tolerations,
				Mounts: hostMounts(spec, c),
			})
			break
		}
	}
	return found
}

func isProvisionerImage(image string) bool {
	repository, _, _ := strings.Cut(image, "@")
	if i := strings.LastIndex(repository, ":"); i > strings.LastIndex(repository, "/") {
		repository = repository[:i]
	}
	return path.Base(repository) == imageName
}

func mountsConfig(c corev1.Container) bool {
	return slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool {
		return path.Clean(m.MountPath) == configPath
	})
}

// mountedConfigMap is the ConfigMap that the container mounts at configPath, or
// the only one that it mounts at all.
func mountedConfigMap(spec corev1.PodSpec, c corev1.Container) string {
	byVolume := make(map[string]string)
	for _, v := range spec.Volumes {
		if v.ConfigMap != nil {
			byVolume[v.Name] = v.ConfigMap.Name
		}
	}
	var all []string
	for _, m := range c.VolumeMounts {
		name, ok := byVolume[m.Name]
		if !ok {
			continue
		}
		if path.Clean(m.MountPath) == configPath {
			return name
		}
		all = append(all, name)
	}
	if len(all) == 1 {
		return all[0]
	}
	return ""
}

func hostMounts(spec corev1.PodSpec, c corev1.Container) []Mount {
	byVolume := make(map[string]string)
	for _, v := range spec.Volumes {
		if v.HostPath != nil {
			byVolume[v.Name] = v.HostPath.Path
		}
	}
	var mounts []Mount
	for _, m := range c.VolumeMounts {
		hostPath, ok := byVolume[m.Name]
		if !ok {
			continue
		}
		mount := Mount{HostPath: path.Clean(hostPath), MountPath: path.Clean(m.MountPath), ReadOnly: m.ReadOnly}
		if m.MountPropagation != nil {
			mount.Propagation = *m.MountPropagation
		}
		mounts = append(mounts, mount)
	}
	return mounts
}

func within(p, dir string) bool {
	p, dir = path.Clean(p), path.Clean(dir)
	return p == dir || dir == "/" || strings.HasPrefix(p, dir+"/")
}
