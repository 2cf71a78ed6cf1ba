// SPDX-License-Identifier: Apache-2.0

package talos

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/google/cel-go/cel"
	"github.com/siderolabs/talos/pkg/machinery/api/resource/definitions/block"
	"github.com/siderolabs/talos/pkg/machinery/cel/celenv"

	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talosrelease"
)

// What selectors may cost in all: a node's configuration is a stranger's, and an expression can loop.
const (
	maxSelectors  = 512
	maxExpression = 8192 // bytes
	maxCost       = 1_000_000
)

// Select tells which of the node's disks each selector matches, by the CEL environment in which Talos
// evaluates it. os:reader may ask.
func (n *Node) Select(ctx context.Context, selectors []mounts.Selector) ([]snapshot.Selection, error) {
	selections := []snapshot.Selection{}
	switch {
	case len(selectors) == 0:
		return selections, nil
	case len(selectors) > maxSelectors:
		return nil, fail(ErrAnswer, fmt.Sprintf("%s has %d volumes with a selector, more than %d", configNoun, len(selectors), maxSelectors), "", "")
	}
	disks := make(map[string]*block.DiskSpec)
	if err := list(ctx, n, blockKind(talosrelease.Disks), func(id string, s *block.DiskSpec) { disks[id] = s }); err != nil {
		return nil, err
	}
	system, err := n.systemDisk(ctx)
	if err != nil && system.Value == nil && system.Problem != noSystemDisk {
		return nil, err
	}
	left := uint64(maxCost)
	for _, s := range selectors {
		selection := snapshot.Selection{Selector: s}
		matcher, err := newMatcher(s)
		if err == nil {
			selection.NamesSystemDisk = matcher.namesSystemDisk
			selection.Disks, err = matcher.among(ctx, disks, system.Value, &left)
		}
		if err != nil {
			selection.Disks, selection.Problem = nil, brief(err.Error())
		}
		selections = append(selections, selection)
	}
	return selections, context.Cause(ctx)
}

// matcher is a selector that is ready to be evaluated.
type matcher struct {
	program         cel.Program
	whole           bool
	namesSystemDisk bool
}

const (
	variableDisk       = "disk"
	variableSystemDisk = "system_disk"
)

func newMatcher(s mounts.Selector) (m matcher, err error) {
	if len(s.Match) > maxExpression {
		return m, fmt.Errorf("the expression is longer than %d bytes", maxExpression)
	}
	env := celenv.DiskLocator()
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
	m.whole = s.Whole()
	m.program, err = env.Program(ast, cel.CostLimit(maxCost), cel.InterruptCheckFrequency(1000))
	return m, err
}

// among are the names of the disks that match, sorted. What it costs is taken from left.
func (m matcher) among(ctx context.Context, disks map[string]*block.DiskSpec, system *string, left *uint64) ([]string, error) {
	var matching []string
	for _, id := range slices.Sorted(maps.Keys(disks)) {
		if disks[id].GetReadonly() { // Talos passes them by.
			continue
		}
		variables := map[string]any{variableDisk: disks[id]}
		// For a whole disk the selector is the volume's locator, and that knows the disk alone
		// (Talos v1.12 to v1.14; siderolabs/talos#13301).
		if !m.whole && system != nil {
			variables[variableSystemDisk] = id == *system
		}
		out, details, err := m.program.ContextEval(ctx, variables)
		if details != nil && details.ActualCost() != nil {
			spent := *details.ActualCost()
			if spent >= *left {
				return nil, fmt.Errorf("the selectors take too long to evaluate")
			}
			*left -= spent
		}
		if err != nil {
			return nil, fmt.Errorf("it fails on %s: %w", id, err)
		}
		if matches, ok := out.Value().(bool); ok && matches {
			matching = append(matching, id)
		}
	}
	return matching, nil
}
