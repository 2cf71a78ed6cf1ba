// SPDX-License-Identifier: Apache-2.0

package link

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/internal/shell"
	"github.com/talosdisk/kubectl-talosdisk/pkg/change"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// Decide plans the links of a request. What is wrong with the request or with the
// provisioner is an error, and nothing is to be touched then; what is wrong with one
// disk is an objection in the plan. Rows come in the order of nodes, then of the request.
func Decide(s *snapshot.Snapshot, r Request) (Plan, error) {
	if err := Check(s, r); err != nil {
		return Plan{}, err
	}
	class, err := ChooseClass(s.Install, r.Class)
	if err != nil {
		return Plan{}, err
	}
	p := Plan{
		TypeMeta:    metav1.TypeMeta{APIVersion: APIVersion, Kind: Kind},
		Provisioner: s.Install.Namespace + "/" + s.Install.Name,
	}
	x := NewDevices(s)
	for _, node := range s.Nodes {
		p.Links = append(p.Links, x.decideNode(node, r, class)...)
	}
	x.compareNodes(p.Links)
	return p, nil
}

// Check finds what is wrong with a request or with the provisioner. It can be
// called before the nodes are looked at, and then judges what is known by then.
func Check(s *snapshot.Snapshot, r Request) error {
	class, err := ChooseClass(s.Install, r.Class)
	if err != nil {
		return err
	}
	if err := checkInstall(s, class); err != nil {
		return err
	}
	return checkRequest(s, r, class)
}

// checkRequest finds what can be said of the names before any disk is judged.
func checkRequest(s *snapshot.Snapshot, r Request, class provisioner.Class) error {
	if r.As != "" {
		if len(r.Disks) != 1 || r.Disks[0].Glob != "" {
			return failure.New("--name names the link of one disk, and more than one is asked for", "")
		}
		if err := disk.CheckEntry(r.As); err != nil {
			return failure.New(err.Error(), "")
		}
	}
	looked := false
	names := make(map[string]bool)
	for _, arg := range r.Disks {
		matched := arg.Glob == ""
		if arg.Glob == "" {
			names[entryName(r, arg, disk.Disk{Name: arg.Name})] = true
		}
		for _, node := range s.Nodes {
			if node.View.Value == nil {
				continue
			}
			looked = true
			for _, d := range node.View.Value.Disks {
				if arg.Matches(d) {
					matched = true
					names[d.Name] = true
				}
			}
		}
		if !matched && looked {
			return failure.New(fmt.Sprintf("pattern %q matches no disk on any of %d nodes", arg.Glob, len(s.Nodes)), "kubectl talosdisk disks")
		}
	}
	for name := range names {
		if !class.Publishes(name) {
			return failure.New(fmt.Sprintf("class %q has namePattern %q, which leaves out %q: the provisioner would never make a volume of it",
				class.Name, class.NamePattern, name),
				"choose a name that it takes: --name NAME")
		}
	}
	return nil
}

func entryName(r Request, arg disk.Arg, d disk.Disk) string {
	if r.As != "" {
		return r.As
	}
	return arg.Entry(d)
}

func (x *Devices) decideNode(node snapshot.Node, r Request, class provisioner.Class) []Link {
	var links []Link
	if node.View.Value == nil {
		for _, arg := range r.Disks {
			l := newLink(node, class, arg.String(), "")
			if arg.Glob == "" {
				l = newLink(node, class, arg.String(), entryName(r, arg, disk.Disk{Name: arg.Name}))
			}
			l.Action, l.Detail = change.Skip, node.View.Why().Message
			links = append(links, l)
		}
		return links
	}
	j := judge{devices: x, device: x.node(node.Name), s: x.s, class: class, request: r}
	before := newPlanned(j.set)
	asked := make(map[string]bool)
	for _, arg := range r.Disks {
		found := resolve(arg, j.view, j.set)
		if len(found) == 0 && arg.Glob == "" {
			l := newLink(node, class, arg.String(), entryName(r, arg, disk.Disk{Name: arg.Name}))
			l.object(disk.NotFound, shell.Command("kubectl", "talosdisk", "disks", "--nodes", node.Name), "does not exist on this node")
			links = append(links, l)
		}
		for _, d := range found {
			l := newLink(node, class, d.Name, entryName(r, arg, d))
			if said := d.Number.String() + " " + l.Entry; asked[said] {
				continue // A name and a pattern that takes it say the same.
			} else {
				asked[said] = true
			}
			j.disk(&l, d)
			before.add(&l)
			links = append(links, l)
		}
	}
	return links
}

