// SPDX-License-Identifier: Apache-2.0

package nodescript

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/nodescript/nodetest"
)

// A loop device over a disk holds nothing that an exclusive open would see.
func TestScriptSeesLoops(t *testing.T) {
	eachShell(t, func(t *testing.T, shell string) {
		n := nodetest.New(t)
		disks := make(map[string]*nodetest.Disk)
		for _, name := range []string{"vdb", "vdc", "vdd", "vde", "vdf"} {
			disks[name] = n.Disk(name, gib)
		}
		// As somebody does who keeps a file system behind an offset.
		offset := n.Loop("loop-offset", "/dev/vdb", 1<<20)
		n.Do(`mke2fs -q /dev/loop-offset && mkdir /dev/m && mount /dev/loop-offset /dev/m`)
		t.Cleanup(func() { n.Do("umount /dev/m") })
		// As a kubelet does for a raw volume: over a bind mount of the node, whose path says nothing.
		mapped := n.Root + "/plugins/kubernetes.io~local-volume/volumeDevices/pv/uid"
		n.Do(`mkdir -p "${1%/*}" && touch "$1" && mount --bind /dev/vdc "$1"`, mapped)
		kubelet := n.Loop("loop-kubelet", mapped, 0)
		n.Do(`umount -l "$1"`, mapped)
		// Over a partition of a disk.
		part := disks["vdd"].AddPartition(2048, 4096)
		over := n.Loop("loop-part", "/dev/vdd1", 0)
		// Over a node that somebody has made elsewhere, in a /dev of its own.
		other := n.Other()
		other.Node("xvda", disks["vde"].Minor)
		unseen := other.Loop("loop-unseen", "/dev/xvda", 0)
		// Over a file of the same size as a disk.
		file := n.Loop("loop-file", n.File(gib), 0)

		view := look(t, n, shell, nil, "vd?")
		for name, want := range map[string][]string{"vdb": {offset}, "vdc": {kubelet}, "vdd": {over}, "vde": nil, "vdf": nil} {
			d := named(t, view, name)
			if shell == "busybox sh" && name == "vdc" && slices.Contains(d.MaybeUnder, kubelet) {
				// Its own losetup, which goes before the real one, does not tell what lies behind a path that is gone.
				if said := fmt.Sprint(d.Objections()); !strings.Contains(said, "not-checked may be in use, under") || !strings.Contains(said, kubelet) {
					t.Errorf("against %s: %s", name, said)
				}
				continue
			}
			if !slices.Equal(d.Under, want) {
				t.Errorf("%s is under %v, want %v", name, d.Under, want)
			}
			// The disks have one size, which the one that is not known would fit.
			maybe := name != "vdb" && name != "vdc" && name != "vdd" && slices.Contains(d.MaybeUnder, unseen)
			if known := want != nil; !known && !maybe || slices.Contains(d.MaybeUnder, file) {
				t.Errorf("%s may be under %v, want %s and not %s", name, d.MaybeUnder, unseen, file)
			}
			said := fmt.Sprint(d.Objections())
			switch {
			case want != nil && !strings.Contains(said, "in-use is in use: under /dev/"+want[0]),
				want == nil && (!strings.Contains(said, "not-checked may be in use, under /dev/") || !strings.Contains(said, "/dev/"+unseen)):
				t.Errorf("against %s: %s", name, said)
			}
		}
		if d := named(t, view, "vdd1"); d.Number.String() != part || !slices.Equal(d.Under, []string{over}) {
			t.Errorf("the partition: %+v", d)
		}
		if d := named(t, view, "loop-offset"); d.Over != named(t, view, "vdb").Number {
			t.Errorf("the loop device with an offset is over %s", d.Over)
		}
		if d := named(t, view, "loop-file"); d.Over != (disk.Number{}) || d.Kind != disk.KindLoop {
			t.Errorf("the loop device over a file: %+v", d)
		}
	})
}

