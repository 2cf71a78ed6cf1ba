// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"errors"
	"reflect"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/link"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

func volume(name string, change func(*corev1.PersistentVolume)) *corev1.PersistentVolume {
	mode := corev1.PersistentVolumeBlock
	pv := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: "uid-" + "1", ResourceVersion: "7"},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("60Gi")},
			StorageClassName:              "block-storage",
			VolumeMode:                    &mode,
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimDelete,
			PersistentVolumeSource:        corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: "/var/lib/disks/block/vdf"}},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
				MatchExpressions: []corev1.NodeSelectorRequirement{{
					Key:      corev1.LabelHostname,
					Operator: corev1.NodeSelectorOpIn,
					Values:   []string{"w-1"},
				}},
			}}}},
		},
		Status: corev1.PersistentVolumeStatus{Phase: corev1.VolumeAvailable},
	}
	if change != nil {
		change(pv)
	}
	return pv
}

func TestVolumeOf(t *testing.T) {
	v, local := VolumeOf(volume("local-pv-1", func(pv *corev1.PersistentVolume) {
		pv.Spec.ClaimRef = &corev1.ObjectReference{Namespace: "ns", Name: "c"}
		pv.Annotations = map[string]string{"talosdisk.dev/serial": "S1", "talosdisk.dev/size": "123"}
	}))
	if !local || v.Node != "w-1" || v.Mode != provisioner.Block || v.Capacity != 60<<30 || v.Claim.String() != "ns/c" ||
		v.Path != "/var/lib/disks/block/vdf" || v.Phase != "Available" || v.ReclaimPolicy != "Delete" {
		t.Errorf("VolumeOf = %+v, %v", v, local)
	}
	if v.Identity == nil || v.Identity.Serial != "S1" || v.Identity.Size != 123 {
		t.Errorf("identity = %+v", v.Identity)
	}
	if v, _ := VolumeOf(volume("x", nil)); v.Identity != nil {
		t.Errorf("a volume without annotations has identity %+v", v.Identity)
	}
	if _, local := VolumeOf(volume("x", func(pv *corev1.PersistentVolume) { pv.Spec.Local = nil })); local {
		t.Error("a volume that is not local was taken for one")
	}
	filesystem, _ := VolumeOf(volume("x", func(pv *corev1.PersistentVolume) { pv.Spec.VolumeMode = nil }))
	if filesystem.Mode != provisioner.Filesystem {
		t.Errorf("no volumeMode is %s, want Filesystem", filesystem.Mode)
	}
	several, _ := VolumeOf(volume("x", func(pv *corev1.PersistentVolume) {
		pv.Spec.NodeAffinity.Required.NodeSelectorTerms[0].MatchExpressions[0].Values = []string{"w-1", "w-2"}
	}))
	if several.Node != "" {
		t.Errorf("a volume of two nodes is said to be of %q", several.Node)
	}
	in := func(key string, values ...string) corev1.NodeSelectorTerm {
		return corev1.NodeSelectorTerm{
			MatchExpressions: []corev1.NodeSelectorRequirement{{Key: key, Operator: corev1.NodeSelectorOpIn, Values: values}},
		}
	}
	// A node meets the affinity that meets one of its terms.
	for name, c := range map[string]struct {
		terms []corev1.NodeSelectorTerm
		want  string
	}{
		"a zone instead":           {terms: []corev1.NodeSelectorTerm{in("topology.kubernetes.io/zone", "a")}},
		"a zone too":               {terms: []corev1.NodeSelectorTerm{in(corev1.LabelHostname, "w-1"), in("topology.kubernetes.io/zone", "a")}},
		"two hostnames, two terms": {terms: []corev1.NodeSelectorTerm{in(corev1.LabelHostname, "w-1"), in(corev1.LabelHostname, "w-2")}},
		"one hostname, two terms": {
			terms: []corev1.NodeSelectorTerm{in(corev1.LabelHostname, "w-1"), in(corev1.LabelHostname, "w-1")},
			want:  "w-1",
		},
		"one hostname and a zone": {
			terms: []corev1.NodeSelectorTerm{{
				MatchExpressions: append(in("topology.kubernetes.io/zone", "a").MatchExpressions, in(corev1.LabelHostname, "w-1").MatchExpressions...),
			}},
			want: "w-1",
		},
	} {
		v, _ := VolumeOf(volume("x", func(pv *corev1.PersistentVolume) { pv.Spec.NodeAffinity.Required.NodeSelectorTerms = c.terms }))
		if v.Node != c.want {
			t.Errorf("%s: of node %q, want %q", name, v.Node, c.want)
		}
	}
}

