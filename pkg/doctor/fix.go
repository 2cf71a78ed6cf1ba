// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/internal/shell"
	"github.com/talosdisk/kubectl-talosdisk/pkg/change"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/link"
	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// operation is what the command of a step changes on a node. A step that has one is printed
// only if the program's own decision on the snapshot, as the steps before leave it, would do it.
type operation struct {
	kind        operationKind
	node, class string
	// entry is the link's name in the directory of its class, disk the disk that it is to lead to.
	entry, disk string
	// accept are the reasons that the command accepts, joined by commas.
	accept string
	// volume is the one whose link is changed: its disk is known.
	volume string
	// convert has machine.kubelet back.
	convert bool
}

type operationKind string

const (
	// opUnlink, opLink and opMounts are commands of this program.
	opUnlink operationKind = "unlink"
	opLink   operationKind = "link"
	opMounts operationKind = "mounts"
	// opRemove, opMake and opPoint remove, make and change a link by hand, in the
	// provisioner's pod, for what those commands are not for.
	opRemove operationKind = "rm"
	opMake   operationKind = "ln"
	opPoint  operationKind = "ln -f"
	// opDelete deletes a volume that no claim has, and nothing is to be cleaned of.
	opDelete operationKind = "delete"
	// opClean has a released volume cleaned, for which no claim waits.
	opClean operationKind = "clean"
)

// word is what a person knows the operation by.
func (k operationKind) word() string {
	switch k {
	case opRemove:
		return "removing the link"
	case opMake, opPoint:
		return "making the link"
	case opDelete:
		return "deleting the volume"
	case opClean:
		return "cleaning the volume"
	}
	return string(k)
}

// refusal is why an operation is not done; the zero refusal: it is done.
type refusal struct {
	why string
	// done: there is nothing to do.
	done bool
	// by is what speaks against a link, if that is the reason.
	by disk.Objection
}

func refused(format string, args ...any) refusal { return refusal{why: fmt.Sprintf(format, args...)} }

// simulate keeps the steps up to the first one that the program itself would refuse, and
// says in its place why, and where to ask again. What a step changes, the next ones find changed.
func (s *Subject) simulate(steps []Step) []Step {
	if !slices.ContainsFunc(steps, func(step Step) bool { return step.operation != operation{} }) {
		return steps
	}
	stage := *s.Snapshot
	stage.Nodes = nil
	if s.Node != nil {
		stage.Nodes = []snapshot.Node{*s.Node}
	}
	var kept []Step
	for i, step := range steps {
		if step.operation == (operation{}) {
			kept = append(kept, step)
			continue
		}
		stage.Beside = s.sharing(step.operation)
		next, refused := perform(stage, step.operation)
		if refused.done {
			continue
		}
		if refused == (refusal{}) {
			kept, stage = append(kept, Step{Text: step.Text, Command: step.Command}), next
			continue
		}
		if unseen := step.unseen(next, refused); unseen.Text != "" {
			return append(kept, unseen)
		}
		again := Step{
			Text:    fmt.Sprintf("as things are, %s would be refused: %s; once that is over, ask again:", step.operation.kind.word(), refused.why),
			Command: shell.Command("kubectl", "talosdisk", "doctor", s.again()),
		}
		switch {
		case i > 0 && step.operation.kind == opMounts: // What has to be done before says why.
			again.Text = "then ask again what is next:"
		case i > 0:
			again.Text = fmt.Sprintf("then ask again what is next; as things are, %s would be refused: %s:", step.operation.kind.word(), refused.why)
		}
		return append(kept, again)
	}
	return kept
}

// sharing are the other nodes that may have the disk of an operation.
func (s *Subject) sharing(d operation) []snapshot.Node {
	arg, err := disk.ParseArg(d.disk)
	if d.disk == "" || err != nil {
		return nil
	}
	return s.index.devices().Sharing(s.NodeName, arg)
}

// again is what to ask about once a step is done.
func (s *Subject) again() string {
	if s.Volume != nil {
		return "pv/" + s.Volume.Name
	}
	return "node/" + s.NodeName
}

