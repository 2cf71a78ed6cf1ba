// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/talosdisk/kubectl-talosdisk/pkg/change"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

const articleClasses = `    - {name: fast-storage, disks: {count: 1}}
    - {name: slow-storage, disks: {count: 1}}
    - {name: block-storage, volumeMode: Block, as: partition, disks: {count: 1}}
    - {name: links, volumeMode: Block, reclaimPolicy: Retain, disks: {count: 1}}`

// classPlans are a plan's classes: "fast create, old unchanged kept".
func classPlans(p ValuesPlan) string {
	var all []string
	for _, c := range p.Classes {
		text := fmt.Sprintf("%s %s", c.Name, c.Action)
		for _, f := range c.Fields {
			text += fmt.Sprintf(" %s=%s", f.Field, f.To)
		}
		if c.Kept {
			text += " kept"
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}

func (d *deciding) values() ValuesPlan {
	for i := range d.Nodes {
		d.Nodes[i].OSImage = "Talos (" + d.release + ")"
	}
	return Observe(d.Snapshot).Values(d.layout, d.bindings, nil)
}

// nothing is a cluster in which nobody has installed the provisioner.
func nothing(d *deciding) {
	d.Install, d.StorageClasses = provisioner.Install{}, nil
	d.Unread = map[string]problem.Problem{snapshot.PartInstall: {Kind: problem.NoProvisioner, Message: "there is none"}}
}

func TestValuesOfANewProvisioner(t *testing.T) {
	d := newDeciding(t, articleClasses, "fast-storage-1: {name: ssd-1, serial: B}")
	nothing(d)
	d.has("w-1", ssd("vdb", 100<<30, "B")).reported("w-1")
	d.node("w-1").Taints = []corev1.Taint{
		{Key: "storage", Value: "local", Effect: corev1.TaintEffectNoSchedule},
		{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule},
		{Key: "a", Effect: corev1.TaintEffectNoExecute}, {Key: "b", Effect: corev1.TaintEffectPreferNoSchedule},
	}
	p := d.values()
	const want = `classes:
  - name: fast-storage
    hostDir: /var/mnt
    mountDir: /mnt/fast-storage
    namePattern: fast-storage-*,ssd-1
    volumeMode: Filesystem
    storageClass:
      reclaimPolicy: Delete
  - name: slow-storage
    hostDir: /var/mnt
    mountDir: /mnt/slow-storage
    namePattern: slow-storage-*
    volumeMode: Filesystem
    storageClass:
      reclaimPolicy: Delete
  - name: block-storage
    hostDir: /dev/disk/by-partlabel
    mountDir: /dev/disk/by-partlabel
    namePattern: r-block-storage-*
    volumeMode: Block
    blockCleanerCommand:
      - /scripts/blkdiscard.sh
    storageClass:
      reclaimPolicy: Delete
  - name: links
    hostDir: /var/mnt/links
    mountDir: /var/mnt/links
    volumeMode: Block
    blockCleanerCommand:
      - /scripts/blkdiscard.sh
    storageClass:
      reclaimPolicy: Retain
tolerations:
  - key: a
    operator: Exists
    effect: NoExecute
  - key: storage
    operator: Equal
    value: local
    effect: NoSchedule
`
	if got := string(p.Values.YAML()); got != want {
		t.Errorf("%s", got)
	}
	if p.Action != change.Create || p.Provisioner != "" || p.Namespace != "storage" || p.Release != "local" ||
		classPlans(p) != "fast-storage create, slow-storage create, block-storage create, links create" {
		t.Errorf("%+v", p)
	}
	if again := string(d.values().Values.YAML()); again != want {
		t.Errorf("again: %s", again)
	}
}

func TestValuesBesideAnInstallation(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(*deciding)
		action  change.Action
		classes string
		// why is in what is said of the plan, values in the values.
		why, values string
	}{
		"in order": {action: change.Keep, classes: "fast unchanged, block unchanged kept, raw unchanged kept"},
		"a class that is not in the layout keeps what it has": {
			change: func(d *deciding) {
				d.Install.Classes[0].Cleaner = []string{"/scripts/shred.sh", "2"}
				d.StorageClasses["block"] = snapshot.StorageClass{Name: "block", ReclaimPolicy: "Retain", Default: true, HelmRelease: "storage/local"}
			},
			action: change.Keep, classes: "fast unchanged, block unchanged kept, raw unchanged kept",
			values: `    volumeMode: Block
    blockCleanerCommand:
      - /scripts/shred.sh
      - "2"
    storageClass:
      reclaimPolicy: Retain
      isDefaultClass: true
`,
		},
		"a class of another directory": {
			change: func(d *deciding) {
				d.Install.Classes[1].HostDir, d.Install.Classes[1].Mode = "/var/mnt", provisioner.Block
				d.Install.Classes[1].NamePattern = ""
			},
			action: change.Patch, classes: "fast patch namePattern=fast-*,ssd-1 volumeMode=Filesystem, block unchanged kept, raw unchanged kept",
		},
		"a pattern that takes too much": {
			change: func(d *deciding) { d.Install.Classes[1].NamePattern = "*"; d.reported("w-1", "u-longhorn vdc1") },
			action: change.Patch, classes: "fast patch namePattern=fast-*,ssd-1, block unchanged kept, raw unchanged kept",
		},
		"a class that is new": {
			change: func(d *deciding) { d.Install.Classes = d.Install.Classes[:1]; delete(d.StorageClasses, "fast") },
			action: change.Patch, classes: "fast create, block unchanged kept", values: "reclaimPolicy: Delete",
		},
		"a StorageClass that is gone": {
			change: func(d *deciding) { delete(d.StorageClasses, "fast") },
			action: change.Patch, classes: "fast patch storageClass=Delete, block unchanged kept, raw unchanged kept",
		},
		"a StorageClass that cannot be changed": {
			change: func(d *deciding) { d.layout.Spec.Classes[0].ReclaimPolicy = "Retain" },
			action: change.Refuse, classes: "fast refuse, block unchanged kept, raw unchanged kept", why: "reclaimPolicy Delete and not Retain",
		},
		"a StorageClass of another provisioner": {
			change: func(d *deciding) {
				d.StorageClasses["fast"] = snapshot.StorageClass{Name: "fast", Provisioner: "x.csi", BindingMode: "Immediate", ReclaimPolicy: "Delete"}
			},
			action: change.Refuse, classes: "fast refuse, block unchanged kept, raw unchanged kept",
			why: "provisioner x.csi and not kubernetes.io/no-provisioner, volumeBindingMode Immediate and not WaitForFirstConsumer",
		},
		"too old": {
			change: func(d *deciding) { d.layout.Spec.Classes[0].As = AsDisk; d.release = "v1.11.0" },
			action: change.Refuse, classes: "fast refuse, block unchanged kept, raw unchanged kept", why: "needs Talos v1.12",
		},
		"a taint": {
			change: func(d *deciding) {
				d.Install.Tolerations = []corev1.Toleration{{Key: "old", Operator: corev1.TolerationOpExists}}
				d.node("w-1").Taints = []corev1.Taint{{Key: "old", Value: "x", Effect: "NoSchedule"}, {Key: "new", Effect: "NoSchedule"}}
			},
			action: change.Patch, classes: "fast unchanged, block unchanged kept, raw unchanged kept",
			values: "tolerations:\n  - key: old\n    operator: Exists\n  - key: new\n    operator: Exists\n    effect: NoSchedule\n",
		},
		"the classes are not known": {
			change: func(d *deciding) {
				d.Install = provisioner.Install{}
				d.Unread = map[string]problem.Problem{snapshot.PartInstall: problem.Text("no right")}
			},
			action: change.Skip, classes: "fast skip", why: "no right",
		},
		"Talos was not asked: no name but its own": {
			change: func(d *deciding) { nothing(d); d.node("w-1").Talos = snapshot.Section[snapshot.Talos]{} },
			action: change.Create, classes: "fast create", values: "namePattern: fast-[1-9],fast-[1-9][0-9],fast-[1-9][0-9][0-9],ssd-1\n",
		},
		"another namespace": {
			change: func(d *deciding) { d.layout.Spec.Provisioner.Namespace = "elsewhere" },
			action: change.Create, classes: "fast create",
		},
		"the disks rotate": {
			change: func(d *deciding) {
				nothing(d)
				d.has("w-1", hdd("vdz", 1<<40, "Z"))
				d.layout.Spec.Classes[0].VolumeMode, d.layout.Spec.Classes[0].As = provisioner.Block, AsLink
			},
			action: change.Create, classes: "fast create", values: "      - /scripts/quick_reset.sh\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDeciding(t, fastClass, fastBound)
			d.has("w-1", []disk.Disk{ssd("vdb", 100<<30, "B"), ssd("vdc", 100<<30, "C")}...).reported("w-1")
			if c.change != nil {
				c.change(d)
			}
			p := d.values()
			if p.Action != c.action || classPlans(p) != c.classes || !strings.Contains(p.Why, c.why) || p.Why != "" && c.why == "" {
				t.Errorf("%s, %s: %s", p.Action, classPlans(p), p.Why)
			}
			if got := string(p.Values.YAML()); !strings.Contains(got, c.values) {
				t.Errorf("%s", got)
			}
		})
	}
}
