// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"bytes"
	"context"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/talosdisk/kubectl-talosdisk/pkg/machineconfig"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// canary is what must not get into a file. cluster has it in labels, too.
const canary = "canary"

// secretive puts the canary wherever an object can hold what its owner would not have
// shown.
func secretive(s *apiServer) {
	spec := func(p *corev1.PodSpec) {
		for i := range p.Containers {
			c := &p.Containers[i]
			c.Command, c.Args = []string{"run", canary}, []string{"--password=" + canary}
			c.Env = []corev1.EnvVar{{Name: "PASSWORD", Value: canary}, {Name: canary, Value: "x"}}
			c.EnvFrom = []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: canary}}}}
		}
		p.Volumes = append(p.Volumes, corev1.Volume{
			Name:         canary,
			VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: canary}},
		})
		p.ServiceAccountName, p.ImagePullSecrets = canary, []corev1.LocalObjectReference{{Name: canary}}
	}
	for _, o := range s.objects {
		o.SetAnnotations(map[string]string{"kubectl.kubernetes.io/last-applied-configuration": canary, canary: "x"})
		labels := o.GetLabels()
		if labels == nil {
			labels = make(map[string]string)
		}
		labels["password"], labels[canary] = canary, "x"
		o.SetLabels(labels)
		o.SetManagedFields([]metav1.ManagedFieldsEntry{{
			Manager:    canary,
			Operation:  "Apply",
			FieldsType: "FieldsV1",
			FieldsV1:   metav1.NewFieldsV1(`{"f:` + canary + `":{}}`),
		}})
		switch o := o.(type) {
		case *corev1.Pod:
			spec(&o.Spec)
			o.Status.ContainerStatuses = append(o.Status.ContainerStatuses, corev1.ContainerStatus{Name: "c", State: corev1.ContainerState{
				Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error", Message: "my password is " + canary},
			}}, corev1.ContainerStatus{Name: "w", State: corev1.ContainerState{
				Waiting: &corev1.ContainerStateWaiting{Reason: "CreateContainerConfigError", Message: "secret " + canary + " not found"},
			}})
		case *appsv1.DaemonSet:
			spec(&o.Spec.Template.Spec)
			o.Spec.Template.Annotations = map[string]string{canary: canary}
		case *corev1.ConfigMap:
			o.Data["password"] = canary
			o.Data["storageClassMap"] += "  token: " + canary + "\n  blockCleanerCommand: [" + canary + "]\n"
			o.BinaryData = map[string][]byte{"key": []byte(canary)}
		case *storagev1.StorageClass:
			o.Parameters, o.MountOptions = map[string]string{"secret": canary}, []string{canary}
		case *corev1.PersistentVolume:
			o.Spec.MountOptions = []string{"password=" + canary}
		}
	}
	for pod, log := range s.logs {
		s.logs[pod] = "I1123 02:00:00.000000       1 main.go:1] started with " + canary + "\npanic: " + canary + "\n" + log
	}
}

// leaky is a node whose configuration is full of it.
type leaky struct{ fakeTalos }

func (leaky) Configs(context.Context) (machineconfig.Current, error) {
	config := "version: v1alpha1\nmachine:\n  token: " + canary + "\n  ca: {crt: " + canary + ", key: " + canary +
		"}\n  kubelet:\n    extraArgs: {x: " + canary +
		"}\n    extraMounts:\n      - {destination: /var/lib/disks, source: /var/lib/disks, type: bind, options: [rbind, rw]}\n  env: {PASSWORD: " +
		canary + "}\n" +
		"---\napiVersion: v1alpha1\nkind: UserVolumeConfig\nname: data\nprovisioning: {diskSelector: {match: '!system_disk'}}\nencryption: {keys: [{static: {passphrase: " +
		canary + "}}]}\n"
	return machineconfig.Current{Active: []byte(config), Version: "1"}, nil
}

func TestNoSecretGetsIntoAFile(t *testing.T) {
	for name, targets := range map[string][]snapshot.Ref{
		"a pod": {{Kind: "pod", Namespace: "db", Name: "db-w-1"}}, "a node": {{Kind: "node", Name: "w-1"}}, "everything": nil,
	} {
		t.Run(name, func(t *testing.T) {
			s := cluster(2)
			s.objects = append(s.objects, user("db", "waits", "", "wish"), claim("db", "wish", func(c *corev1.PersistentVolumeClaim) {
				c.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"tier": "fast"}}
			}))
			secretive(s)
			got := diagnoseBy(t, &Observer{Client: s.client(t), Kubelet: func(snapshot.Machine) TalosNode { return leaky{} }},
				Request{Targets: targets})
			var file bytes.Buffer
			if err := snapshot.Save(&file, got); err != nil {
				t.Fatal(err)
			}
			if i := strings.Index(file.String(), canary); i >= 0 {
				t.Errorf("the file has it: …%s…", file.String()[max(0, i-200):min(file.Len(), i+100)])
			}
			// What is decided on must be there anyway.
			for _, want := range []string{`"kubernetes.io/hostname"`, `"/var/lib/disks"`, "not well on w-1", `"data-w-1"`, `"!system_disk"`} {
				if !strings.Contains(file.String(), want) {
					t.Errorf("the file has no %s", want)
				}
			}
			if targets == nil && !strings.Contains(file.String(), `"tier": "fast"`) {
				t.Error("the label that a claim selects volumes by is not there")
			}
		})
	}
}
