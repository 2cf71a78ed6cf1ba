// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/change"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/link"
	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// words are those of a command as a POSIX shell reads it, without expansions.
func words(command string) []string {
	var all []string
	var word strings.Builder
	quoted, started := false, false
	for i := 0; i < len(command); i++ {
		switch c := command[i]; {
		case quoted && c == '\'':
			quoted = false
		case quoted:
			word.WriteByte(c)
		case c == '\'':
			quoted, started = true, true
		case c == '"': // As a quote between single quotes is written.
			end := strings.IndexByte(command[i+1:], '"')
			word.WriteString(command[i+1 : i+1+end])
			i, started = i+end+1, true
		case c == '\\':
			i++
			word.WriteByte(command[i])
		case c == ' ' || c == '\n':
			if started || word.Len() > 0 {
				all = append(all, word.String())
			}
			word.Reset()
			started = false
		default:
			word.WriteByte(c)
		}
	}
	if started || word.Len() > 0 {
		all = append(all, word.String())
	}
	return all
}

// printed is a printed command of this program.
type printed struct {
	verb              string
	args, nodes       []string
	class, name       string
	accept            []link.Acceptance
	convert, onlyRead bool
}

func parse(t *testing.T, command string) (printed, bool) {
	t.Helper()
	w := words(command)
	if len(w) < 3 || w[0] != "kubectl" || w[1] != "talosdisk" {
		return printed{}, false
	}
	a := printed{verb: w[2]}
	for i := 3; i < len(w); i++ {
		next := func() string { i++; return w[i] }
		switch w[i] {
		case "--nodes":
			a.nodes = strings.Split(next(), ",")
		case "--class":
			a.class = next()
		case "--name":
			a.name = next()
		case "--accept":
			one, err := link.ParseAcceptance(next())
			if err != nil {
				t.Errorf("%s: %v", command, err)
			}
			a.accept = append(a.accept, one)
		case "--convert-kubelet-config":
			a.convert = true
		default:
			a.args = append(a.args, w[i])
		}
	}
	a.onlyRead = a.verb == "mounts" && len(a.args) > 0 && a.args[0] == "list"
	return a, true
}

// accepted is what the program itself says to a command on a snapshot: empty if it would do
// it. It returns the snapshot as the command leaves it.
func (a printed) accepted(s *snapshot.Snapshot) (after *snapshot.Snapshot, refusal string) {
	on := *s
	on.Nodes = slices.DeleteFunc(slices.Clone(s.Nodes), func(n snapshot.Node) bool { return !slices.Contains(a.nodes, n.Name) })
	switch a.verb {
	case "unlink":
		plan, err := link.DecideUnlink(&on, link.UnlinkRequest{Names: a.args, Class: a.class})
		if err != nil {
			return s, err.Error()
		}
		after := *s
		for _, l := range plan.Links {
			if l.Action != change.Remove {
				return s, cmp.Or(refusalOf(l).why, "there is nothing to do")
			}
			after.Volumes = slices.DeleteFunc(slices.Clone(after.Volumes), func(v snapshot.Volume) bool { return v.Name == l.Volume })
			for i := range after.Nodes {
				one := snapshot.Snapshot{Nodes: after.Nodes[i : i+1]}
				if one.Nodes[0].Name == l.Node {
					after.Nodes = slices.Clone(after.Nodes)
					after.Nodes[i] = withoutEntry(one, operation{class: l.Class, entry: l.Entry}).Nodes[0]
				}
			}
		}
		return &after, ""
	case "link":
		r := link.Request{Class: a.class, As: a.name, Accept: a.accept}
		for _, name := range a.args {
			arg, err := disk.ParseArg(name)
			if err != nil {
				return s, err.Error()
			}
			r.Disks = append(r.Disks, arg)
		}
		plan, err := link.Decide(&on, r)
		if err != nil {
			return s, err.Error()
		}
		for _, l := range plan.Links {
			if l.Action != change.Create {
				return s, cmp.Or(refusalOf(l).why, "there is nothing to do")
			}
		}
	case "mounts":
		for _, n := range on.Nodes {
			if n.Kubelet.Value == nil || a.onlyRead {
				continue // It looks itself.
			}
			plan := mounts.Decide(*n.Kubelet.Value, mounts.Request{Required: s.Install.HostDirs(), Convert: a.convert})
			if plan.Action != change.Patch && plan.Action != change.Skip {
				return s, plan.Message
			}
		}
	}
	return s, ""
}

