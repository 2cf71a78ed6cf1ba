// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// withoutPod is a node without its provisioner pod, and why.
func (w world) withoutPod(why string) {
	w.node().Pod = snapshot.Unread[snapshot.Pod](problem.FromText(why))
	w.node().View = snapshot.Unread[snapshot.PodView](problem.FromText(why))
	w.Provisioner.Value.Ready = 0
}

// lies puts entries into the directory of a class.
func (w world) lies(class string, entries ...provisioner.Entry) {
	dir := w.node().View.Value.Dirs[class]
	dir.Entries = append(dir.Entries, entries...)
	w.node().View.Value.Dirs[class] = dir
}

// refused is the DaemonSet's event of Kubernetes v1.37.
func (w world) refused() {
	*w.Events.Value = append(*w.Events.Value, snapshot.Event{
		About: snapshot.Ref{Kind: "daemonset", Namespace: "local-storage", Name: "prov"}, Type: "Warning", Reason: "FailedCreate",
		From: "daemonset-controller", Count: 9, Last: now,
		Message: `Error creating: pods "prov-x" is forbidden: violates PodSecurity "baseline:latest": hostPath volumes (volume "dev"), privileged (container "provisioner" must not set securityContext.privileged=true)`,
	})
}

const noPodThere = `DaemonSet "local-storage/prov" has no pod there`

func class(w world, name string) *provisioner.Class {
	for i := range w.Install.Classes {
		if w.Install.Classes[i].Name == name {
			return &w.Install.Classes[i]
		}
	}
	w.t.Fatalf("no class %s", name)
	return nil
}

func TestProvisioner(t *testing.T) { try(t, provisionerCases()) }

