// SPDX-License-Identifier: Apache-2.0

package manifests

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/talosdisk/kubectl-talosdisk/test/image"
)

const (
	// ChartName is the chart's name, and that of its pods' app label.
	ChartName = "local-static-provisioner"
	// ChartVersion is the version of the chart that is rendered.
	ChartVersion = "2.9.0"
	// Container is the name of the provisioner's container.
	Container = "provisioner"
)

// Class is one entry of the chart's value classes. Fields left empty are left
// out of the ConfigMap, so that the provisioner's own defaults hold.
type Class struct {
	// Name is also the name of the pod's volume, hence a DNS label.
	Name    string
	HostDir string
	// MountDir is HostDir if empty, as in the chart.
	MountDir            string
	VolumeMode          corev1.PersistentVolumeMode
	AccessMode          corev1.PersistentVolumeAccessMode
	FSType              string
	NamePattern         string
	BlockCleanerCommand []string
	// ReclaimPolicy of the StorageClass is Delete if empty.
	ReclaimPolicy corev1.PersistentVolumeReclaimPolicy
	// NoStorageClass leaves the StorageClass out, as the chart does by default.
	NoStorageClass bool
}

// Provisioner is an installation of the chart. The zero value of a field is
// the chart's default.
type Provisioner struct {
	Namespace string
	Release   string
	// NameOverride replaces the chart's name in labels and object names.
	NameOverride    string
	Classes         []Class
	Tolerations     []corev1.Toleration
	PodLabels       map[string]string
	NodeLabels      []string
	UseNodeNameOnly bool
	// NoDevVolume is the chart's mountDevVolume: false.
	NoDevVolume bool
	// DiscoveryPeriod is given to the program as an argument, which the chart
	// cannot do; the program's default of 10 s holds if it is zero.
	DiscoveryPeriod time.Duration
	// Enforce is the pod security level of the namespace. The provisioner's
	// pods need "privileged"; an empty string leaves the label out.
	Enforce string
}

// Default is an installation with a Block and a Filesystem class that looks
// for disks every second. The Block class is mounted elsewhere than it is on
// the host, so that a program that mixes the two up is found out.
func Default() Provisioner {
	return Provisioner{
		Namespace: "local-storage",
		Release:   ChartName,
		Enforce:   "privileged",
		Classes: []Class{
			{Name: "block-storage", HostDir: "/var/lib/disks/block", MountDir: "/mnt/block", VolumeMode: corev1.PersistentVolumeBlock},
			{Name: "fs-storage", HostDir: "/var/lib/disks/hdd", VolumeMode: corev1.PersistentVolumeFilesystem},
		},
		DiscoveryPeriod: time.Second,
	}
}

// Name is the value of the label app.kubernetes.io/name.
func (p Provisioner) Name() string {
	if p.NameOverride != "" {
		return p.NameOverride
	}
	return ChartName
}

// FullName is the name of the DaemonSet and the stem of all other names.
func (p Provisioner) FullName() string {
	if strings.Contains(p.Release, p.Name()) {
		return p.Release
	}
	return p.Release + "-" + p.Name()
}

// Objects returns everything, in an order in which it can be applied.
func (p Provisioner) Objects() []runtime.Object {
	objects := []runtime.Object{p.NamespaceObject(), p.ServiceAccount(), p.ConfigMap()}
	for _, class := range p.StorageClasses() {
		objects = append(objects, class)
	}
	return append(objects, p.ClusterRole(), p.ClusterRoleBinding(), p.DaemonSet())
}

// NamespaceObject returns the namespace of the release. It is no part of the
// chart: whoever installs the chart has to make it.
func (p Provisioner) NamespaceObject() *corev1.Namespace {
	ns := &corev1.Namespace{TypeMeta: typeMeta("v1", "Namespace"), ObjectMeta: metav1.ObjectMeta{Name: p.Namespace}}
	if p.Enforce != "" {
		ns.Labels = map[string]string{"pod-security.kubernetes.io/enforce": p.Enforce}
	}
	return ns
}

// ServiceAccount returns the account of the pods.
func (p Provisioner) ServiceAccount() *corev1.ServiceAccount {
	return &corev1.ServiceAccount{TypeMeta: typeMeta("v1", "ServiceAccount"), ObjectMeta: p.meta("")}
}

