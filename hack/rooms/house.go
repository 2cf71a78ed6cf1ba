// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
)

const module = "github.com/talosdisk/kubectl-talosdisk/"

// layer is a part of the program in which packages have the same task. Imports lead downwards, or to a package of the same layer.
type layer struct {
	name     string
	packages []string
}

// layers are all of them, the command line first. What only tests use is left out.
func layers() []layer {
	return []layer{
		{name: "command line", packages: []string{"cmd/kubectl-talosdisk", "pkg/cmd", "pkg/output", "docs"}},
		{name: "engine", packages: []string{"pkg/cluster"}},
		{name: "observe", packages: []string{"pkg/observe"}},
		{name: "reach", packages: []string{"pkg/kube", "pkg/talos", "pkg/exec"}},
		{name: "decide", packages: []string{"pkg/doctor", "pkg/layout", "pkg/link", "pkg/rollout"}},
		{name: "understand", packages: []string{"pkg/nodescript", "pkg/kubeletprobe"}},
		{
			name: "values",
			packages: []string{"pkg/snapshot", "pkg/mounts", "pkg/provisioner", "pkg/disk", "pkg/change", "pkg/problem", "pkg/rights",
				"pkg/talosrelease", "pkg/machineconfig"},
		},
		{name: "leaves", packages: []string{"internal/failure", "internal/shell", "internal/version"}},
	}
}

// imports are the packages of this module that each package imports, by their paths below the module's.
type imports map[string][]string

// list asks go list. Packages that only tests import are no part of the program.
func list(ctx context.Context, dir string) (imports, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-deps", "-json=ImportPath,Imports", "./cmd/...")
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	found := make(imports)
	decoder := json.NewDecoder(out)
	for {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err = decoder.Decode(&p); err != nil {
			break
		}
		from, ours := strings.CutPrefix(p.ImportPath, module)
		if !ours {
			continue
		}
		found[from] = nil
		for _, i := range p.Imports {
			if to, ours := strings.CutPrefix(i, module); ours {
				found[from] = append(found[from], to)
			}
		}
	}
	if !errors.Is(err, io.EOF) {
		return nil, errors.Join(err, cmd.Wait())
	}
	return found, cmd.Wait()
}

// row are packages that are drawn side by side. The first row of a layer has its name.
type row struct {
	layer    string
	packages []string
}

// arrange puts the packages into rows, so that every import leads to a lower row.
func arrange(layers []layer, all imports) ([]row, error) {
	layerOf := make(map[string]int)
	for i, l := range layers {
		for _, p := range l.packages {
			if _, there := all[p]; !there {
				return nil, fmt.Errorf("layer %q names package %q, which the program does not have", l.name, p)
			}
			layerOf[p] = i
		}
	}
	for _, from := range slices.Sorted(maps.Keys(all)) {
		at, placed := layerOf[from]
		if !placed {
			return nil, fmt.Errorf("package %q is in no layer", from)
		}
		for _, to := range all[from] {
			if lower, placed := layerOf[to]; placed && lower < at {
				return nil, fmt.Errorf("%s of layer %q imports %s of layer %q, which is above it", from, layers[at].name, to, layers[lower].name)
			}
		}
	}
	var rows []row
	for i, l := range layers {
		depth := make(map[string]int)
		for _, p := range l.packages {
			depth[p] = above(p, all, func(q string) bool { return layerOf[q] == i })
		}
		for d := 0; d <= slices.Max(slices.Collect(maps.Values(depth))); d++ {
			r := row{}
			if d == 0 {
				r.layer = l.name
			}
			for _, p := range l.packages {
				if depth[p] == d {
					r.packages = append(r.packages, p)
				}
			}
			rows = append(rows, r)
		}
	}
	order(rows, all)
	return rows, nil
}

// above is how many packages of the same layer stand above p, one upon the other. Go has no import in a circle.
func above(p string, all imports, within func(string) bool) int {
	deepest := 0
	for from, to := range all {
		if within(from) && slices.Contains(to, p) {
			deepest = max(deepest, 1+above(from, all, within))
		}
	}
	return deepest
}

// order puts each package of a row below the middle of those that import it.
func order(rows []row, all imports) {
	at := make(map[string]float64)
	for _, r := range rows {
		middle := make(map[string]float64)
		for _, p := range r.packages {
			sum, n := 0.0, 0.0
			for _, from := range slices.Sorted(maps.Keys(all)) {
				if x, placed := at[from]; placed && slices.Contains(all[from], p) {
					sum, n = sum+x, n+1
				}
			}
			if middle[p] = 0.5; n > 0 {
				middle[p] = sum / n
			}
		}
		slices.SortStableFunc(r.packages, func(a, b string) int { return cmp.Compare(middle[a], middle[b]) })
		for i, p := range r.packages {
			at[p] = (float64(i) + 0.5) / float64(len(r.packages))
		}
	}
}

// direct leaves out each import that another one has already brought: a picture with all of them shows nothing.
func direct(all imports) imports {
	kept := make(imports)
	for from, to := range all {
		for _, p := range to {
			if !slices.ContainsFunc(to, func(q string) bool { return q != p && reaches(all, q, p) }) {
				kept[from] = append(kept[from], p)
			}
		}
	}
	return kept
}

func reaches(all imports, from, to string) bool {
	return slices.ContainsFunc(all[from], func(p string) bool { return p == to || reaches(all, p, to) })
}
