// SPDX-License-Identifier: Apache-2.0

package nodescript

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/nodescript/nodetest"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// bench is a node on which link.sh runs under one shell.
type bench struct {
	*nodetest.Node
	t     *testing.T
	shell string
	dirs  []string
}

func eachBench(t *testing.T, test func(t *testing.T, b *bench)) {
	for _, shell := range nodetest.Shells() {
		t.Run(strings.ReplaceAll(shell, " ", "-"), func(t *testing.T) {
			nodetest.NeedTool(t, strings.Fields(shell)[0])
			b := &bench{Node: nodetest.New(t), t: t, shell: shell}
			b.dirs = []string{b.Dir("block"), b.Dir("with a space")}
			test(t, b)
		})
	}
}

// argv runs the script, which comes with the steps on standard input.
func (b *bench) argv() []string {
	var classes []provisioner.Class
	for i, dir := range b.dirs {
		classes = append(classes, provisioner.Class{Name: fmt.Sprint("class-", i), MountDir: dir})
	}
	return Look{Classes: classes, StepsFollow: true}.Argv()
}

// stdin is the script, and steps once it has looked.
func stdin(steps ...Step) nodetest.Input {
	var then strings.Builder
	for _, step := range append(steps, Step{"end"}) {
		then.WriteString(step.lines())
	}
	return nodetest.Input{First: Script(), After: Observed, Then: then.String()}
}

// do performs steps and returns their results, each with its detail.
func (b *bench) do(steps ...Step) []string {
	b.t.Helper()
	out, err := b.Output(b.shell, b.argv(), stdin(steps...))
	if err != nil {
		b.t.Fatal(err)
	}
	return results(b.t, out)
}

func results(t *testing.T, out string) []string {
	t.Helper()
	_, out, observed := strings.Cut(out, Observed)
	records, err := Records(out)
	if err != nil || !observed {
		t.Fatalf("%v: %q", err, out)
	}
	var all []string
	for _, r := range records {
		all = append(all, strings.TrimSuffix(r.Get("result")+": "+r.Get("detail"), ": "))
	}
	return all
}

func (b *bench) expect(what string, got []string, want ...string) {
	b.t.Helper()
	ok := len(got) == len(want)
	for i := range want {
		ok = ok && strings.HasPrefix(got[i], want[i])
	}
	if !ok {
		b.t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// seen is a disk as the script sees it.
func (b *bench) seen(name string) disk.Disk {
	b.t.Helper()
	view := b.look([]provisioner.Class{{Name: "block", MountDir: b.dirs[0]}}, name)
	if view.Linking != disk.No {
		b.t.Errorf("with nothing under way, linking is %q", view.Linking)
	}
	d, ok := view.DiskByName(name)
	if !ok {
		b.t.Fatalf("no disk %s", name)
	}
	return d
}

// look is what the script sees.
func (b *bench) look(classes []provisioner.Class, closely ...string) snapshot.PodView {
	b.t.Helper()
	out, err := b.Output(b.shell, Look{Classes: classes, Closely: closely}.Argv(), stdin())
	if err != nil {
		b.t.Fatal(err)
	}
	view, err := Parse(strings.Replace(out, Observed, "", 1))
	if err != nil {
		b.t.Fatal(err)
	}
	return view
}

// link is the step that links a disk as it is seen.
func (b *bench) link(d disk.Disk, dir, entry, target string) Step {
	return LinkStep(d.Name, d.Number, d.Fingerprint, dir, entry, target)
}

// links are the links in the class directories, as NAME -> TARGET.
func (b *bench) links() map[string]string {
	b.t.Helper()
	all := make(map[string]string)
	for _, dir := range b.dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			b.t.Fatal(err)
		}
		for _, e := range entries {
			target, err := os.Readlink(filepath.Join(dir, e.Name()))
			if err != nil {
				target = "no link"
			}
			all[filepath.Base(dir)+"/"+e.Name()] = target
		}
	}
	return all
}