// unseen is how to see what a link was not decided on for, where only that speaks against it.
func (step Step) unseen(s snapshot.Snapshot, because refusal) Step {
	if step.operation.kind != opLink || len(s.Nodes) == 0 || s.Nodes[0].View.Value == nil {
		return Step{}
	}
	d, ok := s.Nodes[0].View.Value.DiskByName(step.operation.disk)
	if !ok || d.Content != nil || !slices.Contains(d.Objections(), because.by) {
		return Step{}
	}
	return Step{
		Text: fmt.Sprintf("then link it again as %q in class %q, if nothing has it now, and its data is what is meant; see:",
			step.operation.entry, step.operation.class),
		Command: shell.Command("kubectl", "talosdisk", "disks", d.Name, "--nodes", step.operation.node, "-o", "wide"),
	}
}

// perform decides on an operation as the program would. It returns the snapshot as the operation
// leaves it, or why it is refused.
func perform(s snapshot.Snapshot, d operation) (snapshot.Snapshot, refusal) {
	switch {
	case d.kind == opDelete:
		return deletedVolume(s, d)
	case d.kind == opClean:
		return s, waitedFor(s, d.volume)
	case len(s.Nodes) == 0:
		return s, refused("its node was not looked at")
	}
	switch d.kind {
	case opUnlink:
		return unlinked(s, d)
	case opLink:
		return s, refusedLink(s, d)
	case opMounts:
		return s, refusedMounts(s, d)
	}
	class, _ := s.Install.ClassOf(d.class)
	if within(class.HostDir, "/dev") || within(class.MountDir, "/dev") {
		return s, refused("%s is kept by the kernel and udev", class.HostDir)
	}
	switch byHand := asBlock(s, d.class); d.kind {
	case opRemove:
		return unlinked(byHand, d)
	case opPoint:
		e, there := byHand.Nodes[0].View.Value.Dirs[d.class].Entry(d.entry)
		if !there || e.Kind != provisioner.Link {
			return s, refused("%s is no link", d.entry)
		}
		byHand.Volumes = slices.DeleteFunc(slices.Clone(byHand.Volumes), func(v snapshot.Volume) bool { return v.Name == d.volume })
		return s, refusedLink(withoutEntry(byHand, d), d)
	default:
		return s, refusedLink(byHand, d)
	}
}

// asBlock is the snapshot as if the class were one of those that the commands are for.
func asBlock(s snapshot.Snapshot, class string) snapshot.Snapshot {
	s.Install.Classes = slices.Clone(s.Install.Classes)
	for i := range s.Install.Classes {
		if s.Install.Classes[i].Name == class {
			s.Install.Classes[i].Mode = provisioner.Block
		}
	}
	return s
}

func unlinked(s snapshot.Snapshot, d operation) (snapshot.Snapshot, refusal) {
	plan, err := link.DecideUnlink(&s, link.UnlinkRequest{Names: []string{d.entry}, Class: d.class})
	switch {
	case err != nil:
		return s, refused("%s", err)
	case len(plan.Links) != 1:
		return s, refused("%q is the name of %d links", d.entry, len(plan.Links))
	case plan.Links[0].Action != change.Remove:
		return s, refusalOf(plan.Links[0])
	}
	s.Volumes = slices.DeleteFunc(slices.Clone(s.Volumes), func(v snapshot.Volume) bool { return v.Name == plan.Links[0].Volume })
	return withoutEntry(s, d), refusal{}
}

// deletedVolume: the API server takes the deletion of a volume that a claim has, and keeps it until
// the claim is gone: from then on nothing cleans it (finalizer kubernetes.io/pv-protection).
func deletedVolume(s snapshot.Snapshot, d operation) (snapshot.Snapshot, refusal) {
	v, ok := s.VolumeByName(d.volume)
	switch {
	case !ok:
		return s, refused("there is no volume %q", d.volume)
	case v.Phase == "Bound" && v.Claim != nil:
		return s, refused("claim %q has volume %q", v.Claim, v.Name)
	case v.Phase == "Bound", v.Phase == "Available" && v.Claim != nil:
		return s, refused("volume %q is for a claim", v.Name)
	}
	s.Volumes = slices.DeleteFunc(slices.Clone(s.Volumes), func(v snapshot.Volume) bool { return v.Name == d.volume })
	return s, refusal{}
}

