// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"slices"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// A pod whose kubelet has the directory and not the disk is not said to have its volumes; what was measured in it is named.
func TestPodBesideHiddenDisk(t *testing.T) {
	stat := func(size int64) func(world) {
		return func(w world) {
			w.node().Stats = snapshot.Read([]snapshot.VolumeStat{{Namespace: "default", Pod: "nginx-pod", Claim: "nginx-pvc", Capacity: size}})
		}
	}
	for name, c := range map[string]struct {
		measured func(world)
		mark     Mark
		text     string
	}{
		"not measured":    {func(world) {}, MarkSkipped, "nginx-pod runs; whether with the disk or the directory beneath it was not measured"},
		"the system disk": {stat(20 << 30), MarkBroken, "nginx-pod has another filesystem than its volume (TD0708)"},
		"started before":  {stat(5 << 30), MarkSkipped, "nginx-pod has its volumes"},
	} {
		w := well(t)
		w.extraMounts(bindMount("/var/lib/disks", "bind", "rshared", "rw"))
		w.mounted(kubeletBound, hostDisk)
		c.measured(w)
		w.asked()
		r := Run(w.Snapshot, Options{})
		pod := r.Chains[0].Links[len(r.Chains[0].Links)-1]
		if pod.Mark != c.mark || pod.Text != c.text || pod.Name != string(StagePod) {
			t.Errorf("%s: %+v", name, pod)
		}
		i := slices.IndexFunc(r.Findings, func(f Finding) bool { return f.Code == "TD0403" })
		if i < 0 || !strings.Contains(r.Findings[i].Summary, "would write") {
			t.Errorf("%s: %+v", name, r.Findings)
		}
	}
}

// That nothing was recorded of a linked disk is said in the volume's chain, and is no reason to look again.
func TestNoRecordedIdentityIsSaid(t *testing.T) {
	const said = "; which disk it was made for was never recorded"
	host := func(w world) (string, Report) {
		w.Targets = []snapshot.Ref{{Kind: "pv", Name: "local-pv-b"}}
		r := Run(w.Snapshot, Options{})
		return r.Chains[0].Links[slices.IndexFunc(r.Chains[0].Links, func(l Link) bool { return l.Name == string(StageHost) })].Text, r
	}
	w := well(t)
	w.vdf()
	text, r := host(w)
	if !strings.HasSuffix(text, said) || !slices.ContainsFunc(r.NoQuestion(),
		func(r Result) bool { return r.Code == "TD0502" && strings.Contains(r.Why, "was never recorded") }) {
		t.Errorf("%s\n%+v", text, r.NoQuestion())
	}
	id := w.vdf().Identity()
	w.linked().Identity = &id
	if text, _ := host(w); strings.Contains(text, said) {
		t.Error(text)
	}
	w = well(t)
	w.vdf()
	w.Unread = map[string]problem.Problem{snapshot.PartRecords: problem.FromText("forbidden")}
	if text, r := host(w); strings.Contains(text, said) ||
		!slices.ContainsFunc(r.Unknown(), func(r Result) bool { return r.Code == "TD0502" }) {
		t.Error(text)
	}
}