// ClusterRole returns what the provisioner may do.
func (p Provisioner) ClusterRole() *rbacv1.ClusterRole {
	rule := func(groups, resources, verbs string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{
			APIGroups: strings.Split(groups, ","), Resources: strings.Split(resources, ","), Verbs: strings.Split(verbs, ","),
		}
	}
	return &rbacv1.ClusterRole{
		TypeMeta: typeMeta("rbac.authorization.k8s.io/v1", "ClusterRole"), ObjectMeta: p.clusterMeta("-node-clusterrole"),
		Rules: []rbacv1.PolicyRule{
			rule("", "persistentvolumes", "get,list,watch,create,delete"),
			rule("storage.k8s.io", "storageclasses", "get,list,watch"),
			rule("", "events", "watch"),
			rule(",events.k8s.io", "events", "create,update,patch"),
			rule("", "nodes", "get,update"),
		},
	}
}

// ClusterRoleBinding gives the role to the account.
func (p Provisioner) ClusterRoleBinding() *rbacv1.ClusterRoleBinding {
	return &rbacv1.ClusterRoleBinding{
		TypeMeta: typeMeta("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"), ObjectMeta: p.clusterMeta("-node-binding"),
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: p.FullName(), Namespace: p.Namespace}},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: p.FullName() + "-node-clusterrole"},
	}
}

// ConfigMap returns the provisioner's configuration.
func (p Provisioner) ConfigMap() *corev1.ConfigMap {
	data := map[string]string{"storageClassMap": storageClassMap(p.Classes)}
	if len(p.NodeLabels) > 0 {
		data["nodeLabelsForPV"] = " - " + strings.Join(p.NodeLabels, "\n - ") + "\n"
	}
	if p.UseNodeNameOnly {
		data["useNodeNameOnly"] = "true"
	}
	return &corev1.ConfigMap{TypeMeta: typeMeta("v1", "ConfigMap"), ObjectMeta: p.meta("-config"), Data: data}
}

func storageClassMap(classes []Class) string {
	var text strings.Builder
	for _, c := range classes {
		fmt.Fprintf(&text, "%s:\n  hostDir: %s\n  mountDir: %s\n", c.Name, c.HostDir, c.mountDir())
		if len(c.BlockCleanerCommand) > 0 {
			text.WriteString("  blockCleanerCommand:\n")
			for _, word := range c.BlockCleanerCommand {
				fmt.Fprintf(&text, "    - %q\n", word)
			}
		}
		for _, field := range []struct{ key, value string }{
			{"volumeMode", string(c.VolumeMode)}, {"accessMode", string(c.AccessMode)}, {"fsType", c.FSType},
		} {
			if field.value != "" {
				fmt.Fprintf(&text, "  %s: %s\n", field.key, field.value)
			}
		}
		if c.NamePattern != "" {
			fmt.Fprintf(&text, "  namePattern: %q\n", c.NamePattern)
		}
	}
	return text.String()
}

func (c Class) mountDir() string {
	if c.MountDir != "" {
		return c.MountDir
	}
	return c.HostDir
}

// StorageClasses returns those of the classes that have one.
func (p Provisioner) StorageClasses() []*storagev1.StorageClass {
	var classes []*storagev1.StorageClass
	for _, c := range p.Classes {
		if c.NoStorageClass {
			continue
		}
		reclaim := corev1.PersistentVolumeReclaimDelete
		if c.ReclaimPolicy != "" {
			reclaim = c.ReclaimPolicy
		}
		binding := storagev1.VolumeBindingWaitForFirstConsumer
		classes = append(classes, &storagev1.StorageClass{
			TypeMeta:          typeMeta("storage.k8s.io/v1", "StorageClass"),
			ObjectMeta:        metav1.ObjectMeta{Name: c.Name, Labels: p.labels()},
			Provisioner:       "kubernetes.io/no-provisioner",
			ReclaimPolicy:     &reclaim,
			VolumeBindingMode: &binding,
		})
	}
	return classes
}

