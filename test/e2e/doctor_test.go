// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/test/manifests"
	"github.com/talosdisk/kubectl-talosdisk/test/talosnode"
)

// diagnosis is the part of a Diagnosis that tests look at.
type diagnosis struct {
	Chains []struct {
		Title string
		Links []struct{ Name, Mark, Text string }
	}
	Findings []finding
	Results  []struct{ Code, Subject, Outcome, Why string }
}

type finding struct {
	Code, Severity, Summary, Because string
	Evidence                         []string
	Fix                              []struct{ Text, Command string }
}

func (r result) diagnosis(t *testing.T) diagnosis {
	t.Helper()
	var d diagnosis
	if err := json.Unmarshal([]byte(r.stdout), &d); err != nil {
		t.Fatalf("stdout is no diagnosis: %s\n%s", err, r)
	}
	return d
}

// errors are the codes of the findings that are errors.
func (d diagnosis) errors() []string {
	var codes []string
	for _, f := range d.Findings {
		if f.Severity == "error" {
			codes = append(codes, f.Code)
		}
	}
	return codes
}

// unknown are the codes of the checks that could not be answered.
func (d diagnosis) unknown() []string {
	var codes []string
	for _, r := range d.Results {
		if r.Outcome == "unknown" {
			codes = append(codes, r.Code)
		}
	}
	slices.Sort(codes)
	return slices.Compact(codes)
}

// healthyCluster is a cluster with everything in order, in which something is made to go wrong.
type healthyCluster struct {
	*withTalos
	// plain is worker-2's configuration without extraMounts.
	plain []byte
}

// cause is one way in which a volume fails: what brings it about, and what follows from it.
type cause struct {
	name, code string
	// without are codes that are right too where nobody has asked Talos: what can be
	// seen of the cause from Kubernetes alone.
	without []string
	// do brings it about and has it cured.
	do func(*testing.T, *causeTest)
}

// causeTest is the test of one cause.
type causeTest struct {
	*healthyCluster
	cause
}

// TestDoctor breaks each link of the chain for real. The cause must be named first and no
// other error with it; without Talos it is named or unknown; and what is printed
// as its cure, executed as it stands, cures it.
func TestDoctor(t *testing.T) {
	begin(t, manifests.Default())
	c := &healthyCluster{withTalos: startTalos(t, talosnode.Options{})}
	c.plain = c.node("worker-2").Config()
	c.catch(t, unseenCauses())
	c.run("mounts", "--yes").wantCode(t, 0)
	c.catch(t, slices.Concat(linkCauses(), claimCauses(), clusterCauses(), kubeletCauses()))
}

// catch runs the tests of causes, one after the other.
func (c *healthyCluster) catch(t *testing.T, all []cause) {
	for _, i := range all {
		t.Run(i.name, func(t *testing.T) {
			begin(t, manifests.Default())
			i.do(t, &causeTest{c, i})
		})
	}
}

// diagnose wants its cause, with and without Talos.
func (p *causeTest) diagnose(t *testing.T, target ...string) finding {
	t.Helper()
	p.sync(t)
	args := append([]string{"doctor", "-o", "json"}, target...)
	r := p.command(args...).run(t)
	d := r.diagnosis(t)
	if len(d.Findings) == 0 || d.Findings[0].Code != p.code {
		t.Fatalf("the first finding is not %s\n%s", p.code, brief(r, d))
	}
	f := d.Findings[0]
	for _, other := range d.Findings[1:] {
		if other.Severity == "error" {
			t.Errorf("%s is an error too: %s\n%s", other.Code, other.Summary, brief(r, d))
		}
	}
	switch want := 2; {
	case f.Severity == "error" && r.code != want, f.Severity != "error" && r.code != 0 && r.code != 3:
		t.Errorf("exit code %d with %s as %s\n%s", r.code, f.Code, f.Severity, brief(r, d))
	}
	if f.Summary == "" || f.Because == "" || len(f.Evidence) == 0 || len(f.Fix) == 0 {
		t.Errorf("summary, because, evidence or fix is missing: %+v", f)
	}
	p.withoutTalos(t, args)
	return f
}