func TestScriptLinks(t *testing.T) {
	eachBench(t, func(t *testing.T, b *bench) {
		vdb := b.Disk("vdb", gib)
		b.Disk("vdc", gib)
		target := vdb.Link("by-id/virtio-b")
		seen := b.seen("vdb")
		b.expect("a link", b.do(b.link(seen, b.dirs[0], "vdb", target)), "created")
		if got, err := os.Readlink(b.dirs[0] + "/vdb"); err != nil || got != target {
			t.Errorf("it holds %q, %v", got, err)
		}
		b.expect("again", b.do(b.link(seen, b.dirs[0], "vdb", target)), "unchanged")
		b.expect("with another target", b.do(b.link(seen, b.dirs[0], "vdb", "/dev/vdb")), "taken")
		b.expect("under another name", b.do(b.link(seen, b.dirs[0], "other", target)), "linked: "+b.dirs[0]+"/vdb")
		b.expect("in another class", b.do(b.link(seen, b.dirs[1], "vdb", target)), "linked: "+b.dirs[0]+"/vdb")
		other := b.seen("vdc")
		b.expect("another disk under its name", b.do(b.link(other, b.dirs[0], "vdb", "/dev/vdc")), "taken")
		b.expect("two steps, into a directory with a space",
			b.do(b.link(seen, b.dirs[0], "vdb", target), b.link(other, b.dirs[1], "vdc", "/dev/vdc")), "unchanged", "created")
		if got := b.links(); len(got) != 2 || got["with a space/vdc"] != "/dev/vdc" {
			t.Errorf("links: %v", got)
		}
		b.expect("no steps", b.do())
		b.expect("an unknown step ends it", b.do(Step{"wipe", "vdb"}, b.link(other, b.dirs[1], "late", "/dev/vdc")))
		// Input that is cut short is no step.
		cutShort := b.link(other, b.dirs[1], "cut", "/dev/vdc")
		for n := range cutShort {
			out, err := b.Output(b.shell, b.argv(), nodetest.Input{First: Script(), After: Observed, Then: strings.Join(cutShort[:n+1], "\n")})
			_, after, _ := strings.Cut(out, Observed)
			if err != nil || after != "" {
				t.Errorf("cut after %d words: %q, %v", n+1, after, err)
			}
		}
	})
}

func TestScriptTaken(t *testing.T) {
	eachBench(t, func(t *testing.T, b *bench) {
		b.Disk("vdb", gib)
		seen := b.seen("vdb")
		for what, make := range map[string]string{
			"a file": `touch "$1"`, "a directory": `mkdir "$1"`, "a dangling link": `ln -s /dev/nothing "$1"`, "a link to itself": `ln -s x "$1"`,
			"a fifo": `mkfifo "$1"`, "a link to a directory": `ln -s /tmp "$1"`,
		} {
			b.Do(make, b.dirs[0]+"/x")
			b.expect(what, b.do(b.link(seen, b.dirs[0], "x", "/dev/vdb")), "taken: something else lies there now")
			b.Do(`rm -r "$1"`, b.dirs[0]+"/x")
		}
		if got := b.links(); len(got) != 0 {
			t.Errorf("left: %v", got)
		}
	})
}

// Entries with any name are looked at when a second link to the disk is searched for.
func TestScriptFindsTheOtherLink(t *testing.T) {
	eachBench(t, func(t *testing.T, b *bench) {
		b.Disk("vdb", gib)
		seen := b.seen("vdb")
		for _, name := range []string{"a b", ".hidden", "..dots", "...", "new\nline", "vdb\nline", "us\x1fx", "*", "-rf", "$(x)"} {
			for _, dir := range b.dirs {
				b.Do(`ln -s /dev/vdb "$1"`, dir+"/"+name)
				if got := b.do(b.link(seen, b.dirs[0], "vdb", "/dev/vdb")); len(got) != 1 || !strings.HasPrefix(got[0], "linked: "+dir) {
					t.Errorf("beside %q in %s: %q", name, dir, got)
				}
				b.Do(`rm "$1"`, dir+"/"+name)
			}
		}
		b.Do(`cp -a /dev/vdb "$1/node"`, b.dirs[1])
		b.expect("beside a device node", b.do(b.link(seen, b.dirs[0], "vdb", "/dev/vdb")), "linked: ")
		b.Do(`rm "$1/node"; ln -s /dev/nothing "$1/dangling"; mkdir "$1/dir"`, b.dirs[1])
		b.expect("beside nothing of it", b.do(b.link(seen, b.dirs[0], "vdb", "/dev/vdb")), "created")
	})
}

