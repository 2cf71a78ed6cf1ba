// SPDX-License-Identifier: Apache-2.0

package talos

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/cel-go/cel"
	"github.com/siderolabs/talos/pkg/machinery/api/resource/definitions/block"
	"github.com/siderolabs/talos/pkg/machinery/cel/celenv"

	"github.com/talosdisk/kubectl-talosdisk/pkg/machineconfig"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talosrelease"
)

// What selectors may cost in all: a node's configuration is a stranger's, and an expression can loop.
const (
	maxSelectors  = 512
	maxExpression = 8192 // bytes
	maxCost       = 1_000_000
)

// Select tells which of the node's disks each selector matches, of an existing volume which of the volumes that Talos discovered, by the
// CEL environments in which Talos evaluates them. os:reader may ask.
func (n *Node) Select(ctx context.Context, selectors []machineconfig.VolumeSelector) ([]snapshot.Selection, error) {
	switch {
	case len(selectors) == 0:
		return []snapshot.Selection{}, nil
	case len(selectors) > maxSelectors:
		return nil, fail(ErrAnswer, fmt.Sprintf("%s has %d volumes with a selector, more than %d", configNoun, len(selectors), maxSelectors), "",
			"")
	}
	var from candidates
	err := list(ctx, n, blockKind(talosrelease.Disks),
		func(id string, s *block.DiskSpec) { from.disks = append(from.disks, named[block.DiskSpec]{id, s}) })
	if err != nil {
		return nil, err
	}
	system, err := n.systemDisk(ctx)
	if err != nil && !errors.Is(err, ErrNotFound) { // Talos may name none.
		return nil, err
	}
	from.system = system.Value
	if slices.ContainsFunc(selectors, machineconfig.VolumeSelector.Existing) {
		err := list(ctx, n, blockKind(talosrelease.DiscoveredVolumes), func(id string, s *block.DiscoveredVolumeSpec) {
			from.volumes = append(from.volumes, named[block.DiscoveredVolumeSpec]{id, s})
		})
		if err != nil {
			return nil, err
		}
	}
	return from.selections(ctx, selectors), context.Cause(ctx)
}

// Matcher evaluates selectors on disks that were observed. It asks no node.
type Matcher struct{}

// Match tells which of the disks each selector matches, as Select does. system is the name of the disk that the node lives on.
func (Matcher) Match(disks []snapshot.TalosDisk, system string, selectors []machineconfig.VolumeSelector) []snapshot.Selection {
	from := candidates{system: &system}
	for _, d := range disks {
		from.disks = append(from.disks, named[block.DiskSpec]{d.Name, &block.DiskSpec{
			DevPath: d.Path(), Size: d.Size, Readonly: d.ReadOnly, Cdrom: d.CDROM, Rotational: d.Rotational, Transport: d.Transport,
			Model: d.Model, Serial: d.Serial, Wwid: d.WWID, Symlinks: d.Symlinks, SecondaryDisks: d.Secondaries,
		}})
	}
	return from.selections(context.Background(), selectors) // What it costs is bounded.
}

// selections are what selectors match among the candidates.
func (c candidates) selections(ctx context.Context, selectors []machineconfig.VolumeSelector) []snapshot.Selection {
	selections := make([]snapshot.Selection, 0, len(selectors))
	left := uint64(maxCost)
	for _, s := range selectors {
		selection := snapshot.Selection{VolumeSelector: s}
		matcher, err := newMatcher(s)
		if err == nil {
			selection.NamesSystemDisk = matcher.namesSystemDisk
			if s.Existing() {
				selection.Volumes, err = matcher.among(ctx, c.ofVolume(), &left)
			} else {
				selection.Disks, err = matcher.among(ctx, c.ofDisk(s), &left)
			}
		}
		if err != nil {
			selection.Disks, selection.Volumes, selection.Problem = nil, nil, brief(err.Error())
		}
		selections = append(selections, selection)
	}
	return selections
}

