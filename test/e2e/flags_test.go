// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster"
	"github.com/talosdisk/kubectl-talosdisk/test/manifests"
	"github.com/talosdisk/kubectl-talosdisk/test/talosnode"
)

// flagRun is one command whose flag is tried.
type flagRun struct {
	*withTalos
	command string
	// args is a run of the command that succeeds and changes nothing.
	args []string
	// end is the exit code of such a run.
	end int
}

// with is that run with more arguments, which may say something in place of what the
// run says by itself.
func (r flagRun) with(more ...string) result {
	r.t.Helper()
	return r.run(slices.Concat(r.args, more)...)
}

// effect shows that a flag does what its help says.
type effect func(*testing.T, flagRun)

// TestFlags tries every flag of every command: what a help text offers must do something.
func TestFlags(t *testing.T) {
	begin(t, manifests.Default())
	talos := startTalos(t, talosnode.Options{})
	talos.run("mounts", "--yes").wantCode(t, 0)
	linked, free := addDisk(t, node(t, "worker-1"), cluster.Disk{}), addDisk(t, node(t, "worker-1"), cluster.Disk{})
	for _, n := range []string{"worker-2", "worker-3"} {
		addDisk(t, node(t, n), cluster.Disk{Name: free.Name})
	}
	link(t, linked.Name, "--nodes", "worker-1").wantCode(t, 0)
	volume(t, pvName(linked.Name, "worker-1", "block-storage"))
	apply(t, manifests.Claim("default", "device", "block-storage", corev1.PersistentVolumeBlock, resource.MustParse("1Gi")),
		manifests.BlockPod("default", "reader", "device"))
	waitReady(t, "reader")
	for _, n := range talos.Nodes() {
		if err := n.SyncDisks(t.Context()); err != nil {
			t.Fatal(err)
		}
	}

	file := writeFile(t, talos.run("layout").wantCode(t, 0).stdout)
	runs := map[string]flagRun{
		"disks":       {args: []string{"disks"}},
		"layout":      {args: []string{"layout"}},
		"diff":        {args: []string{"diff", "-f", file}},
		"values":      {args: []string{"values", "-f", file}},
		"link":        {args: []string{"link", free.Name, "--accept=loop", "--dry-run=server"}},
		"unlink":      {args: []string{"unlink", linked.Name, "--dry-run=server"}, end: 1},
		"mounts":      {args: []string{"mounts", "--dry-run=client"}},
		"mounts list": {args: []string{"mounts", "list"}},
		"doctor":      {args: []string{"doctor"}},
		"status":      {args: []string{"status"}},
		"explain":     {args: []string{"explain", "TD0401"}},
		"version":     {args: []string{"version"}},
		"completion":  {args: []string{"completion", "bash"}},
		"options":     {args: []string{"options"}},
	}
	effects, ofOne, global := flagEffects(), flagEffectsOfOne(free.Name), globalFlagEffects()
	for _, name := range helpCommands(t) {
		if _, ok := runs[name]; !ok {
			t.Errorf("no run of %q is known here", name)
		}
		for _, below := range helpCommands(t, name) {
			if _, ok := runs[name+" "+below]; !ok {
				t.Errorf("no run of %q is known here", name+" "+below)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(runs)) {
		run := runs[name]
		run.withTalos, run.command = talos, name
		flags := helpFlags(t, strings.Fields(name)...)
		if len(flags) == 0 && name != "completion" {
			t.Errorf("no flag is seen in the help of %q", name)
		}
		for _, flag := range flags {
			t.Run(strings.ReplaceAll(name, " ", "-")+"/"+flag, func(t *testing.T) {
				show := effects[flag]
				switch own, ok := ofOne[name+" --"+flag]; {
				case name == "options":
					show, run.args = global[flag], []string{"disks"}
				case ok:
					show = own
				}
				if show == nil {
					t.Fatal("nobody tries it")
				}
				run.t = t
				show(t, run)
			})
		}
	}
}

// helpCommands are the commands below one, by its help.
func helpCommands(t *testing.T, args ...string) []string {
	t.Helper()
	var names []string
	help := run(t, append(args, "--help")...).wantCode(t, 0).stdout
	for _, m := range regexp.MustCompile(`(?m)^  ([a-z]+) +[A-Z]`).FindAllStringSubmatch(help, -1) {
		names = append(names, m[1])
	}
	if len(names) == 0 && len(args) == 0 {
		t.Fatalf("no command is in the help:\n%s", help)
	}
	return names
}

// helpFlags are the flags in a command's help.
func helpFlags(t *testing.T, command ...string) []string {
	t.Helper()
	var names []string
	args := append(command, "--help")
	if slices.Equal(command, []string{"options"}) {
		args = command
	}
	for _, m := range regexp.MustCompile(`(?m)^ +(?:-[a-zA-Z], )?--([a-z-]+)=`).FindAllStringSubmatch(run(t, args...).wantCode(t, 0).stdout,
		-1) {
		names = append(names, m[1])
	}
	return names
}

// fails wants an error that says one of the texts.
func fails(args []string, texts ...string) effect {
	return func(t *testing.T, r flagRun) {
		got := r.with(args...)
		if got.code != 1 || !slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(got.stderr, text) }) {
			t.Errorf("want an error with one of %q\n%s", texts, got)
		}
	}
}

