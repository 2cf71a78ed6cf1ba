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
		About: snapshot.Ref{Kind: "daemonset", Namespace: "local-storage", Name: "prov"}, Type: "Warning", Reason: "FailedCreate", From: "daemonset-controller", Count: 9, Last: now,
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
		{"none", "TD0201", func(w world) {
			w.Install = provisioner.Install{}
			unread("install", "no DaemonSet that runs the local volume static provisioner in any namespace")(w)
		}, OutcomeFinding, []string{"error[TD0201]", "--provisioner-namespace"}},
		{"several", "TD0201", unread("install", `several provisioners: "a/x", "b/y"`), OutcomeFinding, []string{"there are several", `"b/y"`}},
		{"a class that makes no sense", "TD0201", unread("install", `ConfigMap "x/y" of the provisioner: class "a" in storageClassMap: hostDir is missing`), OutcomeFinding, []string{"makes no sense", "hostDir is missing"}},
		{"forbidden", "TD0201", unread("install", `daemonsets.apps is forbidden: User "u" cannot list resource "daemonsets" in API group "apps" at the cluster scope`), OutcomeUnknown, nil},
		{"out of reach", "TD0201", unread("install", "connection refused"), OutcomeUnknown, nil},
		{"one", "TD0201", func(world) {}, OutcomeOK, nil},

		{"nodes that were not looked at", "TD0202", func(w world) {
			aside := *w.node()
			aside.Name, aside.Skipped, aside.Pod = "w-5", true, snapshot.Unread[snapshot.Pod](problem.FromText(noPodThere))
			w.Nodes = append(w.Nodes, aside)
			w.Provisioner.Value.PodSecurity = "baseline"
		}, OutcomeFinding, []string{"warning[TD0202]", "will refuse the provisioner's next pod"}},
		{"refused", "TD0202", func(w world) { w.Provisioner.Value.PodSecurity = ""; w.refused(); w.withoutPod(noPodThere) }, OutcomeFinding,
			[]string{"error[TD0202]", "violates PodSecurity", "kubectl label namespace local-storage pod-security.kubernetes.io/enforce=privileged --overwrite", "daemonset/prov"}},
		{"labelled since, and the event is old", "TD0202", func(w world) { w.refused() }, OutcomeOK, nil},
		{"an old event, and pods that run", "TD0202", func(w world) { w.Provisioner.Value.PodSecurity = ""; w.refused() }, OutcomeOK, nil},
		{"a label, and no event any more", "TD0202", func(w world) { w.Provisioner.Value.PodSecurity = "baseline"; w.withoutPod(noPodThere) }, OutcomeFinding, []string{"enforces baseline, and 1 of 1 nodes have no pod"}},
		{"a label, and pods that run", "TD0202", func(w world) { w.Provisioner.Value.PodSecurity = "restricted" }, OutcomeFinding, []string{"warning[TD0202]", "will refuse"}},
		{"in kube-system", "TD0202", func(w world) { w.Install.Namespace, w.Provisioner.Value.PodSecurity = "kube-system", "" }, OutcomeOK, nil},
		{"another reason for no pod", "TD0202", func(w world) { w.Provisioner.Value.PodSecurity = ""; w.withoutPod(mkdir) }, OutcomeOK, nil},
		{"not read", "TD0202", func(w world) {
			w.Provisioner = snapshot.Unread[snapshot.ProvisionerState](problem.FromText("forbidden"))
		}, OutcomeUnknown, []string{"forbidden"}},
		{"the label was not read", "TD0202", func(w world) {
			w.Provisioner.Value.PodSecurity, w.Provisioner.Value.PodSecurityProblem = "", problem.FromText("namespaces is forbidden")
		}, OutcomeUnknown, []string{"namespaces is forbidden"}},
		{"no events", "TD0202", func(w world) {
			w.Provisioner.Value.PodSecurity = ""
			w.withoutPod(noPodThere)
			w.Events = snapshot.Unread[[]snapshot.Event](problem.FromText("forbidden"))
		}, OutcomeUnknown, nil},

		{"none made", "TD0203", func(w world) { w.withoutPod(noPodThere) }, OutcomeFinding, []string{"error[TD0203]: no provisioner pod runs on w-4", "describe daemonset prov"}},
		{"a taint", "TD0203", func(w world) {
			w.withoutPod("the DaemonSet does not tolerate the node's taint storage=only:NoSchedule")
			w.node().Wanted = false
		}, OutcomeFinding, []string{"warning[TD0203]", "- key: storage\n  operator: Equal\n  value: \"only\"\n  effect: NoSchedule",
			`$ kubectl -n local-storage patch daemonset prov --type=json -p '[{"op":"add","path":"/spec/template/spec/tolerations","value":[{"key":"storage","operator":"Equal","value":"only","effect":"NoSchedule"}]}]'`}},
		{"a taint beside one that is tolerated", "TD0203", func(w world) {
			w.withoutPod("the DaemonSet does not tolerate the node's taint storage:NoExecute")
			w.node().Wanted, w.Install.Tolerations = false, []corev1.Toleration{{Key: "gpu", Operator: corev1.TolerationOpExists}}
		}, OutcomeFinding, []string{`'[{"op":"add","path":"/spec/template/spec/tolerations/-","value":{"key":"storage","operator":"Exists","effect":"NoExecute"}}]'`}},
		{"a taint, and no volumes", "TD0203", func(w world) {
			w.withoutPod("the DaemonSet does not tolerate the node's taint node-role.kubernetes.io/control-plane:NoSchedule")
			w.node().Wanted, w.Volumes = false, nil
		}, OutcomeFinding, []string{"info[TD0203]", "operator: Exists"}},
		{"a selector", "TD0203", func(w world) {
			w.withoutPod("the DaemonSet's nodeSelector asks for disk=yes")
			w.node().Wanted = false
		}, OutcomeFinding, []string{"nodeSelector"}},
		{"one that does not run", "TD0203", func(w world) { w.withoutPod(mkdir) }, OutcomeOK, nil},
		{"pods were not read", "TD0203", func(w world) { w.withoutPod("connection refused") }, OutcomeUnknown, nil},
		{"no installation", "TD0203", unread("install", "forbidden"), OutcomeUnknown, nil},

		{"crashes", "TD0204", func(w world) {
			w.withoutPod(`container "provisioner" of pod "local-storage/prov-x" does not run: CrashLoopBackOff: back-off 5m0s`)
			w.Provisioner.Value.Pods = []snapshot.ProvisionerPod{{Name: "prov-y", Node: "w-5", Restarts: 9}, {Name: "prov-x", Node: "w-4", Restarts: 3}}
		}, OutcomeFinding, []string{"error[TD0204]", "CrashLoopBackOff", "$ kubectl -n local-storage describe pod prov-x\n", "$ kubectl -n local-storage logs prov-x -c provisioner --previous"}},
		{"no image", "TD0204", func(w world) {
			w.withoutPod(`container "provisioner" of pod "local-storage/prov-x" does not run: ImagePullBackOff`)
		}, OutcomeFinding, []string{"cannot be pulled"}},
		{"a private mount", "TD0204", func(w world) {
			w.withoutPod(`container "provisioner" of pod "local-storage/prov-x" does not run: CreateContainerError: path "/var/x" is mounted on "/var/x" but it is not a shared or slave mount`)
		}, OutcomeFinding, []string{"private mount"}},
		{"being replaced", "TD0204", func(w world) { w.withoutPod(`pod "local-storage/prov-x" is being deleted`) }, OutcomeOK, nil},
		{"no pod at all", "TD0204", func(w world) { w.withoutPod(noPodThere) }, OutcomeOK, nil},
		{"pods were not read", "TD0204", func(w world) { w.withoutPod("connection refused") }, OutcomeUnknown, nil},
		{"no installation", "TD0204", unread("install", "forbidden"), OutcomeUnknown, nil},

		{"the chart's default", "TD0205", func(w world) { w.withoutPod(mkdir) }, OutcomeFinding, []string{`hostDir "/mnt/fast-disks" lies on the read-only root of w-4`, "- hostDir: /var/lib/disks/fast-disks"}},
		{"where the rollout has not come yet", "TD0205", func(w world) {
			other := *w.node()
			other.Name = "w-5"
			w.withoutPod(mkdir)
			w.Nodes = append(w.Nodes, other)
		}, OutcomeFinding, []string{"read-only root of w-4 and w-5", "nodes: [w-4 w-5]"}},
		{"a node of another system", "TD0205", func(w world) {
			other := *w.node()
			other.Name, other.OSImage = "w-5", "Debian GNU/Linux 13"
			w.withoutPod(mkdir)
			w.Nodes = append(w.Nodes, other)
		}, OutcomeFinding, []string{"nodes: [w-4]"}},
		{"another failure", "TD0205", func(w world) {
			w.withoutPod(`container "provisioner" of pod "local-storage/prov-x" does not run: CreateContainerError: failed to mkdir "/var/x": no space left on device`)
		}, OutcomeOK, nil},
		{"no installation", "TD0205", unread("install", "forbidden"), OutcomeUnknown, nil},

		{"nothing at mountDir", "TD0206", func(w world) { w.Install.Mounts = w.Install.Mounts[1:] }, OutcomeFinding, []string{`"/var/lib/disks/block" of class "block" is not mounted`, "mountDir: /var/lib/disks/block"}},
		{"another directory", "TD0206", func(w world) { w.Install.Mounts[1].HostPath = "/var/lib/other" }, OutcomeFinding, []string{`shows "/var/lib/other" of the node`}},
		{"by a mount of the parent", "TD0206", func(w world) {
			w.Install.Mounts = []provisioner.Mount{{HostPath: "/var/lib/disks", MountPath: "/var/lib/disks", Propagation: corev1.MountPropagationHostToContainer}}
		}, OutcomeOK, nil},
		{"no installation", "TD0206", unread("install", "forbidden"), OutcomeUnknown, nil},

		{"none", "TD0207", func(w world) { w.Install.Mounts[1].Propagation = "" }, OutcomeFinding, []string{"error[TD0207]", `"/var/lib/disks/hdd" of class "hdd"`, "is None", "mountPropagation: HostToContainer"}},
		{"none, for links", "TD0207", func(w world) { w.Install.Mounts[0].Propagation = corev1.MountPropagationNone }, OutcomeFinding, []string{"warning[TD0207]"}},
		{"both ways", "TD0207", func(w world) { w.Install.Mounts[1].Propagation = corev1.MountPropagationBidirectional }, OutcomeOK, nil},
		{"no installation", "TD0207", unread("install", "forbidden"), OutcomeUnknown, nil},

		{"not mounted", "TD0208", func(w world) { w.Install.Mounts = w.Install.Mounts[:2] }, OutcomeFinding, []string{"mountDevVolume: true"}},
		{"no Block class", "TD0208", func(w world) { w.Install.Mounts, w.Install.Classes = w.Install.Mounts[:2], w.Install.Classes[1:] }, OutcomeNone, nil},
		{"mounted", "TD0208", func(world) {}, OutcomeOK, nil},
		{"no installation", "TD0208", unread("install", "forbidden"), OutcomeUnknown, nil},

		{"none", "TD0209", func(w world) { delete(w.StorageClasses, "hdd") }, OutcomeFinding, []string{`class "hdd" of the provisioner has no StorageClass`, `evidence: no StorageClass is called "hdd"`, "storageClass: true", "'volumeBindingMode: WaitForFirstConsumer' 'reclaimPolicy"}},
		{"another provisioner's", "TD0209", func(w world) {
			w.StorageClasses["hdd"] = snapshot.StorageClass{Name: "hdd", Provisioner: "ebs.csi.aws.com", BindingMode: "WaitForFirstConsumer"}
		}, OutcomeFinding, []string{"warning[TD0209]", "ebs.csi.aws.com"}},
		{"one too many", "TD0209", func(w world) { w.StorageClasses["x"] = snapshot.StorageClass{Name: "x"} }, OutcomeOK, nil},
		{"not read", "TD0209", unread("storageClasses", "forbidden"), OutcomeUnknown, nil},

		{"at once", "TD0210", func(w world) {
			w.StorageClasses["hdd"] = snapshot.StorageClass{Name: "hdd", Provisioner: noProvisioner, BindingMode: "Immediate"}
		}, OutcomeFinding, []string{"warning[TD0210]", "kubectl get storageclass hdd -o yaml | sed", "kubectl replace --force -f -"}},
		{"of another class", "TD0210", func(w world) { w.StorageClasses["x"] = snapshot.StorageClass{Name: "x", BindingMode: "Immediate"} }, OutcomeOK, nil},
		{"not read", "TD0210", unread("storageClasses", "forbidden"), OutcomeUnknown, nil},

		{"one directory", "TD0211", func(w world) { class(w, "hdd").HostDir = dirBlock }, OutcomeFinding, []string{"error[TD0211]", `classes "block" and "hdd"`, "w-4: /var/lib/disks/block/vdf", "would format", "refuses it to the other", "- name: block\n  namePattern: \"vdf,block-*\"\n- name: hdd\n  namePattern: \"hdd-*\""}},
		{"one directory, and links of each class", "TD0211", func(w world) {
			class(w, "hdd").HostDir, class(w, "hdd").Mode = dirBlock, provisioner.Block
			w.lies("block", provisioner.Entry{Name: "vdg", Kind: provisioner.Link, Target: "/dev/vdg", Device: "254:96"})
			w.Volumes = append(w.Volumes, snapshot.Volume{Name: "local-pv-g", Class: "hdd", Mode: provisioner.Block, Path: dirBlock + "/vdg", Node: "w-4", Phase: "Bound"},
				snapshot.Volume{Name: "local-pv-h", Class: "hdd", Mode: provisioner.Block, Path: dirBlock + "/vdh", Node: "w-9", Phase: "Bound"})
		}, OutcomeFinding, []string{"- name: block\n  namePattern: \"vdf,block-*\"\n- name: hdd\n  namePattern: \"vdg,vdh,hdd-*\""}},
		{"one directory, and a name of both classes", "TD0211", func(w world) {
			class(w, "hdd").HostDir = dirBlock
			w.Volumes = append(w.Volumes, snapshot.Volume{Name: "local-pv-g", Class: "hdd", Path: dirBlock + "/vdf", Node: "w-9", Phase: "Bound"})
		}, OutcomeFinding, []string{"give each class a hostDir of its own, in the values"}},
		{"one directory, and two volumes already", "TD0211", func(w world) {
			class(w, "hdd").HostDir = dirBlock
			w.Volumes = append(w.Volumes, snapshot.Volume{Name: "local-pv-g", Class: "hdd", Path: dirBlock + "/vdf", Node: "w-4", Phase: "Available"})
		}, OutcomeFinding, []string{"one disk is two volumes", "w-4: /var/lib/disks/block/vdf is volume local-pv-b of class block, and volume local-pv-g of class hdd"}},
		{"one directory, and nothing in it", "TD0211", func(w world) {
			class(w, "hdd").HostDir = dirBlock
			w.node().View.Value.Dirs["block"] = snapshot.Dir{Exists: true}
		}, OutcomeFinding, []string{"warning[TD0211]"}},
		{"one directory, and a link that leads nowhere", "TD0211", func(w world) {
			class(w, "hdd").HostDir = dirBlock
			w.node().View.Value.Dirs["block"].Entries[0].Device = ""
		}, OutcomeFinding, []string{"warning[TD0211]"}},
		{"one in the other", "TD0211", func(w world) { class(w, "hdd").HostDir, class(w, "hdd").MountDir = "/var/lib/disks", "/var/lib/disks" }, OutcomeFinding,
			[]string{`class "hdd" publishes the directory of class "block" as a volume`}},
		{"one in the other, left out", "TD0211", func(w world) {
			class(w, "hdd").HostDir, class(w, "hdd").MountDir, class(w, "hdd").NamePattern = "/var/lib/disks", "/var/lib/disks", "disk-*"
		}, OutcomeOK, nil},
		{"told apart by pattern", "TD0211", func(w world) {
			class(w, "hdd").HostDir, class(w, "hdd").NamePattern, class(w, "block").NamePattern = dirBlock, "fs-*", "vd*"
		}, OutcomeOK, nil},
		{"no installation", "TD0211", unread("install", "forbidden"), OutcomeUnknown, nil},

		{"a link", "TD0212", func(w world) { class(w, "block").NamePattern = "disk-*" }, OutcomeFinding, []string{`namePattern "disk-*" of class "block" leaves out "/var/lib/disks/block/vdf"`}},
		{"a directory", "TD0212", func(w world) { class(w, "hdd").NamePattern = "disk-*" }, OutcomeOK, nil},
		{"a pattern that matches", "TD0212", func(w world) { class(w, "block").NamePattern = "sd*,vd*" }, OutcomeOK, nil},
		{"not looked at", "TD0212", func(w world) { w.withoutPod(noPodThere) }, OutcomeUnknown, nil},

		{"all labels", "TD0213", partlabel(""), OutcomeFinding, []string{"error[TD0213]", "lets through EFI, BIOS, BOOT, META, STATE, EPHEMERAL", "w-4: /dev/disk/by-partlabel/EPHEMERAL is a device that the node lives on", "wipes it", `namePattern: "r-disk-*"`}},
		{"raw volumes", "TD0213", partlabel("r-*"), OutcomeOK, nil},
		{"every disk", "TD0213", func(w world) {
			c := class(w, "block")
			c.HostDir, c.MountDir = "/dev/disk/by-id", "/dev/disk/by-id"
		}, OutcomeFinding, []string{"every name in /dev/disk/by-id"}},
		{"the system disk, linked", "TD0213", func(w world) { w.node().View.Value.Dirs["block"].Entries[0].Device = "254:0" }, OutcomeFinding, []string{"w-4: /var/lib/disks/block/vdf is a device that the node lives on: holds /var"}},
		{"udev's own directory for it", "TD0213", func(w world) {
			c := class(w, "block")
			c.HostDir, c.MountDir = "/dev/talosdisk", "/dev/talosdisk"
		}, OutcomeOK, nil},
		{"no installation", "TD0213", unread("install", "forbidden"), OutcomeUnknown, nil},

		{"stays", "TD0214", func(w world) {
			w.node().Taints = []corev1.Taint{taint}
			w.Install.Image = "registry.k8s.io/sig-storage/local-volume-provisioner:v2.9.0"
		}, OutcomeFinding, []string{"error[TD0214]", "kubectl taint nodes w-4 sig-storage-local-static-provisioner/agent-not-ready-", "release 2.9.0 never removes it", "removeNodeNotReadyTaint: false"}},
		{"until the pod runs", "TD0214", func(w world) { w.node().Taints = []corev1.Taint{taint}; w.withoutPod(noPodThere) }, OutcomeOK, nil},
		{"another taint", "TD0214", func(w world) { w.node().Taints = []corev1.Taint{{Key: "x"}} }, OutcomeOK, nil},
		{"nodes were not read", "TD0214", unread("nodes", "forbidden"), OutcomeUnknown, nil},

		{"v2.7.0", "TD0215", func(w world) { w.Install.Image = "registry.k8s.io/sig-storage/local-volume-provisioner:v2.7.0" }, OutcomeFinding, []string{"warning[TD0215]", "release 2.7.0", "set image daemonset/prov provisioner="}},
		{"v2.8.0", "TD0215", func(world) {}, OutcomeOK, nil},
		{"a port, and no tag", "TD0215", func(w world) { w.Install.Image = "reg.local:5000/local-volume-provisioner" }, OutcomeUnknown, []string{"no tag"}},
		{"a digest", "TD0215", func(w world) { w.Install.Image += "@sha256:00" }, OutcomeOK, nil},

		{"not a mount point", "TD0216", func(w world) {
			w.lies("hdd", provisioner.Entry{Name: "x", Kind: provisioner.Directory})
			w.Provisioner.Value.Log["w-4"] = []string{
				`E0101 discovery.go:200] path "/var/lib/disks/hdd/x" is not a valid mount point: mountPath="/var/lib/disks/hdd/x" wasn't found in the /proc/mounts file`,
				"E0101 x.go:1] something new",
			}
		}, OutcomeFinding, []string{"is no mount point in its container", "something that is not known here", "something new", "kubectl -n local-storage logs prov-x -c provisioner --tail=50"}},
		{"over, by a volume that was made since", "TD0216", func(w world) {
			w.Provisioner.Value.Log["w-4"] = []string{
				`E0101 discovery.go:200] Failed to discover local volumes: 1 error(s) while discovering volumes: [path "/var/lib/disks/hdd/vde" is not a valid mount point: mountPath="/var/lib/disks/hdd/vde" wasn't found in the /proc/mounts file]`,
				`I0101 discovery.go:420] Created PV "local-pv-485eb69c" for volume at "/var/lib/disks/hdd/vde"`,
			}
		}, OutcomeOK, nil},
		{"over, by a newer look at the directory", "TD0216", func(w world) {
			w.lies("hdd", provisioner.Entry{Name: "x", Kind: provisioner.Directory}, provisioner.Entry{Name: "y", Kind: provisioner.Directory})
			w.Provisioner.Value.Log["w-4"] = []string{
				`E0101 discovery.go:200] Failed to discover local volumes: 2 error(s) while discovering volumes: [path "/var/lib/disks/hdd/x" is not a valid mount point: y path "/var/lib/disks/hdd/y" block stats error: z]`,
				`E0101 discovery.go:200] Failed to discover local volumes: 1 error(s) while discovering volumes: [path "/var/lib/disks/hdd/y" block stats error: z]`,
			}
		}, OutcomeFinding, []string{"an entry of a class leads nowhere", "path: /var/lib/disks/hdd/y"}},
		{"not over by a look at another directory", "TD0216", func(w world) {
			w.lies("hdd", provisioner.Entry{Name: "x", Kind: provisioner.Directory})
			w.Provisioner.Value.Log["w-4"] = []string{
				`E0101 discovery.go:200] Failed to discover local volumes: 1 error(s) while discovering volumes: [path "/var/lib/disks/hdd/x" is not a valid mount point: y]`,
				`E0101 discovery.go:200] Failed to discover local volumes: 1 error(s) while discovering volumes: [path "/var/lib/disks/block/vdf" block stats error: z]`,
			}
		}, OutcomeFinding, []string{"is no mount point in its container", "leads nowhere"}},
		{"a path that two classes publish has a check", "TD0216", func(w world) {
			class(w, "hdd").HostDir = dirBlock
			w.Provisioner.Value.Log["w-4"] = []string{`E0101 discovery.go:260] Volume path already in use: PV "local-pv-z" wants path "/var/lib/disks/block/vdf" which was already found in "local-pv-b".`}
		}, OutcomeOK, nil},
		{"a path that something else publishes", "TD0216", func(w world) {
			w.Provisioner.Value.Log["w-4"] = []string{`E0101 discovery.go:260] Volume path already in use: PV "local-pv-z" wants path "/var/lib/disks/block/vdf" which was already found in "local-pv-b".`}
		}, OutcomeFinding, []string{"refused to this one", "path: /var/lib/disks/block/vdf"}},
		{"a cleaner's end, of a released volume", "TD0216", func(w world) {
			w.failing(2)
			w.Provisioner.Value.Log["w-4"] = []string{`E1123 02:59:40.000001       1 deleter.go:320] exit status 1`}
		}, OutcomeOK, nil},
		{"of an entry that is gone", "TD0216", func(w world) {
			w.Provisioner.Value.Log["w-4"] = []string{`E0101 discovery.go:200] Directory check for "/var/lib/disks/block/gone" failed: open /var/lib/disks/block/gone: no such file or directory`}
		}, OutcomeOK, nil},
		{"of entries that have a check", "TD0216", func(w world) {
			w.lies("block", provisioner.Entry{Name: "dead", Kind: provisioner.Link, Target: "/dev/vdz"}, provisioner.Entry{Name: "dir", Kind: provisioner.Directory})
			w.Provisioner.Value.Log["w-4"] = []string{
				`E0101 discovery.go:200] Directory check for "/var/lib/disks/block/dead" failed: open /var/lib/disks/block/dead: no such file or directory`,
				`E0101 discovery.go:200] path "/var/lib/disks/block/dir" of filesystem mode cannot be used to create block volume`,
			}
		}, OutcomeOK, nil},
		{"of a node that was not looked at", "TD0216", func(w world) {
			w.node().View = snapshot.Unread[snapshot.PodView](problem.FromText("no answer"))
			w.Provisioner.Value.Log["w-4"] = []string{`E0101 discovery.go:200] Directory check for "/var/lib/disks/block/gone" failed: open /var/lib/disks/block/gone: no such file or directory`}
		}, OutcomeFinding, []string{"an entry of a class leads nowhere"}},
		{"of a StorageClass that is there by now", "TD0216", func(w world) {
			w.Provisioner.Value.Log["w-4"] = []string{`E0101 discover.go:24] Failed to discover local volumes: failed to get ReclaimPolicy from storage class "block": storageclass.storage.k8s.io "block" not found`}
		}, OutcomeOK, nil},
		{"of a StorageClass that is not there", "TD0216", func(w world) {
			w.Provisioner.Value.Log["w-4"] = []string{`E0101 discover.go:24] Failed to discover local volumes: failed to get ReclaimPolicy from storage class "gone": storageclass.storage.k8s.io "gone" not found`}
		}, OutcomeFinding, []string{"a class has no StorageClass"}},
		{"clean", "TD0216", func(world) {}, OutcomeOK, nil},
		{"logs were not read", "TD0216", func(w world) {
			w.Provisioner.Value.Log = nil
			w.Provisioner.Value.LogProblem = map[string]problem.Problem{"w-4": problem.FromText("forbidden")}
		}, OutcomeUnknown, []string{"forbidden"}},
		{"nothing was read", "TD0216", func(w world) { w.Provisioner = snapshot.Section[snapshot.ProvisionerState]{} }, OutcomeUnknown, nil},
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
	for name, talos := range map[string]func(world){"with Talos": func(w world) { w.unmounted(); w.mounted(strings.SplitAfter(kubeletSlave, "\n")[0], "") }, "without Talos": func(w world) { w.noTalos(problem.TalosNotConfigured, "no talosconfig was found") }} {
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
		other.Name, other.Pod, other.View = "w-5", snapshot.Unread[snapshot.Pod](problem.FromText(state)), snapshot.Unread[snapshot.PodView](problem.FromText(state))
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