// matcher is a selector that is ready to be evaluated.
type matcher struct {
	program         cel.Program
	existing        bool
	namesSystemDisk bool
}

const (
	variableDisk       = "disk"
	variableSystemDisk = "system_disk"
	variableVolume     = "volume"
)

func newMatcher(s machineconfig.VolumeSelector) (m matcher, err error) {
	if len(s.Match) > maxExpression {
		return m, fmt.Errorf("the expression is longer than %d bytes", maxExpression)
	}
	env := celenv.DiskLocator()
	if s.Existing() {
		env = celenv.VolumeLocator()
	}
	ast, issues := env.Compile(s.Match)
	if err := issues.Err(); err != nil {
		return m, err
	}
	if !ast.OutputType().IsExactType(cel.BoolType) {
		return m, fmt.Errorf("the expression is of type %s, and not bool", ast.OutputType())
	}
	for _, reference := range ast.NativeRep().ReferenceMap() {
		m.namesSystemDisk = m.namesSystemDisk || reference.Name == variableSystemDisk
	}
	m.existing = s.Existing()
	m.program, err = env.Program(ast, cel.CostLimit(maxCost), cel.InterruptCheckFrequency(1000))
	return m, err
}

// named is a resource with its ID.
type named[T any] struct {
	id   string
	spec *T
}

// candidates are what a selector can match, in the order of their IDs, which is Talos's too.
type candidates struct {
	disks   []named[block.DiskSpec]
	system  *string
	volumes []named[block.DiscoveredVolumeSpec]
}

// candidate is one of them, as an expression knows it.
type candidate struct {
	id        string
	variables map[string]any
}

// ofDisk are the disks that a volume can be made on.
func (c candidates) ofDisk(s machineconfig.VolumeSelector) []candidate {
	var all []candidate
	for _, d := range c.disks {
		if d.spec.GetReadonly() { // Talos passes them by.
			continue
		}
		variables := map[string]any{variableDisk: d.spec}
		// For a whole disk the selector is the volume's locator, and that knows the disk alone
		// (Talos v1.12 to v1.14; siderolabs/talos#13301).
		if !s.Whole() && c.system != nil {
			variables[variableSystemDisk] = d.id == *c.system
		}
		all = append(all, candidate{d.id, variables})
	}
	return all
}

// ofVolume are the volumes that can be an existing one: whole disks and partitions, each with the disk that it is on, if Talos has a Disk
// of it (internal/app/machined/pkg/controllers/block/internal/volumes/locate.go, Talos v1.11 to v1.14).
func (c candidates) ofVolume() []candidate {
	disks := make(map[string]*block.DiskSpec, len(c.disks))
	for _, d := range c.disks {
		disks[d.spec.GetDevPath()] = d.spec
	}
	all := make([]candidate, 0, len(c.volumes))
	for _, v := range c.volumes {
		variables := map[string]any{variableVolume: v.spec}
		if d := disks[cmp.Or(v.spec.GetParentDevPath(), v.spec.GetDevPath())]; d != nil {
			variables[variableDisk] = d
		}
		all = append(all, candidate{v.id, variables})
	}
	return all
}

// among are the IDs of those that match, in their order. What it costs is taken from left.
func (m matcher) among(ctx context.Context, candidates []candidate, left *uint64) ([]string, error) {
	var matching []string
	for _, c := range candidates {
		out, details, err := m.program.ContextEval(ctx, c.variables)
		if details != nil && details.ActualCost() != nil {
			spent := *details.ActualCost()
			if spent >= *left {
				return nil, fmt.Errorf("the selectors take too long to evaluate")
			}
			*left -= spent
		}
		switch {
		case err != nil && m.existing && len(matching) > 0:
			continue // Talos ends at the first that matches.
		case err != nil:
			return nil, fmt.Errorf("it fails on %s: %w", c.id, err)
		}
		if matches, ok := out.Value().(bool); ok && matches {
			matching = append(matching, c.id)
		}
	}
	return matching, nil
}
