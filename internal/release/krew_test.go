// SPDX-License-Identifier: Apache-2.0

package release

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/template"

	"go.yaml.in/yaml/v3"
)

// manifest is a krew manifest: krew v0.5.0, pkg/index/types.go.
type manifest struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string
	Metadata   struct{ Name string }
	Spec       struct {
		Version          string
		Homepage         string
		ShortDescription string `yaml:"shortDescription"`
		Description      string
		Caveats          string
		Platforms        []platform
	}
}

type platform struct {
	Selector struct {
		MatchLabels map[string]string `yaml:"matchLabels"`
	}
	URI, SHA256, Bin string
}

// releaser is what of the goreleaser configuration the manifest depends on: goreleaser v2.16.0, pkg/config/config.go.
type releaser struct {
	Version     int
	ProjectName string `yaml:"project_name"`
	Before      struct{ Hooks []string }
	Builds      []struct {
		Main, Binary string
		Goos, Goarch []string
		Ldflags      []string
	}
	Archives []struct {
		ID           string
		Formats      []string
		NameTemplate string `yaml:"name_template"`
		Files        []struct{ Src string }
	}
	Krews []struct {
		Name             string
		IDs              []string `yaml:"ids"`
		Homepage         string
		ShortDescription string `yaml:"short_description"`
		Description      string
		Caveats          string
	}
	Release struct {
		GitHub     struct{ Owner, Name string } `yaml:"github"`
		ExtraFiles []struct{ Glob string }      `yaml:"extra_files"`
	}
}

