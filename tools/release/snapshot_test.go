// SPDX-License-Identifier: Apache-2.0

package release

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// configuration is .goreleaser.yaml, to be changed here and there.
type configuration map[string]any

// configured reads the configuration of a tree, with another directory to write to.
func configured(t *testing.T, tree, dist string) configuration {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(tree, ".goreleaser.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	c := configuration{}
	if err := yaml.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	c["dist"] = dist
	return c
}

// only leaves one platform of all.
func (c configuration) only(t *testing.T, system, arch string) {
	t.Helper()
	builds, _ := c["builds"].([]any)
	if len(builds) != 1 {
		t.Fatalf("there are %d builds", len(builds))
	}
	build, _ := builds[0].(map[string]any)
	build["goos"], build["goarch"] = []string{system}, []string{arch}
}

// build runs goreleaser in a tree, as "make snapshot" does, and returns what it wrote.
func (c configuration) build(t *testing.T, tree string, env ...string) distribution {
	t.Helper()
	text, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "goreleaser.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	dist := fmt.Sprint(c["dist"])
	cmd := exec.CommandContext(t.Context(), ".ci/release", "snapshot", file, dist)
	cmd.Dir, cmd.Env = tree, append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output() // It takes minutes.
	if err := cmd.Run(); err != nil {
		t.Fatalf("goreleaser: %v", err)
	}
	return distribution{dir: dist, sums: readSums(t, filepath.Join(dist, "checksums.txt"))}
}

// distribution is what goreleaser made.
type distribution struct {
	dir  string
	sums map[string]string // of the archives, by name
}

func readSums(t *testing.T, file string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	sums := make(map[string]string)
	for line := range strings.Lines(string(text)) {
		sum, name, ok := strings.Cut(strings.TrimSpace(line), "  ")
		if !ok {
			t.Fatalf("%s has the line %q", file, line)
		}
		if strings.HasSuffix(name, ".tar.gz") { // Not a list of what is in one.
			sums[name] = sum
		}
	}
	return sums
}

// archive is the name of the archive for a platform.
func (d distribution) archive(t *testing.T, system, arch string) string {
	t.Helper()
	var found []string
	for name := range d.sums {
		if strings.HasSuffix(name, "_"+system+"_"+arch+".tar.gz") {
			found = append(found, name)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%s has the archives %q for %s %s", d.dir, found, system, arch)
	}
	return found[0]
}

// run runs a command, and shows what it said if it failed.
func run(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	var stdout, both strings.Builder
	cmd.Stdout = io.MultiWriter(&stdout, &both)
	cmd.Stderr = &both
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, both.String())
	}
	return stdout.String()
}