// DaemonSet returns the provisioner's pods.
func (p Provisioner) DaemonSet() *appsv1.DaemonSet {
	one := intstr.FromInt32(1)
	selector := map[string]string{labelName: p.Name(), labelInstance: p.Release}
	labels := map[string]string{labelName: p.Name(), labelInstance: p.Release}
	for key, value := range p.PodLabels {
		labels[key] = value
	}
	config := p.ConfigMap()
	return &appsv1.DaemonSet{
		TypeMeta: typeMeta("apps/v1", "DaemonSet"), ObjectMeta: p.meta(""),
		Spec: appsv1.DaemonSetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: selector},
			UpdateStrategy: appsv1.DaemonSetUpdateStrategy{
				Type:          appsv1.RollingUpdateDaemonSetStrategyType,
				RollingUpdate: &appsv1.RollingUpdateDaemonSet{MaxUnavailable: &one},
			},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{
					Labels: labels,
					// A change of the config replaces the pods.
					Annotations: map[string]string{"checksum/config": fmt.Sprintf("%x", sha256.Sum256(fmt.Append(nil, config.Data)))},
				},
				Spec: corev1.PodSpec{
					ServiceAccountName: p.FullName(),
					NodeSelector:       map[string]string{corev1.LabelOSStable: "linux"},
					Tolerations:        p.Tolerations,
					Containers:         []corev1.Container{p.container()},
					Volumes:            p.volumes(config.Name),
				},
			},
		},
	}
}

func (p Provisioner) container() corev1.Container {
	privileged := true
	field := func(name, path string) corev1.EnvVar {
		source := &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: path}}
		return corev1.EnvVar{Name: name, ValueFrom: source}
	}
	c := corev1.Container{
		Name:  Container,
		Image: image.Provisioner,
		// The image is imported and cannot be pulled.
		ImagePullPolicy: corev1.PullIfNotPresent,
		SecurityContext: &corev1.SecurityContext{Privileged: &privileged},
		Env: []corev1.EnvVar{
			field("MY_NODE_NAME", "spec.nodeName"),
			field("MY_NAMESPACE", "metadata.namespace"),
			{Name: "JOB_CONTAINER_IMAGE", Value: image.Provisioner},
		},
		LivenessProbe: &corev1.Probe{
			ProbeHandler:        corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromString("metrics")}},
			InitialDelaySeconds: 10, PeriodSeconds: 60, TimeoutSeconds: 5, FailureThreshold: 3,
		},
		Ports:        []corev1.ContainerPort{{Name: "metrics", ContainerPort: 8080}},
		VolumeMounts: []corev1.VolumeMount{{Name: "provisioner-config", MountPath: "/etc/provisioner/config", ReadOnly: true}},
	}
	if p.DiscoveryPeriod > 0 {
		c.Args = []string{"-discovery-period=" + p.DiscoveryPeriod.String()}
	}
	if !p.NoDevVolume {
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: "provisioner-dev", MountPath: "/dev"})
	}
	propagation := corev1.MountPropagationHostToContainer
	for _, class := range p.Classes {
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{
			Name: class.Name, MountPath: class.mountDir(), MountPropagation: &propagation,
		})
	}
	return c
}

func (p Provisioner) volumes(configMap string) []corev1.Volume {
	hostPath := func(name, path string) corev1.Volume {
		return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: path}}}
	}
	volumes := []corev1.Volume{{
		Name: "provisioner-config",
		VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: configMap},
		}},
	}}
	if !p.NoDevVolume {
		volumes = append(volumes, hostPath("provisioner-dev", "/dev"))
	}
	for _, class := range p.Classes {
		volumes = append(volumes, hostPath(class.Name, class.HostDir))
	}
	return volumes
}

const (
	labelName     = "app.kubernetes.io/name"
	labelInstance = "app.kubernetes.io/instance"
)

// labels are those of every object but the pods.
func (p Provisioner) labels() map[string]string {
	return map[string]string{
		"helm.sh/chart":                ChartName + "-" + ChartVersion,
		labelName:                      p.Name(),
		"app.kubernetes.io/managed-by": "Helm",
		labelInstance:                  p.Release,
	}
}

func (p Provisioner) meta(suffix string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: p.Namespace, Name: p.FullName() + suffix, Labels: p.labels()}
}

func (p Provisioner) clusterMeta(suffix string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: p.FullName() + suffix, Labels: p.labels()}
}

func typeMeta(apiVersion, kind string) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: apiVersion, Kind: kind}
}