// only wants what is printed to be about worker-1.
func only(args ...string) effect {
	return func(t *testing.T, r flagRun) {
		got := r.with(args...)
		if !strings.Contains(got.stdout, "worker-1") || strings.Contains(got.stdout, "worker-2") {
			t.Errorf("want worker-1 and no worker-2\n%s", got)
		}
	}
}

// says wants a text on stdout.
func says(flag, text string) effect {
	return func(t *testing.T, r flagRun) {
		if got := r.with(flag); !strings.Contains(got.stdout, text) {
			t.Errorf("it does not say %q\n%s", text, got)
		}
	}
}

// shownBy is for flags that a test in another file needs to work, and must name.
func shownBy(file string) effect {
	return func(t *testing.T, _ flagRun) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if flag := "--" + path.Base(t.Name()); !strings.Contains(string(text), `"`+flag) {
			t.Errorf("%s does not name %s", file, flag)
		}
	}
}

// differs wants a run to end as it does without the flag, and to say something else.
func differs(args ...string) effect {
	return func(t *testing.T, r flagRun) {
		if got := r.with(args...).wantCode(t, r.end); got.stdout == r.with().stdout {
			t.Errorf("it makes no difference\n%s", got)
		}
	}
}

// flagEffects are those of flags that mean the same wherever they are.
func flagEffects() map[string]effect {
	return map[string]effect{
		"output": func(t *testing.T, r flagRun) {
			got := r.with("-o", "json")
			if r.command != "version" {
				got.wantCode(t, r.end)
			}
			var object struct{ APIVersion, Kind string }
			if err := json.Unmarshal([]byte(got.stdout), &object); err != nil || (object.Kind == "" && r.command != "version") {
				t.Errorf("it is no object: %v\n%s", err, got)
			}
		},
		"template": func(t *testing.T, r flagRun) {
			if got := r.with("-o", "go-template", "--template", "<{{.kind}}>").wantCode(t, r.end); !strings.HasPrefix(got.stdout, "<") ||
				!strings.HasSuffix(strings.TrimSpace(got.stdout), ">") {
				t.Errorf("want a kind\n%s", got)
			}
		},
		"allow-missing-template-keys": func(t *testing.T, r flagRun) {
			args := []string{"-o", "jsonpath={.nothing}"}
			r.with(args...).wantCode(t, r.end)
			r.with(append(args, "--allow-missing-template-keys=false")...).wantError(t, "nothing is not found")
		},
		"no-headers": func(t *testing.T, r flagRun) {
			whole, got := r.with("-o", "custom-columns=KIND:.kind"), r.with("-o", "custom-columns=KIND:.kind", "--no-headers")
			if header, rest, _ := strings.Cut(whole.stdout, "\n"); !strings.HasPrefix(header, "KIND") || got.stdout != rest {
				t.Errorf("want all except the first line of %q\n%s", whole.stdout, got)
			}
		},
		"nodes":                 only("--nodes=worker-1"),
		"selector":              only("-l", "kubernetes.io/hostname=worker-1"),
		"provisioner":           fails([]string{"--provisioner=nobody"}, `"nobody"`),
		"provisioner-namespace": fails([]string{"--provisioner-namespace=nowhere"}, `"nowhere"`),
		"concurrency": func(t *testing.T, r flagRun) {
			r.with("--concurrency=0").wantError(t, "--concurrency")
			r.with("--concurrency=1").wantCode(t, r.end)
		},
		"node-timeout": func(t *testing.T, r flagRun) {
			if got := r.with("--node-timeout=1ns"); !strings.Contains(got.stdout+got.stderr, "1ns") {
				t.Errorf("nobody says that nodes did not answer within 1ns\n%s", got)
			}
		},
		"timeout":       fails([]string{"--timeout=1ns"}, "the run was not over after 1ns"),
		"talosconfig":   fails([]string{"--talosconfig=/nonexistent"}, `"/nonexistent"`),
		"talos-context": fails([]string{"--talos-context=elsewhere"}, `"elsewhere"`),
		"talos-endpoints": func(t *testing.T, r flagRun) {
			if got := r.with("--talos-endpoints=127.0.0.1:1"); !strings.Contains(got.stdout+got.stderr, "127.0.0.1:1") {
				t.Errorf("nobody says that 127.0.0.1:1 does not answer\n%s", got)
			}
		},
		"dry-run": differs("--dry-run=client"),
	}
}

