// SPDX-License-Identifier: Apache-2.0

package release

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// workflow is what of a GitHub workflow is looked at.
type workflow struct {
	Permissions map[string]string
	Jobs        map[string]struct {
		Permissions map[string]string
		Timeout     int `yaml:"timeout-minutes"`
		Steps       []struct{ Uses, Run string }
	}
}

var (
	// pinned is an action at a commit, with the release that it is for a reader.
	pinned = regexp.MustCompile(`^[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$`)
	// command is a target of the Makefile, as root where it has to be.
	command = regexp.MustCompile(`^(?:sudo env (?:"?[A-Z]+=\$?\w+"? )+)?make ([a-z-]+)$`)
)

// TestWorkflowsOnlyCallTheMakefile holds that what a workflow does can be done by a person, too, that no action can change behind its
// name, and that no workflow may do more than it must.
func TestWorkflowsOnlyCallTheMakefile(t *testing.T) {
	files, err := filepath.Glob(at(".github/workflows/*.yml"))
	if err != nil || len(files) < 3 {
		t.Fatalf("%d workflows, %v", len(files), err)
	}
	makefile, err := os.ReadFile(at("Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		t.Run(name, func(t *testing.T) {
			var w workflow
			read(t, ".github/workflows/"+name, &w, false)
			checkPermissions(t, name, w)
			for id, job := range w.Jobs {
				if job.Timeout == 0 {
					t.Errorf("%s may run for hours", id)
				}
				for _, step := range job.Steps {
					if m := command.FindStringSubmatch(step.Run); step.Run != "" && (m == nil || !strings.Contains(string(makefile), "\n"+m[1]+":")) {
						t.Errorf("%q is no target of the Makefile", step.Run)
					}
				}
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(string(text)) {
				if _, action, ok := strings.Cut(strings.TrimSpace(line), "uses: "); ok && !pinned.MatchString(action) {
					t.Errorf("%q is not an action at a commit with its release behind it", action)
				}
			}
		})
	}
}

// checkPermissions allows reading, and to the release what a release takes.
func checkPermissions(t *testing.T, name string, w workflow) {
	allowed := map[string][]string{"release.yml": {"contents: write", "id-token: write"}}[name]
	if w.Permissions == nil {
		t.Error("without permissions it has GitHub's default")
	}
	all := []map[string]string{w.Permissions}
	for _, job := range w.Jobs {
		all = append(all, job.Permissions)
	}
	for i, permissions := range all {
		for what, how := range permissions {
			if how != "read" && (i == 0 || !slices.Contains(allowed, what+": "+how)) {
				t.Errorf("it may %s %s", how, what)
			}
		}
	}
}

// TestUpdatesReachEveryModule holds that no module of the repository grows old unseen.
func TestUpdatesReachEveryModule(t *testing.T) {
	var dependabot struct {
		Updates []struct {
			Ecosystem   string `yaml:"package-ecosystem"`
			Directories []string
		}
	}
	read(t, ".github/dependabot.yml", &dependabot, false)
	var watched []string
	for _, u := range dependabot.Updates {
		if u.Ecosystem == "gomod" {
			watched = append(watched, u.Directories...)
		}
	}
	modules := 0
	for _, pattern := range []string{"go.mod", "*/go.mod", "*/*/go.mod"} {
		files, err := filepath.Glob(at(pattern))
		if err != nil {
			t.Fatal(err)
		}
		modules += len(files)
		for _, file := range files {
			module, err := filepath.Rel(at("."), filepath.Dir(file))
			if err != nil {
				t.Fatal(err)
			}
			if dir := path.Join("/", filepath.ToSlash(module)); !slices.Contains(watched, dir) {
				t.Errorf("dependabot does not look at %s, but at %v", dir, watched)
			}
		}
	}
	if modules != len(watched) {
		t.Errorf("dependabot looks at %v, and there are %d modules", watched, modules)
	}
}