// planned are the links of a plan on one node, to find out which do not go together.
type planned struct {
	set      *disk.Set
	links    []Link
	overlaps *disk.Overlaps
	// named are positions in links, by class and entry.
	named map[[2]string]int
}

func newPlanned(set *disk.Set) *planned {
	return &planned{set: set, overlaps: disk.NewOverlaps(set), named: make(map[[2]string]int)}
}

// add refuses a link that does not go with one before it in the same plan.
func (p *planned) add(l *Link) {
	d, known := p.set.ByNumber(l.Device.String())
	name := [2]string{l.Class, l.Entry}
	if l.Action == change.Create {
		first, is := p.overlaps.First(d, nil)
		same, taken := p.named[name]
		switch {
		case is && (!taken || first <= same):
			l.object(disk.AlreadyLinked, "", "is asked for twice, as %s and as %s", p.links[first].Entry, l.Entry)
		case taken:
			l.object(disk.NameTaken, "", "cannot be linked as %s: %s is asked for under that name", l.Entry, p.links[same].Disk)
		}
	}
	if l.Action != change.Create && l.Action != change.Keep {
		return
	}
	if known {
		p.overlaps.Add(d, len(p.links))
	}
	if _, taken := p.named[name]; !taken {
		p.named[name] = len(p.links)
	}
	p.links = append(p.links, *l)
}

// resolve finds the disks of an argument on a node.
func resolve(arg disk.Arg, view snapshot.PodView, set *disk.Set) []disk.Disk {
	var found []disk.Disk
	one := func(d disk.Disk, known bool) []disk.Disk {
		if !known {
			return nil
		}
		return []disk.Disk{d}
	}
	switch number, known := view.Paths[arg.Path]; {
	case arg.Name != "":
		return one(set.ByName(arg.Name))
	case arg.Path != "" && known:
		return one(set.ByNumber(number.String()))
	case arg.Path != "":
		return one(set.ByPath(arg.Path))
	}
	for _, d := range view.Disks {
		if arg.Matches(d) {
			found = append(found, d)
		}
	}
	return found
}

func newLink(node snapshot.Node, class provisioner.Class, name, entry string) Link {
	l := Link{
		Kind:     "Link",
		Metadata: Metadata{Name: node.Name + "/" + name},
		Node:     node.Name,
		NodeUID:  node.UID,
		Disk:     name,
		Class:    class.Name,
		Entry:    entry,
		Action:   change.Create,
	}
	if entry != "" {
		l.Path, l.HostPath = class.EntryPath(entry), class.VolumePath(entry)
		l.Volume = provisioner.PVName(entry, node.Name, class.Name)
	}
	return l
}

func (l *Link) object(r disk.Reason, hint, format string, args ...any) {
	l.Action = change.Refuse
	l.Objections = append(l.Objections, disk.Objection{Reason: r, Message: fmt.Sprintf(format, args...), Hint: hint})
}

// judge decides on the disks of one node.
type judge struct {
	*device
	devices *Devices
	s       *snapshot.Snapshot
	class   provisioner.Class
	request Request
}

