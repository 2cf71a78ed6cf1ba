// SPDX-License-Identifier: Apache-2.0

package link

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/internal/shell"
	"github.com/talosdisk/kubectl-talosdisk/pkg/change"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/nodescript"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// UnlinkKind is the kind of a plan that removes links.
const UnlinkKind = "UnlinkPlan"

// Reasons that a link is not removed.
const (
	Claimed  disk.Reason = "claimed"
	Cleaning disk.Reason = "cleaning"
	Released disk.Reason = "released"
	NotALink disk.Reason = "not-a-link"
	NotOurs  disk.Reason = "not-a-disk-link"
	NotKnown disk.Reason = "unknown"
)

// ErrChanged says that a volume changed since it was read, so that nothing was
// done to it.
var ErrChanged = errors.New("it changed meanwhile")

// UnlinkRequest is what a person asks to remove.
type UnlinkRequest struct {
	// Names are names of links, or globs of them.
	Names []string
	// Class is the only class to look in; empty: every Block class.
	Class string
}

// DecideUnlink plans which links are removed. A name that no node has is an
// error, and nothing is to be touched then.
func DecideUnlink(s *snapshot.Snapshot, r UnlinkRequest) (Plan, error) {
	classes, err := unlinkClasses(s.Install, r.Class)
	if err != nil {
		return Plan{}, err
	}
	p := Plan{
		TypeMeta:    metav1.TypeMeta{APIVersion: APIVersion, Kind: UnlinkKind},
		Provisioner: s.Install.Namespace + "/" + s.Install.Name,
	}
	looked := false
	matched := make(map[string]bool)
	x := NewDevices(s)
	for _, node := range s.Nodes {
		if node.View.Value == nil {
			for _, name := range r.Names {
				l := newLink(node, classes[0], name, "")
				l.Action, l.Detail = change.Skip, node.View.Why().Message
				p.Links = append(p.Links, l)
			}
			continue
		}
		looked = true
		for _, class := range classes {
			dir := node.View.Value.Dirs[class.Name]
			if why := unread(dir); why != "" {
				for _, name := range r.Names {
					l := newLink(node, class, name, "")
					l.Action, l.Detail = change.Skip, fmt.Sprintf("the directory of class %s: %s", class.Name, why)
					p.Links = append(p.Links, l)
					matched[name] = true
				}
				continue
			}
			for _, e := range dir.Entries {
				for _, name := range r.Names {
					if ok, _ := path.Match(name, e.Name); !ok && name != e.Name {
						continue
					}
					matched[name] = true
					p.Links = append(p.Links, x.decideUnlink(node, class, e))
					break
				}
			}
		}
	}
	var absent []string
	for _, name := range r.Names {
		if looked && !matched[name] {
			absent = append(absent, strconv.Quote(name))
		}
	}
	if len(absent) == 0 {
		return p, nil
	}
	hint := "kubectl talosdisk disks"
	if len(matched) > 0 {
		hint = "nothing was done; leave out what is not there, or see what is: " + hint
	}
	return Plan{}, failure.New(fmt.Sprintf("no node has a link %s in the directory of %s", strings.Join(absent, " or "), classNames(classes)),
		hint)
}

func unlinkClasses(install provisioner.Install, name string) ([]provisioner.Class, error) {
	var blocks []provisioner.Class
	var names, all []string
	for _, c := range install.Classes {
		all = append(all, c.Name)
		if c.Mode == provisioner.Block {
			blocks, names = append(blocks, c), append(names, c.Name)
		}
	}
	if name != "" || len(blocks) == 0 {
		class, err := chooseClass(install, name, names, all)
		return []provisioner.Class{class}, err
	}
	return blocks, nil
}

func classNames(classes []provisioner.Class) string {
	var names []string
	for _, c := range classes {
		names = append(names, c.Name)
	}
	return "class " + strings.Join(names, " or ")
}