func TestScriptChanged(t *testing.T) {
	eachBench(t, func(t *testing.T, b *bench) {
		d := b.Disk("vdb", gib)
		seen := b.seen("vdb")
		again := func(what, want string) {
			t.Helper()
			b.expect(what, b.do(b.link(seen, b.dirs[0], "vdb", "/dev/vdb")), want)
		}
		const fingerprint = "changed: what the node says of /dev/vdb is no longer what was decided on"
		b.Do("mke2fs -q /dev/vdb")
		again("a filesystem since then", fingerprint)
		seen = b.seen("vdb")
		d.Replace(gib)
		again("another disk of the same size", fingerprint)
		seen = b.seen("vdb")
		b.Do("blockdev --setro /dev/vdb")
		again("read-only since then", fingerprint)
		seen = b.seen("vdb")
		other := b.Disk("vdc", gib)
		b.Do(`rm /dev/vdb && mknod /dev/vdb b 7 "$1"`, fmt.Sprint(other.Minor))
		again("another number", "changed: /dev/vdb is device "+other.Number()+" now")
		b.Do(`rm /dev/vdb && touch /dev/vdb`)
		again("no device", "changed: /dev/vdb is device 0:0 now")
		b.Do(`rm /dev/vdb`)
		again("gone", "changed: /dev/vdb or ")
		b.Do(`mknod /dev/vdb b 7 "$1"`, fmt.Sprint(d.Minor))
		for what, target := range map[string]string{"nothing": "/dev/disk/by-id/none", "another disk": "/dev/vdc", "a file": "/dev/null"} {
			b.expect("a target that leads to "+what, b.do(b.link(seen, b.dirs[0], "vdb", target)),
				"changed: "+target+" does not lead to /dev/vdb now")
		}
		b.expect("a fingerprint that is none", b.do(LinkStep("vdb", seen.Number, "", b.dirs[0], "vdb", "/dev/vdb")), fingerprint)
		if got := b.links(); len(got) != 0 {
			t.Errorf("left: %v", got)
		}
		again("after all that", "created")
	})
}

func TestScriptMountedMeanwhile(t *testing.T) {
	eachBench(t, func(t *testing.T, b *bench) {
		if b.shell == "busybox sh" {
			t.Skip("its own mke2fs, which goes before the real one, cannot tell; the disk would have been refused")
		}
		d := b.Disk("vdb", gib)
		b.Do("mke2fs -q /dev/vdb")
		seen := b.seen("vdb")
		elsewhere := b.Other()
		elsewhere.Node("sdx", d.Minor)
		elsewhere.Do("mkdir /dev/m && mount /dev/sdx /dev/m")
		b.expect("mounted in another namespace", b.do(b.link(seen, b.dirs[0], "vdb", "/dev/vdb")), "changed: what the node says")
		elsewhere.Do("umount /dev/m")
	})
}