func (j judge) disk(l *Link, d disk.Disk) {
	l.Size, l.Device, l.Identity, l.Fingerprint = d.Size, d.Number, j.set.Identity(d), d.Fingerprint
	dir := j.view.Dirs[j.class.Name]
	entry, exists := dir.Entry(l.Entry)
	volumes := volumesOf(j.s, *l)

	// A correct link comes before every question: asking twice changes nothing.
	if exists && entry.Kind == provisioner.Link && entry.Device == d.Number.String() {
		j.present(l, d, entry, volumes)
		return
	}
	j.directory(l, dir)
	j.system(l, d)
	j.elsewhere(l, d)
	// A volume belongs to what lies there, if anything does.
	if exists {
		l.object(disk.NameTaken, "", "cannot be linked as %s: %s", l.Entry, j.describe(entry))
	} else {
		for _, v := range volumes {
			j.volume(l, d, v)
		}
	}
	for _, o := range slices.Concat(j.alsoPublished(l.Entry), j.mayBeOthers()) {
		l.object(o.Reason, o.Hint, "%s", o.Message)
	}
	for _, v := range j.unplacedVolumes() {
		l.Warnings = append(l.Warnings,
			fmt.Sprintf("whether it is the disk of volume %s (%s) could not be found out: nobody knows where %s leads", v.Name, v.Phase, v.Path))
	}
	for _, other := range j.set.OtherSizes(d) {
		l.Warnings = append(l.Warnings,
			fmt.Sprintf("has the WWID of %s, and another size: if that is one LUN, of which not every path has seen it grow, two volumes would share it",
				other.Name))
	}
	target, warning, err := j.set.Target(d, j.request.Target)
	if err != nil {
		l.object(disk.NoStableName, "--target auto takes the best name there is", "%s", err)
	}
	l.Target = target
	if warning != "" {
		l.Warnings = append(l.Warnings, warning)
	}
	for _, o := range j.objections(d) {
		if accepts(j.request.Accept, o.Reason, j.node.Name, d.Name) {
			l.Accepted = append(l.Accepted, o)
			continue
		}
		o.Hint = j.hint(o, d)
		if o.Reason == disk.HasPartitions {
			o.Message += j.anotherSystem(d)
		}
		l.Action = change.Refuse
		l.Objections = append(l.Objections, o)
	}
}

// present judges a link that leads to the disk already.
func (j judge) present(l *Link, d disk.Disk, entry provisioner.Entry, volumes []snapshot.Volume) {
	l.Action, l.Target = change.Keep, entry.Target
	switch why := j.set.Doubt(d, entry.Target); {
	case why != "":
		l.Warnings = append(l.Warnings, fmt.Sprintf("the link holds %s, which may be another disk after a reboot: %s", entry.Target, why))
	case !disk.StableTarget(entry.Target):
		l.Warnings = append(l.Warnings, unstable(entry.Target))
	}
	if other, _ := j.entries.other(d, j.class.HostDir, l.Entry); other != "" {
		l.Warnings = append(l.Warnings, fmt.Sprintf("the disk is linked as %s too: two volumes share it", other))
	}
	for _, v := range volumes {
		if v.Identity == nil {
			continue
		}
		switch j.set.Same(*v.Identity, d) {
		case disk.No:
			l.object(disk.IdentityChanged, "",
				"is another disk than the one that volume %s was made for: now %s, then %s", v.Name, nowOf(d, *v.Identity), v.Identity)
		case disk.Unknown:
			l.Warnings = append(l.Warnings, fmt.Sprintf("whether it is still the disk that volume %s was made for is unknown: nothing identifies it",
				v.Name))
		}
	}
}

func unstable(target string) string {
	return fmt.Sprintf("the link holds %s, which may be another disk after a reboot", target)
}

