// SPDX-License-Identifier: Apache-2.0

package nodescript

import (
	"slices"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/nodescript/nodetest"
)

// What was decided on is looked at again when it is acted on.
func TestScriptLooksAgain(t *testing.T) {
	eachBench(t, func(t *testing.T, b *bench) {
		const fingerprint = "changed: what the node says of /dev/vdb is no longer what was decided on"
		d := b.Disk("vdb", gib)
		again := func(what string, seen disk.Disk, want string) {
			t.Helper()
			b.expect(what, b.do(b.link(seen, b.dirs[0], "vdb", "/dev/vdb")), want)
		}
		seen := b.seen("vdb")
		against := seen.Objections()
		if b.shell == "busybox sh" { // Its own mke2fs, which goes before the real one, cannot tell whether the disk is busy.
			against = slices.DeleteFunc(against, func(o disk.Objection) bool { return o.Reason == disk.NotChecked })
		}
		if len(against) != 1 || against[0].Reason != disk.Loop {
			t.Errorf("against an empty disk: %v", against)
		}
		d.Write(4096, []byte("x"))
		again("data in the first MiB since then", seen, fingerprint)
		seen = b.seen("vdb")
		d.Write(gib-1, []byte("x"))
		again("data in the last MiB since then", seen, fingerprint)
		seen = b.seen("vdb")
		b.Loop("loop-x", "/dev/vdb", 1<<20)
		again("under a loop device since then", seen, fingerprint)
		b.Do("losetup -d /dev/loop-x")

		for what, change := range map[string][2]string{
			"a directory that is no mount point": {`umount "$1"`, " in the pod is not the node's directory now"},
			"a directory in memory":              {`mount -t tmpfs none "$1"`, " is on a tmpfs: links there are gone at each reboot"},
		} {
			for _, dir := range b.dirs {
				b.Do(change[0], dir)
				got := b.do(b.link(seen, dir, "vdb", "/dev/vdb"))
				if len(got) != 1 || !strings.HasPrefix(got[0], "failed: "+dir+change[1]) {
					t.Errorf("%s: %q", what, got)
				}
				if change[0] == `umount "$1"` {
					b.expect("unlink in it", b.do(UnlinkStep(dir, "vdb", "/dev/vdb")), "failed: "+dir)
					b.expect("restore in it", b.do(RestoreStep(dir, "vdb", "/dev/vdb")), "failed: "+dir)
					b.Do(`mount --bind "$1" "$1"`, dir)
				} else {
					b.Do(`umount "$1"`, dir)
				}
			}
		}
		if got := b.links(); len(got) != 0 {
			t.Errorf("left: %v", got)
		}
		again("after all that", seen, "created")
	})
}

// Where the paths of volumes lead is asked of the node, whatever they are called.
func TestScriptVolumePaths(t *testing.T) {
	eachBench(t, func(t *testing.T, b *bench) {
		vdb := b.Disk("vdb", gib)
		vdb.Link("by-id/virtio-b")
		b.Do(`mkdir /dev/disk/by-label "/dev/x y"; ln -s ../../vdb '/dev/disk/by-label/a b*'; ln -s /dev/disk/by-id/virtio-b "$1/chain"; ln -s /dev/nothing "$1/dangling"`,
			b.dirs[0])
		volumes := []string{"/dev/disk/by-label/a b*", "/dev/./vdb", b.dirs[0] + "/chain", b.dirs[0] + "/dangling", "/dev/x y", "/dev/none",
			"$(reboot)", "-n", `\`}
		asked := Look{Closely: []string{"vdb"}, Volumes: volumes}
		out, err := b.Output(b.shell, asked.Argv(), nodetest.Input{First: asked.Input(), After: Observed, Then: "end\n"})
		if err != nil {
			t.Fatal(err)
		}
		view, err := Parse(strings.Replace(out, Observed, "", 1))
		if err != nil {
			t.Fatal(err)
		}
		if len(view.VolumePaths) != len(volumes) {
			t.Errorf("%v", view.VolumePaths)
		}
		for i, path := range volumes {
			want := ""
			if i < 3 {
				want = vdb.Number()
			}
			if got := view.VolumePaths[path]; want == "" && got != (disk.Number{}) || want != "" && got.String() != want {
				t.Errorf("%s leads to %s, want %s", path, got, want)
			}
		}
		if d, ok := view.DiskByName("vdb"); !ok || d.Content == nil {
			t.Error("the disk was not looked at after that")
		}
	})
}