// safe finds the commands of a finding that must not be printed for a snapshot.
func safe(t *testing.T, name string, s *snapshot.Snapshot, f Finding) {
	t.Helper()
	stage := s
	for _, step := range f.Fix {
		w := words(step.Command)
		if a, ours := parse(t, step.Command); ours {
			after, refusal := a.accepted(stage)
			if refusal != "" {
				t.Errorf("%s: %s prints %q, which is refused: %s", name, f.Code, step.Command, refusal)
			}
			stage = after
		}
		for i, word := range w {
			switch {
			case word == "rm" && within(w[len(w)-1], "/dev"):
				t.Errorf("%s: %s prints %q", name, f.Code, step.Command)
			case strings.HasPrefix(word, "ln") && slices.Contains(w, "exec") && within(w[len(w)-1], "/dev"):
				t.Errorf("%s: %s prints %q", name, f.Code, step.Command)
			case word == "wipe" && i > 0 && !mayWipe(s, w[len(w)-1]):
				t.Errorf("%s: %s prints %q, and something has the disk", name, f.Code, step.Command)
			case word == "pv" && slices.Contains(w, "delete"):
				if v, ok := stage.VolumeByName(w[i+1]); !ok || v.Phase == "Bound" {
					t.Errorf("%s: %s prints %q, and the volume is %s", name, f.Code, step.Command, cmp.Or(v.Phase, "not there"))
				}
			case strings.Contains(word, `"persistentVolumeReclaimPolicy":"Delete"`):
				v, _ := s.VolumeByName(w[3])
				if v.Claim != nil && slices.ContainsFunc(value(s.Claims),
					func(c snapshot.Claim) bool { return c.ClaimRef == *v.Claim || c.Volume == v.Name }) {
					t.Errorf("%s: %s prints %q, and the volume's claim is there", name, f.Code, step.Command)
				}
			}
		}
		if strings.Contains(step.Text, "rm /dev") {
			t.Errorf("%s: %s says %q", name, f.Code, step.Text)
		}
	}
}

// mayWipe tells a disk of the snapshot that nothing has.
func mayWipe(s *snapshot.Snapshot, name string) bool {
	for _, n := range s.Nodes {
		if d, ok := value(n.View).DiskByName(name); ok && len(d.Holders) == 0 && d.Content != nil && d.Content.Busy == disk.No {
			return true
		}
	}
	return false
}

// snapshots are those in files.
func snapshots(t *testing.T) map[string]*snapshot.Snapshot {
	t.Helper()
	all := make(map[string]*snapshot.Snapshot)
	for _, pattern := range []string{"testdata/cases/*.json", "../cmd/testdata/*.json", "../../docs/testdata/*.json",
		"../link/testdata/*.json"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			content, err := os.ReadFile(file) //nolint:gosec // One of this repository's.
			if err != nil {
				t.Fatal(err)
			}
			s := new(snapshot.Snapshot)
			if err := json.Unmarshal(content, s); err == nil && s.Install.Name != "" { // Some are for link, and have no version.
				all[file] = s
			}
		}
	}
	if len(all) < 8 {
		t.Fatalf("found %d snapshots", len(all))
	}
	return all
}

// load is a snapshot of testdata/cases.
func load(t *testing.T, name string) *snapshot.Snapshot {
	t.Helper()
	s := snapshots(t)[filepath.Join("testdata/cases", name+".json")]
	if s == nil {
		t.Fatalf("no snapshot %s", name)
	}
	return s
}

// No fix is printed that the program would refuse, or that loses data, whatever the snapshot.
func TestFixesAreWhatTheProgramWouldDo(t *testing.T) {
	for name, s := range snapshots(t) {
		r := Run(s, Options{})
		for _, f := range slices.Concat(r.Findings, r.Masked) {
			safe(t, name, s, f)
		}
	}
	for _, tt := range manyCases() {
		w := well(t)
		tt.change(w)
		r := Run(w.Snapshot, Options{})
		for _, f := range slices.Concat(r.Findings, r.Masked) {
			safe(t, string(tt.code)+" "+tt.name, w.Snapshot, f)
		}
	}
}

// said is all that a diagnosis of a snapshot says.
func said(s *snapshot.Snapshot) (Report, string) {
	r := Run(s, Options{})
	_, text := outcome(r)
	return r, text
}

func TestNodesOfTheKernelStay(t *testing.T) {
	_, text := said(load(t, "class-over-dev"))
	for _, no := range []string{"-- rm ", "by hand if nobody needs it"} {
		if strings.Contains(text, no) {
			t.Errorf("%q in\n%s", no, text)
		}
	}
	if !strings.Contains(text, `is a name that the node keeps: set a namePattern that does not match "nvme0`) {
		t.Error(text)
	}
}

func TestAnEncryptedVolumeIsPublishedByItsOpenedDevice(t *testing.T) {
	_, text := said(load(t, "encrypted-raw-volume"))
	for _, part := range []string{"error[TD0506]: sdb1 on w-4 is published as", "hostDir: /dev/mapper", "namePattern: luks2-r-secret",
		`does not match "r-secret" for class "raw"`, "kubectl delete pv local-pv-a31a8f6e"} {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in\n%s", part, text)
		}
	}
	if strings.Contains(text, "unlink") {
		t.Error(text)
	}
}

