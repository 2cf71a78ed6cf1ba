// SPDX-License-Identifier: Apache-2.0

package talostest_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/api/machine"

	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talos/talostest"
)

// service asks a node for its kubelet service.
func service(t *testing.T, n *talostest.Node) *machine.ServiceInfo {
	t.Helper()
	answer, err := dial(t, n).ServiceList(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range answer.GetMessages()[0].GetServices() {
		if s.GetId() == "kubelet" {
			return s
		}
	}
	t.Fatal("no kubelet service")
	return nil
}

// last is a service's last event.
func last(s *machine.ServiceInfo) string {
	events := s.GetEvents().GetEvents()
	return events[len(events)-1].GetMsg()
}

func TestKubeletWithoutDestinationNeverStartsAndHeals(t *testing.T) {
	t.Parallel()
	time5 := clock()
	n := node(t, talostest.Options{Profile: talostest.V114, Clock: time5})
	c, base := dial(t, n), n.Config()
	if _, err := apply(t, c, with(t, base, "- source: /var/x\n  type: bind\n  options: [bind]\n"), noReboot, false); err != nil {
		t.Fatal(err)
	}
	settle(t, n)
	// As recorded.
	s := service(t, n)
	if s.GetState() != "Waiting" || s.GetHealth().GetHealthy() ||
		s.GetHealth().GetLastMessage() != `Get "http://127.0.0.1:10248/healthz": dial tcp 127.0.0.1:10248: connect: connection refused` ||
		last(s) != `Error running Containerd(kubelet), going to restart forever: failed to create task: "kubelet": failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: error during container init: error jailing process inside rootfs: pivot_root .: invalid argument` {
		t.Errorf("service is %v", s)
	}
	events := len(s.GetEvents().GetEvents())
	time5.Advance(5 * time.Second)
	settle(t, n)
	if got := len(service(t, n).GetEvents().GetEvents()); got <= events {
		t.Error("was not tried again")
	}
	if _, err := apply(t, c, base, noReboot, false); err != nil {
		t.Fatal(err)
	}
	settle(t, n)
	if k := n.Kubelet(); k.State != "Running" || !k.Healthy {
		t.Errorf("is not healed: %+v", k)
	}
}

func TestSourceThatCannotBeMade(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		"/opt/disks":         "Failed to create runner: mkdir /opt/disks: read-only file system",
		"/data/a/b":          "Failed to create runner: mkdir /data: read-only file system",
		"/var/lib/file":      "Failed to create runner: mkdir /var/lib/file: not a directory",
		"/var/lib/file/deep": "Failed to create runner: mkdir /var/lib/file: not a directory",
	} {
		t.Run(source, func(t *testing.T) {
			t.Parallel()
			n := node(t, talostest.Options{})
			if err := n.Machine().(*talostest.Sim).WriteFile("/var/lib/file", "x"); err != nil {
				t.Fatal(err)
			}
			entry := strings.ReplaceAll(disks, "source: /var/lib/disks", "source: "+source)
			if _, err := apply(t, dial(t, n), with(t, n.Config(), entry), noReboot, false); err != nil {
				t.Fatal(err)
			}
			settle(t, n)
			if s := service(t, n); s.GetState() != "Failed" || last(s) != want {
				t.Errorf("service is %s: %s", s.GetState(), last(s))
			}
		})
	}
}

func TestKubeletRestartsOnlyForItsOwnSpec(t *testing.T) {
	t.Parallel()
	n := node(t, talostest.Options{Profile: talostest.V113})
	c, base := dial(t, n), n.Config()
	unrelated := []byte(strings.Replace(string(base), "machine:\n", "machine:\n    sysctls:\n        vm.max_map_count: \"1\"\n", 1))
	if _, err := apply(t, c, unrelated, noReboot, false); err != nil {
		t.Fatal(err)
	}
	settle(t, n)
	if got := n.Kubelet().Starts; got != 1 {
		t.Errorf("%d kubelet starts after an unrelated change", got)
	}
	empty := []byte(strings.Replace(string(base), "    kubelet:\n", "    kubelet:\n        extraMounts: []\n", 1))
	if _, err := apply(t, c, empty, noReboot, false); err != nil {
		t.Fatal(err)
	}
	settle(t, n)
	if got := n.Kubelet().Starts; got != 1 {
		t.Errorf("%d kubelet starts after an empty list", got)
	}
	before := n.Kubelet().PID
	if _, err := apply(t, c, with(t, base, disks), noReboot, false); err != nil {
		t.Fatal(err)
	}
	settle(t, n)
	if k := n.Kubelet(); k.Starts != 2 || k.PID == before || k.PID == 0 {
		t.Errorf("after a change of its own: %+v, was %d", k, before)
	}
}

