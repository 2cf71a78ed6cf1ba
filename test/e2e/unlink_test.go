// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster"
	"github.com/talosdisk/kubectl-talosdisk/test/manifests"
)

// TestUnlink has what is kept, and what is removed although it looks broken;
// TestStory has the volumes that are bound and that are being cleaned.
func TestUnlink(t *testing.T) {
	begin(t, manifests.Default())
	n := node(t, "worker-1")
	for _, test := range []struct {
		name    string
		prepare func(*testing.T) (entry string)
		reason  string // empty: it is removed
		says    string
	}{
		{
			name: "dangling",
			prepare: func(t *testing.T) string {
				d := addDisk(t, n, cluster.Disk{})
				link(t, d.Name, "--nodes", n.Name()).wantCode(t, 0)
				pull(t, n, d)
				return d.Name
			},
		},
		{
			name: "made by hand",
			prepare: func(t *testing.T) string {
				d := addDisk(t, n, cluster.Disk{})
				makeLink(t, n, "block-storage", "by-hand", "/dev/"+d.Name)
				volume(t, pvName("by-hand", n.Name(), "block-storage"))
				return "by-hand"
			},
		},
		{
			name: "not-a-link", reason: "not-a-link", says: "is a file, not a link",
			prepare: func(t *testing.T) string {
				file := hostPath(n, classDirs["block-storage"]+"/a-file")
				if err := os.WriteFile(file, nil, 0o600); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = os.Remove(file) })
				return "a-file"
			},
		},
		{
			name: "not-a-disk-link", reason: "not-a-disk-link", says: "holds /var/lib/elsewhere, which is not below /dev",
			prepare: func(t *testing.T) string {
				makeLink(t, n, "block-storage", "elsewhere", "/var/lib/elsewhere")
				return "elsewhere"
			},
		},
		{
			name: "claimed", reason: "claimed", says: "is reserved: volume ",
			prepare: func(t *testing.T) string {
				d := addDisk(t, n, cluster.Disk{})
				link(t, d.Name, "--nodes", n.Name()).wantCode(t, 0)
				pv := pvName(d.Name, n.Name(), "block-storage")
				patch := `{"spec":{"claimRef":{"kind":"PersistentVolumeClaim","apiVersion":"v1","namespace":"default","name":"to-come"}}}`
				if _, err := kube().CoreV1().PersistentVolumes().Patch(t.Context(), pv, types.MergePatchType, []byte(patch),
					metav1.PatchOptions{}); err != nil {
					t.Fatal(err)
				}
				return d.Name
			},
		},
		{
			name: "released", reason: "released", says: "still holds the data of claim default/tenant",
			prepare: func(t *testing.T) string {
				d := addDisk(t, n, cluster.Disk{})
				link(t, d.Name, "--nodes", n.Name()).wantCode(t, 0)
				pv := pvName(d.Name, n.Name(), "block-storage")
				patch := `{"spec":{"persistentVolumeReclaimPolicy":"Retain","claimRef":{"kind":"PersistentVolumeClaim","apiVersion":"v1","namespace":"default","name":"tenant"}}}`
				if _, err := kube().CoreV1().PersistentVolumes().Patch(t.Context(), pv, types.MergePatchType, []byte(patch),
					metav1.PatchOptions{}); err != nil {
					t.Fatal(err)
				}
				claim := manifests.Claim("default", "tenant", "block-storage", corev1.PersistentVolumeBlock, resource.MustParse("1Gi"))
				claim.Spec.VolumeName = pv
				apply(t, claim)
				volumeInPhase(t, pv, corev1.VolumeBound)
				kubectl(t, nil, "delete", "pvc/tenant")
				volumeInPhase(t, pv, corev1.VolumeReleased)
				return d.Name
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			entry := test.prepare(t)
			before := links(t, n)
			pv := pvName(entry, n.Name(), "block-storage")
			r := run(t, "unlink", entry, "--yes", "--wait=false", "-o", "json")
			var got planned
			for _, l := range r.plan(t).Items {
				if l.Entry == entry {
					got = l
				}
			}
			if test.reason == "" {
				r.wantCode(t, 0)
				if got.Result != "unlinked" || slices.ContainsFunc(links(t, n),
					func(l string) bool { return strings.HasPrefix(l, "block/"+entry+" ") }) {
					t.Errorf("result %q, links %q", got.Result, links(t, n))
				}
				eventually(t, volumeTimeout, func() string {
					if slices.Contains(volumeNames(t), pv) {
						return "volume " + pv + " is there"
					}
					return ""
				})
				return
			}
			r.wantError(t, test.says)
			if got.Result != "refused" || !slices.Equal(got.reasons(), []string{test.reason}) {
				t.Errorf("result %q, reasons %q, want %q\n%s", got.Result, got.reasons(), test.reason, r)
			}
			if after := links(t, n); !slices.Equal(before, after) {
				t.Errorf("links %q, want %q", after, before)
			}
		})
	}
}
