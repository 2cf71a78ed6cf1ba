// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"bytes"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/cli-runtime/pkg/genericiooptions"
)

var update = flag.Bool("update", false, "write testdata/*.golden again")

// result is what a run of the program leaves.
type result struct {
	stdout, stderr string
	code           int
}

// run runs the program in this process, with neither kubeconfig nor terminal.
func run(t *testing.T, args ...string) result {
	t.Helper()
	t.Setenv("KUBECONFIG", "/nonexistent/config")
	t.Setenv("HOME", "/nonexistent")
	var in, out, errOut bytes.Buffer
	code := Execute(t.Context(), Deps{Streams: genericiooptions.IOStreams{In: &in, Out: &out, ErrOut: &errOut}}, args)
	return result{out.String(), errOut.String(), code}
}

// golden compares a run with testdata/NAME.golden.
func golden(t *testing.T, name string, r result) {
	t.Helper()
	got := fmt.Sprintf("-- exit code --\n%d\n-- stdout --\n%s-- stderr --\n%s", r.code, r.stdout, r.stderr)
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs, -update accepts it; got\n%s\nwant\n%s", path, got, want)
	}
}

func TestGolden(t *testing.T) {
	for name, args := range map[string]string{
		"options":             "options",
		"completion":          "completion",
		"version-help":        "version --help",
		"unknown-command":     "vresion",
		"unknown-flag":        "version --clientt",
		"unexpected-argument": "version now",
		"wrong-format":        "version -o xml",
		"no-kubeconfig":       "version",
		"colour":              "version -o xml --color=always",
	} {
		t.Run(name, func(t *testing.T) { golden(t, name, run(t, strings.Fields(args)...)) })
	}
}

// The root's help changes with every command, so only its frame is held.
func TestHelp(t *testing.T) {
	for _, args := range [][]string{nil, {"--help"}, {"help"}} {
		r := run(t, args...)
		if r.code != 0 || r.stderr != "" {
			t.Errorf("%v: exit code %d, stderr %q", args, r.code, r.stderr)
		}
		for _, want := range []string{
			"\nExamples:\n", "\nSettings and Help:\n", "\n  version ",
			"Use \"kubectl talosdisk <command> --help\"", "Use \"kubectl talosdisk options\"",
		} {
			if !strings.Contains(r.stdout, want) {
				t.Errorf("%v: %q is missing in\n%s", args, want, r.stdout)
			}
		}
		for _, no := range []string{"kubectl-talosdisk", "--as-group", "Other Commands:"} {
			if strings.Contains(r.stdout, no) {
				t.Errorf("%v: %q is in\n%s", args, no, r.stdout)
			}
		}
	}
}

// serve is an API server with these answers by path; anything else is an error of the test.
func serve(t *testing.T, answers map[string]http.HandlerFunc) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if h := answers[req.Method+" "+req.URL.Path]; h != nil {
			w.Header().Set("Content-Type", "application/json")
			h(w, req)
			return
		}
		t.Errorf("unexpected request %s %s", req.Method, req.URL)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func body(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) }
}

func TestVersion(t *testing.T) {
	url := serve(t, map[string]http.HandlerFunc{"GET /version": body(`{"major":"1","minor":"37","gitVersion":"v1.37.2"}`)})
	if r := run(t, "version", "-s", url); r.code != 0 || r.stderr != "" ||
		!regexp.MustCompile(`^Client Version: \S+\nServer Version: v1\.37\.2\n$`).MatchString(r.stdout) {
		t.Errorf("%+v", r)
	}
	r := run(t, "version", "-s", url, "-o", "json")
	if r.code != 0 || !strings.Contains(r.stdout, `"kind": "VersionInfo"`) || !strings.Contains(r.stdout, `"gitVersion": "v1.37.2"`) {
		t.Errorf("%+v", r)
	}
}

func TestVersionClientAsksNobody(t *testing.T) {
	url := serve(t, nil)
	for _, format := range []string{"", "json", "yaml"} {
		if r := run(t, "version", "--client", "-s", url, "-o", format); r.code != 0 || !strings.Contains(strings.ToLower(r.stdout), "client") ||
			strings.Contains(strings.ToLower(r.stdout), "server") {
			t.Errorf("%q: %+v", format, r)
		}
	}
}

// What is known is printed even when the server is not there.
func TestVersionUnreachable(t *testing.T) {
	s := httptest.NewServer(nil)
	s.Close()
	r := run(t, "version", "-s", s.URL)
	if r.code != 1 || !strings.HasPrefix(r.stdout, "Client Version: ") ||
		!strings.HasPrefix(r.stderr, fmt.Sprintf("error: cannot reach the Kubernetes API server %q: dial tcp ", s.URL)) {
		t.Errorf("%+v", r)
	}
}

func TestArgs(t *testing.T) {
	for _, c := range []struct{ argv, want []string }{
		{[]string{"kubectl-talosdisk", "version"}, []string{"version"}},
		{[]string{"/usr/bin/kubectl_complete-talosdisk", "version", "--"}, []string{"__complete", "version", "--"}},
		{[]string{"kubectl_complete-talosdisk.exe", ""}, []string{"__complete", ""}},
		{nil, nil},
	} {
		if got := Args(c.argv); !slices.Equal(got, c.want) {
			t.Errorf("Args(%q) = %q, want %q", c.argv, got, c.want)
		}
	}
}

func TestComplete(t *testing.T) {
	url := serve(t, map[string]http.HandlerFunc{
		"GET /api/v1/namespaces": body(`{"apiVersion":"meta.k8s.io/v1","kind":"PartialObjectMetadataList","items":[{"metadata":{"name":"kube-system"}},{"metadata":{"name":"default"}},{"metadata":{"name":"kube-public"}}]}`),
	})
	for line, want := range map[string]string{
		"ver":                               "version",
		"version --color|":                  "always auto never",
		"version -o|":                       "json yaml",
		"version -s " + url + " -n|kube":    "kube-public kube-system",
		"version -s http://127.0.0.1:1 -n|": "",
	} {
		args := strings.Fields(strings.Replace(line, "|", " ", 1))
		if strings.HasSuffix(line, "|") {
			args = append(args, "")
		}
		r := run(t, append([]string{"__complete"}, args...)...)
		var words []string
		for l := range strings.Lines(r.stdout) {
			if word, _, _ := strings.Cut(strings.TrimSpace(l), "\t"); !strings.HasPrefix(word, ":") {
				words = append(words, word)
			}
		}
		slices.Sort(words)
		if got := strings.Join(words, " "); got != want {
			t.Errorf("%q completes to %q, want %q", line, got, want)
		}
	}
}

func TestCompleteGivesUp(t *testing.T) {
	release := make(chan struct{})
	url := serve(t, map[string]http.HandlerFunc{"GET /api/v1/namespaces": func(http.ResponseWriter, *http.Request) { <-release }})
	t.Cleanup(func() { close(release) }) // Before the server is closed, which waits for the request.
	begin := time.Now()
	r := run(t, "__complete", "version", "-s", url, "-n", "")
	if took := time.Since(begin); took < completionDeadline || took > 3*completionDeadline {
		t.Errorf("it took %s", took)
	}
	if r.stdout != ":4\n" {
		t.Errorf("%+v", r)
	}
}