func (p *causeTest) withoutTalos(t *testing.T, args []string) {
	t.Helper()
	r := run(t, args...)
	d := r.diagnosis(t)
	right := append([]string{p.code}, p.without...)
	for _, code := range d.errors() {
		if !slices.Contains(right, code) {
			t.Errorf("without Talos: error %s, want %s or unknown\n%s", code, p.code, brief(r, d))
		}
	}
	named := slices.ContainsFunc(d.Findings, func(f finding) bool { return slices.Contains(right, f.Code) })
	if !named && !slices.Contains(d.unknown(), p.code) {
		t.Errorf("without Talos: %s is neither found nor unknown\n%s", p.code, brief(r, d))
	}
	want := 3
	if len(d.errors()) > 0 {
		want = 2
	}
	if r.code != want && (!named || r.code != 0) {
		t.Errorf("without Talos: exit code %d, want %d\n%s", r.code, want, brief(r, d))
	}
}

// brief is what a diagnosis says, without the checks that found nothing.
func brief(r result, d diagnosis) string {
	var b strings.Builder
	for _, c := range d.Chains {
		b.WriteString(c.Title + "\n")
		for _, l := range c.Links {
			b.WriteString("  " + l.Mark + " " + l.Name + " " + l.Text + "\n")
		}
	}
	for _, f := range d.Findings {
		b.WriteString(f.Severity + "[" + f.Code + "]: " + f.Summary + "\n  because: " + f.Because + "\n")
		for _, e := range f.Evidence {
			b.WriteString("  evidence: " + e + "\n")
		}
		for _, s := range f.Fix {
			b.WriteString("  fix: " + s.Text + " $ " + s.Command + "\n")
		}
	}
	for _, r := range d.Results {
		if r.Outcome == "unknown" {
			b.WriteString("unknown " + r.Code + " of " + r.Subject + ": " + r.Why + "\n")
		}
	}
	r.stdout = b.String()
	return r.String()
}

// sync tells Talos of the disks that there are now.
func (c *healthyCluster) sync(t *testing.T) {
	t.Helper()
	for _, n := range c.Nodes() {
		if err := n.SyncDisks(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// execute runs the commands of a fix that begin so, in their order, as a person who pastes
// them. What asks a person is answered, and disks that are loop devices are accepted.
func (c *healthyCluster) execute(t *testing.T, f finding, prefixes ...string) {
	t.Helper()
	bin := t.TempDir()
	if err := os.Symlink(theCluster.KubectlPath(), filepath.Join(bin, "kubectl")); err != nil {
		t.Fatal(err)
	}
	for at, prefix := range prefixes {
		i := slices.IndexFunc(f.Fix, func(s struct{ Text, Command string }) bool { return strings.HasPrefix(s.Command, prefix) })
		if i < 0 {
			t.Fatalf("no step is %q: %+v", prefix, f.Fix)
		}
		command := f.Fix[i].Command
		switch {
		case strings.HasPrefix(command, "kubectl talosdisk link "):
			command += " --accept loop --yes"
		case strings.HasPrefix(command, "kubectl talosdisk mounts --"):
			command += " --yes"
		case strings.HasPrefix(command, "kubectl talosdisk unlink ") && at == len(prefixes)-1:
			command += " --yes --wait=false" // Nothing comes after it that needs the volume gone.
		case strings.HasPrefix(command, "kubectl talosdisk unlink "):
			command += " --yes"
		}
		cmd := exec.CommandContext(t.Context(), "sh", "-c", command)
		cmd.Env = []string{
			"PATH=" + pluginDir + ":" + bin + ":" + os.Getenv("PATH"), "HOME=" + t.TempDir(),
			"KUBECONFIG=" + theCluster.Kubeconfig(), "TALOSCONFIG=" + c.talosconfig,
		}
		var output bytes.Buffer
		cmd.Stdout, cmd.Stderr = &output, &output
		if err := cmd.Run(); err != nil {
			t.Fatalf("%s: %s\n%s", command, err, output.String())
		}
	}
}

// wantWords wants the fix to say something that no command does.
func (f finding) wantWords(t *testing.T, words string) {
	t.Helper()
	for _, s := range f.Fix {
		if strings.Contains(s.Text, words) {
			return
		}
	}
	t.Errorf("no step says %q: %+v", words, f.Fix)
}
