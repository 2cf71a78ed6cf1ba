// SPDX-License-Identifier: Apache-2.0

package release

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"sigs.k8s.io/yaml"
)

// krew is krew and the kubectl that runs it, in one directory.
type krew struct{ dir string }

// newKrew builds both. They stay in the cache, so that nothing is linked again that has not changed.
func newKrew(t *testing.T, tree string) krew {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "kubectl-talosdisk", "release")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, program := range []struct{ name, module, pkg string }{
		{"kubectl-krew", "tools", "sigs.k8s.io/krew/cmd/krew"},
		{"validate-krew-manifest", "tools", "sigs.k8s.io/krew/cmd/validate-krew-manifest"},
		{"kubectl", "test", "./cmd/kubectl"},
	} {
		run(t, filepath.Join(tree, program.module), []string{"CGO_ENABLED=0", "GOWORK=off"},
			"go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", filepath.Join(dir, program.name), program.pkg)
	}
	return krew{dir: dir}
}

// validate lets krew's own check look at a manifest, which installs each platform unless a flag says no.
func (k krew) validate(t *testing.T, m manifest, flags ...string) {
	t.Helper()
	// It has to be called as the plugin is.
	file := filepath.Join(t.TempDir(), "talosdisk.yaml")
	if err := os.WriteFile(file, m.text, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "", []string{"PATH=" + k.dir + ":" + os.Getenv("PATH")}, filepath.Join(k.dir, "validate-krew-manifest"),
		append(flags, "-manifest", file)...)
}

// served is the manifest as it will be when the archives are released, but that they are got from this machine.
func (m manifest) served(t *testing.T, made distribution) manifest {
	t.Helper()
	server := httptest.NewServer(http.FileServer(http.Dir(made.dir)))
	t.Cleanup(server.Close)
	all := make(map[string]any)
	if err := yaml.Unmarshal(m.text, &all); err != nil {
		t.Fatal(err)
	}
	spec, _ := all["spec"].(map[string]any)
	platforms, _ := spec["platforms"].([]any)
	for i, p := range m.Spec.Platforms {
		name := made.archive(t, p.Selector.MatchLabels["os"], p.Selector.MatchLabels["arch"])
		platform, _ := platforms[i].(map[string]any)
		platform["uri"], platform["sha256"] = server.URL+"/"+name, made.sums[name]
	}
	text, err := yaml.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	m.text = text
	return m
}
