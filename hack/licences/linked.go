// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// component is something that is linked: a module, or Go's standard library.
type component struct {
	name string // "k8s.io/api v0.37.2"
	root string // its directory
	// packages are the directories of the packages that are linked, at root or below it.
	packages []string
}

// platforms are those of .goreleaser.yaml. Each links other packages.
var platforms = []string{"darwin/amd64", "darwin/arm64", "linux/amd64", "linux/arm64", "windows/amd64", "windows/arm64"}

// linked asks the go command for what is linked into the program on any platform, sorted by name.
func linked(ctx context.Context) ([]component, error) {
	found := make(map[string]component)
	for _, platform := range platforms {
		system, arch, _ := strings.Cut(platform, "/")
		out, err := run(ctx, []string{"GOOS=" + system, "GOARCH=" + arch, "CGO_ENABLED=0"}, "list", "-deps",
			"-f", "{{if and .Module (not .Module.Main)}}{{.Module.Path}} {{.Module.Version}}\t{{.Module.Dir}}\t{{.Dir}}{{end}}",
			"./cmd/kubectl-talosdisk")
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(out) {
			fields := strings.Split(strings.TrimSpace(line), "\t")
			if len(fields) != 3 {
				return nil, fmt.Errorf("go list says %q of a package", line)
			}
			c := found[fields[0]]
			if !slices.Contains(c.packages, fields[2]) {
				c = component{name: fields[0], root: fields[1], packages: append(c.packages, fields[2])}
			}
			found[fields[0]] = c
		}
	}
	out, err := run(ctx, nil, "env", "GOVERSION", "GOROOT")
	if err != nil {
		return nil, err
	}
	version, root, _ := strings.Cut(strings.TrimSpace(out), "\n")
	all := []component{{name: "Go " + strings.TrimPrefix(version, "go"), root: root, packages: []string{root}}}
	for _, c := range found {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b component) int { return strings.Compare(a.name, b.name) })
	return all, nil
}

// run runs the go command with further variables.
func run(ctx context.Context, env []string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s %s: %w", args[0], strings.Join(env, " "), err)
	}
	return string(out), nil
}

// directories are those from a component's root to a package of it, each once, sorted.
func (c component) directories() ([]string, error) {
	var all []string
	for _, dir := range c.packages {
		below, err := filepath.Rel(c.root, dir)
		if err != nil || !filepath.IsLocal(below) {
			return nil, fmt.Errorf("the package in %q is not below %q, where %q is", dir, c.root, c.name)
		}
		for ; below != "."; below = filepath.Dir(below) {
			all = append(all, filepath.Join(c.root, below))
		}
	}
	all = append(all, c.root)
	slices.Sort(all)
	return slices.Compact(all), nil
}