func TestClaimsAreKnownByUID(t *testing.T) {
	r, text := said(load(t, "stale-claimref"))
	for _, part := range []string{`error[TD0606]: no volume of class "hdd" is free for claim "default/nginx-pvc"`,
		`volume "data-hand" is kept for an earlier claim of the name`,
		`kubectl patch pv data-hand --type=json -p '[{"op":"test","path":"/spec/claimRef/uid","value":"old-uid"},{"op":"remove","path":"/spec/claimRef/uid"}]'`} {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in\n%s", part, text)
		}
	}
	if strings.Contains(text, "ReclaimPolicy\":\"Delete") || r.Problems(Error) != 1 {
		t.Error(text)
	}
	for _, c := range r.Chains {
		if c.Volume != "" {
			t.Errorf("%s has volume %s", c.Title, c.Volume)
		}
	}
	_, text = said(load(t, "control-other-name"))
	if !strings.Contains(text, "error[TD0606]") || strings.Contains(text, "kubectl patch") {
		t.Error(text)
	}
}

func TestAVolumeThatIsBeingDeletedIsTold(t *testing.T) {
	_, text := said(load(t, "pv-terminating"))
	if !strings.Contains(text, `warning[TD0613]: volume "local-pv-485eb69c" is being deleted, and goes without being cleaned`) {
		t.Error(text)
	}
}

// A disk that leftover LVM holds is not wiped before what holds it.
func TestNoWipeOfADiskThatIsHeld(t *testing.T) {
	if _, text := said(load(t, "leftover-lvm")); strings.Contains(text, "wipe") {
		t.Error(text)
	}
}

// Where several nodes share a finding, a command names those only on which it would be done.
func TestACommandNamesTheNodesThatItIsFor(t *testing.T) {
	w := well(t)
	w.blind()
	other := w.node()
	n := *other
	n.Name, n.UID = "w-5", "w-5-uid"
	state := *n.Kubelet.Value
	state.Node, state.StagedDiffers = "w-5", true
	n.Kubelet.Value = &state
	w.Nodes = append(w.Nodes, n)
	r := Run(w.Snapshot, Options{Only: []Code{"TD0401"}})
	var commands []string
	for _, f := range r.Findings {
		for _, step := range f.Fix {
			commands = append(commands, step.Command)
		}
	}
	if !slices.Contains(commands, "kubectl talosdisk mounts --nodes w-4") || !slices.Contains(commands, "kubectl talosdisk doctor node/w-5") {
		t.Errorf("%q", commands)
	}
}

func TestALinkIsMadeAgainOnlyWhereItWouldBe(t *testing.T) {
	w := well(t)
	w.vdf()
	g := w.vdg()
	id := g.Identity()
	w.named().Identity = &id
	w.node().View.Value.Disks[1].Content = nil
	w.entries("block", provisioner.Entry{Name: "vdf", Kind: provisioner.Link, Target: "/dev/vdz"})
	_, text := said(w.Snapshot)
	if strings.Contains(text, "talosdisk link ") || !strings.Contains(text, "$ kubectl talosdisk disks vdg --nodes w-4 -o wide") {
		t.Error(text)
	}
}

// A LUN that is in use on another node is linked on none by a printed command.
func TestALUNOfAnotherNodeIsNotLinkedAgain(t *testing.T) {
	for _, elsewhere := range []bool{false, true} {
		w := well(t)
		w.vdf()
		w.vdg()
		at := &w.node().View.Value.Disks[1]
		at.WWID, at.Content = "naa.5000c500a1b2c3d4", &disk.Content{Signed: disk.No, Unsigned: disk.No, Busy: disk.No}
		g := *at
		id := g.Identity()
		w.named().Identity = &id
		w.entries("block", provisioner.Entry{Name: "vdf", Kind: provisioner.Link, Target: "/dev/vdz"})
		other := *w.node()
		other.Name, other.UID = "w-5", "w-5-uid"
		view := *other.View.Value
		view.Dirs, view.Disks = nil, []disk.Disk{g}
		view.Disks[0].Content = &disk.Content{Signed: disk.No, Busy: disk.Yes}
		other.View.Value = &view
		if elsewhere {
			w.Nodes = append(w.Nodes, other)
		}
		_, text := said(w.Snapshot)
		if linked := strings.Contains(text, "talosdisk link "); linked == elsewhere {
			t.Errorf("in use elsewhere: %t, link printed: %t\n%s", elsewhere, linked, text)
		}
	}
}