func provisionerCases() []nodeCase {
	unread := func(part, why string) func(world) {
		return func(w world) { w.Unread = map[string]problem.Problem{part: problem.FromText(why)} }
	}
	const mkdir = `container "provisioner" of pod "local-storage/prov-x" does not run: CreateContainerError: failed to generate container "1" spec: failed to generate spec: failed to mkdir "/mnt/fast-disks": mkdir /mnt/fast-disks: read-only file system`
	taint := corev1.Taint{Key: startupTaint, Effect: corev1.TaintEffectNoSchedule}
	partlabel := func(pattern string) func(world) {
		return func(w world) {
			c := class(w, "block")
			c.HostDir, c.MountDir, c.NamePattern = "/dev/disk/by-partlabel", "/dev/disk/by-partlabel", pattern
			w.node().View.Value.Dirs["block"] = snapshot.Dir{Exists: true, MountPoint: true, Entries: []provisioner.Entry{
				{Name: "EPHEMERAL", Kind: provisioner.Link, Device: "254:0"}, {Name: "r-1", Kind: provisioner.Link, Device: "254:80"}}}
		}
	}
	return []nodeCase{
		{name: "none", code: "TD0201", change: func(w world) {
			w.Install = provisioner.Install{}
			unread("install", "no DaemonSet that runs the local volume static provisioner in any namespace")(w)
		}, want: OutcomeFinding, has: []string{"error[TD0201]", "--provisioner-namespace"}},
		{
			name:   "several",
			code:   "TD0201",
			change: unread("install", `several provisioners: "a/x", "b/y"`),
			want:   OutcomeFinding,
			has:    []string{"there are several", `"b/y"`},
		},
		{
			name:   "a class that makes no sense",
			code:   "TD0201",
			change: unread("install", `ConfigMap "x/y" of the provisioner: class "a" in storageClassMap: hostDir is missing`),
			want:   OutcomeFinding,
			has:    []string{"makes no sense", "hostDir is missing"},
		},
		{
			name: "forbidden",
			code: "TD0201",
			change: unread("install",
				`daemonsets.apps is forbidden: User "u" cannot list resource "daemonsets" in API group "apps" at the cluster scope`),
			want: OutcomeUnknown,
		},
		{name: "out of reach", code: "TD0201", change: unread("install", "connection refused"), want: OutcomeUnknown},
		{name: "one", code: "TD0201", change: func(world) {}, want: OutcomeOK},

		{name: "nodes that were not looked at", code: "TD0202", change: func(w world) {
			aside := *w.node()
			aside.Name, aside.Skipped, aside.Pod = "w-5", true, snapshot.Unread[snapshot.Pod](problem.FromText(noPodThere))
			w.Nodes = append(w.Nodes, aside)
			w.Provisioner.Value.PodSecurity = "baseline"
		}, want: OutcomeFinding, has: []string{"warning[TD0202]", "will refuse the provisioner's next pod"}},
		{
			name:   "refused",
			code:   "TD0202",
			change: func(w world) { w.Provisioner.Value.PodSecurity = ""; w.refused(); w.withoutPod(noPodThere) },
			want:   OutcomeFinding,
			has: []string{"error[TD0202]", "violates PodSecurity",
				"kubectl label namespace local-storage pod-security.kubernetes.io/enforce=privileged --overwrite", "daemonset/prov"},
		},
		{name: "labelled since, and the event is old", code: "TD0202", change: func(w world) { w.refused() }, want: OutcomeOK},
		{
			name:   "an old event, and pods that run",
			code:   "TD0202",
			change: func(w world) { w.Provisioner.Value.PodSecurity = ""; w.refused() },
			want:   OutcomeOK,
		},
		{
			name:   "a label, and no event any more",
			code:   "TD0202",
			change: func(w world) { w.Provisioner.Value.PodSecurity = "baseline"; w.withoutPod(noPodThere) },
			want:   OutcomeFinding,
			has:    []string{"enforces baseline, and 1 of 1 nodes have no pod"},
		},
		{
			name:   "a label, and pods that run",
			code:   "TD0202",
			change: func(w world) { w.Provisioner.Value.PodSecurity = "restricted" },
			want:   OutcomeFinding,
			has:    []string{"warning[TD0202]", "will refuse"},
		},
		{
			name:   "in kube-system",
			code:   "TD0202",
			change: func(w world) { w.Install.Namespace, w.Provisioner.Value.PodSecurity = "kube-system", "" },
			want:   OutcomeOK,
		},
		{
			name:   "another reason for no pod",
			code:   "TD0202",
			change: func(w world) { w.Provisioner.Value.PodSecurity = ""; w.withoutPod(mkdir) },
			want:   OutcomeOK,
		},
		{name: "not read", code: "TD0202", change: func(w world) {
			w.Provisioner = snapshot.Unread[snapshot.ProvisionerState](problem.FromText("forbidden"))
		}, want: OutcomeUnknown, has: []string{"forbidden"}},
		{name: "the label was not read", code: "TD0202", change: func(w world) {
			w.Provisioner.Value.PodSecurity, w.Provisioner.Value.PodSecurityProblem = "", problem.FromText("namespaces is forbidden")
		}, want: OutcomeUnknown, has: []string{"namespaces is forbidden"}},
		{name: "no events", code: "TD0202", change: func(w world) {
			w.Provisioner.Value.PodSecurity = ""
			w.withoutPod(noPodThere)
			w.Events = snapshot.Unread[[]snapshot.Event](problem.FromText("forbidden"))
		}, want: OutcomeUnknown},

		{
			name:   "none made",
			code:   "TD0203",
			change: func(w world) { w.withoutPod(noPodThere) },
			want:   OutcomeFinding,
			has:    []string{"error[TD0203]: no provisioner pod runs on w-4", "describe daemonset prov"},
		},
		{name: "a taint", code: "TD0203", change: func(w world) {
			w.withoutPod("the DaemonSet does not tolerate the node's taint storage=only:NoSchedule")
			w.node().Wanted = false
		}, want: OutcomeFinding, has: []string{"warning[TD0203]", "- key: storage\n  operator: Equal\n  value: \"only\"\n  effect: NoSchedule",
			`$ kubectl -n local-storage patch daemonset prov --type=json -p '[{"op":"add","path":"/spec/template/spec/tolerations","value":[{"key":"storage","operator":"Equal","value":"only","effect":"NoSchedule"}]}]'`}},
		{name: "a taint beside one that is tolerated", code: "TD0203", change: func(w world) {
			w.withoutPod("the DaemonSet does not tolerate the node's taint storage:NoExecute")
			w.node().Wanted, w.Install.Tolerations = false, []corev1.Toleration{{Key: "gpu", Operator: corev1.TolerationOpExists}}
		}, want: OutcomeFinding,
			has: []string{`'[{"op":"add","path":"/spec/template/spec/tolerations/-","value":{"key":"storage","operator":"Exists","effect":"NoExecute"}}]'`}},
		{name: "a taint, and no volumes", code: "TD0203", change: func(w world) {
			w.withoutPod("the DaemonSet does not tolerate the node's taint node-role.kubernetes.io/control-plane:NoSchedule")
			w.node().Wanted, w.Volumes = false, nil
		}, want: OutcomeFinding, has: []string{"info[TD0203]", "operator: Exists"}},
		{name: "a selector", code: "TD0203", change: func(w world) {
			w.withoutPod("the DaemonSet's nodeSelector asks for disk=yes")
			w.node().Wanted = false
		}, want: OutcomeFinding, has: []string{"nodeSelector"}},
		{name: "one that does not run", code: "TD0203", change: func(w world) { w.withoutPod(mkdir) }, want: OutcomeOK},
		{name: "pods were not read", code: "TD0203", change: func(w world) { w.withoutPod("connection refused") }, want: OutcomeUnknown},
		{name: "no installation", code: "TD0203", change: unread("install", "forbidden"), want: OutcomeUnknown},

		{name: "crashes", code: "TD0204", change: func(w world) {
			w.withoutPod(`container "provisioner" of pod "local-storage/prov-x" does not run: CrashLoopBackOff: back-off 5m0s`)
			w.Provisioner.Value.Pods = []snapshot.ProvisionerPod{{Name: "prov-y", Node: "w-5", Restarts: 9},
				{Name: "prov-x", Node: "w-4", Restarts: 3}}
		}, want: OutcomeFinding, has: []string{"error[TD0204]", "CrashLoopBackOff", "$ kubectl -n local-storage describe pod prov-x\n",
			"$ kubectl -n local-storage logs prov-x -c provisioner --previous"}},
		{name: "no image", code: "TD0204", change: func(w world) {
			w.withoutPod(`container "provisioner" of pod "local-storage/prov-x" does not run: ImagePullBackOff`)
		}, want: OutcomeFinding, has: []string{"cannot be pulled"}},
		{name: "a private mount", code: "TD0204", change: func(w world) {
			w.withoutPod(`container "provisioner" of pod "local-storage/prov-x" does not run: CreateContainerError: path "/var/x" is mounted on "/var/x" but it is not a shared or slave mount`)
		}, want: OutcomeFinding, has: []string{"private mount"}},
		{
			name:   "being replaced",
			code:   "TD0204",
			change: func(w world) { w.withoutPod(`pod "local-storage/prov-x" is being deleted`) },
			want:   OutcomeOK,
		},
		{name: "no pod at all", code: "TD0204", change: func(w world) { w.withoutPod(noPodThere) }, want: OutcomeOK},
		{name: "pods were not read", code: "TD0204", change: func(w world) { w.withoutPod("connection refused") }, want: OutcomeUnknown},
		{name: "no installation", code: "TD0204", change: unread("install", "forbidden"), want: OutcomeUnknown},

		{
			name:   "the chart's default",
			code:   "TD0205",
			change: func(w world) { w.withoutPod(mkdir) },
			want:   OutcomeFinding,
			has:    []string{`hostDir "/mnt/fast-disks" lies on the read-only root of w-4`, "- hostDir: /var/lib/disks/fast-disks"},
		},
		{name: "where the rollout has not come yet", code: "TD0205", change: func(w world) {
			other := *w.node()
			other.Name = "w-5"
			w.withoutPod(mkdir)
			w.Nodes = append(w.Nodes, other)
		}, want: OutcomeFinding, has: []string{"read-only root of w-4 and w-5", "nodes: [w-4 w-5]"}},
		{name: "a node of another system", code: "TD0205", change: func(w world) {
			other := *w.node()
			other.Name, other.OSImage = "w-5", "Debian GNU/Linux 13"
			w.withoutPod(mkdir)
			w.Nodes = append(w.Nodes, other)
		}, want: OutcomeFinding, has: []string{"nodes: [w-4]"}},
		{name: "another failure", code: "TD0205", change: func(w world) {
			w.withoutPod(`container "provisioner" of pod "local-storage/prov-x" does not run: CreateContainerError: failed to mkdir "/var/x": no space left on device`)
		}, want: OutcomeOK},
		{name: "no installation", code: "TD0205", change: unread("install", "forbidden"), want: OutcomeUnknown},

		{
			name:   "nothing at mountDir",
			code:   "TD0206",
			change: func(w world) { w.Install.Mounts = w.Install.Mounts[1:] },
			want:   OutcomeFinding,
			has:    []string{`"/var/lib/disks/block" of class "block" is not mounted`, "mountDir: /var/lib/disks/block"},
		},
		{
			name:   "another directory",
			code:   "TD0206",
			change: func(w world) { w.Install.Mounts[1].HostPath = "/var/lib/other" },
			want:   OutcomeFinding,
			has:    []string{`shows "/var/lib/other" of the node`},
		},
		{name: "by a mount of the parent", code: "TD0206", change: func(w world) {
			w.Install.Mounts = []provisioner.Mount{{
				HostPath:    "/var/lib/disks",
				MountPath:   "/var/lib/disks",
				Propagation: corev1.MountPropagationHostToContainer,
			}}
		}, want: OutcomeOK},
		{name: "no installation", code: "TD0206", change: unread("install", "forbidden"), want: OutcomeUnknown},

		{
			name:   "none",
			code:   "TD0207",
			change: func(w world) { w.Install.Mounts[1].Propagation = "" },
			want:   OutcomeFinding,
			has:    []string{"error[TD0207]", `"/var/lib/disks/hdd" of class "hdd"`, "is None", "mountPropagation: HostToContainer"},
		},
		{
			name:   "none, for links",
			code:   "TD0207",
			change: func(w world) { w.Install.Mounts[0].Propagation = corev1.MountPropagationNone },
			want:   OutcomeFinding,
			has:    []string{"warning[TD0207]"},
		},
		{
			name:   "both ways",
			code:   "TD0207",
			change: func(w world) { w.Install.Mounts[1].Propagation = corev1.MountPropagationBidirectional },
			want:   OutcomeOK,
		},
		{name: "no installation", code: "TD0207", change: unread("install", "forbidden"), want: OutcomeUnknown},

		{
			name:   "not mounted",
			code:   "TD0208",
			change: func(w world) { w.Install.Mounts = w.Install.Mounts[:2] },
			want:   OutcomeFinding,
			has:    []string{"mountDevVolume: true"},
		},
		{
			name:   "no Block class",
			code:   "TD0208",
			change: func(w world) { w.Install.Mounts, w.Install.Classes = w.Install.Mounts[:2], w.Install.Classes[1:] },
			want:   OutcomeNone,
		},
		{name: "mounted", code: "TD0208", change: func(world) {}, want: OutcomeOK},
		{name: "no installation", code: "TD0208", change: unread("install", "forbidden"), want: OutcomeUnknown},

		{
			name:   "none",
			code:   "TD0209",
			change: func(w world) { delete(w.StorageClasses, "hdd") },
			want:   OutcomeFinding,
			has: []string{`class "hdd" of the provisioner has no StorageClass`, `evidence: no StorageClass is called "hdd"`, "storageClass: true",
				"'volumeBindingMode: WaitForFirstConsumer' 'reclaimPolicy"},
		},
		{name: "another provisioner's", code: "TD0209", change: func(w world) {
			w.StorageClasses["hdd"] = snapshot.StorageClass{Name: "hdd", Provisioner: "ebs.csi.aws.com", BindingMode: "WaitForFirstConsumer"}
		}, want: OutcomeFinding, has: []string{"warning[TD0209]", "ebs.csi.aws.com"}},
		{
			name:   "one too many",
			code:   "TD0209",
			change: func(w world) { w.StorageClasses["x"] = snapshot.StorageClass{Name: "x"} },
			want:   OutcomeOK,
		},
		{name: "not read", code: "TD0209", change: unread("storageClasses", "forbidden"), want: OutcomeUnknown},

		{name: "at once", code: "TD0210", change: func(w world) {
			w.StorageClasses["hdd"] = snapshot.StorageClass{Name: "hdd", Provisioner: noProvisioner, BindingMode: "Immediate"}
		}, want: OutcomeFinding, has: []string{"warning[TD0210]", "kubectl get storageclass hdd -o yaml | sed", "kubectl replace --force -f -"}},
		{
			name:   "of another class",
			code:   "TD0210",
			change: func(w world) { w.StorageClasses["x"] = snapshot.StorageClass{Name: "x", BindingMode: "Immediate"} },
			want:   OutcomeOK,
		},
		{name: "not read", code: "TD0210", change: unread("storageClasses", "forbidden"), want: OutcomeUnknown},

		{
			name:   "one directory",
			code:   "TD0211",
			change: func(w world) { class(w, "hdd").HostDir = dirBlock },
			want:   OutcomeFinding,
			has: []string{"error[TD0211]", `classes "block" and "hdd"`, "w-4: /var/lib/disks/block/vdf", "would format",
				"refuses it to the other", "- name: block\n  namePattern: \"vdf,block-*\"\n- name: hdd\n  namePattern: \"hdd-*\""},
		},
		{name: "one directory, and links of each class", code: "TD0211", change: func(w world) {
			class(w, "hdd").HostDir, class(w, "hdd").Mode = dirBlock, provisioner.Block
			w.lies("block", provisioner.Entry{Name: "vdg", Kind: provisioner.Link, Target: "/dev/vdg", Device: "254:96"})
			w.Volumes = append(w.Volumes, snapshot.Volume{
				Name:  "local-pv-g",
				Class: "hdd",
				Mode:  provisioner.Block,
				Path:  dirBlock + "/vdg",
				Node:  "w-4",
				Phase: "Bound",
			},
				snapshot.Volume{Name: "local-pv-h", Class: "hdd", Mode: provisioner.Block, Path: dirBlock + "/vdh", Node: "w-9", Phase: "Bound"})
		}, want: OutcomeFinding, has: []string{"- name: block\n  namePattern: \"vdf,block-*\"\n- name: hdd\n  namePattern: \"vdg,vdh,hdd-*\""}},
		{name: "one directory, and a name of both classes", code: "TD0211", change: func(w world) {
			class(w, "hdd").HostDir = dirBlock
			w.Volumes = append(w.Volumes, snapshot.Volume{Name: "local-pv-g", Class: "hdd", Path: dirBlock + "/vdf", Node: "w-9", Phase: "Bound"})
		}, want: OutcomeFinding, has: []string{"give each class a hostDir of its own, in the values"}},
		{name: "one directory, and two volumes already", code: "TD0211", change: func(w world) {
			class(w, "hdd").HostDir = dirBlock
			w.Volumes = append(w.Volumes, snapshot.Volume{
				Name:  "local-pv-g",
				Class: "hdd",
				Path:  dirBlock + "/vdf",
				Node:  "w-4",
				Phase: "Available",
			})
		}, want: OutcomeFinding, has: []string{"one disk is two volumes",
			"w-4: /var/lib/disks/block/vdf is volume local-pv-b of class block, and volume local-pv-g of class hdd"}},
		{name: "one directory, and nothing in it", code: "TD0211", change: func(w world) {
			class(w, "hdd").HostDir = dirBlock
			w.node().View.Value.Dirs["block"] = snapshot.Dir{Exists: true}
		}, want: OutcomeFinding, has: []string{"warning[TD0211]"}},
		{name: "one directory, and a link that leads nowhere", code: "TD0211", change: func(w world) {
			class(w, "hdd").HostDir = dirBlock
			w.node().View.Value.Dirs["block"].Entries[0].Device = ""
		}, want: OutcomeFinding, has: []string{"warning[TD0211]"}},
		{
			name:   "one in the other",
			code:   "TD0211",
			change: func(w world) { class(w, "hdd").HostDir, class(w, "hdd").MountDir = "/var/lib/disks", "/var/lib/disks" },
			want:   OutcomeFinding,
			has:    []string{`class "hdd" publishes the directory of class "block" as a volume`},
		},
		{name: "one in the other, left out", code: "TD0211", change: func(w world) {
			class(w, "hdd").HostDir, class(w, "hdd").MountDir, class(w, "hdd").NamePattern = "/var/lib/disks", "/var/lib/disks", "disk-*"
		}, want: OutcomeOK},
		{name: "told apart by pattern", code: "TD0211", change: func(w world) {
			class(w, "hdd").HostDir, class(w, "hdd").NamePattern, class(w, "block").NamePattern = dirBlock, "fs-*", "vd*"
		}, want: OutcomeOK},
		{name: "no installation", code: "TD0211", change: unread("install", "forbidden"), want: OutcomeUnknown},

		{
			name:   "a link",
			code:   "TD0212",
			change: func(w world) { class(w, "block").NamePattern = "disk-*" },
			want:   OutcomeFinding,
			has:    []string{`namePattern "disk-*" of class "block" leaves out "/var/lib/disks/block/vdf"`},
		},
		{name: "a directory", code: "TD0212", change: func(w world) { class(w, "hdd").NamePattern = "disk-*" }, want: OutcomeOK},
		{name: "a pattern that matches", code: "TD0212", change: func(w world) { class(w, "block").NamePattern = "sd*,vd*" }, want: OutcomeOK},
		{name: "not looked at", code: "TD0212", change: func(w world) { w.withoutPod(noPodThere) }, want: OutcomeUnknown},

		{
			name:   "all labels",
			code:   "TD0213",
			change: partlabel(""),
			want:   OutcomeFinding,
			has: []string{"error[TD0213]", "lets through EFI, BIOS, BOOT, META, STATE, EPHEMERAL",
				"w-4: /dev/disk/by-partlabel/EPHEMERAL is a device that the node lives on", "wipes it", `namePattern: "r-disk-*"`},
		},
		{name: "raw volumes", code: "TD0213", change: partlabel("r-*"), want: OutcomeOK},
		{name: "every disk", code: "TD0213", change: func(w world) {
			c := class(w, "block")
			c.HostDir, c.MountDir = "/dev/disk/by-id", "/dev/disk/by-id"
		}, want: OutcomeFinding, has: []string{"every name in /dev/disk/by-id"}},
		{
			name:   "the system disk, linked",
			code:   "TD0213",
			change: func(w world) { w.node().View.Value.Dirs["block"].Entries[0].Device = "254:0" },
			want:   OutcomeFinding,
			has:    []string{"w-4: /var/lib/disks/block/vdf is a device that the node lives on: holds /var"},
		},
		{name: "udev's own directory for it", code: "TD0213", change: func(w world) {
			c := class(w, "block")
			c.HostDir, c.MountDir = "/dev/talosdisk", "/dev/talosdisk"
		}, want: OutcomeOK},
		{name: "no installation", code: "TD0213", change: unread("install", "forbidden"), want: OutcomeUnknown},

		{name: "stays", code: "TD0214", change: func(w world) {
			w.node().Taints = []corev1.Taint{taint}
			w.Install.Image = "registry.k8s.io/sig-storage/local-volume-provisioner:v2.9.0"
		}, want: OutcomeFinding, has: []string{"error[TD0214]", "kubectl taint nodes w-4 sig-storage-local-static-provisioner/agent-not-ready-",
			"release 2.9.0 never removes it", "removeNodeNotReadyTaint: false"}},
		{
			name:   "until the pod runs",
			code:   "TD0214",
			change: func(w world) { w.node().Taints = []corev1.Taint{taint}; w.withoutPod(noPodThere) },
			want:   OutcomeOK,
		},
		{name: "another taint", code: "TD0214", change: func(w world) { w.node().Taints = []corev1.Taint{{Key: "x"}} }, want: OutcomeOK},
		{name: "nodes were not read", code: "TD0214", change: unread("nodes", "forbidden"), want: OutcomeUnknown},

		{
			name:   "v2.7.0",
			code:   "TD0215",
			change: func(w world) { w.Install.Image = "registry.k8s.io/sig-storage/local-volume-provisioner:v2.7.0" },
			want:   OutcomeFinding,
			has:    []string{"warning[TD0215]", "release 2.7.0", "set image daemonset/prov provisioner="},
		},
		{name: "v2.8.0", code: "TD0215", change: func(world) {}, want: OutcomeOK},
		{
			name:   "a port, and no tag",
			code:   "TD0215",
			change: func(w world) { w.Install.Image = "reg.local:5000/local-volume-provisioner" },
			want:   OutcomeUnknown,
			has:    []string{"no tag"},
		},
		{name: "a digest", code: "TD0215", change: func(w world) { w.Install.Image += "@sha256:00" }, want: OutcomeOK},

		{name: "not a mount point", code: "TD0216", change: func(w world) {
			w.lies("hdd", provisioner.Entry{Name: "x", Kind: provisioner.Directory})
			w.Provisioner.Value.Log["w-4"] = []string{
				`E0101 discovery.go:200] path "/var/lib/disks/hdd/x" is not a valid mount point: mountPath="/var/lib/disks/hdd/x" wasn't found in the /proc/mounts file`,
				"E0101 x.go:1] something new",
			}
		}, want: OutcomeFinding, has: []string{"is no mount point in its container", "something that is not known here", "something new",
			"kubectl -n local-storage logs prov-x -c provisioner --tail=50"}},
		{name: "over, by a volume that was made since", code: "TD0216", change: func(w world) {
			w.Provisioner.Value.Log["w-4"] = []string{
				`E0101 discovery.go:200] Failed to discover local volumes: 1 error(s) while discovering volumes: [path "/var/lib/disks/hdd/vde" is not a valid mount point: mountPath="/var/lib/disks/hdd/vde" wasn't found in the /proc/mounts file]`,
				`I0101 discovery.go:420] Created PV "local-pv-485eb69c" for volume at "/var/lib/disks/hdd/vde"`,
			}
		}, want: OutcomeOK},
		{name: "over, by a newer look at the directory", code: "TD0216", change: func(w world) {
			w.lies("hdd", provisioner.Entry{Name: "x", Kind: provisioner.Directory}, provisioner.Entry{Name: "y", Kind: provisioner.Directory})
			w.Provisioner.Value.Log["w-4"] = []string{
				`E0101 discovery.go:200] Failed to discover local volumes: 2 error(s) while discovering volumes: [path "/var/lib/disks/hdd/x" is not a valid mount point: y path "/var/lib/disks/hdd/y" block stats error: z]`,
				`E0101 discovery.go:200] Failed to discover local volumes: 1 error(s) while discovering volumes: [path "/var/lib/disks/hdd/y" block stats error: z]`,
			}
		}, want: OutcomeFinding, has: []string{"an entry of a class leads nowhere", "path: /var/lib/disks/hdd/y"}},
		{name: "not over by a look at another directory", code: "TD0216", change: func(w world) {
			w.lies("hdd", provisioner.Entry{Name: "x", Kind: provisioner.Directory})
			w.Provisioner.Value.Log["w-4"] = []string{
				`E0101 discovery.go:200] Failed to discover local volumes: 1 error(s) while discovering volumes: [path "/var/lib/disks/hdd/x" is not a valid mount point: y]`,
				`E0101 discovery.go:200] Failed to discover local volumes: 1 error(s) while discovering volumes: [path "/var/lib/disks/block/vdf" block stats error: z]`,
			}
		}, want: OutcomeFinding, has: []string{"is no mount point in its container", "leads nowhere"}},
		{name: "a path that two classes publish has a check", code: "TD0216", change: func(w world) {
			class(w, "hdd").HostDir = dirBlock
			w.Provisioner.Value.Log["w-4"] = []string{`E0101 discovery.go:260] Volume path already in use: PV "local-pv-z" wants path "/var/lib/disks/block/vdf" which was already found in "local-pv-b".`}
		}, want: OutcomeOK},
		{name: "a path that something else publishes", code: "TD0216", change: func(w world) {
			w.Provisioner.Value.Log["w-4"] = []string{`E0101 discovery.go:260] Volume path already in use: PV "local-pv-z" wants path "/var/lib/disks/block/vdf" which was already found in "local-pv-b".`}
		}, want: OutcomeFinding, has: []string{"refused to this one", "path: /var/lib/disks/block/vdf"}},
		{name: "a cleaner's end, of a released volume", code: "TD0216", change: func(w world) {
			w.failing(2)
			w.Provisioner.Value.Log["w-4"] = []string{`E1123 02:59:40.000001       1 deleter.go:320] exit status 1`}
		}, want: OutcomeOK},
		{name: "of an entry that is gone", code: "TD0216", change: func(w world) {
			w.Provisioner.Value.Log["w-4"] = []string{`E0101 discovery.go:200] Directory check for "/var/lib/disks/block/gone" failed: open /var/lib/disks/block/gone: no such file or directory`}
		}, want: OutcomeOK},
		{name: "of entries that have a check", code: "TD0216", change: func(w world) {
			w.lies("block", provisioner.Entry{Name: "dead", Kind: provisioner.Link, Target: "/dev/vdz"},
				provisioner.Entry{Name: "dir", Kind: provisioner.Directory})
			w.Provisioner.Value.Log["w-4"] = []string{
				`E0101 discovery.go:200] Directory check for "/var/lib/disks/block/dead" failed: open /var/lib/disks/block/dead: no such file or directory`,
				`E0101 discovery.go:200] path "/var/lib/disks/block/dir" of filesystem mode cannot be used to create block volume`,
			}
		}, want: OutcomeOK},
		{name: "of a node that was not looked at", code: "TD0216", change: func(w world) {
			w.node().View = snapshot.Unread[snapshot.PodView](problem.FromText("no answer"))
			w.Provisioner.Value.Log["w-4"] = []string{`E0101 discovery.go:200] Directory check for "/var/lib/disks/block/gone" failed: open /var/lib/disks/block/gone: no such file or directory`}
		}, want: OutcomeFinding, has: []string{"an entry of a class leads nowhere"}},
		{name: "of a StorageClass that is there by now", code: "TD0216", change: func(w world) {
			w.Provisioner.Value.Log["w-4"] = []string{`E0101 discover.go:24] Failed to discover local volumes: failed to get ReclaimPolicy from storage class "block": storageclass.storage.k8s.io "block" not found`}
		}, want: OutcomeOK},
		{name: "of a StorageClass that is not there", code: "TD0216", change: func(w world) {
			w.Provisioner.Value.Log["w-4"] = []string{`E0101 discover.go:24] Failed to discover local volumes: failed to get ReclaimPolicy from storage class "gone": storageclass.storage.k8s.io "gone" not found`}
		}, want: OutcomeFinding, has: []string{"a class has no StorageClass"}},
		{name: "clean", code: "TD0216", change: func(world) {}, want: OutcomeOK},
		{name: "logs were not read", code: "TD0216", change: func(w world) {
			w.Provisioner.Value.Log = nil
			w.Provisioner.Value.LogProblem = map[string]problem.Problem{"w-4": problem.FromText("forbidden")}
		}, want: OutcomeUnknown, has: []string{"forbidden"}},
		{
			name:   "nothing was read",
			code:   "TD0216",
			change: func(w world) { w.Provisioner = snapshot.Section[snapshot.ProvisionerState]{} },
			want:   OutcomeUnknown,
		},
	}
}