func (x *Devices) decideUnlink(node snapshot.Node, class provisioner.Class, e provisioner.Entry) Link {
	s, set := x.s, x.Set(node.Name)
	l := newLink(node, class, e.Name, e.Name)
	l.Action, l.Target = change.Remove, e.Target
	if d, ok := set.ByNumber(e.Device); ok {
		l.Disk, l.Size, l.Device, l.Identity = d.Name, d.Size, d.Number, set.Identity(d)
	}
	switch {
	case e.Kind != provisioner.Link:
		l.object(NotALink, "", "is a %s, not a link", e.Kind)
	case !strings.HasPrefix(path.Clean(e.Target), "/dev/"):
		l.object(NotOurs, "", "holds %s, which is not below /dev", e.Target)
	}
	for _, v := range volumesOf(s, l) {
		if v.Name == l.Volume {
			l.VolumeState = v.Phase
		} else {
			l.Warnings = append(l.Warnings, fmt.Sprintf("volume %s is not the provisioner's, and stays without its link", v.Name))
		}
		if o, bad := keeps(s, v); bad {
			l.object(o.Reason, o.Hint, "%s", o.Message)
		}
	}
	return l
}

// keeps is why a volume still needs its link.
func keeps(s *snapshot.Snapshot, v snapshot.Volume) (disk.Objection, bool) {
	claim := "a claim"
	if v.Claim != nil {
		claim = "claim " + v.Claim.String()
	}
	switch v.Phase {
	case "Available", "Pending":
		if v.Claim == nil {
			return disk.Objection{}, false
		}
		// Pre-bound: a claim is about to get it.
		return disk.Objection{
			Reason:  Claimed,
			Message: fmt.Sprintf("is reserved: volume %s is for %s", v.Name, claim),
			Hint:    shell.Command("kubectl", "get", "pv", v.Name),
		}, true
	case "Bound":
		by := ""
		if v.Claim != nil {
			switch pods := s.Users.Value; {
			case pods == nil:
				by = fmt.Sprintf(" (which pods use it is unknown: %s)", s.Users.Why())
			case len((*pods)[*v.Claim]) > 0:
				by = ", used by " + podNames(v.Claim.Namespace, (*pods)[*v.Claim])
			}
		}
		hint := ""
		if v.Claim != nil {
			hint = "delete the claim if its data is not needed: " + shell.Command("kubectl", "-n", v.Claim.Namespace, "delete", "pvc", v.Claim.Name)
		}
		return disk.Objection{Reason: Claimed, Message: fmt.Sprintf("is in use: volume %s is bound to %s%s", v.Name, claim, by), Hint: hint}, true
	case "Released", "Failed":
		if v.ReclaimPolicy == "Delete" {
			return disk.Objection{
				Reason:  Cleaning,
				Message: fmt.Sprintf("is being cleaned: volume %s is %s, and the cleaner needs the link", v.Name, v.Phase),
				Hint:    "wait until it is Available again: " + shell.Command("kubectl", "get", "pv", v.Name, "-w"),
			}, true
		}
		return disk.Objection{
			Reason: Released,
			Message: fmt.Sprintf("still holds the data of %s: volume %s is %s and is not cleaned by itself; a new link would publish it as an empty disk",
				claim, v.Name, v.Phase),
			Hint: "wipe the disk, then: " + shell.Command("kubectl", "delete", "pv", v.Name),
		}, true
	}
	return disk.Objection{
		Reason:  NotKnown,
		Message: fmt.Sprintf("may be in use: volume %s has phase %q", v.Name, v.Phase),
		Hint:    shell.Command("kubectl", "get", "pv", v.Name),
	}, true
}

func podNames(namespace string, names []string) string {
	full := make([]string, 0, len(names))
	for _, n := range names {
		full = append(full, "pod "+namespace+"/"+n)
	}
	return strings.Join(full, ", ")
}

// Unlink removes the links that the plan means to remove, then their
// volumes. A volume that was bound meanwhile gets its link back.
func Unlink(ctx context.Context, p *Plan, classes []provisioner.Class, r Runner, volumes Volumes) {
	todo := begin(p, change.Remove)
	act(ctx, todo, r, func(l *Link) nodescript.Step { return nodescript.UnlinkStep(dirOf(*l, classes), l.Entry, l.Target) }, unlinked)
	var back []*Link
	why := make(map[*Link]kept)
	for _, l := range todo {
		if l.Result != change.Unlinked {
			continue
		}
		if keep := dropVolume(ctx, l, volumes); keep.why != "" {
			why[l] = keep
			back = append(back, l)
		}
	}
	putBack(ctx, back, why, classes, r)
}