// flagEffectsOfOne are those of flags that one command has, or that mean something else there.
func flagEffectsOfOne(free string) map[string]effect {
	return map[string]effect{
		"layout --accept": differs("--accept=loop"),
		"layout --filename": func(t *testing.T, r flagRun) {
			proposed := r.with().wantCode(t, 0).stdout
			if got := r.run("layout", "-f", writeFile(t, proposed)); !strings.HasPrefix(got.stdout, proposed[:strings.Index(proposed, "---\n")]) {
				t.Errorf("the document is not as it was\n%s", got)
			}
		},
		"diff --filename":    fails([]string{"-f", "/nonexistent"}, "/nonexistent"),
		"diff --show-config": shownBy("layout_test.go"),
		"values --filename":  fails([]string{"-f", "/nonexistent"}, "/nonexistent"),
		"values --diff":      differs("--diff"),
		"layout --write":     fails([]string{"--write"}, "--write replaces a file"),
		"link --accept":      shownBy("story_test.go"),
		"link --wait":        shownBy("story_test.go"),
		"link --yes":         shownBy("story_test.go"),
		"unlink --yes":       shownBy("unlink_asks_test.go"),
		"unlink --wait":      shownBy("unlink_test.go"),
		"mounts --accept":    shownBy("mounts_baddays_test.go"),
		"mounts --yes":       shownBy("mounts_test.go"),
		"link --class":       fails([]string{"--class=fs-storage"}, "volumeMode Filesystem"),
		"link --target":      differs("--target=name"),
		"link --name": func(t *testing.T, r flagRun) {
			got := r.with("--name=data", "-o", "json").wantCode(t, 0)
			if p := got.plan(t); p.Items[0].Entry != "data" {
				t.Errorf("the link is called %q\n%s", p.Items[0].Entry, got)
			}
		},
		"link --filename": func(t *testing.T, r flagRun) {
			plan := r.with("-o", "yaml").wantCode(t, 0).stdout
			if got := r.run("link", "-f", writeFile(t, plan), "--dry-run=server").wantCode(t, 0); got.stdout != r.with().stdout {
				t.Errorf("the plan is performed otherwise than it was made\n%s", got)
			}
		},
		"link --wait-timeout": func(t *testing.T, r flagRun) {
			r.run("link", free, "--accept=loop", "--yes", "--nodes=worker-3", "--wait-timeout=1ns").wantError(t, "without its volume")
		},
		"unlink --dry-run": func(t *testing.T, r flagRun) {
			if got := r.with("--dry-run=client"); !strings.Contains(got.stdout, "(dry run)") {
				t.Errorf("it is no dry run\n%s", got)
			}
		},
		"unlink --class": fails([]string{"--class=fs-storage"}, "fs-storage"),

		"mounts --convert-kubelet-config": shownBy("mounts_baddays_test.go"),
		"mounts --max-unavailable":        shownBy("mounts_modes_test.go"),
		"mounts --mode":                   shownBy("mounts_modes_test.go"),
		"mounts --remove":                 differs("--remove"),
		"mounts --try-timeout":            fails([]string{"--try-timeout=1s"}, "--try-timeout"),
		"mounts --dry-run":                shownBy("mounts_test.go"),
		"mounts --propagation": func(t *testing.T, r flagRun) {
			r.run("mounts", "--remove", "--yes", "--nodes=worker-3").wantCode(t, 0)
			r.run("mounts", "--yes", "--nodes=worker-3", "--propagation=rshared").wantCode(t, 0)
			if config := string(r.node("worker-3").Config()); !strings.Contains(config, "rshared") {
				t.Errorf("the entry is not rshared")
			}
		},

		"doctor --provisioner":           says("--provisioner=nobody", `DaemonSet "nobody"`),
		"doctor --provisioner-namespace": says("--provisioner-namespace=nowhere", `namespace "nowhere"`),
		"status --provisioner":           says("--provisioner=nobody", "TD0201"),
		"status --provisioner-namespace": says("--provisioner-namespace=nowhere", "TD0201"),
		"status --node-timeout": func(t *testing.T, r flagRun) {
			if got := r.with("--node-timeout=1ns"); got.code == 0 || got.stdout == r.with().stdout {
				t.Errorf("no node has answered in time, and that makes no difference\n%s", got)
			}
		},
		"status --talos-endpoints": says("--talos-endpoints=127.0.0.1:1", "TD0103"),
		"doctor --selector": func(t *testing.T, r flagRun) {
			if got := r.with("-l", "app=reader"); !strings.Contains(got.stdout, "pod/reader in default") {
				t.Errorf("the pod is not diagnosed\n%s", got)
			}
		},
		"doctor --all-namespaces": func(t *testing.T, r flagRun) {
			if got := r.with("-n", "kube-system", "-l", "app=reader", "-A"); !strings.Contains(got.stdout, "pod/reader in default") {
				t.Errorf("the pod is not diagnosed\n%s", got)
			}
			if got := r.with("-n", "kube-system", "-l", "app=reader"); strings.Contains(got.stdout, "pod/reader") {
				t.Errorf("the pod of another namespace is diagnosed\n%s", got)
			}
		},
		"doctor --fail-on": func(t *testing.T, r flagRun) {
			run(t, "doctor", "--fail-on=info", "--only=TD0102").wantCode(t, 2)
			run(t, "doctor", "--fail-on=warning", "--only=TD0102").wantCode(t, 0)
		},
		"doctor --only": func(t *testing.T, r flagRun) {
			for _, result := range r.with("--only=TD0401", "-o", "json").diagnosis(t).Results {
				if result.Code != "TD0401" {
					t.Errorf("%s is asked, too", result.Code)
				}
			}
		},
		"doctor --skip": func(t *testing.T, r flagRun) {
			for _, result := range r.with("--skip=TD0401", "-o", "json").diagnosis(t).Results {
				if result.Code == "TD0401" {
					t.Error("TD0401 is asked")
				}
			}
		},
		"doctor --list": differs("--list"),
		"doctor --short": func(t *testing.T, r flagRun) {
			if got := run(t, "doctor", "--short"); strings.Count(got.stdout, "TD0102") != 1 || strings.Contains(got.stdout, "because") {
				t.Errorf("want one line for the one finding\n%s", got)
			}
		},
		"doctor --probe":         shownBy("doctor_probe_test.go"),
		"doctor --save-snapshot": snapshotKept,
		"doctor --from-snapshot": snapshotKept,

		"version --client": func(t *testing.T, r flagRun) {
			if got := r.with("--client").wantCode(t, 0); strings.Contains(got.stdout, "Server") {
				t.Errorf("the server was asked\n%s", got)
			}
		},
	}
}

