// SPDX-License-Identifier: Apache-2.0

package link

import (
	"github.com/talosdisk/kubectl-talosdisk/pkg/change"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
)

// Want is one link that there should be: to a disk of a node, under a name.
type Want struct {
	Node, Disk, Entry string
	Target            disk.TargetMode
}

// Each decides on links of a class one by one, as Decide does on those of a request; they come in the order of wants. What is wrong with
// the class or with the provisioner is an error. A link on a node that was not observed is skipped.
func (x *Devices) Each(class string, wants []Want, accept []Acceptance) ([]Link, error) {
	c, err := ChooseClass(x.s.Install, class)
	if err != nil {
		return nil, err
	}
	if err := checkInstall(x.s, c); err != nil {
		return nil, err
	}
	all := make([]Link, 0, len(wants))
	for _, want := range wants {
		r := Request{Disks: []disk.Arg{{Name: want.Disk}}, Class: class, As: want.Entry, Target: want.Target, Accept: accept}
		node, observed := x.nodes[want.Node]
		if !observed {
			l := newLink(node, c, want.Disk, want.Entry)
			l.Node, l.Action, l.Detail = want.Node, change.Skip, "the node was not looked at"
			all = append(all, l)
			continue
		}
		all = append(all, x.decideNode(node, r, c)...)
	}
	x.compareNodes(all)
	return all, nil
}
