// SPDX-License-Identifier: Apache-2.0

//go:build unix

package main

import (
	"bufio"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// The test binary is the program when it is started with this.
const beMain = "TALOSDISK_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(beMain) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func program(t *testing.T, args ...string) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), beMain+"=1", "KUBECONFIG=/nonexistent/config", "HOME="+t.TempDir())
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewReader(stderr)
}

// waitFor reads lines until one contains text.
func waitFor(t *testing.T, r *bufio.Reader, text string) {
	t.Helper()
	var seen strings.Builder
	for {
		line, err := r.ReadString('\n')
		seen.WriteString(line)
		if strings.Contains(line, text) {
			return
		}
		if err != nil {
			t.Fatalf("no %q in %q: %v", text, seen.String(), err)
		}
	}
}

func exitCode(t *testing.T, cmd *exec.Cmd) int {
	t.Helper()
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode()
}

// The first interrupt cancels what is under way, and the program reports that and ends by itself.
func TestInterrupt(t *testing.T) {
	asked, release := make(chan struct{}, 1), make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		asked <- struct{}{}
		<-release
	}))
	defer s.Close()
	defer close(release)
	cmd, stderr := program(t, "version", "-s", s.URL)
	<-asked
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	waitFor(t, stderr, "interrupt again to stop at once")
	waitFor(t, stderr, "error: interrupted")
	if code := exitCode(t, cmd); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
}

// A credential plugin does not look at the context, so only the second interrupt ends this.
func TestInterruptTwice(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	hold, err := os.OpenFile(fifo, os.O_RDWR, 0) // The plugin reads from it for as long as this is open.
	if err != nil {
		t.Fatal(err)
	}
	defer hold.Close()
	config := filepath.Join(dir, "config")
	if err := os.WriteFile(config, fmt.Appendf(nil, `apiVersion: v1
kind: Config
current-context: x
clusters: [{name: x, cluster: {server: "https://127.0.0.1:1"}}]
contexts: [{name: x, context: {cluster: x, user: x}}]
users:
- name: x
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1
      interactiveMode: Never
      command: sh
      args: ["-c", "echo plugin >&2; exec cat %s 2>/dev/null >/dev/null"]
`, fifo), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd, stderr := program(t, "version", "--kubeconfig", config)
	waitFor(t, stderr, "plugin")
	for _, want := range []string{"interrupt again to stop at once", ""} {
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if want != "" {
			waitFor(t, stderr, want)
		}
	}
	if code := exitCode(t, cmd); code != 130 {
		t.Errorf("exit code %d, want 130", code)
	}
}

// Under the name that kubectl looks for, the program is its own completion.
func TestCompletionByName(t *testing.T) {
	link := filepath.Join(t.TempDir(), "kubectl_complete-talosdisk")
	if err := os.Symlink(os.Args[0], link); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), link, "vers")
	cmd.Env = append(os.Environ(), beMain+"=1")
	out, err := cmd.Output()
	if err != nil || !strings.HasPrefix(string(out), "version\t") {
		t.Errorf("%q, %v", out, err)
	}
}
