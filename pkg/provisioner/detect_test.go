// SPDX-License-Identifier: Apache-2.0

package provisioner

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// daemonSet is one as the charts and manifests make them; change makes it another.
func daemonSet(namespace, name, image, configMap string, labels map[string]string, change func(*corev1.PodSpec)) appsv1.DaemonSet {
	toContainer := corev1.MountPropagationHostToContainer
	spec := corev1.PodSpec{
		NodeSelector: map[string]string{"disks": "yes"},
		Tolerations:  []corev1.Toleration{{Key: "k"}},
		Containers: []corev1.Container{{
			Name: "provisioner", Image: image,
			VolumeMounts: []corev1.VolumeMount{
				{Name: "provisioner-config", MountPath: "/etc/provisioner/config", ReadOnly: true},
				{Name: "provisioner-dev", MountPath: "/dev"},
				{Name: "block", MountPath: "/mnt/block/", MountPropagation: &toContainer},
			},
		}},
		Volumes: []corev1.Volume{
			{
				Name: "provisioner-config",
				VolumeSource: corev1.VolumeSource{
					ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: configMap}},
				},
			},
			{Name: "provisioner-dev", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/dev"}}},
			{Name: "block", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/var/lib/disks/block"}}},
		},
	}
	if change != nil {
		change(&spec)
	}
	ds := appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	ds.Spec.Selector = &metav1.LabelSelector{MatchLabels: labels}
	ds.Spec.Template.Labels, ds.Spec.Template.Spec = labels, spec
	return ds
}

func TestDetect(t *testing.T) {
	type labels = map[string]string
	for name, c := range map[string]struct {
		ds   appsv1.DaemonSet
		want string // the ConfigMap, empty: not an installation
	}{
		"plain manifest": {ds: daemonSet("default", "local-volume-provisioner", "registry.k8s.io/sig-storage/local-volume-provisioner:v2.9.0",
			"local-provisioner-config", labels{"app": "local-volume-provisioner"}, nil), want: "local-provisioner-config"},
		"chart 2.3": {ds: daemonSet("default", "local-volume-provisioner", "quay.io/external_storage/local-volume-provisioner:v2.3.4",
			"local-provisioner-config", labels{"app": "local-volume-provisioner"}, nil), want: "local-provisioner-config"},
		"chart 2.4 provisioner": {ds: daemonSet("storage", "r-provisioner", "k8s.gcr.io/sig-storage/local-volume-provisioner:v2.4.0",
			"r-provisioner-config", labels{"app.kubernetes.io/name": "provisioner", "app.kubernetes.io/instance": "r"}, nil),
			want: "r-provisioner-config"},
		"chart 2.8": {ds: daemonSet("storage", "r-local-static-provisioner", "registry.k8s.io/sig-storage/local-volume-provisioner:v2.8.0",
			"r-local-static-provisioner-config", labels{"app.kubernetes.io/name": "local-static-provisioner", "app.kubernetes.io/instance": "r"},
			nil), want: "r-local-static-provisioner-config"},
		"nameOverride": {ds: daemonSet("x", "disks", "registry.k8s.io/sig-storage/local-volume-provisioner",
			"disks-config", labels{"app.kubernetes.io/name": "disks"}, nil), want: "disks-config"},
		"a registry with a port": {
			ds:   daemonSet("x", "y", "reg.example:5000/mirror/local-volume-provisioner:v2.9.0", "c", nil, nil),
			want: "c",
		},
		"a port and no tag": {ds: daemonSet("x", "y", "reg.example:5000/local-volume-provisioner", "c", nil, nil), want: "c"},
		"a digest":          {ds: daemonSet("x", "y", "reg.example/local-volume-provisioner:v2@sha256:00", "c", nil, nil), want: "c"},
		"another image, the configuration's path": {ds: daemonSet("x", "y", "reg.example/own/lvp:1", "c", nil, nil), want: "c"},
		"the image, the configuration elsewhere": {ds: daemonSet("x", "y", "local-volume-provisioner", "c", nil, func(s *corev1.PodSpec) {
			s.Containers[0].VolumeMounts[0].MountPath = "/config"
		}), want: "c"},
		"a path with a slash at its end": {ds: daemonSet("x", "y", "own", "c", nil, func(s *corev1.PodSpec) {
			s.Containers[0].VolumeMounts[0].MountPath = "/etc/provisioner/config/"
		}), want: "c"},
		"two ConfigMaps, one at the path": {ds: daemonSet("x", "y", "own", "c", nil, func(s *corev1.PodSpec) {
			s.Volumes = append(s.Volumes, corev1.Volume{
				Name:         "scripts",
				VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{}},
			})
			s.Containers[0].VolumeMounts = append([]corev1.VolumeMount{{Name: "scripts", MountPath: "/scripts"}}, s.Containers[0].VolumeMounts...)
		}), want: "c"},
		"another container beside it": {ds: daemonSet("x", "y", "local-volume-provisioner", "c", nil, func(s *corev1.PodSpec) {
			s.Containers = append([]corev1.Container{{Name: "sidecar", Image: "metrics"}}, s.Containers...)
		}), want: "c"},
		"another program": {ds: daemonSet("x", "y", "reg.example/local-volume-node-cleanup:v2", "c", nil, func(s *corev1.PodSpec) {
			s.Containers[0].VolumeMounts[0].MountPath = "/config"
		})},
		"an image that ends alike": {ds: daemonSet("x", "y", "reg.example/not-local-volume-provisioner:v2", "c", nil, func(s *corev1.PodSpec) {
			s.Containers[0].VolumeMounts[0].MountPath = "/config"
		})},
		"no ConfigMap": {ds: daemonSet("x", "y", "local-volume-provisioner", "c", nil, func(s *corev1.PodSpec) { s.Volumes = s.Volumes[1:] })},
		"two ConfigMaps, none at the path": {ds: daemonSet("x", "y", "local-volume-provisioner", "c", nil, func(s *corev1.PodSpec) {
			s.Volumes = append(s.Volumes, corev1.Volume{
				Name:         "scripts",
				VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{}},
			})
			s.Containers[0].VolumeMounts[0].MountPath = "/config"
			s.Containers[0].VolumeMounts = append(s.Containers[0].VolumeMounts, corev1.VolumeMount{Name: "scripts", MountPath: "/scripts"})
		})},
	} {
		got := Detect([]appsv1.DaemonSet{{}, c.ds})
		if c.want == "" {
			if len(got) != 0 {
				t.Errorf("%s: %+v", name, got)
			}
			continue
		}
		if len(got) != 1 {
			t.Errorf("%s: found %d", name, len(got))
			continue
		}
		i := got[0]
		if i.ConfigMap != c.want || i.Container != "provisioner" || i.Namespace != c.ds.Namespace || i.Name != c.ds.Name ||
			i.Selector != c.ds.Spec.Selector ||
			i.NodeSelector["disks"] != "yes" || len(i.Tolerations) != 1 || i.Classes != nil {
			t.Errorf("%s: %+v", name, i)
		}
		if len(i.Mounts) != 2 || i.Mounts[1] != (Mount{
			HostPath:    "/var/lib/disks/block",
			MountPath:   "/mnt/block",
			Propagation: corev1.MountPropagationHostToContainer,
		}) {
			t.Errorf("%s: mounts %+v", name, i.Mounts)
		}
	}
	both := Detect([]appsv1.DaemonSet{daemonSet("a", "x", "local-volume-provisioner", "c", nil, nil),
		daemonSet("b", "y", "local-volume-provisioner", "c", nil, nil)})
	if len(both) != 2 || both[0].Namespace != "a" || both[1].Namespace != "b" {
		t.Errorf("of two: %+v", both)
	}
}