func TestIdentityOutlivesItsAnnotations(t *testing.T) {
	for _, id := range []disk.ID{
		{WWID: "naa.5000", Serial: "S", ByID: []string{"wwn-0x5000", "ata-X_S"}, ByPath: []string{"pci-0000:00:0a.0"}, Size: 1 << 40},
		{ByPath: []string{"pci-0000:00:0a.0"}, Size: 1},
	} {
		if got := identity(annotations(id)); got == nil || !reflect.DeepEqual(*got, id) {
			t.Errorf("identity(annotations(%+v)) = %+v", id, got)
		}
	}
}

func TestRecordOnlyTheSameVolume(t *testing.T) {
	client := fake.NewClientset(volume("local-pv-1", nil))
	v, _ := VolumeOf(volume("local-pv-1", nil))
	if err := (Volumes{Client: client}).Record(context.Background(), v, disk.ID{Serial: "S1"}); err != nil {
		t.Fatal(err)
	}
	patch := string(client.Actions()[0].(clienttesting.PatchAction).GetPatch())
	if want := `{"metadata":{"annotations":{"talosdisk.dev/serial":"S1","talosdisk.dev/size":"0"},"uid":"uid-1"}}`; patch != want {
		t.Errorf("patch = %s, want %s", patch, want)
	}
}

func TestDeleteOnlyWhatWasRead(t *testing.T) {
	v, _ := VolumeOf(volume("local-pv-1", nil))
	client := fake.NewClientset(volume("local-pv-1", nil))
	if err := (Volumes{Client: client}).Delete(context.Background(), v); err != nil {
		t.Fatal(err)
	}
	options := client.Actions()[0].(clienttesting.DeleteActionImpl).DeleteOptions
	if p := options.Preconditions; p == nil || *p.UID != "uid-1" || *p.ResourceVersion != "7" {
		t.Errorf("preconditions = %+v", p)
	}
	for name, c := range map[string]struct {
		answer, want error
	}{
		"changed": {apierrors.NewConflict(schema.GroupResource{}, "x", errors.New("changed")), link.ErrChanged},
		"gone":    {apierrors.NewNotFound(schema.GroupResource{}, "x"), nil},
	} {
		client := fake.NewClientset()
		client.PrependReactor("delete", "*", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, c.answer })
		if err := (Volumes{Client: client}).Delete(context.Background(), v); !errors.Is(err, c.want) {
			t.Errorf("%s: Delete = %v, want %v", name, err, c.want)
		}
	}
}

func TestAwaitSeesWhatComesLater(t *testing.T) {
	client := fake.NewClientset(volume("other", nil))
	// The volume is made only once the watch is on, so that the list cannot have it.
	client.PrependWatchReactor("persistentvolumes", func(clienttesting.Action) (bool, watch.Interface, error) {
		w := watch.NewFakeWithChanSize(2, false)
		w.Add(volume("another", nil))
		w.Add(volume("local-pv-1", func(pv *corev1.PersistentVolume) { pv.ResourceVersion = "8" }))
		return true, w, nil
	})
	var seen []string
	err := (Volumes{Client: client}).Await(t.Context(), []string{"local-pv-1"}, func() {}, func(v snapshot.Volume) bool {
		seen = append(seen, v.Name)
		return true
	})
	if err != nil || len(seen) != 1 || seen[0] != "local-pv-1" {
		t.Errorf("Await = %v, seen %q", err, seen)
	}
}

// What no disk has identifies none: annotations are anybody's who may edit volumes.
func TestIdentityThatNoDiskHas(t *testing.T) {
	for _, key := range []string{annotationWWID, annotationSerial, annotationByID, annotationByPath} {
		if id := identity(map[string]string{key: "naa.5\x1b[31m", annotationSize: "5"}); id != nil {
			t.Errorf("%s: %+v", key, id)
		}
		if id := identity(map[string]string{key: "naa.5 x", annotationSize: "5"}); id == nil {
			t.Errorf("%s is refused", key)
		}
	}
}