// directory judges the class directory of the node.
func (j judge) directory(l *Link, dir snapshot.Dir) {
	restart := shell.Command("kubectl", "-n", j.s.Install.Namespace, "rollout", "restart", "daemonset", j.s.Install.Name)
	switch {
	case !dir.Exists:
		l.object(disk.ClassDirectory, restart, "cannot be linked: the pod has no directory %s", j.class.MountDir)
	case !dir.MountPoint:
		l.object(disk.ClassDirectory, restart, "cannot be linked: %s in the pod is not the node's directory", j.class.MountDir)
	case passing(j.class.HostDir, dir.Filesystem) != "":
		l.object(disk.ClassDirectory, "give the class a hostDir on a disk, such as /var/lib/disks/"+j.class.Name,
			"cannot be linked: %s is on %s, so that its links are gone at each reboot", j.class.HostDir, passing(j.class.HostDir, dir.Filesystem))
	case dir.Problem != "":
		l.object(disk.ClassDirectory, "", "cannot be linked: %s could not be read (%s)", j.class.MountDir, dir.Problem)
	case !dir.Writable:
		l.object(disk.ClassDirectory, "", "cannot be linked: %s cannot be written to", j.class.MountDir)
	}
	for _, p := range j.talos.places {
		for _, o := range p.unread(j.class.Name) {
			l.object(o.Reason, o.Hint, "%s", o.Message)
		}
	}
}

// passing is the file system of a class directory, with its article, if what is
// written there is gone at each reboot; empty if it stays.
func passing(hostDir, filesystem string) string {
	switch {
	case snapshot.Volatile(filesystem):
		return "a " + filesystem
	case hostDir == "/run" || strings.HasPrefix(hostDir, "/run/"):
		return "the node's tmpfs"
	}
	return ""
}

// system refuses the disk that the node lives on or uses itself, and every disk
// where the one that it lives on is not known.
func (j judge) system(l *Link, d disk.Disk) {
	_, found := j.talos.claims(d)
	for _, o := range found {
		l.object(o.Reason, o.Hint, "%s", o.Message)
	}
}

// elsewhere refuses a disk that another entry of any class leads to, or that
// another volume of the node was made for.
func (j judge) elsewhere(l *Link, d disk.Disk) {
	if other, partition := j.entries.other(d, j.class.HostDir, l.Entry); other != "" {
		o := linkedAs(other, partition)
		l.object(o.Reason, "", "%s", o.Message)
		return
	}
	own := func(v snapshot.Volume) bool {
		return (v.Path == l.HostPath || v.Name == l.Volume) && (v.Node == l.Node || v.Node == "")
	}
	found, maybe := j.devices.volumesOver(j.node.Name, d, own)
	for _, o := range found {
		l.object(o.Reason, o.Hint, "%s", o.Message)
	}
	l.Warnings = append(l.Warnings, maybe...)
}

// objections are what speaks against the disk by itself, by what it lies on, and by its other paths. A path
// of a multipath map is nobody's disk: the map is.
func (j judge) objections(d disk.Disk) []disk.Objection {
	found := d.Objections()
	if o, objects := j.set.Origin(d); objects && !slices.ContainsFunc(found, func(f disk.Objection) bool { return f.Reason == o.Reason }) {
		found = append(found, o)
	}
	if other, is := j.set.UsedBy(d); is && !d.Used() {
		found = append(found, disk.Objection{Reason: disk.InUse, Message: "is in use by another path to it, " + other.Name})
	}
	m, is := j.set.MapOf(d)
	if !is {
		return found
	}
	path := disk.Objection{
		Reason:  disk.InUse,
		Message: "is a path of multipath map " + m.Called(),
		Hint:    "link the map: " + shell.Command("kubectl", "talosdisk", "link", m.Name, "--nodes", j.node.Name),
	}
	var kept []disk.Objection
	for _, o := range found {
		switch o.Reason {
		case disk.HasSignature, disk.HasPartitions, disk.HasData: // What is there is the map's.
			continue
		case disk.InUse:
			if path.Message != "" { // Who holds it comes first.
				o, path = path, disk.Objection{}
			}
		}
		kept = append(kept, o)
	}
	return kept
}

