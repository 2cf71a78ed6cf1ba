// SPDX-License-Identifier: Apache-2.0

package manifests

import (
	"crypto/sha256"
	"encoding/json"
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
	// UseJobForCleaning cleans devices by Jobs in Namespace.
	UseJobForCleaning bool
	// EnableWindows adds the DaemonSet for Windows nodes, which chart 2.5.0 always has.
	EnableWindows bool
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
	objects = append(objects, p.ClusterRole(), p.ClusterRoleBinding())
	if p.UseJobForCleaning {
		objects = append(objects, p.JobsRole(), p.JobsRoleBinding())
	}
	objects = append(objects, p.DaemonSet())
	if p.EnableWindows {
		objects = append(objects, p.WindowsDaemonSet())
	}
	return objects
}

// NamespaceObject returns the namespace of the release. It is no part of the
// chart: anyone who installs the chart has to make it.
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

// JobsRole returns what the provisioner may do in its namespace if it cleans by Jobs.
func (p Provisioner) JobsRole() *rbacv1.Role {
	return &rbacv1.Role{
		TypeMeta: typeMeta("rbac.authorization.k8s.io/v1", "Role"), ObjectMeta: p.meta("-jobs-role"),
		Rules: []rbacv1.PolicyRule{{APIGroups: []string{"batch"}, Resources: []string{"jobs"}, Verbs: []string{"*"}}},
	}
}

// JobsRoleBinding gives that role to the account.
func (p Provisioner) JobsRoleBinding() *rbacv1.RoleBinding {
	return &rbacv1.RoleBinding{
		TypeMeta: typeMeta("rbac.authorization.k8s.io/v1", "RoleBinding"), ObjectMeta: p.meta("-jobs-rolebinding"),
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: p.FullName(), Namespace: p.Namespace}},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: p.FullName() + "-jobs-role"},
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
	if p.UseJobForCleaning {
		data["useJobForCleaning"] = "yes"
	}
	if len(p.Tolerations) > 0 {
		data["jobTolerations"] = tolerationList(p.Tolerations)
	}
	return &corev1.ConfigMap{TypeMeta: typeMeta("v1", "ConfigMap"), ObjectMeta: p.meta("-config"), Data: data}
}

// tolerationList is YAML, of which JSON is a kind. A toleration holds nothing that JSON cannot say.
func tolerationList(tolerations []corev1.Toleration) string {
	text, err := json.Marshal(tolerations)
	if err != nil {
		panic(err)
	}
	return string(text)
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

// WindowsDaemonSet returns the chart's other DaemonSet, whose pods are for Windows nodes
// (helm/provisioner/templates/daemonset_windows.yaml). It selects by the same labels as the
// first. A cluster without such nodes has none of its pods.
func (p Provisioner) WindowsDaemonSet() *appsv1.DaemonSet {
	set := p.DaemonSet()
	set.Name += "-win"
	pod := &set.Spec.Template.Spec
	pod.NodeSelector = map[string]string{corev1.LabelOSStable: "windows"}
	pod.Tolerations = append([]corev1.Toleration{{Operator: corev1.TolerationOpExists}}, p.Tolerations...)
	pod.Containers[0].SecurityContext = nil
	for _, name := range []string{"csi-proxy-volume-v1", "csi-proxy-filesystem-v1", "csi-proxy-volume-v1beta2",
		"csi-proxy-filesystem-v1beta2"} {
		path := `\\.\pipe\` + name
		pod.Volumes = append(pod.Volumes, hostPath(name, path))
		pod.Containers[0].VolumeMounts = append(pod.Containers[0].VolumeMounts, corev1.VolumeMount{Name: name, MountPath: path})
	}
	for i := range pod.Volumes {
		if v := &pod.Volumes[i]; v.Name == "provisioner-dev" {
			create := corev1.HostPathDirectoryOrCreate
			v.HostPath = &corev1.HostPathVolumeSource{Path: `C:\dev`, Type: &create}
		}
	}
	return set
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

func hostPath(name, path string) corev1.Volume {
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: path}}}
}

func (p Provisioner) volumes(configMap string) []corev1.Volume {
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
