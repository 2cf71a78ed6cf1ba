// SPDX-License-Identifier: Apache-2.0

package link

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
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
	for _, node := range s.Nodes {
		p.Links = append(p.Links, decideNode(s, node, r, class)...)
	}
	shared(p.Links)
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
			return failure.New(fmt.Sprintf("class %q has namePattern %q, which leaves out %q: the provisioner would never make a volume of it", class.Name, class.NamePattern, name),
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

func decideNode(s *snapshot.Snapshot, node snapshot.Node, r Request, class provisioner.Class) []Link {
	var links []Link
	if node.View.Value == nil {
		for _, arg := range r.Disks {
			l := newLink(node, class, arg.String(), "")
			if arg.Glob == "" {
				l = newLink(node, class, arg.String(), entryName(r, arg, disk.Disk{Name: arg.Name}))
			}
			l.Action, l.Detail = Skip, node.View.Why()
			links = append(links, l)
		}
		return links
	}
	view := *node.View.Value
	j := judge{s: s, node: node, view: view, talos: talosOf(node), class: class, request: r}
	for _, arg := range r.Disks {
		found := resolve(arg, view)
		if len(found) == 0 && arg.Glob == "" {
			l := newLink(node, class, arg.String(), entryName(r, arg, disk.Disk{Name: arg.Name}))
			l.object(disk.NotFound, "kubectl talosdisk disks --nodes "+node.Name, "does not exist on this node")
			links = append(links, l)
		}
		for _, d := range found {
			l := newLink(node, class, d.Name, entryName(r, arg, d))
			if slices.ContainsFunc(links, func(b Link) bool { return b.Device == d.Number && b.Entry == l.Entry }) {
				continue // A name and a pattern that takes it say the same.
			}
			j.disk(&l, d)
			l.contradict(view, links)
			links = append(links, l)
		}
	}
	return links
}

// contradict refuses a link that does not go with one before it in the same plan.
func (l *Link) contradict(view snapshot.PodView, before []Link) {
	if l.Action != Create {
		return
	}
	d, _ := view.DiskByNumber(l.Device.String())
	for _, b := range before {
		if b.Node != l.Node || b.Action != Create && b.Action != Unchanged {
			continue
		}
		other, _ := view.DiskByNumber(b.Device.String())
		switch {
		case overlap(view, d, other):
			l.object(disk.AlreadyLinked, "", "is asked for twice, as %s and as %s", b.Entry, l.Entry)
			return
		case b.Class == l.Class && b.Entry == l.Entry:
			l.object(disk.NameTaken, "", "cannot be linked as %s: %s is asked for under that name", l.Entry, b.Disk)
			return
		}
	}
}

// overlap tells whether two devices of a node lie on the same bytes: one device,
// two paths to one, one below the other.
func overlap(view snapshot.PodView, a, b disk.Disk) bool {
	return a.Number == b.Number || a.WWID != "" && a.WWID == b.WWID || stacked(view, a, b, 0) || stacked(view, b, a, 0)
}

// stacked tells whether a device is a partition of another one, or made of it.
func stacked(view snapshot.PodView, upper, lower disk.Disk, depth int) bool {
	const deepest = 16 // A view that was made up may go in circles.
	return depth < deepest && slices.ContainsFunc(view.Disks, func(d disk.Disk) bool {
		below := upper.Kind == disk.KindPartition && d.Name == upper.Parent || d.Kernel != "" && slices.Contains(upper.Slaves, d.Kernel)
		return below && (d.Number == lower.Number || stacked(view, d, lower, depth+1))
	})
}

// resolve finds the disks of an argument on a node.
func resolve(arg disk.Arg, view snapshot.PodView) []disk.Disk {
	var found []disk.Disk
	for _, d := range view.Disks {
		number, known := view.Paths[arg.Path]
		if arg.Matches(d) || arg.Name != "" && arg.Name == d.Name || arg.Path != "" && known && number == d.Number {
			found = append(found, d)
		}
	}
	return found
}

func newLink(node snapshot.Node, class provisioner.Class, name, entry string) Link {
	l := Link{Kind: "Link", Metadata: Metadata{Name: node.Name + "/" + name}, Node: node.Name, NodeUID: node.UID, Disk: name, Class: class.Name, Entry: entry, Action: Create}
	if entry != "" {
		l.Path, l.HostPath = class.EntryPath(entry), class.VolumePath(entry)
		l.Volume = provisioner.PVName(entry, node.Name, class.Name)
	}
	return l
}

func (l *Link) object(r disk.Reason, hint, format string, args ...any) {
	l.Action = Refuse
	l.Objections = append(l.Objections, disk.Objection{Reason: r, Message: fmt.Sprintf(format, args...), Hint: hint})
}

// judge decides on the disks of one node.
type judge struct {
	s       *snapshot.Snapshot
	node    snapshot.Node
	view    snapshot.PodView
	talos   talos
	class   provisioner.Class
	request Request
}

func (j judge) disk(l *Link, d disk.Disk) {
	l.Size, l.Device, l.Identity, l.Fingerprint = d.Size, d.Number, d.Identity(), d.Fingerprint
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
	for _, c := range j.s.Install.Classes {
		if c.Name != j.class.Name && c.HostDir == j.class.HostDir && c.Publishes(l.Entry) {
			l.object(disk.OtherClass, fmt.Sprintf("kubectl -n %s edit configmap %s", j.s.Install.Namespace, j.s.Install.ConfigMap),
				"would be published by class %s (%s) too, which has the same hostDir", c.Name, c.Mode)
		}
	}
	target, warning, err := d.Target(j.request.Target)
	if err != nil {
		l.object(disk.NoStableName, "--target auto takes the best name there is", "%s", err)
	}
	l.Target = target
	if warning != "" {
		l.Warnings = append(l.Warnings, warning)
	}
	for _, o := range d.Objections() {
		if accepts(j.request.Accept, o.Reason, j.node.Name, d.Name) {
			l.Accepted = append(l.Accepted, o)
			continue
		}
		o.Hint = j.hint(o, d)
		l.Action = Refuse
		l.Objections = append(l.Objections, o)
	}
}

// present judges a link that leads to the disk already.
func (j judge) present(l *Link, d disk.Disk, entry provisioner.Entry, volumes []snapshot.Volume) {
	l.Action, l.Target = Unchanged, entry.Target
	if !disk.StableTarget(entry.Target) {
		l.Warnings = append(l.Warnings, fmt.Sprintf("the link holds %s, which may be another disk after a reboot", entry.Target))
	}
	if other := j.otherEntry(d, j.class.Name, l.Entry); other != "" {
		l.Warnings = append(l.Warnings, fmt.Sprintf("the disk is linked as %s too: two volumes share it", other))
	}
	for _, v := range volumes {
		if v.Identity == nil {
			continue
		}
		switch v.Identity.Same(d.Identity()) {
		case disk.No:
			l.object(disk.IdentityChanged, "",
				"is another disk than the one that volume %s was made for: now %s, then %s", v.Name, d.Identity(), v.Identity)
		case disk.Unknown:
			l.Warnings = append(l.Warnings, fmt.Sprintf("whether it is still the disk that volume %s was made for is unknown: nothing identifies it", v.Name))
		}
	}
}

// directory judges the class directory of the node.
func (j judge) directory(l *Link, dir snapshot.Dir) {
	restart := fmt.Sprintf("kubectl -n %s rollout restart daemonset %s", j.s.Install.Namespace, j.s.Install.Name)
	switch {
	case !dir.Exists:
		l.object(disk.ClassDirectory, restart, "cannot be linked: the pod has no directory %s", j.class.MountDir)
	case !dir.MountPoint:
		l.object(disk.ClassDirectory, restart, "cannot be linked: %s in the pod is not the node's directory", j.class.MountDir)
	case dir.Problem != "":
		l.object(disk.ClassDirectory, "", "cannot be linked: %s could not be read (%s)", j.class.MountDir, dir.Problem)
	case !dir.Writable:
		l.object(disk.ClassDirectory, "", "cannot be linked: %s cannot be written to", j.class.MountDir)
	}
	for _, o := range unreadClasses(j.s.Install, j.view, j.class.Name) {
		l.object(o.Reason, o.Hint, "%s", o.Message)
	}
}

// system refuses the disk that the node lives on or uses itself, and every disk
// where the one that it lives on cannot be told.
func (j judge) system(l *Link, d disk.Disk) {
	_, found := j.talos.claims(d)
	for _, o := range found {
		l.object(o.Reason, o.Hint, "%s", o.Message)
	}
}

// elsewhere refuses a disk that another entry of any class leads to, or that
// another volume of the node was made for.
func (j judge) elsewhere(l *Link, d disk.Disk) {
	if other := j.otherEntry(d, j.class.Name, l.Entry); other != "" {
		l.object(disk.AlreadyLinked, "", "is linked already, as %s", other)
		return
	}
	own := func(v snapshot.Volume) bool {
		return (v.Path == l.HostPath || v.Name == l.Volume) && (v.Node == l.Node || v.Node == "")
	}
	for _, o := range volumesOver(j.s, j.node.Name, d, own) {
		l.object(o.Reason, o.Hint, "%s", o.Message)
	}
}

// otherEntry is an entry, but the one named, that leads to the disk's bytes, as
// HOSTPATH.
func (j judge) otherEntry(d disk.Disk, class, entry string) string {
	for _, c := range j.s.Install.Classes {
		for _, e := range j.view.Dirs[c.Name].Entries {
			if c.Name == class && e.Name == entry || e.Device == "" {
				continue
			}
			leads, known := j.view.DiskByNumber(e.Device)
			if e.Device == d.Number.String() || known && overlap(j.view, leads, d) {
				return c.VolumePath(e.Name)
			}
		}
	}
	return ""
}

func (j judge) describe(e provisioner.Entry) string {
	if e.Kind != provisioner.Link {
		return fmt.Sprintf("a %s of that name lies in the class directory", e.Kind)
	}
	if e.Dangling() {
		return fmt.Sprintf("the link of that name holds %s, which leads nowhere", e.Target)
	}
	if d, ok := j.view.DiskByNumber(e.Device); ok {
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
	if fits && v.Identity != nil && v.Identity.Same(d.Identity()) == disk.Yes {
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
	l.object(disk.VolumeExists, "kubectl get pv "+v.Name, "cannot be linked as %s: volume %s (%s%s) exists for %s without its link, and %s",
		l.Entry, v.Name, v.Phase, claim, v.Path, which)
}

// hint is what a person can do about an objection.
func (j judge) hint(o disk.Objection, d disk.Disk) string {
	if !o.Reason.Acceptable() {
		return o.Hint
	}
	accept := fmt.Sprintf("--accept %s=%s/%s", o.Reason, j.node.Name, d.Name)
	switch o.Reason {
	case disk.HasSignature, disk.HasPartitions:
		return fmt.Sprintf("wipe it if its data is not needed (talosctl -n %s wipe disk %s), or link it as it is with %s",
			orNode(j.node), d.Name, accept)
	default:
		return "link it all the same with " + accept
	}
}

func orNode(n snapshot.Node) string {
	if n.Address != "" {
		return n.Address
	}
	return n.Name
}

// Accepting tells whether the plan makes links that something speaks against.
func (p Plan) Accepting() bool {
	return slices.ContainsFunc(p.Links, func(l Link) bool { return l.Action == Create && len(l.Accepted) > 0 })
}

// Closely are the disks of a request as the probe takes them: patterns and paths.
func Closely(args []disk.Arg) []string {
	all := make([]string, 0, len(args))
	for _, a := range args {
		all = append(all, strings.TrimSpace(a.String()))
	}
	return all
}