func TestKubeletIsUnknownThenUnhealthyThenHealthy(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	asked, sick := make(chan struct{}), errors.New("still sick")
	release := make(chan struct{})
	ticks := clock()
	n := node(t, talostest.Options{Clock: ticks})
	var once sync.Once
	n.SetHooks(talostest.Hooks{Healthy: func(ctx context.Context) error {
		once.Do(func() { close(asked) })
		select {
		case <-release:
		case <-ctx.Done():
		}
		mu.Lock()
		defer mu.Unlock()
		return sick
	}})
	if _, err := dial(t, n).ServiceRestart(t.Context(), "kubelet"); err != nil {
		t.Fatal(err)
	}
	<-asked
	if s := service(t, n); s.GetState() != "Running" || !s.GetHealth().GetUnknown() {
		t.Errorf("before the first check: %v", s)
	}
	close(release)
	settle(t, n)
	if s := service(t, n); s.GetHealth().GetUnknown() || s.GetHealth().GetHealthy() || s.GetHealth().GetLastMessage() != "still sick" {
		t.Errorf("after the first check: %v", s)
	}
	mu.Lock()
	sick = nil
	mu.Unlock()
	deadline, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for !n.Kubelet().Healthy && deadline.Err() == nil {
		ticks.Advance(time.Second)
	}
	if k := n.Kubelet(); !k.Healthy || k.Message != "Health check successful" {
		t.Errorf("in the end: %+v", k)
	}
}

// TestExtraMountIsSeenThroughTheKubelet is the chain that everything rests on.
func TestExtraMountIsSeenThroughTheKubelet(t *testing.T) {
	t.Parallel()
	for options, want := range map[string]struct{ before, after, peer string }{
		"rbind, rslave, rw":  {"data", "data", "master:"},
		"rbind, rshared, rw": {"data", "data", "shared:"},
		"rbind, rprivate":    {"data", "", ""},
		"bind, rshared, rw":  {"", "data", "shared:"},
	} {
		t.Run(options, func(t *testing.T) {
			t.Parallel()
			n := node(t, talostest.Options{})
			sim := n.Machine().(*talostest.Sim)
			mount := func(point, device string) {
				if err := sim.Mount(point, device, "xfs", "/dev/vdb1"); err != nil {
					t.Fatal(err)
				}
				if err := sim.WriteFile(point+"/data", ""); err != nil {
					t.Fatal(err)
				}
			}
			mount("/var/lib/disks/before", "254:17")
			if _, err := apply(t, dial(t, n), with(t, n.Config(), strings.ReplaceAll(disks, "rbind, rslave, rw", options)), noReboot,
				false); err != nil {
				t.Fatal(err)
			}
			settle(t, n)
			mount("/var/lib/disks/after", "254:33")
			c, root := dial(t, n), "/proc/"+itoa(n.Kubelet().PID)+"/root/var/lib/disks/"
			for name, expect := range map[string]string{"before": want.before, "after": want.after} {
				names, err := list(t, c, root+name)
				if err != nil {
					t.Fatal(err)
				}
				if got := strings.Join(names[1:], " "); got != expect {
					t.Errorf("kubelet sees %q in what was mounted %s it started", got, name)
				}
			}
			text, err := read(t, c, "/proc/"+itoa(n.Kubelet().PID)+"/mountinfo")
			if err != nil {
				t.Fatal(err)
			}
			line := ""
			for l := range strings.Lines(text) {
				if strings.Fields(l)[4] == "/var/lib/disks" {
					line = l
				}
			}
			if line == "" || !strings.Contains(line, want.peer) ||
				want.peer == "" && (strings.Contains(line, "shared:") || strings.Contains(line, "master:")) {
				t.Errorf("mountinfo has %q", line)
			}
		})
	}
}

func TestBindWithoutTheOption(t *testing.T) {
	t.Parallel()
	n := node(t, talostest.Options{})
	if _, err := apply(t, dial(t, n), with(t, n.Config(), strings.ReplaceAll(disks, "rbind, rslave, rw", "rw")), noReboot, false); err != nil {
		t.Fatal(err)
	}
	settle(t, n)
	if k := n.Kubelet(); k.State != "Waiting" || !strings.HasSuffix(k.Message, "no such device") {
		t.Errorf("kubelet is %+v", k)
	}
}

func TestUserVolumesByRelease(t *testing.T) {
	t.Parallel()
	for profile, seen := range map[talostest.Profile]bool{talostest.V19: false, talostest.V111: true, "v1.13.1": true, talostest.V114: true} {
		t.Run(string(profile), func(t *testing.T) {
			t.Parallel()
			n := node(t, talostest.Options{Profile: profile})
			if err := n.Machine().(*talostest.Sim).MkdirAll("/var/mnt/data"); err != nil {
				t.Fatal(err)
			}
			names, err := list(t, dial(t, n), "/proc/"+itoa(n.Kubelet().PID)+"/root/var/mnt")
			if (err == nil) != seen || seen && strings.Join(names, " ") != ". data" {
				t.Errorf("kubelet sees %q: %v", names, err)
			}
		})
	}
}

var _ talostest.Machine = (*talostest.Sim)(nil)

func TestHostMountsCanBeTold(t *testing.T) {
	t.Parallel()
	n := node(t, talostest.Options{})
	reported := []mounts.Mount{{ID: 1, Root: "/", Point: "/var/lib/a b", Options: []string{"rw"}, Shared: 7, Type: "xfs", Source: "/dev/vdb1"}}
	if err := n.Machine().(*talostest.Sim).SetHostMounts(reported); err != nil {
		t.Fatal(err)
	}
	if got, err := read(t, dial(t, n), "/proc/1/mountinfo"); err != nil ||
		got != "1 0 0:0 / /var/lib/a\\040b rw shared:7 - xfs /dev/vdb1 rw\n" {
		t.Errorf("reads %q, %v", got, err)
	}
}
