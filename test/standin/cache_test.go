// SPDX-License-Identifier: Apache-2.0

package standin

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// A volume that somebody deletes, claim or not, is back with the next pass, and without what
// others have written on it. After a claim's end it is the same.
func TestDeletedVolumeIsPublishedAgain(t *testing.T) {
	b := newBench(t)
	b.file("block", "vdb")
	b.pass()
	name := PVName("vdb", "w-1", "block")
	pv := b.cluster.pvs[name]
	pv.Annotations["example.com/serial"], pv.Status.Phase = "abc", corev1.VolumeBound
	uid := pv.UID
	delete(b.cluster.pvs, name)
	log := b.pass()
	again := b.cluster.pvs[name]
	if again == nil || again.UID == uid || len(again.Annotations) != 1 || again.Status.Phase != "" || again.Spec.ClaimRef != nil {
		t.Errorf("volume %+v, log\n%s", again, log)
	}
	for _, line := range []string{`Deleted pv "` + name + `" from cache`, `Added pv "` + name + `" to cache`} {
		if !strings.Contains(log, line) {
			t.Errorf("log\n%s\nwant\n%s", log, line)
		}
	}
}

// A node that was deleted and made again has another UID. The pod that lives on does not learn of
// it; the pod after it takes nothing of its predecessor's, and cannot make it either.
func TestNodeMadeAgain(t *testing.T) {
	b := newBench(t)
	b.file("block", "vdb")
	b.pass()
	name := PVName("vdb", "w-1", "block")
	by := func() string { return b.cluster.pvs[name].Annotations[AnnotationProvisionedBy] }

	delete(b.cluster.pvs, name)
	if b.pass(); by() != "local-volume-provisioner-w-1-uid-1" {
		t.Errorf("the old pod made the volume as %s", by())
	}
	node := b.Node.DeepCopy()
	node.UID = "uid-2"
	b.Provisioner = &Provisioner{Node: node, Host: b.Host, Cluster: b.Cluster, Events: b.Events, Log: b.Log}
	if log := b.pass(); !strings.Contains(log, "already exists") || by() != "local-volume-provisioner-w-1-uid-1" {
		t.Errorf("the volume is by %s, log\n%s", by(), log)
	}
	delete(b.cluster.pvs, name)
	if b.pass(); by() != "local-volume-provisioner-w-1-uid-2" {
		t.Errorf("the new pod made the volume as %s", by())
	}
}

// The second class gets nothing, says so in every pass, and is ready anyway.
func TestTwoClassesWithOneDirectory(t *testing.T) {
	b := newBench(t)
	twin := b.config.Classes["block"]
	b.config.Classes["twin"], b.cluster.classes["twin"] = twin, "Delete"
	b.file("block", "vdb")
	name, refused := PVName("vdb", "w-1", "block"), PVName("vdb", "w-1", "twin")
	want := `Volume path already in use: PV "` + refused + `" wants path "/host/block/vdb" which was already found in "` + name + `".`
	for range 2 {
		if log := b.pass(); !strings.Contains(log, want) || len(b.pvs()) != 1 || b.pvs()[0] != name || b.status() != 200 {
			t.Errorf("volumes %q, /ready %d, log\n%s\nwant\n%s", b.pvs(), b.status(), log, want)
		}
	}
	// By namePatterns that divide the directory each class has its own.
	b.file("block", "vdc")
	for class, pattern := range map[string]string{"block": "vdb", "twin": "vdc"} {
		c := b.config.Classes[class]
		c.NamePattern = pattern
		b.config.Classes[class] = c
	}
	if log := b.pass(); len(b.pvs()) != 2 || b.cluster.pvs[PVName("vdc", "w-1", "twin")] == nil || strings.Contains(log, "already in use") {
		t.Errorf("volumes %q, log\n%s", b.pvs(), log)
	}
}