func TestMountOf(t *testing.T) {
	i := Install{
		Mounts: []Mount{{HostPath: "/h", MountPath: "/mnt"}, {HostPath: "/h2", MountPath: "/mnt/a"}, {HostPath: "/h3", MountPath: "/mnt"}},
	}
	for p, want := range map[string]string{
		"/mnt":     "/h",
		"/mnt/x":   "/h",
		"/mnt/a":   "/h2",
		"/mnt/a/b": "/h2",
		"/mnt/ab":  "/h",
		"/mnt/a/":  "/h2",
		"/mntx":    "",
		"/":        "",
		"/dev":     "",
	} {
		m, ok := i.MountOf(p)
		if m.HostPath != want || ok != (want != "") {
			t.Errorf("MountOf(%q) = %+v, %v", p, m, ok)
		}
	}
	if m, ok := (Install{Mounts: []Mount{{HostPath: "/", MountPath: "/"}}}).MountOf("/a/b"); !ok || m.HostPath != "/" {
		t.Errorf("the root: %+v, %v", m, ok)
	}
}

func TestDevMounted(t *testing.T) {
	for name, c := range map[string]struct {
		mounts []Mount
		want   bool
	}{
		"dev":                   {[]Mount{{HostPath: "/dev", MountPath: "/dev"}}, true},
		"dev with a slash":      {[]Mount{{HostPath: "/dev/", MountPath: "/dev/"}}, true},
		"none":                  {nil, false},
		"elsewhere":             {[]Mount{{HostPath: "/dev", MountPath: "/host/dev"}}, false},
		"something else there":  {[]Mount{{HostPath: "/var/dev", MountPath: "/dev"}}, false},
		"below the host's root": {[]Mount{{HostPath: "/", MountPath: "/"}}, false},
		"only a part":           {[]Mount{{HostPath: "/dev/disk", MountPath: "/dev/disk"}}, false},
	} {
		if got := (Install{Mounts: c.mounts}).DevMounted(); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestClassOf(t *testing.T) {
	i := Install{Classes: []Class{{Name: "a"}, {Name: "b", HostDir: "/b"}}}
	if c, ok := i.ClassOf("b"); !ok || c.HostDir != "/b" {
		t.Errorf("%+v, %v", c, ok)
	}
	if _, ok := i.ClassOf("c"); ok {
		t.Error("a class that is not there")
	}
}
