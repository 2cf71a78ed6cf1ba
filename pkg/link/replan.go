// SPDX-License-Identifier: Apache-2.0

package link

import (
	"fmt"
	"slices"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/change"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// Check reports whether a plan that was read from a file is one that can be
// performed, before any node is looked at.
func (p Plan) Check() error {
	if p.APIVersion != APIVersion || p.Kind != Kind {
		return failure.New(fmt.Sprintf("the file holds a %q of %q, not a %s of %s", p.Kind, p.APIVersion, Kind, APIVersion),
			"make one with: kubectl talosdisk link DISK... --dry-run=server -o yaml")
	}
	if len(p.Links) == 0 {
		return failure.New("the plan has no links", "")
	}
	for i, l := range p.Links {
		switch l.Action {
		case change.Create, change.Keep:
		case change.Refuse, change.Skip:
			continue
		default:
			return failure.New(fmt.Sprintf("link %d of the plan has the action %q, which is none", i+1, l.Action), "")
		}
		if _, err := l.arg(); err != nil {
			return failure.New(fmt.Sprintf("link %d of the plan: %s", i+1, err), "")
		}
		if err := disk.CheckEntry(l.Entry); err != nil {
			return failure.New(fmt.Sprintf("link %d of the plan: %s", i+1, err), "")
		}
		if l.Node == "" || l.Class == "" || l.Fingerprint == "" && l.Action == change.Create {
			return failure.New(fmt.Sprintf("link %d of the plan has no node, class or fingerprint", i+1), "")
		}
	}
	return nil
}

// Disks are the disks of the plan's links, as the probe takes them.
func (p Plan) Disks() []string {
	var names []string
	for _, l := range p.Links {
		if (l.Action == change.Create || l.Action == change.Keep) && !slices.Contains(names, l.Disk) {
			names = append(names, l.Disk)
		}
	}
	return names
}

// Nodes are the nodes of the plan's links.
func (p Plan) Nodes() []string {
	var names []string
	for _, l := range p.Links {
		if !slices.Contains(names, l.Node) {
			names = append(names, l.Node)
		}
	}
	return names
}

func (l Link) arg() (disk.Arg, error) {
	arg, err := disk.ParseArg(l.Disk)
	if err == nil && arg.Name == "" {
		err = fmt.Errorf("disk %q is not a name in /dev", l.Disk)
	}
	return arg, err
}

// DecideAgain plans the links of an earlier plan again and refuses what is no
// longer as it was then. What the earlier plan refused stays refused.
func DecideAgain(s *snapshot.Snapshot, earlier Plan) (Plan, error) {
	if err := earlier.Check(); err != nil {
		return Plan{}, err
	}
	if now := s.Install.Namespace + "/" + s.Install.Name; now != earlier.Provisioner {
		return Plan{}, failure.New(fmt.Sprintf("the plan was made for provisioner %q, and this one is %q", earlier.Provisioner, now), "")
	}
	p := Plan{TypeMeta: earlier.TypeMeta, Provisioner: earlier.Provisioner}
	x := NewDevices(s)
	before := make(map[string]*planned)
	for _, then := range earlier.Links {
		// What became of an earlier run of it is nothing that this one has seen.
		then.Result, then.VolumeState = "", ""
		if then.Action != change.Create && then.Action != change.Keep {
			p.Links = append(p.Links, then)
			continue
		}
		now, err := x.decideOne(then)
		if err != nil {
			return Plan{}, err
		}
		if before[now.Node] == nil {
			before[now.Node] = newPlanned(x.Set(now.Node))
		}
		before[now.Node].add(&now)
		p.Links = append(p.Links, now)
	}
	x.compareNodes(p.Links)
	return p, nil
}

func (x *Devices) decideOne(then Link) (Link, error) {
	arg, err := then.arg()
	if err != nil {
		return Link{}, err
	}
	node, there := x.chosen.NodeByName(then.Node)
	if !there {
		then.Action, then.Detail = change.Skip, "the node is not in the cluster, or not among the chosen ones"
		return then, nil
	}
	r := Request{Disks: []disk.Arg{arg}, Class: then.Class, As: then.Entry}
	for _, o := range then.Accepted {
		r.Accept = append(r.Accept, Acceptance{Reason: o.Reason, Node: then.Node, Disk: then.Disk})
	}
	if err := Check(x.chosen, r); err != nil {
		return Link{}, err
	}
	class, err := ChooseClass(x.s.Install, r.Class)
	if err != nil {
		return Link{}, err
	}
	now := x.decideNode(node, r, class)[0]
	if now.Action != change.Create {
		return now, nil
	}
	switch {
	case then.NodeUID != node.UID:
		now.object(disk.DeviceChanged, "", "is on another node of that name than the plan was made for")
	case then.Action == change.Keep:
		now.object(disk.DeviceChanged, "make a new plan", "was linked when the plan was made, and is not now")
	case then.Fingerprint != now.Fingerprint:
		now.object(disk.DeviceChanged, "make a new plan", "has changed since the plan was made")
	case then.Target != now.Target:
		// The plan's own choice of name is as good as ours while it leads to the disk.
		if number, known := node.View.Value.Paths[then.Target]; !leadsTo(then.Target, now, known, number) {
			now.object(disk.DeviceChanged, "make a new plan", "is no longer where %s leads", then.Target)
		} else {
			now.Target = then.Target
			if !disk.StableTarget(now.Target) {
				now.Warnings = append(now.Warnings, unstable(now.Target))
			}
		}
	}
	return now, nil
}

// leadsTo reports whether a target of the earlier plan names the disk still.
func leadsTo(target string, l Link, known bool, number disk.Number) bool {
	if known {
		return number == l.Device
	}
	return slices.ContainsFunc(l.Identity.ByID, func(n string) bool { return target == "/dev/disk/by-id/"+n }) ||
		slices.ContainsFunc(l.Identity.ByPath, func(n string) bool { return target == "/dev/disk/by-path/"+n }) ||
		target == "/dev/"+l.Disk
}
