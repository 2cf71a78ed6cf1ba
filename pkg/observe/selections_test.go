// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"context"
	"errors"
	"reflect"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/machineconfig"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// choosing is a node with a volume that chooses its disk.
type choosing struct {
	fakeTalos
	raw string
	err error
}

func (c choosing) Configs(context.Context) (machineconfig.Current, error) {
	return machineconfig.Current{Active: []byte(c.raw), Version: "1"}, c.config
}

func (c choosing) Select(ctx context.Context, selectors []machineconfig.VolumeSelector) ([]snapshot.Selection, error) {
	if c.err != nil {
		return nil, c.err
	}
	return c.fakeTalos.Select(ctx, selectors)
}

func TestSelectorsAreRead(t *testing.T) {
	const raw = "machine: {}\n---\napiVersion: v1alpha1\nkind: RawVolumeConfig\nname: data\nprovisioning: {diskSelector: {match: 'true'}}\n"
	selected := snapshot.Selection{
		VolumeSelector: machineconfig.VolumeSelector{Kind: "RawVolumeConfig", Name: "data", Type: "partition", Match: "true"},
		Disks:          []string{"vdb"},
	}
	for name, c := range map[string]struct {
		node *choosing // nil: Talos is not asked
		want snapshot.Section[[]snapshot.Selection]
	}{
		"one":  {node: &choosing{raw: raw}, want: snapshot.Read([]snapshot.Selection{selected})},
		"none": {node: &choosing{raw: "machine: {}\n"}, want: snapshot.Read([]snapshot.Selection{})},
		"os:reader": {
			node: &choosing{fakeTalos: fakeTalos{config: errors.New("not for you")}},
			want: snapshot.Unread[[]snapshot.Selection](problem.FromText("not for you")),
		},
		"another node": {
			node: &choosing{fakeTalos: fakeTalos{verify: errors.New("another node")}},
			want: snapshot.Unread[[]snapshot.Selection](problem.FromText("another node")),
		},
		"disks are not": {
			node: &choosing{raw: raw, err: errors.New("no answer")},
			want: snapshot.Unread[[]snapshot.Selection](problem.FromText("no answer")),
		},
		"not asked": {want: snapshot.Section[[]snapshot.Selection]{}},
	} {
		t.Run(name, func(t *testing.T) {
			observer := &Observer{Client: cluster(2).client(t)}
			if c.node != nil {
				observer.Kubelet = func(snapshot.Machine) TalosNode { return *c.node }
			}
			got := diagnoseBy(t, observer, Request{Targets: dbPod})
			n, _ := got.NodeByName("w-1")
			if !reflect.DeepEqual(n.Selections, c.want) {
				t.Errorf("%+v, not %+v", n.Selections, c.want)
			}
		})
	}
}