// Where losetup cannot tell, a path below /dev does, and what may be a device is unknown.
func TestScriptSeesLoopsWithoutLosetup(t *testing.T) {
	n := nodetest.New(t)
	n.Disk("vdb", gib)
	n.Disk("vdc", 2*gib)
	loop := n.Loop("loop-b", "/dev/vdb", 0)
	mapped := n.Root + "/volumeDevices/pv"
	n.Do(`mkdir "${1%/*}" && touch "$1" && mount --bind /dev/vdc "$1"`, mapped)
	kubelet := n.Loop("loop-c", mapped, 0)
	argv := argv(nil, []string{"vd?"})
	argv[2] = strings.ReplaceAll(argv[2], " losetup ", " no-such-tool ")
	view, err := Parse(n.Run("dash", argv))
	if err != nil {
		t.Fatal(err)
	}
	if d := named(t, view, "vdb"); !slices.Equal(d.Under, []string{loop}) {
		t.Errorf("vdb is under %v", d.Under)
	}
	if d := named(t, view, "vdc"); !slices.Contains(d.MaybeUnder, kubelet) || len(d.Under) != 0 {
		t.Errorf("vdc is under %v, may be under %v", d.Under, d.MaybeUnder)
	}
}

// What no signature tells of must not pass for an empty disk.
func TestScriptSeesData(t *testing.T) {
	eachShell(t, func(t *testing.T, shell string) {
		n := nodetest.New(t)
		const odd = gib + 512*3
		for name, c := range map[string]struct {
			size   int64
			offset int64
			bytes  string
		}{
			"vdb": {size: gib}, "vdc": {size: gib, bytes: "SPDKBLOB\x03\x00\x00\x00"}, "vdd": {size: gib, bytes: "bluestore block device\n0123"},
			"vde": {size: gib, offset: 1<<20 - 1, bytes: "x"},
			"vdf": {size: gib, offset: 1 << 20, bytes: "x"}, "vdg": {size: odd, offset: odd - 1, bytes: "x"},
			"vdh": {size: odd, offset: odd - 1<<20, bytes: "x"}, "vdi": {size: odd, offset: odd - 1<<20 - 1, bytes: "x"},
			"vdj": {size: 1 << 19, offset: 1000, bytes: "x"},
			"vdk": {size: 1 << 19}, "vdl": {size: gib, bytes: "SPDKRAID"}, "vdm": {size: gib, bytes: strings.Repeat("\xff", 4096)},
		} {
			d := n.Disk(name, c.size)
			if c.bytes != "" {
				d.Write(c.offset, []byte(c.bytes))
			}
		}
		n.Disk("vdn", gib).Write(0, append([]byte("SPDKBLOB"), make([]byte, 1016)...))
		n.Do("mke2fs -q -t ext4 /dev/vdn && printf SPDKBLOB | dd of=/dev/vdn conv=notrunc 2>/dev/null")
		n.Disk("vdo", gib)
		n.Do("mke2fs -q -t ext4 /dev/vdo")
		view := look(t, n, shell, nil, "vd?")
		for name, want := range map[string]string{
			"vdb": "", "vdc": "has an SPDK blobstore", "vdd": "has a Ceph BlueStore OSD",
			"vde": "has data that no signature tells of, in its first MiB",
			"vdf": "", "vdg": "has data that no signature tells of, in its last MiB", "vdh": "has data that no signature tells of, in its last MiB",
			"vdi": "",
			"vdj": "has data that no signature tells of, in its first MiB", "vdk": "", "vdl": "has an SPDK RAID member",
			"vdm": "has data that no signature tells of, in its first MiB", "vdn": "has an SPDK blobstore", "vdo": "",
		} {
			got := ""
			for _, o := range named(t, view, name).Objections() {
				if o.Reason == disk.HasData || o.Reason == disk.HasSignature && name == "vdd" {
					got = o.Message
				}
			}
			if got != want {
				t.Errorf("%s: %q, want %q (%+v)", name, got, want, named(t, view, name).Content)
			}
		}
	})
}
