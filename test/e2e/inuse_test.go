// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster"
	"github.com/talosdisk/kubectl-talosdisk/test/manifests"
)

// TestUnderLoop has disks that are in use by way of a loop device over them. Nothing on
// the disk, and no mount of it, tells of that.
func TestUnderLoop(t *testing.T) {
	begin(t, manifests.Default())
	n := node(t, "worker-2")
	t.Run("mounted", func(t *testing.T) {
		d := addDisk(t, n, cluster.Disk{})
		cleanupSh(t, n, `umount /var/beyond; rmdir /var/beyond; for l in $(losetup -n -O NAME -j /dev/$1); do losetup -d $l; done`, d.Name)
		sh(t, n, `l=$(losetup -f --show -o 1048576 --sizelimit 1073741824 /dev/$1)
			mkfs.ext4 -q $l && mkdir /var/beyond && mount $l /var/beyond && echo mine >/var/beyond/file`, d.Name)
		refusedInUse(t, n, d)
		sh(t, n, `grep -q mine /var/beyond/file`)
	})
	t.Run("kubelet", func(t *testing.T) { usedByKubelet(t, n) })
}

// refusedInUse wants a disk to be in use for link, whatever is accepted, and for disks.
func refusedInUse(t *testing.T, n *cluster.Node, d cluster.Disk) {
	t.Helper()
	before := allLinks(t)
	args := []string{d.Name, "--nodes", n.Name(), "--wait=false"}
	for _, word := range []string{"signature", "data"} {
		args = append(args, "--accept", word)
	}
	r := link(t, args...).wantError(t, "error: the link is refused", "is in use: under /dev/loop")
	if l := r.plan(t).of(t, n.Name(), d.Name); l.Result != "refused" || !slices.Contains(l.reasons(), "in-use") {
		t.Errorf("result %q, reasons %q, want refused for in-use\n%s", l.Result, l.reasons(), r)
	}
	if after := allLinks(t); !slices.Equal(before, after) {
		t.Errorf("links\n from %q\n   to %q", before, after)
	}
	r = run(t, "disks", d.Name, "--nodes", n.Name())
	if rows := table(r.stdout); len(rows) < 2 || !strings.Contains(rows[1][5], "in-use") {
		t.Errorf("disks does not say in-use\n%s", r)
	}
}

// usedByKubelet has a pod use a disk by a PersistentVolume that somebody made. For such a volume
// the kubelet binds the device into the pod's directory, and attaches a loop device to it there.
func usedByKubelet(t *testing.T, n *cluster.Node) {
	d := addDisk(t, n, cluster.Disk{})
	block, size := corev1.PersistentVolumeBlock, resource.MustParse("1Gi")
	pv := &corev1.PersistentVolume{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolume"}, ObjectMeta: metav1.ObjectMeta{Name: "by-hand-" + d.Name},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: size},
			AccessModes:                   []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain,
			StorageClassName:              "by-hand",
			VolumeMode:                    &block,
			// None of the names that this program knows.
			PersistentVolumeSource: corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: "/dev/./" + d.Name}},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
				MatchExpressions: []corev1.NodeSelectorRequirement{{
					Key:      corev1.LabelHostname,
					Operator: corev1.NodeSelectorOpIn,
					Values:   []string{n.Name()},
				}},
			}}}},
		},
	}
	claim := manifests.Claim("default", "raw", "by-hand", block, size)
	claim.Spec.VolumeName = pv.Name
	apply(t, pv, claim, manifests.BlockPod("default", "raw", "raw"))
	waitReady(t, "raw")
	refusedInUse(t, n, d)

	// The volume may be gone from Kubernetes, and the pod still runs on the disk.
	kubectl(t, nil, "delete", "pv", pv.Name, "--wait=false")
	kubectl(t, nil, "patch", "pv", pv.Name, "-p", `{"metadata":{"finalizers":null}}`)
	refusedInUse(t, n, d)

	kubectl(t, nil, "delete", "pod/raw", "pvc/raw", "--grace-period=1")
	eventually(t, 60*time.Second, func() string {
		return strings.TrimSpace(sh(t, n, `losetup -n -O NAME,BACK-FILE | grep -w $1 || :`, d.Name))
	})
	link(t, d.Name, "--nodes", n.Name(), "--wait=false").wantCode(t, 0)
}
