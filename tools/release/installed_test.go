// SPDX-License-Identifier: Apache-2.0

package release

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// checkInstalled installs the plugin in each way that there is, and runs it.
func checkInstalled(t *testing.T, k krew, m manifest, made distribution, tree string) {
	index := newIndex(t, tree, m)
	pages := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(m.text) }))
	t.Cleanup(pages.Close)
	for name, install := range map[string]func(t *testing.T, u user){
		"from the URL of its manifest": func(t *testing.T, u user) {
			u.kubectl(t, "krew", "install", "--manifest-url="+pages.URL+"/talosdisk.yaml")
			u.completes(t, false)
			u.shell(t, completionCommand(t, m))
		},
		"from this repository as an index": func(t *testing.T, u user) {
			u.kubectl(t, "krew", "index", "add", "talosdisk", "file://"+index)
			u.kubectl(t, "krew", "install", "talosdisk/talosdisk")
			u.completes(t, false)
			u.shell(t, completionCommand(t, m))
		},
		"from the archive": func(t *testing.T, u user) {
			archive := filepath.Join(made.dir, made.archive(t, runtime.GOOS, runtime.GOARCH))
			u.shell(t, `mkdir -p "$KREW_ROOT/bin" && tar -xzf '`+archive+`' -C "$KREW_ROOT/bin" kubectl-talosdisk kubectl_complete-talosdisk`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			home := t.TempDir()
			plugins := filepath.Join(home, ".krew")
			u := user{env: []string{
				"HOME=" + home, "KREW_ROOT=" + plugins, "PATH=" + filepath.Join(plugins, "bin") + ":" + k.dir + ":" + os.Getenv("PATH"),
				"KUBECONFIG=" + filepath.Join(home, "none"), "KREW_DEFAULT_INDEX_URI=file://" + index, "KREW_NO_UPGRADE_CHECK=1",
			}}
			install(t, u)
			u.runs(t, m.Spec.Version, tree)
			u.completes(t, true)
		})
	}
}

// newIndex makes a git repository with the directory plugins of this one, for released archives.
func newIndex(t *testing.T, tree string, m manifest) string {
	t.Helper()
	index := t.TempDir()
	run(t, index, nil, "cp", "-R", filepath.Join(tree, "plugins"), ".")
	if err := os.WriteFile(filepath.Join(index, "plugins", "krew.yaml"), m.text, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, index, nil, "git", "init", "--quiet")
	run(t, index, nil, "git", "add", ".")
	run(t, index, nil, "git", "-c", "user.name=test", "-c", "user.email=test@example.com", "commit", "--quiet", "-m", "Add the plugin")
	return index
}

// completionCommand is what the caveats, which krew prints, say for completion.
func completionCommand(t *testing.T, m manifest) string {
	t.Helper()
	for line := range strings.Lines(m.Spec.Caveats) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "ln ") {
			return line
		}
	}
	t.Fatalf("there is no ln in %q", m.Spec.Caveats)
	return ""
}

// user is somebody with kubectl and krew, and no cluster.
type user struct{ env []string }

func (u user) shell(t *testing.T, command string) string {
	t.Helper()
	return run(t, t.TempDir(), u.env, "sh", "-c", command)
}

func (u user) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	return u.shell(t, "kubectl "+strings.Join(args, " "))
}

// runs asks the plugin what it is, and for help.
func (u user) runs(t *testing.T, version, tree string) {
	t.Helper()
	var got struct {
		Client struct {
			Version  string    `json:"version"`
			Commit   string    `json:"commit"`
			Date     time.Time `json:"date"`
			Platform string    `json:"platform"`
		} `json:"client"`
	}
	if err := json.Unmarshal([]byte(u.kubectl(t, "talosdisk", "version", "--client", "-o", "json")), &got); err != nil {
		t.Fatal(err)
	}
	commit, date, _ := strings.Cut(strings.TrimSpace(run(t, tree, nil, "git", "log", "-1", "--format=%H %cI")), " ")
	committed, err := time.Parse(time.RFC3339, date)
	if err != nil {
		t.Fatal(err)
	}
	c := got.Client
	if c.Version != version || c.Commit != commit || !c.Date.Equal(committed) || c.Platform != runtime.GOOS+"/"+runtime.GOARCH {
		t.Errorf("it says it is %+v, want %s of %s, %s", c, version, commit, date)
	}
	if help := u.kubectl(t, "talosdisk", "link", "--help"); !strings.Contains(help, "kubectl talosdisk link DISK") {
		t.Errorf("the help of link is %q", help)
	}
}

// completes asks kubectl as a shell does.
func (u user) completes(t *testing.T, want bool) {
	t.Helper()
	if got := u.kubectl(t, "__complete", "talosdisk", "unl"); strings.HasPrefix(got, "unlink\t") != want {
		t.Errorf("kubectl completes %q, want it: %t", got, want)
	}
}