// snapshotKept wants a diagnosis of a file to be that of the cluster.
func snapshotKept(t *testing.T, r flagRun) {
	file := filepath.Join(t.TempDir(), "snapshot")
	live := r.with("pod/reader", "--save-snapshot", file)
	kept := command{args: []string{"doctor", "--from-snapshot", file}, kubeconfig: "/nonexistent"}.run(t)
	if kept.stdout != live.stdout || kept.code != live.code {
		t.Errorf("from the file:\n%s\nlive:\n%s", kept, live)
	}
}

// globalFlagEffects are those of the flags that every command takes. Most are kubectl's, and their
// effect is the client's; here they must reach it.
func globalFlagEffects() map[string]effect {
	as := func(more ...string) effect {
		return func(t *testing.T, r flagRun) {
			r.with(append(more, "--as=jane", "--as-group=system:masters")...).wantCode(t, 0)
			fails(more, "without impersonating a user")(t, r)
		}
	}
	return map[string]effect{
		"as":                    fails([]string{"--as=jane"}, `"jane"`),
		"as-group":              as("--as-group=system:masters"),
		"as-uid":                as("--as-uid=7"),
		"as-user-extra":         as("--as-user-extra=team=disks"),
		"certificate-authority": fails([]string{"--certificate-authority=/nonexistent"}, "/nonexistent"),
		"client-certificate":    fails([]string{"--client-certificate=/nonexistent"}, "/nonexistent"),
		"client-key":            fails([]string{"--client-key=/nonexistent"}, "/nonexistent"),
		"cluster":               fails([]string{"--cluster=elsewhere"}, `"elsewhere"`),
		"context":               fails([]string{"--context=elsewhere"}, `"elsewhere"`),
		"user":                  fails([]string{"--user=nobody"}, `"nobody"`),
		"kubeconfig":            fails([]string{"--kubeconfig=/nonexistent"}, "/nonexistent"),
		"server":                fails([]string{"--server=https://127.0.0.1:1"}, "127.0.0.1:1"),
		"proxy-url":             fails([]string{"--proxy-url=http://127.0.0.1:1"}, "127.0.0.1:1"),
		"request-timeout":       fails([]string{"--request-timeout=1ns"}, "did not answer in time"),
		"tls-server-name":       fails([]string{"--tls-server-name=elsewhere"}, "elsewhere"),
		"insecure-skip-tls-verify": func(t *testing.T, r flagRun) {
			r.with("--insecure-skip-tls-verify", "--tls-server-name=elsewhere").wantCode(t, 0)
		},
		"namespace":           fails([]string{"-n", "nowhere"}, `"nowhere"`),
		"disable-compression": func(t *testing.T, r flagRun) { r.with("--disable-compression").wantCode(t, 0) },
		"token":               someToken,
		"v": func(t *testing.T, r flagRun) {
			r.with("-v=6").wantCode(t, 0).wantStderr(t, "/api/v1/nodes")
		},
		"color": func(t *testing.T, r flagRun) {
			if got := run(t, "doctor", "--color=always"); !strings.Contains(got.stdout, "\x1b[") {
				t.Errorf("nothing is coloured\n%s", got)
			}
		},
	}
}

// someToken is for somebody without a certificate, which would count more.
func someToken(t *testing.T, r flagRun) {
	config, err := clientcmd.LoadFromFile(theCluster.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	for name := range config.AuthInfos {
		config.AuthInfos[name] = clientcmdapi.NewAuthInfo()
	}
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, file); err != nil {
		t.Fatal(err)
	}
	fails([]string{"--kubeconfig", file}, "does not accept the credentials")(t, r)
	token := strings.TrimSpace(kubectl(t, nil, "create", "token", "default"))
	fails([]string{"--kubeconfig", file, "--token", token}, `"system:serviceaccount:default:default"`)(t, r)
}