func read(t *testing.T, file string, into any, strictly bool) {
	t.Helper()
	text, err := os.ReadFile(at(file))
	if err != nil {
		t.Fatal(err)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(strictly)
	if err := decoder.Decode(into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

// at is the path of a file of the repository.
func at(file string) string { return filepath.Join("..", "..", filepath.FromSlash(file)) }

func both(t *testing.T) (manifest, releaser) {
	t.Helper()
	var m manifest
	var r releaser
	read(t, "plugins/krew.yaml", &m, true)
	read(t, ".goreleaser.yaml", &r, false)
	if r.Version != 2 || len(r.Builds) != 1 || len(r.Archives) != 1 || len(r.Krews) != 1 || len(r.Archives[0].Formats) != 1 {
		t.Fatalf("not one build, one archive of one format, and one krew manifest: %+v", r)
	}
	return m, r
}

// TestManifestIsValid holds what krew refuses (v0.5.0, internal/index/validation/validate.go), and what its index asks for.
func TestManifestIsValid(t *testing.T) {
	m, _ := both(t)
	if m.APIVersion != "krew.googlecontainertools.github.com/v1alpha2" || m.Kind != "Plugin" {
		t.Errorf("it is %s %s", m.APIVersion, m.Kind)
	}
	if !regexp.MustCompile(`^[\w-]+$`).MatchString(m.Metadata.Name) {
		t.Errorf("the name is %q", m.Metadata.Name)
	}
	if !regexp.MustCompile(`^v\d+\.\d+\.\d+$`).MatchString(m.Spec.Version) {
		t.Errorf("the version is %q", m.Spec.Version)
	}
	if s := m.Spec.ShortDescription; s == "" || len(s) > 50 || strings.ContainsAny(s, "\r\n") || strings.HasSuffix(s, ".") {
		t.Errorf("the short description is %q", s)
	}
	for _, p := range m.Spec.Platforms {
		labels := p.Selector.MatchLabels
		if len(labels) != 2 || labels["os"] == "" || labels["arch"] == "" {
			t.Errorf("selector %v", labels)
		}
		if !regexp.MustCompile(`^[a-f0-9]{64}$`).MatchString(p.SHA256) || p.URI == "" || p.Bin == "" {
			t.Errorf("platform %+v", p)
		}
	}
}

func TestManifestSaysWhatTheReleaseSays(t *testing.T) {
	m, r := both(t)
	k := r.Krews[0]
	for what, texts := range map[string][2]string{
		"name":              {m.Metadata.Name, k.Name},
		"homepage":          {m.Spec.Homepage, k.Homepage},
		"short description": {m.Spec.ShortDescription, k.ShortDescription},
		"description":       {m.Spec.Description, k.Description},
		"caveats":           {m.Spec.Caveats, k.Caveats},
	} {
		if texts[0] != texts[1] || texts[0] == "" {
			t.Errorf("%s: %q in plugins/krew.yaml, %q in .goreleaser.yaml", what, texts[0], texts[1])
		}
	}
	if !slices.Equal(k.IDs, []string{r.Archives[0].ID}) {
		t.Errorf("it is made of the archives %v, but there is %q", k.IDs, r.Archives[0].ID)
	}
	if want := "dist/krew/" + k.Name + ".yaml"; len(r.Release.ExtraFiles) != 1 ||
		strings.TrimPrefix(r.Release.ExtraFiles[0].Glob, "./") != want {
		t.Errorf("the release has %v, not %s", r.Release.ExtraFiles, want)
	}
}

// TestManifestNamesTheArchives compares every platform: which there are, what their archive is called and where it is, and what to
// run in it.
func TestManifestNamesTheArchives(t *testing.T) {
	m, r := both(t)
	build, archive := r.Builds[0], r.Archives[0]
	name, err := template.New("").Option("missingkey=error").Parse(archive.NameTemplate)
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, system := range build.Goos {
		for _, arch := range build.Goarch {
			var file strings.Builder
			if err := name.Execute(&file, map[string]string{
				"ProjectName": r.ProjectName, "Version": strings.TrimPrefix(m.Spec.Version, "v"), "Os": system, "Arch": arch,
			}); err != nil {
				t.Fatal(err)
			}
			bin := build.Binary
			if system == "windows" {
				bin += ".exe"
			}
			want = append(want, fmt.Sprintf("%s %s: %s in https://github.com/%s/%s/releases/download/%s/%s.%s",
				system, arch, bin, r.Release.GitHub.Owner, r.Release.GitHub.Name, m.Spec.Version, file.String(), archive.Formats[0]))
		}
	}
	for _, p := range m.Spec.Platforms {
		got = append(got, fmt.Sprintf("%s %s: %s in %s", p.Selector.MatchLabels["os"], p.Selector.MatchLabels["arch"], p.Bin, p.URI))
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) || len(want) != 6 {
		t.Errorf("plugins/krew.yaml has\n%s\n.goreleaser.yaml makes\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if !slices.Equal(build.Goos, systems) {
		t.Errorf("releases are for %v, NOTICE is for %v", build.Goos, systems)
	}
	if build.Binary != "kubectl-"+strings.ReplaceAll(m.Metadata.Name, "-", "_") {
		t.Errorf("kubectl finds no plugin %q in %s", m.Metadata.Name, build.Binary)
	}
}

// TestArchivesHoldTheLicences and what else belongs to the program. krew takes no archive without a licence.
func TestArchivesHoldTheLicences(t *testing.T) {
	_, r := both(t)
	const generated = "bin/THIRD_PARTY_LICENSES.txt"
	if want := "go run ./hack/licences " + generated; !slices.Equal(r.Before.Hooks, []string{want}) {
		t.Errorf("before it builds goreleaser runs %q, want %q", r.Before.Hooks, want)
	}
	var files []string
	for _, f := range r.Archives[0].Files {
		files = append(files, f.Src)
		if f.Src == generated {
			continue
		}
		if info, err := os.Lstat(at(f.Src)); err != nil || !info.Mode().IsRegular() {
			t.Errorf("%s is no file, which krew refuses: %v", f.Src, err)
		}
	}
	for _, want := range []string{"LICENSE", "NOTICE", generated, "hack/kubectl_complete-talosdisk"} {
		if !slices.Contains(files, want) {
			t.Errorf("the archives lack %s: %v", want, files)
		}
	}
}

// TestVersionIsStamped holds that the linker is told of variables that there are: it is silent about others.
func TestVersionIsStamped(t *testing.T) {
	_, r := both(t)
	source, err := os.ReadFile(at("internal/version/version.go"))
	if err != nil {
		t.Fatal(err)
	}
	makefile, err := os.ReadFile(at("Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(source, []byte("\nvar version, commit, date string\n")) {
		t.Error("internal/version has other variables")
	}
	flags := strings.Join(r.Builds[0].Ldflags, " ")
	for _, variable := range []string{"version", "commit", "date"} {
		if !strings.Contains(flags, "-X github.com/talosdisk/kubectl-talosdisk/internal/version."+variable+"=") {
			t.Errorf("goreleaser does not set %s: %s", variable, flags)
		}
		if !bytes.Contains(makefile, []byte("-X $(PACKAGE)."+variable+"=")) {
			t.Errorf("make does not set %s", variable)
		}
	}
	if _, err := os.Stat(at(r.Builds[0].Main)); err != nil {
		t.Error(err)
	}
}

// TestRepositoryIsAnIndex holds that krew finds the manifest by the plugin's name, too, once somebody adds this repository as an
// index: krew looks for NAME.yaml, and takes a link where it lists what there is for no second plugin.
func TestRepositoryIsAnIndex(t *testing.T) {
	m, _ := both(t)
	link := at("plugins/" + m.Metadata.Name + ".yaml")
	if target, err := os.Readlink(link); err != nil || target != "krew.yaml" {
		t.Errorf("%s leads to %q, want krew.yaml: %v", link, target, err)
	}
}
