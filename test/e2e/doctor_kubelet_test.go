// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster"
)

func kubeletCauses() []cause {
	return []cause{
		{name: "bind over a mounted disk", code: "TD0403", without: []string{"TD0708"}, do: bindMasks},
		{name: "private and a disk mounted later", code: "TD0404", without: []string{"TD0708"}, do: privateMount},
		{name: "duplicated entries", code: "TD0405", do: duplicatedEntries},
	}
}

// entries gives worker-2 a configuration with an extraMount for each of the options, which
// restarts its kubelet; the end of the test gives it back what it had.
func (p *causeTest) entries(t *testing.T, options ...string) {
	t.Helper()
	n := p.node("worker-2")
	set := func(config []byte) {
		t.Helper()
		if err := n.SetConfig(withoutEnd(t), config); err != nil {
			t.Fatal(err)
		}
		if err := n.Settle(withoutEnd(t)); err != nil {
			t.Fatal(err)
		}
	}
	text := "kubelet:\n        extraMounts:\n"
	for _, o := range options {
		text += fmt.Sprintf("            - destination: %s\n              type: bind\n              source: %s\n              options: [%s]\n",
			disksDir, disksDir, o)
	}
	before := n.Config()
	t.Cleanup(func() { set(before) })
	set(bytes.Replace(p.plain, []byte("kubelet:\n"), []byte(text), 1))
}

// onSystemDisk wants what the pod has written not to be on the disk.
func onSystemDisk(t *testing.T, n *cluster.Node, path string) {
	t.Helper()
	sh(t, n, `test ! -e $1/written-by`, path)
}

// Nothing tells of it but the mounts themselves.
func bindMasks(t *testing.T, p *causeTest) {
	n := node(t, "worker-2")
	d, path := mountDisk(t, n)
	p.entries(t, "bind, rshared, rw")
	volume(t, pvName(d.Name, n.Name(), filesClass))
	filesPod(t)
	waitReady(t, "writer")
	onSystemDisk(t, n, path)
	f := p.diagnose(t, "pod/writer")
	p.execute(t, f, "kubectl talosdisk explain TD0403")
	f.wantWords(t, "replace bind by rbind")
	// As long as a pod has the directory beneath, it is not taken from it.
	p.command("mounts", "--nodes", "worker-2", "--yes").run(t).wantError(t, `is used by pod "default/writer"`)
	again(t, getPod(t, "writer"))
	sh(t, n, `umount $2 && rm $2/written-by && mount /dev/$1 $2`, d.Name, path)
	before := p.node("worker-2").Config()
	p.execute(t, f, "kubectl talosdisk mounts --nodes worker-2")
	if after := p.node("worker-2").Config(); string(after) != strings.Replace(string(before), "[bind,", "[rbind,", 1) {
		t.Error("more than one letter was changed")
	}
	filesPod(t)
	waitReady(t, "writer")
	sh(t, n, `test -s $1/written-by`, path)
	again(t, getPod(t, "writer"))
}

func privateMount(t *testing.T, p *causeTest) {
	p.entries(t, "rbind, rprivate, rw")
	n := node(t, "worker-2")
	d, path := mountDisk(t, n)
	volume(t, pvName(d.Name, n.Name(), filesClass))
	filesPod(t)
	waitReady(t, "writer")
	onSystemDisk(t, n, path)
	f := p.diagnose(t, "pod/writer")
	f.wantWords(t, "give the entry the options rbind, rslave and rw")
	again(t, getPod(t, "writer"))
	sh(t, n, `umount $2 && rm $2/written-by && mount /dev/$1 $2`, d.Name, path)
	p.entries(t, "rbind, rslave, rw")
	filesPod(t)
	waitReady(t, "writer")
	sh(t, n, `test -s $1/written-by`, path)
	again(t, getPod(t, "writer"))
}

func duplicatedEntries(t *testing.T, p *causeTest) {
	_, _, pv := linked(t)
	volume(t, pv)
	p.entries(t, "rbind, rslave, rw", "rbind, rslave, rw")
	f := p.diagnose(t, "node/worker-2")
	f.wantWords(t, "leave one entry")
	p.entries(t, "rbind, rslave, rw")
	blockPod(t)
	waitReady(t, "reader")
	again(t, getPod(t, "reader"))
}
