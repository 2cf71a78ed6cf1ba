// SPDX-License-Identifier: Apache-2.0

package kubeletprobe

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
	"github.com/talosdisk/kubectl-talosdisk/pkg/nodescript/nodetest"
)

func TestShellcheck(t *testing.T) {
	nodetest.NeedTool(t, "shellcheck")
	cmd := exec.Command("shellcheck", "-s", "sh", "-")
	cmd.Stdin = strings.NewReader(Script())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// onNode runs the script on a node of real processes and mounts, with every shell that a pod
// may have. The node has a directory at $N/…, and a process that is called as the kubelet is,
// with mounts of its own; setup and inside are what makes their files. The script's
// arguments are directories below $N.
func onNode(t *testing.T, setup, inside string, before []string, dirs ...string) map[string]string {
	t.Helper()
	nodetest.Need(t, os.Geteuid() == 0, "root")
	nodetest.NeedTool(t, "unshare")
	answers := make(map[string]string)
	for _, shell := range nodetest.Shells() {
		nodetest.NeedTool(t, strings.Fields(shell)[0])
		n := t.TempDir()
		for i, dir := range dirs {
			dirs[i] = strings.Replace(dir, "$N", n, 1)
		}
		argv := append(slices.Concat(before, strings.Fields(shell), []string{"-c", Script(), "talosdisk-probe"}), dirs...)
		// The kubelet waits for its end at a pipe: nobody has to know its number.
		cmd := exec.Command("unshare", append([]string{"--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc",
			"bash", "-euc", `
			export N=$1
			mount -t tmpfs none "$N"
			cp "$(command -v bash)" "$N/kubelet"
			` + setup + `
			mkfifo "$N/ready" "$N/end"
			unshare --mount --propagation private bash -euc '` + inside + `
				exec "$N/kubelet" -c '"'"'echo >"$N/ready"; read -r _ <"$N/end"'"'"' x --config=/etc/kubernetes/kubelet.yaml' &
			read -r _ <"$N/ready"
			shift
			"$@"
			echo >"$N/end"
			wait`, "node", n}, argv...)...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil || stderr.Len() > 0 {
			t.Fatalf("%s: %v\n%s", shell, err, stderr.String())
		}
		answers[shell] = strings.ReplaceAll(string(out), n, "/N")
		for i, dir := range dirs {
			dirs[i] = strings.Replace(dir, n, "$N", 1)
		}
	}
	return answers
}

// parsed is the answer, with the kubelet's program where Talos has it.
func parsed(t *testing.T, out string) Answer {
	t.Helper()
	answer, err := Parse(strings.ReplaceAll(out, "exe=/N/kubelet\x1f", "exe=/usr/local/bin/kubelet\x1f"))
	if err != nil {
		t.Fatalf("%v\n%q", err, out)
	}
	return answer
}

func TestScriptSeesBothSides(t *testing.T) {
	const setup = `mkdir -p "$N/disks/a b" "$N/empty" "$N/real/sub" "$N/disks/.hidden" "$N/$(printf "x\036\037y")"
		ln -s /N-is-not-there "$N/dangling"; ln -s "$N/real" "$N/absolute"; ln -s ../real/sub "$N/real/up"; ln -s loop "$N/loop"
		echo >"$N/file"; ln -s nowhere "$N/disks/$(printf "two\nlines")"
		mount -t tmpfs -o mode=755 none "$N/disks/a b"; mkdir "$N/disks/a b/on-disk"`
	const inside = `umount "$N/disks/a b"; mount -t tmpfs none "$N/real"; mkdir "$N/real/other"`
	for shell, out := range onNode(t, setup, inside, nil, "$N/disks", "$N/disks/a b", "$N/empty", "$N/missing", "$N/file", "$N/file/below",
		"$N/dangling", "$N/absolute", "$N/real/up", "$N/real/../real/", "$N/loop", "/") {
		t.Run(shell, func(t *testing.T) {
			answer := parsed(t, out)
			v := answer.View
			if since := time.Since(answer.Started); since < -2*time.Second || since > time.Minute {
				t.Errorf("the kubelet started %s ago", since)
			}
			yes := func(entries ...string) mounts.DirectoryListing {
				return mounts.DirectoryListing{Exists: disk.Yes, Entries: entries}
			}
			no := mounts.DirectoryListing{Exists: disk.No}
			circle := mounts.DirectoryListing{Exists: disk.Unknown, Problem: "it leads through too many symlinks"}
			for dir, want := range map[string]mounts.BothSides{
				"/N/disks":     {Host: yes(".hidden", "a b", "two\nlines"), Kubelet: yes(".hidden", "a b", "two\nlines")},
				"/N/disks/a b": {Host: yes("on-disk"), Kubelet: yes()},
				"/N/empty":     {Host: yes(), Kubelet: yes()},
				"/N/missing":   {Host: no, Kubelet: no},
				"/N/file": {
					Host:    mounts.DirectoryListing{Exists: disk.No, Problem: "/N/file is not a directory"},
					Kubelet: mounts.DirectoryListing{Exists: disk.No, Problem: "/N/file is not a directory"},
				},
				"/N/file/below": {
					Host:    mounts.DirectoryListing{Exists: disk.No, Problem: "/N/file is not a directory"},
					Kubelet: mounts.DirectoryListing{Exists: disk.No, Problem: "/N/file is not a directory"},
				},
				"/N/dangling":      {Host: no, Kubelet: no},
				"/N/absolute":      {Host: yes("sub", "up"), Kubelet: yes("other")},
				"/N/real/up":       {Host: yes(), Kubelet: no},
				"/N/real/../real/": {Host: yes("sub", "up"), Kubelet: yes("other")},
				"/N/loop":          {Host: circle, Kubelet: circle},
			} {
				if got := v.Dirs[dir]; fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("%s: %+v\nwant %+v", dir, got, want)
				}
			}
			if !slices.Contains(v.Dirs["/"].Host.Entries, "proc") {
				t.Errorf("/: %+v", v.Dirs["/"])
			}
			if s := v.Visibility("/N/disks"); s.Visible != disk.No || len(s.Hidden) != 1 || s.Hidden[0].Point != "/N/disks/a b" {
				t.Errorf("/N/disks: %+v", s)
			}
			if s := v.Visibility("/N/real"); s.Visible != disk.No || s.MountPoint != disk.Yes {
				t.Errorf("/N/real: %+v", s)
			}
			if s := v.Visibility("/N/empty"); s.Visible != disk.Yes {
				t.Errorf("/N/empty: %+v", s)
			}
		})
	}
}

// Of the capabilities that root has, SYS_PTRACE alone is enough; without it nothing is
// taken for missing.
func TestScriptNeedsPtraceAlone(t *testing.T) {
	nodetest.NeedTool(t, "setpriv")
	const setup = `mkdir -p "$N/disks/a" "$N/shut/in"; chown 1234 "$N/shut"; chmod 0700 "$N/shut"; mkdir -p "$N/dark/in"; chown 1234 "$N/dark"; chmod 0711 "$N/dark"`
	drop := func(keep string) []string {
		return []string{"setpriv", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all" + keep}
	}
	for shell, out := range onNode(t, setup, "true", drop(",+sys_ptrace"), "$N/disks", "$N/shut", "$N/shut/in", "$N/dark", "$N/dark/in") {
		v := parsed(t, out).View
		if s := v.Dirs["/N/disks"]; s.Host.Exists != disk.Yes || s.Kubelet.Exists != disk.Yes || !v.HasMounts() {
			t.Errorf("%s: %+v", shell, s)
		}
		// What belongs to others may not be looked into, and is not empty for that.
		for _, dir := range []string{"/N/shut", "/N/dark"} {
			if s := v.Dirs[dir].Host; s.Exists != disk.Unknown || s.Problem != "the directory cannot be read" {
				t.Errorf("%s: %s: %+v", shell, dir, s)
			}
		}
		if s := v.Dirs["/N/dark/in"].Host; s.Exists != disk.Yes {
			t.Errorf("%s: %+v", shell, s)
		}
		if s := v.Dirs["/N/shut/in"].Host; s.Exists != disk.Unknown || s.Problem != "/N/shut/ cannot be entered" {
			t.Errorf("%s: %+v", shell, s)
		}
	}
	for shell, out := range onNode(t, setup, "true", drop(""), "$N/disks") {
		if !strings.Contains(out, "\x1fexists=unknown\x1fproblem=the root of the process cannot be entered\x1f") ||
			strings.Contains(out, "exists=no") {
			t.Errorf("%s: %q", shell, out)
		}
		if answer, err := Parse(out); err == nil || err.Error() != "the pod may not look into the kubelet's process" {
			t.Errorf("%s: %v, %+v", shell, err, answer)
		}
	}
}

// What cannot be looked at is there, or it is not known whether it is.
func TestScriptTakesNoFailureForAbsence(t *testing.T) {
	long := "/N/pool/" + strings.Repeat("x", 256) // One byte more than a name may have.
	for shell, out := range onNode(t, `mkdir -p "$N/pool/well"`, "true", nil, "$N/pool", strings.Replace(long, "/N", "$N", 1),
		"$N/pool/none") {
		v := parsed(t, out).View
		for dir, want := range map[string]mounts.DirectoryListing{
			long:           {Exists: disk.Unknown, Problem: long + " cannot be read: File name too long"},
			"/N/pool":      {Exists: disk.Yes, Entries: []string{"well"}},
			"/N/pool/none": {Exists: disk.No},
		} {
			if got := v.Dirs[dir]; fmt.Sprint(got) != fmt.Sprint(mounts.BothSides{Host: want, Kubelet: want}) {
				t.Errorf("%s: %s: %+v\nwant %+v", shell, dir, got, want)
			}
		}
	}
}

// A file system whose server is gone answers ENOTCONN to anyone who asks, as a disk that
// fails answers EIO. Where the kernel has no FUSE none can be made.
func TestScriptNamesDeadFileSystems(t *testing.T) {
	if _, err := os.Stat("/dev/fuse"); err != nil {
		t.Skip(err)
	}
	const setup = `mkdir -p "$N/pool/dead" "$N/pool/well" "$N/dead"
		for dir in "$N/pool/dead" "$N/dead"; do
			exec 9<>/dev/fuse
			mount -i -t fuse -o fd=9,rootmode=40000,user_id=0,group_id=0 dead "$dir"
			exec 9>&-
		done`
	const gone = ": Transport endpoint is not connected"
	for shell, out := range onNode(t, setup, "true", nil, "$N/pool", "$N/dead", "$N/dead/below") {
		v := parsed(t, out).View
		for dir, want := range map[string]mounts.DirectoryListing{
			"/N/dead":       {Exists: disk.Unknown, Problem: "/N/dead cannot be read" + gone},
			"/N/dead/below": {Exists: disk.Unknown, Problem: "/N/dead cannot be read" + gone},
			"/N/pool":       {Exists: disk.Yes, Entries: []string{"dead", "well"}},
		} {
			if got := v.Dirs[dir]; fmt.Sprint(got) != fmt.Sprint(mounts.BothSides{Host: want, Kubelet: want}) {
				t.Errorf("%s: %s: %+v\nwant %+v", shell, dir, got, want)
			}
		}
	}
}

// A process may have a line break in its name.
func TestScriptReadsAnyName(t *testing.T) {
	const setup = `mkfifo "$N/named" "$N/never"; cp "$N/kubelet" "$N/$(printf "kubelet\nx")"
		"$N/$(printf "kubelet\nx")" -c 'echo >"$0/named"; read -r _ <"$0/never"; :' "$N" & disown
		read -r _ <"$N/named"; mkdir "$N/d"`
	for shell, out := range onNode(t, setup, "true", nil, "$N/d") {
		if s := parsed(t, out).View.Dirs["/N/d"]; s.Kubelet.Exists != disk.Yes || strings.Count(out, "record=process") != 3 {
			t.Errorf("%s: %+v\n%q", shell, s, out)
		}
	}
}

// A pod that has its own processes is told from one that has the node's.
func TestScriptWithoutTheNodesProcesses(t *testing.T) {
	nodetest.NeedTool(t, "unshare")
	cmd := exec.Command("unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "dash", "-c", Script(), "talosdisk-probe", "/")
	out, err := cmd.Output()
	nodetest.Need(t, err == nil, "a PID namespace")
	if answer, err := Parse(string(out)); err == nil || !strings.Contains(err.Error(), "does not have the node's processes") {
		t.Errorf("%v, %+v", err, answer)
	}
}

// A process of another name, and a kubelet that has ended, are not looked at.
func TestScriptFindsKubelets(t *testing.T) {
	dir := t.TempDir()
	for shell, out := range onNode(t, `cp "$N/kubelet" "$N/kubelet-proxy"`, "true", nil, filepath.Join(dir, "x")) {
		if n := strings.Count(out, "record=process"); n != 2 {
			t.Errorf("%s: %d processes were looked at\n%q", shell, n, out)
		}
		if strings.Contains(out, "--config") || !strings.Contains(out, "\x1fconfig=/etc/kubernetes/kubelet.yaml\x1f") {
			t.Errorf("%s: the command line is not cut to what matters: %q", shell, out)
		}
	}
}