func TestScriptFails(t *testing.T) {
	eachBench(t, func(t *testing.T, b *bench) {
		b.Disk("vdb", gib)
		seen := b.seen("vdb")
		readonly, full := b.Dir("ro"), b.Dir("full")
		b.Do(`mount -o remount,bind,ro "$1"; mount -t tmpfs -o nr_inodes=2 none "$2"; touch "$2/last"`, readonly, full)
		b.dirs = append(b.dirs, readonly, full)
		b.expect("a read-only directory", b.do(b.link(seen, readonly, "vdb", "/dev/vdb")), "failed: ")
		b.expect("a full directory", b.do(b.link(seen, full, "vdb", "/dev/vdb")), "failed: ")
		b.expect("no directory", b.do(b.link(seen, b.Root+"/none", "vdb", "/dev/vdb")), "failed: ")
		b.expect("unlink without a directory", b.do(UnlinkStep(b.Root+"/none", "vdb", "/dev/vdb")), "failed: there is no directory")
		b.Do(`mount -o remount,bind,rw "$1"; ln -s /dev/vdb "$1/vdb"; mount -o remount,bind,ro "$1"`, readonly)
		b.expect("unlink where nothing can be removed", b.do(UnlinkStep(readonly, "vdb", "/dev/vdb")), "failed: ")
		b.Do(`mount -o remount,bind,rw "$1"; rm "$1/vdb"`, readonly)
		for _, name := range []string{"vdb", "x"} {
			b.expect("after all that", b.do(b.link(seen, b.dirs[0], name, "/dev/vdb")), map[string]string{"vdb": "created", "x": "linked"}[name])
		}
	})
}

// A class directory that cannot be read may have a link to the disk.
func TestScriptStepsBesideAnUnreadableDirectory(t *testing.T) {
	eachBench(t, func(t *testing.T, b *bench) {
		nodetest.NeedTool(t, "setpriv")
		b.Disk("vdb", gib)
		b.Do(`chmod 666 /dev/vdb; chmod 0777 "$1"; chmod 0300 "$2"; chown 65534:65534 "$2"; chmod a+rx "$3" "${3%/*}"`, b.dirs[0], b.dirs[1],
			b.Root)
		argv := b.argv()
		step := b.link(disk.Disk{Name: "vdb", Number: b.seen("vdb").Number, Fingerprint: "x"}, b.dirs[0], "vdb", "/dev/vdb")
		argv = append(append([]string{"/bin/sh", "--reuid=65534", "--regid=65534", "--clear-groups"}, strings.Fields(b.shell)...), argv[1:]...)
		out, err := b.Output("setpriv", argv, stdin(step))
		if err != nil {
			t.Fatal(err)
		}
		b.expect("beside a directory that cannot be listed", results(t, out), "failed: a class directory that cannot be read")
	})
}

func TestScriptUnlinks(t *testing.T) {
	eachBench(t, func(t *testing.T, b *bench) {
		b.Disk("vdb", gib)
		dir := b.dirs[1]
		b.Do(`ln -s /dev/vdb "$1/vdb"; ln -s /dev/gone "$1/dangling"; touch "$1/file"; ln -s $'/dev/x\n' "$1/odd"`, dir)
		b.expect("another target", b.do(UnlinkStep(dir, "vdb", "/dev/vdc")), "changed: it is not the link that was decided on")
		b.expect("a file", b.do(UnlinkStep(dir, "file", "/dev/vdb")), "changed: ")
		b.expect("a target with a line feed", b.do(UnlinkStep(dir, "odd", "/dev/x")), "changed: ")
		b.expect("a link", b.do(UnlinkStep(dir, "vdb", "/dev/vdb")), "removed")
		b.expect("again", b.do(UnlinkStep(dir, "vdb", "/dev/vdb")), "absent")
		b.expect("a dangling one", b.do(UnlinkStep(dir, "dangling", "/dev/gone")), "removed")
		b.expect("back", b.do(RestoreStep(dir, "vdb", "/dev/vdb")), "restored")
		b.expect("back again", b.do(RestoreStep(dir, "vdb", "/dev/vdb")), "unchanged")
		b.expect("a dangling one back", b.do(RestoreStep(dir, "dangling", "/dev/gone")), "restored")
		b.expect("over another one", b.do(RestoreStep(dir, "vdb", "/dev/vdc")), "failed: ")
		b.expect("over a file", b.do(RestoreStep(dir, "file", "/dev/nothing")), "failed: ")
		b.expect("linked elsewhere meanwhile", b.do(RestoreStep(b.dirs[0], "vdb", "/dev/vdb")), "linked: "+dir+"/vdb")
		want := map[string]string{
			"with a space/vdb":      "/dev/vdb",
			"with a space/dangling": "/dev/gone",
			"with a space/file":     "no link",
			"with a space/odd":      "/dev/x\n",
		}
		if got := b.links(); len(got) != len(want) || got["with a space/vdb"] != want["with a space/vdb"] ||
			got["with a space/odd"] != want["with a space/odd"] {
			t.Errorf("left: %v", got)
		}
	})
}