// waitedFor is why the data of a released volume may be wanted: a claim has the name of the one that
// had it, or names the volume.
func waitedFor(s snapshot.Snapshot, volume string) refusal {
	v, _ := s.VolumeByName(volume)
	if s.Claims.Value == nil {
		return refused("whether a claim waits for it is not known: %s", s.Claims.Why())
	}
	for _, c := range *s.Claims.Value {
		if c.Volume == volume || v.Claim != nil && c.ClaimRef == *v.Claim && c.Volume == "" {
			return refused("claim %q waits for the volume", c.ClaimRef)
		}
	}
	return refusal{}
}

// withoutEntry is the snapshot of a node without an entry of a class.
func withoutEntry(s snapshot.Snapshot, d operation) snapshot.Snapshot {
	node := s.Nodes[0]
	if node.View.Value == nil {
		return s
	}
	view := *node.View.Value
	dirs := make(map[string]snapshot.Dir, len(view.Dirs))
	for class, dir := range view.Dirs {
		if class == d.class {
			dir.Entries = slices.DeleteFunc(slices.Clone(dir.Entries), func(e provisioner.Entry) bool { return e.Name == d.entry })
		}
		dirs[class] = dir
	}
	view.Dirs = dirs
	node.View.Value = &view
	s.Nodes = []snapshot.Node{node}
	return s
}

func refusedLink(s snapshot.Snapshot, d operation) refusal {
	arg, err := disk.ParseArg(d.disk)
	if err != nil {
		return refused("%s", err)
	}
	plan, err := link.Decide(&s, link.Request{Disks: []disk.Arg{arg}, Class: d.class, As: d.entry, Accept: d.acceptances()})
	switch {
	case err != nil:
		return refused("%s", err)
	case len(plan.Links) != 1:
		return refused("%q is the name of %d disks", d.disk, len(plan.Links))
	case plan.Links[0].Action != change.Create:
		return refusalOf(plan.Links[0])
	}
	return refusal{}
}

func (d operation) acceptances() []link.Acceptance {
	var all []link.Acceptance
	for _, reason := range strings.FieldsFunc(d.accept, func(r rune) bool { return r == ',' }) {
		all = append(all, link.Acceptance{Reason: disk.Reason(reason), Node: d.node, Disk: d.disk})
	}
	return all
}

// refusalOf is the first thing that speaks against a link.
func refusalOf(l link.Link) refusal {
	switch {
	case len(l.Objections) > 0:
		return refusal{why: l.Disk + " " + l.Objections[0].Message, by: l.Objections[0]}
	case l.Detail != "":
		return refused("%s", l.Detail)
	}
	return refusal{done: true}
}

// refusedMounts is why mounts would not change the node's configuration. What it has not
// read, it reads when it runs.
func refusedMounts(s snapshot.Snapshot, d operation) refusal {
	state := s.Nodes[0].Kubelet.Value
	if state == nil {
		return refusal{}
	}
	plan := mounts.Decide(*state, mounts.Request{Required: s.Install.HostDirs(), Convert: d.convert})
	switch plan.Action {
	case change.Patch, change.Skip:
		return refusal{}
	case change.Keep:
		return refusal{done: true}
	}
	return refused("%s", plan.Message)
}