// An error that the log has of one path is none of other volumes.
func TestTheLogsErrorsShowWhereTheyBelong(t *testing.T) {
	w := well(t)
	w.lies("hdd", provisioner.Entry{Name: "x", Kind: provisioner.Directory, Mounted: disk.Yes})
	w.Provisioner.Value.Log["w-4"] = []string{
		`E0101 discovery.go:200] Failed to discover local volumes: 1 error(s) while discovering volumes: [path "/var/lib/disks/hdd/x" block stats error: z]`,
		`E0101 reflector.go:1] persistentvolumes is forbidden`,
	}
	r := Run(w.Snapshot, Options{Only: []Code{"TD0216"}})
	if len(r.Findings) != 2 {
		t.Fatalf("%+v", r.Findings)
	}
	for _, c := range r.Chains {
		if want := c.Path == "/var/lib/disks/hdd/x"; slices.Contains(c.Codes, Code("TD0216")) != want {
			t.Errorf("%s has %v", c.Path, c.Codes)
		}
	}
}

// A StorageClass that is not there comes before what follows of it, and so does a disk that is not mounted.
func TestTheFirstCauseComesFirst(t *testing.T) {
	codes := func(w world) []Code {
		var all []Code
		for _, f := range Run(w.Snapshot, Options{}).Findings {
			if f.Severity != Info {
				all = append(all, f.Code)
			}
		}
		slices.Sort(all)
		return slices.Compact(all)
	}
	w := well(t)
	w.claimFor()
	w.Volumes = w.Volumes[:1]
	w.vdf()
	w.entries("block", provisioner.Entry{Name: "vdf", Kind: provisioner.Link, Target: "/dev/disk/by-id/virtio-" + serialF, Device: "254:80"})
	delete(w.StorageClasses, "block")
	w.Provisioner.Value.Log["w-4"] = []string{`E0101 discover.go:24] Failed to discover local volumes: failed to get ReclaimPolicy from storage class "block": storageclass.storage.k8s.io "block" not found`}
	if got, want := codes(w), []Code{"TD0209"}; !slices.Equal(got, want) {
		t.Errorf("a missing StorageClass: %v, want %v", got, want)
	}
	for name, talos := range map[string]func(world){
		"with Talos":    func(w world) { w.unmounted(); w.mounted(strings.SplitAfter(kubeletSlave, "\n")[0], "") },
		"without Talos": func(w world) { w.noTalos(problem.TalosNotConfigured, "no talosconfig was found") },
	} {
		w := well(t)
		talos(w)
		w.vdf()
		w.entries("block", provisioner.Entry{Name: "vdf", Kind: provisioner.Link, Target: "/dev/disk/by-id/virtio-" + serialF, Device: "254:80"})
		w.entries("hdd", provisioner.Entry{Name: "vde", Kind: provisioner.Directory, Mounted: disk.No})
		if w.node().Kubelet.Value != nil {
			w.kubelet().Settings.MachineDisks = nil
		}
		w.Volumes = w.Volumes[1:]
		*w.Claims.Value, *w.Pods.Value = nil, nil
		w.Provisioner.Value.Log["w-4"] = []string{`E0101 discovery.go:200] Failed to discover local volumes: 1 error(s) while discovering volumes: [path "/var/lib/disks/hdd/vde" is not a valid mount point: mountPath="/var/lib/disks/hdd/vde" wasn't found in the /proc/mounts file]`}
		got := slices.DeleteFunc(codes(w), func(c Code) bool { return c < "TD0200" })
		if want := []Code{"TD0302"}; !slices.Equal(got, want) {
			t.Errorf("%s, an unmounted directory: %v, want %v", name, got, want)
		}
	}
}