// putBack makes links again whose volumes are still there, even if the run was
// interrupted just now.
func putBack(ctx context.Context, back []*Link, why map[*Link]kept, classes []provisioner.Class, r Runner) {
	if len(back) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 4*lookAgain)
	defer cancel()
	act(ctx, back, r, func(l *Link) nodescript.Step { return nodescript.RestoreStep(dirOf(*l, classes), l.Entry, l.Target) }, linked)
	for _, l := range back {
		switch l.Result {
		case change.Created, change.Unchanged:
			l.Result, l.Detail = why[l].result, why[l].why+"; the link is back"
		case change.Unknown:
			l.Detail = fmt.Sprintf("%s; whether the link is back is unknown: %s", why[l].why, l.Detail)
		default:
			l.Result, l.Detail = change.Failed, fmt.Sprintf("%s; the link could not be put back: %s", why[l].why, l.Detail)
		}
	}
}

// unlinked tells from a second look whether a link was removed.
func unlinked(l *Link, e provisioner.Entry, exists bool) change.Result {
	switch {
	case !exists:
		return change.Unlinked
	case e.Target == l.Target:
		return change.NotDone
	}
	return change.Failed
}

// kept is a volume that is still there, so that its link must be, too.
type kept struct {
	// result of the unlinking.
	result change.Result
	// why is empty if no volume is left.
	why string
}

// dropVolume deletes the volume of a link that is gone. Whatever is not known to
// have been deleted is kept.
func dropVolume(ctx context.Context, l *Link, volumes Volumes) kept {
	v, err := volumes.Get(ctx, l.Volume)
	switch {
	case err != nil:
		return kept{change.Failed, fmt.Sprintf("volume %s could not be read: %s", l.Volume, err)}
	case v == nil || v.Path != l.HostPath || v.Node != l.Node:
		l.VolumeState = "none"
		return kept{}
	}
	if o, bad := keeps(&snapshot.Snapshot{}, *v); bad {
		return kept{change.Refused, o.Message}
	}
	switch err := volumes.Delete(ctx, *v); {
	case errors.Is(err, ErrChanged):
		return kept{change.Refused, fmt.Sprintf("volume %s changed while it was deleted", v.Name)}
	case err != nil:
		return kept{change.Failed, fmt.Sprintf("volume %s could not be deleted: %s", v.Name, err)}
	}
	l.VolumeState = "deleted"
	return kept{}
}

// DiscoveryPeriod is how often the provisioner looks into its directories
// (cmd/main.go, v2.9.0): a look that began before a link was removed can make its
// volume once more.
const DiscoveryPeriod = 10 * time.Second

// Settle waits for one discovery period and deletes volumes that a look which was
// under way brought back. One that was bound meanwhile gets its link back.
func Settle(ctx context.Context, p *Plan, classes []provisioner.Class, r Runner, volumes Volumes,
	wait func(context.Context, time.Duration) error) error {
	gone := false
	for _, l := range p.Links {
		gone = gone || l.Result == change.Unlinked
	}
	if !gone {
		return nil
	}
	if err := wait(ctx, DiscoveryPeriod+time.Second); err != nil {
		return err
	}
	var back []*Link
	why := make(map[*Link]kept)
	for i := range p.Links {
		l := &p.Links[i]
		if l.Result != change.Unlinked {
			continue
		}
		v, err := volumes.Get(ctx, l.Volume)
		switch {
		case err != nil:
			l.Detail = fmt.Sprintf("whether volume %s came back is unknown: %s", l.Volume, err)
		case v != nil && !v.Deleting:
			if keep := dropVolume(ctx, l, volumes); keep.why != "" {
				why[l] = kept{change.Failed, "the volume came back: " + keep.why}
				back = append(back, l)
			}
		}
	}
	putBack(ctx, back, why, classes, r)
	return nil
}
