// SPDX-License-Identifier: Apache-2.0

package release

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// root is the tree that is released.
const root = "../.."

// TestRelease makes the archives of all platforms once, and looks at them as their users do.
func TestRelease(t *testing.T) {
	if os.Getenv("GORELEASER") == "" {
		t.Fatal("goreleaser is not given; make release-test gets it")
	}
	tree, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	dist := filepath.Join(t.TempDir(), "dist")
	made := configured(t, tree, dist).build(t, tree)
	written := readManifest(t, filepath.Join(dist, "krew", "talosdisk.yaml"))
	committed := readManifest(t, filepath.Join(tree, "plugins", "krew.yaml"))

	t.Run("the checksums are those of the archives", func(t *testing.T) { checkSums(t, made, committed) })
	t.Run("an archive has the program, its licences and nothing else", func(t *testing.T) { checkArchives(t, made, tree) })
	t.Run("the manifest has the sums of the archives", func(t *testing.T) { checkManifest(t, made, written) })

	k := newKrew(t, tree)
	t.Run("krew takes the committed manifest", func(t *testing.T) { k.validate(t, committed, "-skip-install") })
	for name, m := range map[string]manifest{"committed": committed, "written": written} {
		t.Run("krew installs every platform of the "+name+" manifest", func(t *testing.T) { k.validate(t, m.served(t, made)) })
	}
	t.Run("kubectl runs what krew installed", func(t *testing.T) { checkInstalled(t, k, written.served(t, made), made, tree) })
	t.Run("another directory makes the same archive", func(t *testing.T) { checkReproduces(t, made, tree) })
}

// checkSums lets sha256sum read checksums.txt, and compares what is in it with the platforms that krew knows.
func checkSums(t *testing.T, made distribution, m manifest) {
	run(t, made.dir, nil, "sha256sum", "--check", "--strict", "checksums.txt")
	var want []string
	for _, p := range m.Spec.Platforms {
		want = append(want, made.archive(t, p.Selector.MatchLabels["os"], p.Selector.MatchLabels["arch"]))
	}
	slices.Sort(want)
	if got := slices.Sorted(maps.Keys(made.sums)); !slices.Equal(got, want) || len(got) != 6 {
		t.Errorf("there are sums of %q, want %q", got, want)
	}
}

// checkManifest compares what goreleaser wrote for krew with checksums.txt.
func checkManifest(t *testing.T, made distribution, m manifest) {
	for _, p := range m.Spec.Platforms {
		name := made.archive(t, p.Selector.MatchLabels["os"], p.Selector.MatchLabels["arch"])
		if !strings.HasSuffix(p.URI, "/"+name) || p.SHA256 != made.sums[name] {
			t.Errorf("%s with the sum %s, want %s with %s", p.URI, p.SHA256, name, made.sums[name])
		}
	}
	if len(m.Spec.Platforms) != len(made.sums) {
		t.Errorf("it has %d platforms, there are %d archives", len(m.Spec.Platforms), len(made.sums))
	}
}

// manifest is what of krew's manifest is looked at; text is all of it.
type manifest struct {
	Spec struct {
		Version   string `json:"version"`
		Caveats   string `json:"caveats"`
		Platforms []struct {
			Selector struct {
				MatchLabels map[string]string `json:"matchLabels"`
			} `json:"selector"`
			URI    string `json:"uri"`
			SHA256 string `json:"sha256"`
		} `json:"platforms"`
	} `json:"spec"`
	text []byte
}

func readManifest(t *testing.T, file string) manifest {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m := manifest{text: text}
	if err := yaml.Unmarshal(text, &m); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return m
}