// What the container runtime says on one node explains no pod of another that is down for a
// reason of its own.
func TestReadOnlyRootOfAnotherNode(t *testing.T) {
	const pod = `container "provisioner" of pod "local-storage/prov-y" does not run: `
	for state, want := range map[string][]string{
		pod + "ImagePullBackOff": {"TD0204 [w-5]", "TD0205 [w-4]"},
		pod + `CreateContainerError: failed to mkdir "/mnt/fast-disks": mkdir /mnt/fast-disks: read-only file system`: {"TD0205 [w-4 w-5]"},
		`pod "local-storage/prov-y" is being deleted`:                                                                 {"TD0205 [w-4 w-5]"},
	} {
		w := well(t)
		other := *w.node()
		other.Name, other.Pod, other.View = "w-5", snapshot.Unread[snapshot.Pod](problem.FromText(state)),
			snapshot.Unread[snapshot.PodView](problem.FromText(state))
		w.withoutPod(`container "provisioner" of pod "local-storage/prov-x" does not run: CreateContainerError: failed to mkdir "/mnt/fast-disks": mkdir /mnt/fast-disks: read-only file system`)
		w.Nodes = append(w.Nodes, other)
		var got []string
		for _, f := range Run(w.Snapshot, Options{Only: []Code{"TD0204", "TD0205"}}).Findings {
			got = append(got, fmt.Sprint(f.Code, " ", f.Nodes))
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", state, got, want)
		}
	}
}