// Another run holds the lock, and does not let go in time.
func TestScriptLocked(t *testing.T) {
	eachBench(t, func(t *testing.T, b *bench) {
		b.Disk("vdb", gib)
		seen := b.seen("vdb")
		for _, held := range []string{b.dirs[0], "/dev/vdb"} {
			holder := b.Command("flock", "-x", held, "sh", "-c", "echo ready; read -r end")
			release, err := holder.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			stdout, err := holder.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := holder.Start(); err != nil {
				t.Fatal(err)
			}
			if _, err := stdout.Read(make([]byte, 6)); err != nil {
				t.Fatal(err)
			}
			steps := []Step{b.link(seen, b.dirs[1], "vdb", "/dev/vdb")}
			if held == b.dirs[0] {
				steps = append(steps, UnlinkStep(b.dirs[1], "vdb", "/dev/vdb"), RestoreStep(b.dirs[1], "vdb", "/dev/vdb"))
			}
			// A second of patience, and the script as long as it was.
			in := stdin(steps...)
			in.First = strings.Replace(in.First, "PATIENCE=10", "PATIENCE=01", 1)
			out, err := b.Output(b.shell, b.argv(), in)
			if err != nil {
				t.Fatal(err)
			}
			got := results(t, out)
			if len(got) == 0 {
				t.Errorf("with %s held: nothing", held)
			}
			for _, r := range got {
				if !strings.HasPrefix(r, "locked: another run on this node holds the lock") {
					t.Errorf("with %s held: %q", held, got)
				}
			}
			_ = release.Close()
			_ = holder.Wait()
		}
		b.expect("then", b.do(b.link(seen, b.dirs[1], "vdb", "/dev/vdb")), "created")
	})
}

// A run that goes on after its caller is gone is seen by the next look.
func TestScriptIsSeenRunning(t *testing.T) {
	eachBench(t, func(t *testing.T, b *bench) {
		argv := append(strings.Fields(b.shell), "-c", "echo ready; read -r end; :", linkName, "x")
		cmd := b.Command(argv...)
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := stdout.Read(make([]byte, 6)); err != nil {
			t.Fatal(err)
		}
		if view := b.look(nil); view.Linking != disk.Yes {
			t.Errorf("linking is %q", view.Linking)
		}
		_ = stdin.Close()
		_ = cmd.Wait()
	})
}

// Two runs for one disk, under other names and in other directories, make one link.
func TestScriptRace(t *testing.T) {
	eachBench(t, func(t *testing.T, b *bench) {
		rounds := 5
		switch {
		case b.shell != "dash": // The locks are the same in all of them.
		case os.Getenv("CI") == "true":
			rounds = 200
		default:
			rounds = 10
		}
		b.Disk("vdb", gib)
		seen := b.seen("vdb")
		for round := range rounds {
			dirs := []string{b.dirs[0], b.dirs[round%2]}
			outs := make([]string, 2)
			errs := make([]error, 2)
			var both sync.WaitGroup
			for i, dir := range dirs {
				both.Go(func() {
					outs[i], errs[i] = b.Output(b.shell, b.argv(), stdin(b.link(seen, dir, fmt.Sprintf("vdb-%d", i), "/dev/vdb")))
				})
			}
			both.Wait()
			got := append(results(t, outs[0]), results(t, outs[1])...)
			slices.Sort(got)
			if errs[0] != nil || errs[1] != nil || len(got) != 2 || got[0] != "created" || !strings.HasPrefix(got[1], "linked: ") {
				t.Fatalf("round %d: %q, %v", round, got, errs)
			}
			if links := b.links(); len(links) != 1 {
				t.Fatalf("round %d: %v", round, links)
			}
			b.Do(`rm "$1"/vdb-* "$2"/vdb-* 2>/dev/null || :`, b.dirs[0], b.dirs[1])
		}
	})
}
