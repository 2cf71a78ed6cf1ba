// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/talosdisk/kubectl-talosdisk/"

// pkg is a package of this module.
type pkg struct {
	ImportPath, Name, Doc string
	// Imports are direct, Deps are all.
	Imports, Deps []string
}

func (p pkg) room() string { return strings.TrimPrefix(p.ImportPath, module) }

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Name,Doc,Imports,Deps", "./...")
	cmd.Dir = filepath.Join("..", "..")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var all []pkg
	for decoder := json.NewDecoder(out); ; {
		var p pkg
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if len(all) < 5 {
		t.Fatalf("found only %d packages", len(all))
	}
	return all
}

// in reports whether an import path is the package prefix or lies below it.
func in(importPath, prefix string) bool {
	return importPath == prefix || strings.HasPrefix(importPath, prefix+"/")
}

// only lists what may be imported directly by some rooms alone.
var only = map[string][]string{
	"github.com/spf13/cobra":                   {"pkg/cmd", "hack"},
	"github.com/siderolabs":                    {"pkg/talos"},
	"github.com/cosi-project":                  {"pkg/talos"},
	"google.golang.org/grpc":                   {"pkg/talos"},
	"k8s.io/cli-runtime/pkg/printers":          {"pkg/output"},
	"k8s.io/kubectl/pkg/cmd":                   nil,
	"golang.org/x/term":                        {"pkg/output"},
	"k8s.io/client-go/tools/remotecommand":     {"pkg/exec"},
	module + "pkg/output":                      {"pkg/cmd"},
	module + "pkg/cmd":                         {"cmd", "hack"},
	module + "pkg/cluster":                     {"pkg/cmd"},
	module + "pkg/observe":                     {"pkg/cluster", "pkg/cmd"},
	module + "pkg/exec":                        {"pkg/cluster", "pkg/kube", "pkg/observe"},
	"k8s.io/cli-runtime/pkg/genericclioptions": {"pkg/cmd", "pkg/output"},
	"k8s.io/client-go/plugin/pkg/client/auth":  {"cmd"},
	"k8s.io/apimachinery/pkg/util/version":     {"pkg/talosrelease", "pkg/rollout", "pkg/doctor"}, // The doctor compares the provisioner's.
	"github.com/blang/semver":                  nil,
	"github.com/Masterminds/semver":            nil,
	"golang.org/x/mod":                         nil,
}

func TestOnlyOneRoomKnows(t *testing.T) {
	for _, p := range packages(t) {
		for what, rooms := range only {
			if slices.ContainsFunc(rooms, func(room string) bool { return in(p.room(), room) }) || in(p.ImportPath, what) {
				continue
			}
			for _, i := range p.Imports {
				if in(i, what) {
					t.Errorf("%s imports %s, which is for %v only", p.room(), i, rooms)
				}
			}
		}
	}
}

// unlinked are what the plugin does without, and why: a package comes with all that it imports.
var unlinked = map[string]string{
	"k8s.io/client-go/kubernetes": "every group and version of the API is 8 MB; pkg/kube has a Client of those that are used",
}

func TestThePluginDoesWithout(t *testing.T) {
	seen := false
	for _, p := range packages(t) {
		for _, dep := range p.Deps {
			if why, without := unlinked[dep]; without {
				t.Errorf("%s links %s: %s", p.room(), dep, why)
			}
		}
		seen = seen || p.room() == "cmd/kubectl-talosdisk" && slices.Contains(p.Deps, "k8s.io/client-go/kubernetes/typed/core/v1")
	}
	if !seen {
		t.Error("the plugin is not among the packages, or has no client")
	}
}

// pure are the rooms that decide. They must not be able to do anything.
var pure = []string{"pkg/disk", "pkg/problem", "pkg/rights", "pkg/nodescript", "pkg/kubeletprobe", "pkg/provisioner", "pkg/snapshot",
	"pkg/link", "pkg/machineconfig", "pkg/mounts", "pkg/talosrelease", "pkg/rollout", "pkg/layout", "pkg/doctor"}