// Each line of the catalogue is explained by the rule for it.
func TestLogRules(t *testing.T) {
	lines := []string{
		`failed to get ReclaimPolicy from storage class "hdd": storageclass.storage.k8s.io "hdd" not found`,
		"error reading directory: open /var/lib/disks/hdd: no such file or directory",
		`path "/x" is not a valid mount point: mountPath="/x" wasn't found in the /proc/mounts file`,
		`path "/x" of filesystem mode cannot be used to create block volume`,
		`Skipping file "/x": not a directory nor block device`,
		`Directory check for "/x" failed: open /x: no such file or directory`,
		"Volume path already in use: PV a wants path /x which was already found in b",
		`error creating PV "x" for volume at "/x": persistentvolumes "x" already exists`,
		"Storage Class hdd is misconfigured, missing HostDir or MountDir parameter",
		"Invalid empty block cleaner command for class block",
		`Error cleaning PV "x": failed to get volume mode of path "/x"`,
		`persistentvolumes is forbidden: User "system:serviceaccount:a:b" cannot create resource`,
	}
	rules := logRules()
	if len(lines) != len(rules) {
		t.Errorf("%d lines for %d rules", len(lines), len(rules))
	}
	for i, line := range lines {
		for k, r := range rules {
			if r.like.MatchString(line) {
				if k != i {
					t.Errorf("%q is explained by rule %d, not %d: %s", line, k, i, r.meaning)
				}
				break
			} else if k == len(rules)-1 {
				t.Errorf("%q is not explained", line)
			}
		}
	}
}
