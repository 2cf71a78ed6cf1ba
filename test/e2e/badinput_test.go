// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/json"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster"
	"github.com/talosdisk/kubectl-talosdisk/test/manifests"
)

// TestBadInput has command lines and clusters with which nothing can be done:
// one clear error each, and nothing is touched.
func TestBadInput(t *testing.T) {
	begin(t, manifests.Default())
	name := diskName()
	for _, n := range theCluster.Nodes() {
		addDisk(t, n, cluster.Disk{Name: name})
	}
	linked := addDisk(t, node(t, "worker-1"), cluster.Disk{})
	link(t, linked.Name, "--nodes", "worker-1").wantCode(t, 0)
	plan := makePlan(t, name)
	text, err := os.ReadFile(plan)
	if err != nil {
		t.Fatal(err)
	}
	// edited is the plan with one change.
	edited := func(old, new string) string {
		if !strings.Contains(string(text), old) {
			t.Fatalf("the plan has no %q:\n%s", old, text)
		}
		file := filepath.Join(t.TempDir(), "plan.yaml")
		if err := os.WriteFile(file, []byte(strings.Replace(string(text), old, new, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}

	for _, test := range []struct {
		name string
		args []string
		says []string
	}{
		{name: "no disk", says: []string{"no disk is named"}},
		{name: "empty name", args: []string{""}, says: []string{"disk name is empty"}},
		{name: "slash", args: []string{"a/b"}, says: []string{`disk "a/b" is neither a name in /dev, nor a path below /dev/disk`}},
		{name: "dots", args: []string{".."}, says: []string{`disk ".." has a character`}},
		{
			name: "path out of dev",
			args: []string{"/dev/disk/by-id/../../../etc/passwd"},
			says: []string{"is not a path like /dev/disk/by-id/NAME"},
		},
		{name: "command", args: []string{"$(touch /tmp/talosdisk-e2e)"}, says: []string{`disk "$(touch /tmp/talosdisk-e2e)" is neither`}},
		{name: "backquotes", args: []string{"`id`"}, says: []string{"has a character that no disk name has"}},
		{name: "semicolon", args: []string{"vdf;id"}, says: []string{`disk "vdf;id" has a character that no disk name has`}},
		{name: "quote", args: []string{"vd'f"}, says: []string{`disk "vd'f" has a character that no disk name has`}},
		{name: "newline", args: []string{"vdf\nvdg"}, says: []string{`disk "vdf\nvdg" has a character that no disk name has`}},
		{name: "space", args: []string{"vdf vdg"}, says: []string{`disk "vdf vdg" has a character that no disk name has`}},
		{name: "flag for a tool", args: []string{"--", "-rf"}, says: []string{`disk "-rf" has a character`}},
		{name: "one bad name of two", args: []string{name, "vd;f"}, says: []string{`disk "vd;f"`}},
		{name: "glob in a glob's clothes", args: []string{"vd[$(id)]"}, says: []string{"has a character that no disk name has"}},
		{name: "malformed glob", args: []string{"vd["}, says: []string{`disk pattern "vd[" is malformed`}},
		{name: "glob without a match", args: []string{"nvme*"}, says: []string{`pattern "nvme*" matches no disk on any of 3 nodes`}},
		{name: "by-diskseq", args: []string{"/dev/disk/by-diskseq/7"}, says: []string{"count up at every boot"}},
		{
			name: "unknown class",
			args: []string{name, "--class", "fast"},
			says: []string{`class "fast" is not in the provisioner's configuration (classes: block-storage, fs-storage)`},
		},
		{
			name: "Filesystem class",
			args: []string{name, "--class", "fs-storage"},
			says: []string{`class "fs-storage" has volumeMode Filesystem`, "choose a class with volumeMode Block: block-storage"},
		},
		{name: "name with two disks", args: []string{name, "vdz", "--name", "data"}, says: []string{"--name names the link of one disk"}},
		{name: "name with a glob", args: []string{"sd*", "--name", "data"}, says: []string{"--name names the link of one disk"}},
		{name: "name with a path", args: []string{name, "--name", "../data"}, says: []string{`link name "../data" is not a plain file name`}},
		{name: "name with a dotfile", args: []string{name, "--name", ".data"}, says: []string{`link name ".data" is not a plain file name`}},
		{
			name: "unknown reason",
			args: []string{name, "--accept", "everything"},
			says: []string{`reason "everything" does not exist`, "signature"},
		},
		{
			name: "reason that cannot be accepted",
			args: []string{name, "--accept", "in-use"},
			says: []string{`reason "in-use" cannot be accepted`},
		},
		{
			name: "scoped reason that cannot be accepted",
			args: []string{name, "--accept", "system-disk=worker-1/vda"},
			says: []string{`reason "system-disk" cannot be accepted`},
		},
		{
			name: "reason without a disk",
			args: []string{name, "--accept", "signature=worker-1"},
			says: []string{"does not name a disk as NODE/DISK"},
		},
		{name: "unknown target", args: []string{name, "--target", "by-label"}, says: []string{"--target", "by-label"}},
		{name: "unknown node", args: []string{name, "--nodes", "worker-9"}, says: []string{`no node is called "worker-9"`}},
		{name: "no node has the labels", args: []string{name, "-l", "disk=ssd"}, says: []string{"no node has the labels disk=ssd"}},
		{name: "malformed selector", args: []string{name, "-l", "a=b=c"}, says: []string{"is not a label selector"}},
		{name: "unknown output", args: []string{name, "-o", "xml"}, says: []string{`unknown output format "xml"`}},
		{name: "unknown flag", args: []string{name, "--force"}, says: []string{"unknown flag: --force"}},
		{name: "unknown context", args: []string{name, "--context", "prod"}, says: []string{`context "prod" does not exist`}},
		{name: "plan and disks", args: []string{name, "-f", plan}, says: []string{"-f performs a plan as it is"}},
		{
			name: "plan that is not there",
			args: []string{"-f", filepath.Join(t.TempDir(), "gone.yaml")},
			says: []string{"gone.yaml", "no such file"},
		},
		{name: "plan with an unknown field", args: []string{"-f", edited("action:", "actoin:")}, says: []string{"is not a plan"}},
		{
			name: "plan of another version",
			args: []string{"-f", edited("provisioner: ", "provisioner: other-")},
			says: []string{"the plan was made for provisioner"},
		},
		{name: "plan with a bad disk", args: []string{"-f", edited("disk: "+name, "disk: ../"+name)}, says: []string{"link 1 of the plan"}},
		{
			name: "plan with a bad link name",
			args: []string{"-f", edited("entry: "+name, "entry: ../../"+name)},
			says: []string{"link 1 of the plan"},
		},
		{
			name: "plan without a fingerprint",
			args: []string{"-f", edited("fingerprint: ", "detail: ")},
			says: []string{"has no node, class or fingerprint"},
		},
		{
			name: "no plan at all",
			args: []string{"-f", writeFile(t, "apiVersion: v1\nkind: ConfigMap\n")},
			says: []string{"the file holds a", "not a LinkPlan"},
		},
		{name: "empty plan", args: []string{"-f", writeFile(t, "")}, says: []string{"not a LinkPlan"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := state(t)
			args := append([]string{"link", "--yes"}, test.args...)
			if !slices.Contains(test.args, "--accept") && !slices.Contains(test.args, "-f") && !slices.Contains(test.args, "--") {
				args = append(args, "--accept", "loop")
			}
			r := run(t, args...).wantError(t, test.says...)
			wantNoOutput(t, r)
			if after := state(t); !slices.Equal(before, after) {
				t.Errorf("it changed\nfrom %q\n  to %q", before, after)
			}
		})
	}
	// The provisioner and its configuration.
	for _, test := range []struct {
		name string
		// classes are those of the ConfigMap.
		classes []manifests.Class
		says    []string
	}{
		{
			name: "no Block class", says: []string{"has no class with volumeMode Block (classes: fs-storage)"},
			classes: []manifests.Class{{Name: "fs-storage", HostDir: "/var/lib/disks/hdd", VolumeMode: corev1.PersistentVolumeFilesystem}},
		},
		{
			name: "several Block classes", says: []string{"has several classes with volumeMode Block: block-second, block-storage",
				"--class block-second"},
			classes: withSecondClass().Classes,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			withClasses(t, test.classes)
			before := state(t)
			r := run(t, "link", name, "--accept", "loop", "--yes").wantError(t, test.says...)
			wantNoOutput(t, r)
			if after := state(t); !slices.Equal(before, after) {
				t.Errorf("it changed\nfrom %q\n  to %q", before, after)
			}
		})
	}
	t.Run("several provisioners", func(t *testing.T) { severalProvisioners(t, name) })
	t.Run("kubeconfig", func(t *testing.T) { badKubeconfigs(t, name) })
	t.Run("no provisioner", func(t *testing.T) {
		run(t, "link", name, "--provisioner-namespace", "default").wantError(t,
			`no DaemonSet that runs the local volume static provisioner in namespace "default"`)
		run(t, "link", name, "--provisioner", "other").wantError(t, `no DaemonSet "other" that runs`)
		begin(t)
		wantNoOutput(t, run(t, "link", name).wantError(t, "no DaemonSet that runs the local volume static provisioner in any namespace",
			"install it"))
		wantNoOutput(t, run(t, "disks").wantError(t, "no DaemonSet that runs"))
		wantNoOutput(t, run(t, "unlink", name).wantError(t, "no DaemonSet that runs"))
		wantNothing(t)
	})
}

func wantNoOutput(t *testing.T, r result) {
	t.Helper()
	if r.stdout != "" {
		t.Errorf("said on stdout\n%s", r)
	}
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// withClasses changes the provisioner's ConfigMap for the rest of the test. The
// pods go on with what they have read.
func withClasses(t *testing.T, classes []manifests.Class) {
	t.Helper()
	p := manifests.Default()
	p.Classes = classes
	set := func(data map[string]string) {
		patch, err := json.Marshal(map[string]any{"data": data})
		if err != nil {
			t.Fatal(err)
		}
		config := p.ConfigMap()
		if _, err := kube().CoreV1().ConfigMaps(config.Namespace).Patch(withoutEnd(t), config.Name, types.MergePatchType, patch,
			metav1.PatchOptions{}); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(func() { set(manifests.Default().ConfigMap().Data) })
	set(p.ConfigMap().Data)
}

// severalProvisioners has a second release, by another name in another
// namespace, that runs nowhere.
func severalProvisioners(t *testing.T, name string) {
	second := manifests.Default()
	second.Namespace, second.Release, second.NameOverride = "kube-system", "lvp", "lvp"
	set := second.DaemonSet()
	set.Spec.Template.Spec.NodeSelector = map[string]string{"no": "such-node"}
	config := second.ConfigMap()
	t.Cleanup(func() {
		for _, err := range []error{
			kube().AppsV1().DaemonSets(set.Namespace).Delete(withoutEnd(t), set.Name, metav1.DeleteOptions{}),
			kube().CoreV1().ConfigMaps(config.Namespace).Delete(withoutEnd(t), config.Name, metav1.DeleteOptions{}),
		} {
			if err != nil {
				t.Error(err)
			}
		}
	})
	apply(t, config, set)
	wantNoOutput(t, run(t, "link", name, "--accept", "loop", "--yes").wantError(t,
		`several provisioners: "kube-system/lvp", "local-storage/local-static-provisioner"`,
		"--provisioner-namespace kube-system --provisioner lvp"))
	run(t, "link", name, "--provisioner-namespace", "kube-system").wantError(t, "no provisioner pod on any of the chosen nodes",
		"nodeSelector asks for no=such-node")
	run(t, "link", name, "-n", "local-storage", "--accept", "loop", "--yes", "--dry-run=server").wantCode(t, 0)
	run(t, "disks", name, "--provisioner", "local-static-provisioner").wantCode(t, 0)
}

func badKubeconfigs(t *testing.T, name string) {
	wantNoOutput(t, command{kubeconfig: filepath.Join(t.TempDir(), "gone"), args: []string{"link", name}}.run(t).
		wantError(t, "no kubeconfig found", "hint: set KUBECONFIG or pass --kubeconfig"))
	wantNoOutput(t, command{kubeconfig: writeFile(t, ""), args: []string{"link", name}}.run(t).wantError(t, "no kubeconfig found"))
	wantNoOutput(t, command{kubeconfig: writeFile(t, "this: [is not"), args: []string{"link", name}}.run(t).wantError(t, "error"))

	// A port on which nobody listens: taken, and let go.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := "https://" + listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	r := run(t, "link", name, "--server", server).wantError(t, `cannot reach the Kubernetes API server "`+server+`"`, "connection refused")
	wantNoOutput(t, r)
}