// clients are what can reach a cluster, a node or a terminal.
var clients = []string{
	"k8s.io/client-go", "k8s.io/cli-runtime", "k8s.io/kubectl", "github.com/siderolabs", "github.com/spf13/cobra", "os/exec",
	module + "pkg/exec", module + "pkg/cluster", module + "pkg/observe", module + "pkg/talos", module + "pkg/output",
}

func TestRoomsThatDecideReachNothing(t *testing.T) {
	for _, p := range packages(t) {
		if !slices.Contains(pure, p.room()) {
			continue
		}
		for _, dep := range p.Deps {
			for _, client := range clients {
				if in(dep, client) {
					t.Errorf("%s depends on %s", p.room(), dep)
				}
			}
		}
	}
}

// apart are rooms that must not import others: who observes does not know what is decided.
var apart = map[string][]string{
	"pkg/observe": {"pkg/cluster", "pkg/doctor", "pkg/layout", "pkg/link", "pkg/rollout"},
}

func TestRoomsThatAreApart(t *testing.T) {
	seen := 0
	for _, p := range packages(t) {
		others, listed := apart[p.room()]
		if !listed {
			continue
		}
		seen++
		for _, i := range p.Imports {
			if slices.ContainsFunc(others, func(other string) bool { return in(i, module+other) }) {
				t.Errorf("%s imports %s", p.room(), i)
			}
		}
	}
	if seen != len(apart) {
		t.Errorf("%d of the rooms exist, want %d", seen, len(apart))
	}
}

// leaves import nothing of this module but what is listed.
var leaves = map[string][]string{
	"internal/failure": nil,
	"internal/shell":   nil,
	"internal/version": nil,
	"pkg/change":       nil,
	"pkg/talosrelease": nil,
	// A snapshot is made of values, so what it imports must be.
	"pkg/snapshot": {
		"internal/failure", "internal/shell", "pkg/change", "pkg/disk", "pkg/machineconfig", "pkg/mounts", "pkg/problem", "pkg/provisioner",
		"pkg/rights",
		"pkg/talosrelease",
	},
	"pkg/mounts": {
		"internal/failure", "internal/shell", "pkg/change", "pkg/disk", "pkg/machineconfig", "pkg/problem", "pkg/rights", "pkg/talosrelease",
	},
	"pkg/rollout":       {"internal/failure", "internal/shell", "pkg/change", "pkg/machineconfig", "pkg/talosrelease"},
	"pkg/machineconfig": {"internal/failure", "pkg/talosrelease"},
	"pkg/disk":          {"internal/failure"},
	"pkg/exec":          {"internal/failure"},
	"pkg/output":        {"internal/failure"},
}

func TestLeaves(t *testing.T) {
	for _, p := range packages(t) {
		allowed, leaf := leaves[p.room()]
		if !leaf {
			continue
		}
		for _, dep := range p.Deps {
			if room, ours := strings.CutPrefix(dep, module); ours && !slices.Contains(allowed, room) {
				t.Errorf("%s depends on %s", p.room(), room)
			}
		}
	}
}

func TestPackagesSayWhatTheyAreFor(t *testing.T) {
	for _, p := range packages(t) {
		if p.Doc == "" {
			t.Errorf("%s has no package comment", p.room())
		}
		if base := path.Base(p.ImportPath); slices.Contains([]string{"util", "utils", "common", "helpers", "types", "misc"}, base) {
			t.Errorf("%s has a name that says nothing", p.room())
		}
	}
}

func TestFilesNameTheirLicence(t *testing.T) {
	seen := 0
	err := filepath.WalkDir(filepath.Join("..", ".."), func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(file) != ".go" {
			return err
		}
		body, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		seen++
		if head := string(body[:min(len(body), 400)]); !strings.Contains(head, "// SPDX-License-Identifier: Apache-2.0\n") {
			t.Errorf("%s does not say // SPDX-License-Identifier: Apache-2.0", file)
		}
		return nil
	})
	if err != nil || seen < 10 {
		t.Errorf("looked at %d files: %v", seen, err)
	}
}