func (j judge) describe(e provisioner.Entry) string {
	if e.Kind != provisioner.Link {
		return fmt.Sprintf("a %s of that name lies in the class directory", e.Kind)
	}
	if e.Dangling() {
		return fmt.Sprintf("the link of that name holds %s, which leads nowhere", e.Target)
	}
	if d, ok := j.set.ByNumber(e.Device); ok {
		return fmt.Sprintf("the link of that name leads to %s", d.Name)
	}
	return fmt.Sprintf("the link of that name holds %s", e.Target)
}

// volumesOf are the volumes that are the link's, or could be: by name, or by
// path on a node that is not another one.
func volumesOf(s *snapshot.Snapshot, l Link) []snapshot.Volume {
	var of []snapshot.Volume
	for _, v := range s.Volumes {
		if v.Name == l.Volume || v.Path == l.HostPath && (v.Node == l.Node || v.Node == "") {
			of = append(of, v)
		}
	}
	return of
}

// volume judges a volume whose link is gone: its claim would land on the disk.
// That is only right if it is the disk that the volume was made for, and nothing
// is about to clean it.
func (j judge) volume(l *Link, d disk.Disk, v snapshot.Volume) {
	fits := v.Name == l.Volume && v.Path == l.HostPath && v.Node == l.Node && !v.Deleting && (v.Phase == "Available" || v.Phase == "Bound")
	if fits && v.Identity != nil && j.set.Same(*v.Identity, d) == disk.Yes {
		l.Warnings = append(l.Warnings, fmt.Sprintf("volume %s exists and was made for this disk: its link is made again", v.Name))
		return
	}
	claim := ""
	if v.Claim != nil {
		claim = fmt.Sprintf(", claim %s", v.Claim)
	}
	which := "which disk it was made for is not recorded"
	if v.Identity != nil {
		which = "it was made for a disk with " + v.Identity.String()
	}
	l.object(disk.VolumeExists, shell.Command("kubectl", "get", "pv", v.Name),
		"cannot be linked as %s: volume %s (%s%s) exists for %s without its link, and %s",
		l.Entry, v.Name, v.Phase, claim, v.Path, which)
}

// hint is what a person can do about an objection.
func (j judge) hint(o disk.Objection, d disk.Disk) string {
	switch held := d.Used(); {
	case o.Reason == disk.InUse:
		return cmp.Or(o.Hint, j.release(d))
	case o.Reason == disk.NotChecked && len(d.MaybeUnder) > 0 && j.node.Pod.Value != nil:
		return "see which files the loop devices have; one whose device is gone is left by a process that was killed, and ends with a reboot of the node: " +
			shell.Command("kubectl", "-n", j.s.Install.Namespace, "exec", j.node.Pod.Value.Name, "-c", j.s.Install.Container, "--", "losetup", "-l")
	case !o.Reason.Acceptable():
		return o.Hint
	case held:
		return "" // Whatever has it comes first: it says so itself.
	}
	accept := shell.Command("--accept", string(o.Reason)+"="+j.node.Name+"/"+d.Name)
	switch o.Reason {
	case disk.HasSignature, disk.HasPartitions, disk.HasData:
		return "wipe it if its data is not needed (" + shell.Command("talosctl", "-n", orNode(j.node), "wipe", "disk", d.Name) +
			"), or link it as it is with " + accept
	default:
		return "link it anyway with " + accept
	}
}

func orNode(n snapshot.Node) string {
	if n.Address != "" {
		return n.Address
	}
	return n.Name
}

// Accepting reports whether the plan makes links that something speaks against.
func (p Plan) Accepting() bool {
	return slices.ContainsFunc(p.Links, func(l Link) bool { return l.Action == change.Create && len(l.Accepted) > 0 })
}

// Closely are the disks of a request as the probe takes them: patterns and paths.
func Closely(args []disk.Arg) []string {
	all := make([]string, 0, len(args))
	for _, a := range args {
		all = append(all, strings.TrimSpace(a.String()))
	}
	return all
}