// unlinkSteps remove an entry: by unlink, by hand where its class is none of unlink's, and
// by the provisioner's configuration where udev would make it again.
func (s *Subject) unlinkSteps(text string, c provisioner.Class, entry string) []Step {
	if within(c.HostDir, "/dev") || within(c.MountDir, "/dev") {
		return s.leaveOut(c, entry)
	}
	step := Step{Text: text, operation: operation{kind: opUnlink, node: s.NodeName, class: c.Name, entry: entry}}
	if c.Mode != provisioner.Block || strings.ContainsAny(entry, `*?[\`) ||
		strings.HasPrefix(entry, "-") { // Which unlink would take for more than a name.
		step.operation.kind, step.Command = opRemove, s.inPod("rm", c.EntryPath(entry))
		return []Step{step}
	}
	words := []string{"kubectl", "talosdisk", "unlink", entry, "--nodes", s.NodeName}
	for _, o := range s.Snapshot.Install.Classes {
		if _, ok := value(s.Node.View).Dirs[o.Name].Entry(entry); ok && o.Name != c.Name && o.Mode == provisioner.Block {
			words = append(words, "--class", c.Name) // The other class has one of that name.
			break
		}
	}
	step.Command = shell.Command(words...)
	return []Step{step}
}

// leaveOut has the provisioner leave a name out that lies in a directory of the kernel or udev.
func (s *Subject) leaveOut(c provisioner.Class, entry string) []Step {
	i := s.Snapshot.Install
	text := fmt.Sprintf("%s is a name that the node keeps: set a namePattern that does not match %q for class %q, or give the class another hostDir, in the values of the chart:",
		c.VolumePath(entry), entry, c.Name)
	steps := []Step{{Text: text, Command: configMap(i)}, restart(i)}
	if v := s.index.paths[[2]string{s.NodeName, c.VolumePath(entry)}]; v != nil {
		steps = append(steps, deleteVolume(v.Name, "then delete its volume, which no claim has:"))
	}
	return steps
}

// pointAgain changes where the link of a volume leads, so that claim and volume stay.
func (s *Subject) pointAgain(d disk.Disk) (Step, bool) {
	target, _, err := s.set().Target(d, disk.TargetAuto)
	if err != nil || !s.bound() || value(s.Node.Pod).Name == "" {
		return Step{}, false
	}
	of := s.linkOperation(opPoint, d, s.Entry.Name)
	of.volume = s.Volume.Name
	step := Step{
		Text:      fmt.Sprintf("stop the pods of claim %q, and point the link at its disk again; claim and volume stay:", s.Volume.Claim),
		Command:   s.inPod("ln", "-sfT", target, s.Class.EntryPath(s.Entry.Name)),
		operation: of,
	}
	return step, true
}

// linkOperation is the linking of a disk again. What the disk is, such as a loop device, was accepted when
// it was linked before. What it holds is the claim's where one has the volume; otherwise it may be new,
// and is not accepted here.
func (s *Subject) linkOperation(kind operationKind, d disk.Disk, entry string) operation {
	content := []disk.Reason{disk.HasSignature, disk.HasPartitions, disk.HasData}
	var reasons []string
	for _, o := range d.Objections() {
		known := s.bound() || !slices.Contains(content, o.Reason)
		if o.Reason.Acceptable() && known && !slices.Contains(reasons, string(o.Reason)) {
			reasons = append(reasons, string(o.Reason))
		}
	}
	return operation{kind: kind, node: s.NodeName, class: s.Class.Name, entry: entry, disk: d.Name, accept: strings.Join(reasons, ",")}
}

// linkAgain makes the link to a disk under the entry's name, so that the volume is found again.
func (s *Subject) linkAgain(d disk.Disk, name string) Step {
	step := Step{Text: "make it again to the same disk, under the same name:", operation: s.linkOperation(opLink, d, name)}
	if target, _, err := s.set().Target(d, disk.TargetAuto); err == nil &&
		s.Class.Mode != provisioner.Block { // Only Block classes are for link.
		step.Text = "make it again to the same disk, under the same name, in the provisioner's pod:"
		step.Command = s.inPod("ln", "-sT", target, s.Class.EntryPath(name))
		step.operation.kind = opMake
		return step
	}
	words := []string{"kubectl", "talosdisk", "link", d.Name, "--nodes", s.NodeName, "--class", s.Class.Name}
	if name != d.Name {
		words = append(words, "--name", name)
	}
	for _, a := range step.operation.acceptances() {
		words = append(words, "--accept", fmt.Sprintf("%s=%s/%s", a.Reason, a.Node, a.Disk))
	}
	step.Command = shell.Command(words...)
	return step
}

// freed are the steps before a link that a claim has can be removed.
func (s *Subject) freed() []Step {
	if !s.bound() {
		return nil
	}
	return []Step{
		s.retain(fmt.Sprintf("a link is not removed while claim %q has its volume: first keep what is written from being wiped:",
			s.Volume.Claim)),
		{Text: "then delete the pods and the claim"},
	}
}

// deleteVolume deletes a volume.
func deleteVolume(name, text string) Step {
	return Step{Text: text, Command: shell.Command("kubectl", "delete", "pv", name), operation: operation{kind: opDelete, volume: name}}
}

// retain keeps the volume's data when its claim goes.
func (s *Subject) retain(text string) Step {
	return Step{Text: text, Command: retainCommand(s.Volume.Name)}
}

// mountsStep shows the provisioner's directories to the kubelets of the finding's nodes.
func (s *Subject) mountsStep(text string) Step {
	return Step{
		Text:      text,
		Command:   shell.Command("kubectl", "talosdisk", "mounts", "--nodes", allNodes),
		operation: operation{kind: opMounts, node: s.NodeName},
	}
}

// convertStep does so where the configuration has a KubeletConfig document.
func (s *Subject) convertStep(text string) Step {
	return Step{
		Text:      text,
		Command:   shell.Command("kubectl", "talosdisk", "mounts", "--nodes", allNodes, "--convert-kubelet-config"),
		operation: operation{kind: opMounts, node: s.NodeName, convert: true},
	}
}

// inPod is a command in the node's provisioner pod.
func (s *Subject) inPod(words ...string) string {
	i, pod := s.Snapshot.Install, "POD"
	if name := value(s.Node.Pod).Name; name != "" {
		pod = name
	}
	return shell.Command(append([]string{"kubectl", "-n", i.Namespace, "exec", pod, "-c", i.Container, "--"}, words...)...)
}

// inDev tells a class whose entries the kernel and udev make.
func inDev(c provisioner.Class) bool { return within(path.Clean(c.HostDir), "/dev") }

// configMap is the command that shows the provisioner's classes.
func configMap(i provisioner.Install) string {
	return shell.Command("kubectl", "-n", i.Namespace, "get", "configmap", i.ConfigMap, "-o", "yaml")
}

// restart has the provisioner read its configuration and mount its directories again.
func restart(i provisioner.Install) Step {
	return Step{
		Text:    "then have its pods start again:",
		Command: shell.Command("kubectl", "-n", i.Namespace, "rollout", "restart", "daemonset", i.Name),
	}
}

func retainCommand(volume string) string { return reclaim(volume, "Retain") }

// reclaim is the command that gives a volume a reclaim policy.
func reclaim(volume, policy string) string {
	return shell.Command("kubectl", "patch", "pv", volume, "-p", fmt.Sprintf(`{"spec":{"persistentVolumeReclaimPolicy":%q}}`, policy))
}

// ofChosen are steps of which each says which installation it is done through, where there are several.
func (s *Subject) ofChosen(steps []Step) []Step {
	i := s.Snapshot.Install
	if len(s.Snapshot.Others) == 0 || i.Name == "" {
		return steps
	}
	steps = slices.Clone(steps)
	for k := range steps {
		if steps[k].operation.acts() {
			steps[k].Command += " " + shell.Command("--provisioner-namespace", i.Namespace, "--provisioner", i.Name)
		}
	}
	return steps
}

// acts reports whether the operation is done by one of this program's commands that act through one
// installation. Those that look are about all of them.
func (d operation) acts() bool {
	return slices.Contains([]operationKind{opUnlink, opLink, opMounts}, d.kind)
}
