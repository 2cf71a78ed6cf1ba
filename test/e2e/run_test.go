// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// runTimeout bounds one run of the program in these tests.
const runTimeout = 90 * time.Second

// result is how a run of the program ended.
type result struct {
	args           []string
	stdout, stderr string
	code           int
	took           time.Duration
}

func (r result) String() string {
	return fmt.Sprintf("kubectl talosdisk %s\nexit code %d after %s\nstdout:\n%s\nstderr:\n%s",
		strings.Join(r.args, " "), r.code, r.took.Round(time.Millisecond), r.stdout, r.stderr)
}

// command is how the program is to be run.
type command struct {
	kubeconfig string   // the administrator's if empty
	terminal   *os.File // stdin and stderr
	env        []string
	args       []string
	secrets    []string // that it knows and must not tell
}

// run runs the program to its end.
func run(t *testing.T, args ...string) result {
	t.Helper()
	return command{args: args}.run(t)
}

func (c command) run(t *testing.T) result {
	t.Helper()
	return c.start(t).wait()
}

// process is the program while it runs.
type process struct {
	t              *testing.T
	args, secrets  []string
	cmd            *exec.Cmd
	cancel         context.CancelFunc
	began          time.Time
	stdout, stderr *output
	waited         sync.Once
	result         result
}

func (c command) start(t *testing.T) *process {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), runTimeout)
	p := &process{t: t, args: c.args, secrets: c.secrets, cancel: cancel, began: time.Now(), stdout: newOutput(), stderr: newOutput()}
	p.cmd = exec.CommandContext(ctx, filepath.Join(pluginDir, "kubectl-talosdisk"), c.args...)
	kubeconfig := c.kubeconfig
	if kubeconfig == "" {
		kubeconfig = theCluster.Kubeconfig()
	}
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "KUBECONFIG=" + kubeconfig}, c.env...)
	p.cmd.Stdout, p.cmd.Stderr = p.stdout, p.stderr
	if c.terminal != nil {
		p.cmd.Stdin, p.cmd.Stderr = c.terminal, c.terminal
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.kill() })
	return p
}

// kill ends a process that a failed test has left behind.
func (p *process) kill() {
	_ = p.cmd.Process.Signal(syscall.SIGCONT)
	_ = p.cmd.Process.Kill()
	p.wait()
}

func (p *process) wait() result {
	p.waited.Do(func() {
		err := p.cmd.Wait()
		p.cancel()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			p.t.Errorf("%s: %s", strings.Join(p.args, " "), err)
		}
		p.result = result{
			args: p.args, stdout: p.stdout.String(), stderr: p.stderr.String(),
			code: p.cmd.ProcessState.ExitCode(), took: time.Since(p.began),
		}
		for _, secret := range p.secrets {
			if strings.Contains(p.result.stdout+p.result.stderr, secret) {
				p.t.Errorf("%s: a secret was printed", strings.Join(p.args, " "))
			}
		}
	})
	return p.result
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// output is what a process has written so far.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func newOutput() *output { return &output{} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// wantCode fails the test, with everything the run said, if it did not end so.
func (r result) wantCode(t *testing.T, code int) result {
	t.Helper()
	if r.code != code {
		t.Fatalf("exit code %d, want %d\n%s", r.code, code, r)
	}
	return r
}

// wantError wants an error with each of the texts.
func (r result) wantError(t *testing.T, texts ...string) result {
	t.Helper()
	r.wantCode(t, 1)
	if !strings.HasPrefix(r.stderr, "error: ") && !strings.Contains(r.stderr, "\nerror: ") {
		t.Errorf("no line begins with \"error: \"\n%s", r)
	}
	return r.wantStderr(t, texts...)
}

func (r result) wantStderr(t *testing.T, texts ...string) result {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(r.stderr, text) {
			t.Errorf("stderr does not say %q\n%s", text, r)
		}
	}
	if strings.Contains(r.stderr, "panic:") || strings.Contains(r.stderr, "goroutine ") {
		t.Errorf("the program crashed\n%s", r)
	}
	return r
}

// plan is the part of a LinkPlan or UnlinkPlan that tests look at.
type plan struct {
	APIVersion, Kind, Provisioner string
	Items                         []planned
}

type planned struct {
	Node, Disk, Class, Entry, Target, HostPath, Volume string
	Size                                               uint64
	Action, Result, Detail, VolumeState                string
	Objections, Accepted                               []objection
	Warnings                                           []string
}

type objection struct{ Reason, Message, Hint string }

func (r result) plan(t *testing.T) plan {
	t.Helper()
	var p plan
	if err := json.Unmarshal([]byte(r.stdout), &p); err != nil {
		t.Fatalf("stdout is no plan: %s\n%s", err, r)
	}
	return p
}

// of is the plan's link of a disk, which must be there once.
func (p plan) of(t *testing.T, node, disk string) planned {
	t.Helper()
	var found []planned
	for _, l := range p.Items {
		if l.Node == node && l.Disk == disk {
			found = append(found, l)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d links of %s/%s in the plan: %+v", len(found), node, disk, p.Items)
	}
	return found[0]
}

func (l planned) reasons() []string { return reasons(l.Objections) }

func reasons(all []objection) []string {
	var words []string
	for _, o := range all {
		words = append(words, o.Reason)
	}
	slices.Sort(words)
	return slices.Compact(words)
}

// results is one NODE/DISK=RESULT for each link, sorted as printed.
func (p plan) results() []string {
	var all []string
	for _, l := range p.Items {
		all = append(all, l.Node+"/"+l.Disk+"="+l.Result)
	}
	return all
}

// link runs link with what disks that are loop devices need, and -o json.
func link(t *testing.T, args ...string) result {
	t.Helper()
	return run(t, linkArgs(args...)...)
}

func linkArgs(args ...string) []string {
	return append([]string{"link", "--accept", "loop", "--yes", "-o", "json"}, args...)
}
