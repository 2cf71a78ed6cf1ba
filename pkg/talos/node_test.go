// SPDX-License-Identifier: Apache-2.0

package talos

import (
	"bytes"
	"context"
	"errors"
	"net"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/api/resource/definitions/block"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talos/talostest"
)

// start makes a node and waits for its kubelet.
func start(t *testing.T, o talostest.Options) *talostest.Node {
	t.Helper()
	n, err := talostest.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	if err := n.Settle(deadline(t)); err != nil {
		t.Fatal(err)
	}
	return n
}

// deadline ends what hangs.
func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// load reads the talosconfig that the access makes.
func load(t *testing.T, cluster *talostest.Cluster, access talostest.Access, o Options) *Config {
	t.Helper()
	o.Path = filepath.Join(t.TempDir(), "talosconfig")
	if err := cluster.Talosconfig(o.Path, access); err != nil {
		t.Fatal(err)
	}
	config, err := Load(o, func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// connect is a client of the node's cluster.
func connect(t *testing.T, cluster *talostest.Cluster, access talostest.Access) *Client {
	t.Helper()
	c, err := New(t.Context(), load(t, cluster, access, Options{}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// asAdmin is the node, spoken to as its administrator.
func asAdmin(t *testing.T, n *talostest.Node) *Node {
	t.Helper()
	return connect(t, n.Cluster(), talostest.Access{}).Node(n.Name(), "127.0.0.1")
}

// is fails unless err is of the kind, says the parts, and says no secret of config.
func is(t *testing.T, err, kind error, config []byte, parts ...string) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Fatalf("%v is not %q", err, kind)
	}
	text := err.Error() + "\n" + failure.Hint(err)
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q does not say %q", text, part)
		}
	}
	for _, secret := range secrets(config) {
		if len(secret) > 15 && strings.Contains(text, secret) || strings.Contains(text, "CANARY") {
			t.Fatalf("%q has a secret", text)
		}
	}
}

// sim is the machine below a node.
func sim(t *testing.T, n *talostest.Node) *talostest.Sim {
	t.Helper()
	s, ok := n.Machine().(*talostest.Sim)
	if !ok {
		t.Fatalf("the machine is a %T", n.Machine())
	}
	return s
}

func TestNode(t *testing.T) {
	for _, profile := range []talostest.Profile{talostest.V16, talostest.V19, talostest.V111, talostest.V113, talostest.V114} {
		t.Run(string(profile), func(t *testing.T) {
			n := start(t, talostest.Options{Profile: profile, Name: "w-1"})
			node, ctx := asAdmin(t, n), deadline(t)
			if err := node.Verify(ctx); err != nil {
				t.Error(err)
			}
			is(t, node.client.Node("w-2", "127.0.0.1").Verify(ctx), ErrOtherNode, n.Config(), `"w-1"`, `"w-2"`, `"127.0.0.1"`)
			if version, err := node.Version(ctx); err != nil || version != string(profile) {
				t.Errorf("version is %q, %v", version, err)
			}
			kubelet, err := node.Kubelet(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if want := n.Kubelet(); kubelet.PID != want.PID || kubelet.PID == 0 || kubelet.State != "Running" || kubelet.Healthy != disk.Yes || kubelet.Message != want.Message {
				t.Errorf("got %+v, want %+v", kubelet, want)
			}
			content, err := node.Read(ctx, "/etc/os-release")
			if err != nil || !strings.Contains(string(content), string(profile)) {
				t.Errorf("read %q, %v", content, err)
			}
			_, err = node.Read(ctx, "/nonexistent")
			is(t, err, ErrNotFound, n.Config(), `"/nonexistent"`)
			_, err = node.List(ctx, "/nonexistent", 1)
			is(t, err, ErrNotFound, n.Config(), `"/nonexistent"`)
		})
	}
}

func TestNoKubelet(t *testing.T) {
	n := start(t, talostest.Options{})
	ctx := deadline(t)
	if err := n.Machine().StopKubelet(ctx); err != nil {
		t.Fatal(err)
	}
	node := asAdmin(t, n)
	if kubelet, err := node.Kubelet(ctx); err != nil || kubelet.PID != 0 {
		t.Errorf("got %+v, %v", kubelet, err)
	}
	view, err := node.View(ctx, []string{"/var/mnt"})
	if err != nil {
		t.Fatal(err)
	}
	if sight := view.Dirs["/var/mnt"]; view.PID != 0 || sight.Host.Exists != disk.Yes || sight.Kubelet.Exists != disk.Unknown || sight.Kubelet.Problem == "" || view.MountsProblem == "" {
		t.Errorf("got %+v", view)
	}
}

func TestList(t *testing.T) {
	n := start(t, talostest.Options{})
	for _, dir := range []string{"/var/list/b/deep/deeper", "/var/list/a"} {
		if err := sim(t, n).MkdirAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	if err := sim(t, n).Symlink("/dev/vdf", "/var/list/vdf"); err != nil {
		t.Fatal(err)
	}
	if err := sim(t, n).WriteFile("/var/list/b/file", "x"); err != nil {
		t.Fatal(err)
	}
	a, b, vdf := File{Name: "a", Dir: true}, File{Name: "b", Dir: true}, File{Name: "vdf", Symlink: true, Link: "/dev/vdf"}
	deep, file, deeper := File{Name: "b/deep", Dir: true}, File{Name: "b/file"}, File{Name: "b/deep/deeper", Dir: true}
	node, ctx := asAdmin(t, n), deadline(t)
	for depth, want := range map[int][]File{
		1: {a, b, vdf},
		2: {a, b, deep, file, vdf},
		3: {a, b, deep, deeper, file, vdf},
	} {
		got, err := node.List(ctx, "/var/list/", depth)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%d levels: got %+v, %v, want %+v", depth, got, err, want)
		}
	}
	_, err := node.List(ctx, "/var/list/b/file", 1)
	is(t, err, ErrNotFound, nil, `"/var/list/b/file"`)
	root, err := node.List(ctx, "/", 1)
	if err != nil || !slices.ContainsFunc(root, func(f File) bool { return f.Name == "var" && f.Dir }) {
		t.Errorf("/ has %+v, %v", root, err)
	}
}

func TestConfigs(t *testing.T) {
	for name, c := range map[string]struct {
		profile  talostest.Profile
		native   bool
		persists bool
	}{
		"v1.6":         {talostest.V16, false, false},
		"v1.9":         {talostest.V19, false, false},
		"v1.13":        {talostest.V113, false, true},
		"v1.14":        {talostest.V114, false, true},
		"v1.14 native": {talostest.V114, true, true}, // Machinery v1.13 does not know its documents.
	} {
		t.Run(name, func(t *testing.T) {
			ctx := deadline(t)
			cluster, err := talostest.NewCluster()
			if err != nil {
				t.Fatal(err)
			}
			config, err := cluster.Config(c.profile, true, c.native)
			if err != nil {
				t.Fatal(err)
			}
			// Nothing of this would come through a decoder.
			config = slices.Concat([]byte("# kept by hand\n\n"), config, []byte("\n# and so is this\n"))
			n, err := cluster.Add(talostest.Options{Profile: c.profile, Worker: true, Native: c.native, Config: config})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { n.Close() })
			node := asAdmin(t, n)
			before, err := node.Configs(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(before.Active, config) || before.Persistent != nil || before.Version == "" {
				t.Errorf("version %q, the same bytes: %t, persistent: %t", before.Version, bytes.Equal(before.Active, config), before.Persistent != nil)
			}
			staged := slices.Concat(config, []byte("# staged\n"))
			if err := n.Stage(ctx, staged); err != nil {
				t.Fatal(err)
			}
			after, err := node.Configs(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(after.Active, config) || after.Version != before.Version {
				t.Error("what is staged changed what is active")
			}
			if want := staged; c.persists && !bytes.Equal(after.Persistent, want) || !c.persists && after.Persistent != nil {
				t.Errorf("persistent has %d bytes, the staged one %d", len(after.Persistent), len(want))
			}
			if err := n.SetConfig(ctx, staged); err != nil {
				t.Fatal(err)
			}
			if last, err := node.Configs(ctx); err != nil || last.Version == before.Version || !bytes.Equal(last.Active, staged) {
				t.Errorf("version is still %q, %v", last.Version, err)
			}
		})
	}
}

// changed is the node's configuration with one more comment, which restarts nothing.
func changed(n *talostest.Node) []byte {
	return slices.Concat(n.Config(), []byte("# changed\n"))
}

func TestApply(t *testing.T) {
	for name, c := range map[string]struct {
		mode                  mounts.Mode
		dry                   bool
		active, disk, pending bool
	}{
		"try":               {mode: mounts.Try, active: true, pending: true},
		"no reboot":         {mode: mounts.NoReboot, active: true, disk: true},
		"staged":            {mode: mounts.Staged, disk: true},
		"try, dry":          {mode: mounts.Try, dry: true},
		"no reboot, dry":    {mode: mounts.NoReboot, dry: true},
		"staged, dry":       {mode: mounts.Staged, dry: true},
		"unset":             {mode: ""},
		"auto":              {mode: "auto"},
		"reboot":            {mode: "reboot"},
		"of the API's name": {mode: "NO_REBOOT"},
	} {
		for _, profile := range []talostest.Profile{talostest.V16, talostest.V113, talostest.V114} {
			t.Run(name+" "+string(profile), func(t *testing.T) {
				n := start(t, talostest.Options{Profile: profile, Clock: talostest.NewManualClock(time.Now())})
				node, ctx := asAdmin(t, n), deadline(t)
				before, after := n.Config(), changed(n)
				var err error
				if c.dry {
					err = node.DryRun(ctx, after, c.mode)
				} else {
					err = node.Apply(ctx, after, c.mode, 4*time.Minute)
				}
				if known := c.active || c.disk || c.dry; known != (err == nil) {
					t.Error(err)
				}
				want := func(yes bool) []byte {
					if yes {
						return after
					}
					return before
				}
				if !bytes.Equal(n.Config(), want(c.active)) || !bytes.Equal(n.DiskConfig(), want(c.disk)) || n.RollbackPending() != c.pending || n.Reboots() != 0 {
					t.Errorf("active changed: %t, on disk: %t, rollback pending: %t, reboots: %d",
						!bytes.Equal(n.Config(), before), !bytes.Equal(n.DiskConfig(), before), n.RollbackPending(), n.Reboots())
				}
			})
		}
	}
}

func TestTryEnds(t *testing.T) {
	clock := talostest.NewManualClock(time.Now())
	n := start(t, talostest.Options{Clock: clock})
	node, ctx := asAdmin(t, n), deadline(t)
	before, after := n.Config(), changed(n)
	if err := node.Apply(ctx, after, mounts.Try, 4*time.Minute); err != nil {
		t.Fatal(err)
	}
	clock.Advance(4*time.Minute - time.Second)
	if !bytes.Equal(n.Config(), after) {
		t.Fatal("it was taken back too early")
	}
	clock.Advance(2 * time.Second)
	if !bytes.Equal(n.Config(), before) {
		t.Fatal("it was not taken back")
	}
	if err := node.Apply(ctx, after, mounts.Try, 0); !errors.Is(err, ErrRefused) || n.RollbackPending() {
		t.Errorf("tried for no time: %v", err)
	}
	if err := node.Apply(ctx, nil, mounts.NoReboot, 0); !errors.Is(err, ErrRefused) {
		t.Errorf("applied nothing: %v", err)
	}
}

func TestRefused(t *testing.T) {
	for name, c := range map[string]struct {
		o      talostest.Options
		change func(config string) string
		says   string
	}{
		"unknown keys": {
			talostest.Options{}, func(s string) string { return strings.Replace(s, "machine:\n", "machine:\n    tokn: CANARY\n", 1) },
			"unknown keys found during decoding",
		},
		"a wrong type": {
			talostest.Options{}, func(s string) string { return strings.Replace(s, "machine:\n", "machine:\n    sysctls: CANARY\n", 1) },
			"cannot",
		},
		"not YAML": {talostest.Options{}, func(string) string { return "machine: [CANARY\n" }, ""},
		"a reboot": {
			talostest.Options{}, func(s string) string {
				return strings.Replace(s, "machine:\n", "machine:\n    files: [{path: /var/CANARY, content: CANARY}]\n", 1)
			},
			"can't be applied in immediate mode",
		},
		"two kubelets": {
			talostest.Options{Profile: talostest.V114, Native: true}, func(s string) string { return strings.Replace(s, "machine:\n", "machine:\n    kubelet: {}\n", 1) },
			"kubelet config is already set in v1alpha1 config (.machine.kubelet)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := start(t, c.o)
			before := n.Config()
			after := []byte(c.change(string(before)))
			if bytes.Equal(before, after) {
				t.Fatal("the change changes nothing")
			}
			node, ctx := asAdmin(t, n), deadline(t)
			is(t, node.Apply(ctx, after, mounts.NoReboot, 0), ErrRefused, before, c.says)
			is(t, node.DryRun(ctx, after, mounts.NoReboot), ErrRefused, before, c.says)
			if !bytes.Equal(n.Config(), before) || !bytes.Equal(n.DiskConfig(), before) {
				t.Error("it was applied")
			}
		})
	}
}

func TestBusy(t *testing.T) {
	n := start(t, talostest.Options{Profile: talostest.V114})
	node, ctx := asAdmin(t, n), deadline(t)
	inside, leave := make(chan struct{}), make(chan struct{})
	n.SetHooks(talostest.Hooks{Applying: func(context.Context) {
		close(inside)
		<-leave
	}})
	first := make(chan error, 1)
	go func() { first <- node.Apply(ctx, changed(n), mounts.NoReboot, 0) }()
	<-inside
	is(t, node.Apply(ctx, changed(n), mounts.NoReboot, 0), ErrBusy, n.Config())
	close(leave)
	if err := <-first; err != nil {
		t.Error(err)
	}
}

func TestRoles(t *testing.T) {
	n := start(t, talostest.Options{})
	for _, weak := range []role.Role{role.Reader, role.Operator} {
		t.Run(string(weak), func(t *testing.T) {
			client := connect(t, n.Cluster(), talostest.Access{Context: "me", Roles: []role.Role{weak}})
			node, ctx := client.Node(n.Name(), "127.0.0.1"), deadline(t)
			if err := node.Verify(ctx); err != nil {
				t.Error(err)
			}
			if _, err := node.Version(ctx); err != nil {
				t.Error(err)
			}
			if _, err := node.Kubelet(ctx); err != nil {
				t.Error(err)
			}
			view, err := node.View(ctx, []string{"/var/mnt"})
			if err != nil {
				t.Fatal(err)
			}
			if view.Dirs["/var/mnt"].Kubelet.Exists != disk.Yes {
				t.Errorf("got %+v", view)
			}
			if view.Kubelet != nil || view.Host != nil || !strings.Contains(view.MountsProblem, "os:admin") || !strings.Contains(view.MountsProblem, string(weak)) {
				t.Errorf("mounts: %q", view.MountsProblem)
			}
			_, configs := node.Configs(ctx)
			_, read := node.Read(ctx, "/proc/1/mountinfo")
			for what, err := range map[string]error{
				"machine configuration": configs, "/proc/1/mountinfo": read,
				"the machine configuration": node.Apply(ctx, changed(n), mounts.NoReboot, 0),
				"configuration":             node.DryRun(ctx, changed(n), mounts.NoReboot),
			} {
				is(t, err, ErrDenied, n.Config(), what, "os:admin", string(weak), `context "me"`)
			}
		})
	}
}

func TestView(t *testing.T) {
	n := start(t, talostest.Options{})
	s, node, ctx := sim(t, n), asAdmin(t, n), deadline(t)
	for _, link := range [][2]string{{"/var/lib/only-host", "/var/mnt/out"}, {"/dev/vdf", "/var/mnt/disks/vdf"}, {"disks", "/var/mnt/in"}} {
		if err := s.Symlink(link[0], link[1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.WriteFile("/var/lib/only-host/file", ""); err != nil {
		t.Fatal(err)
	}
	view, err := node.View(ctx, []string{"/var/mnt/disks", "/var/mnt/in", "/var/mnt/out", "/var/lib/only-host", "/var/lib/only-host/file", "/var/none", "/"})
	if err != nil {
		t.Fatal(err)
	}
	if view.PID != n.Kubelet().PID || view.PID == 0 {
		t.Errorf("PID is %d", view.PID)
	}
	yes := func(entries ...string) mounts.Listing { return mounts.Listing{Exists: disk.Yes, Entries: entries} }
	no := mounts.Listing{Exists: disk.No}
	for dir, want := range map[string]mounts.Sight{
		"/var/mnt/disks": {Host: yes("vdf"), Kubelet: yes("vdf")},
		"/var/mnt/in":    {Host: yes("vdf"), Kubelet: yes("vdf")},
		// Asked for it below /proc/PID/root, Talos itself would list the node's.
		"/var/mnt/out":       {Host: yes("file"), Kubelet: no},
		"/var/lib/only-host": {Host: yes("file"), Kubelet: no},
		"/var/none":          {Host: no, Kubelet: no},
		"/var/lib/only-host/file": {
			Host:    mounts.Listing{Exists: disk.No, Problem: `"/var/lib/only-host/file" is not a directory`},
			Kubelet: no,
		},
	} {
		if got := view.Dirs[dir]; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", dir, got, want)
		}
	}
	// The two roots differ: the node has /system, the kubelet's container does not.
	if root := view.Dirs["/"]; !slices.Contains(root.Host.Entries, "system") || slices.Contains(root.Kubelet.Entries, "system") || !slices.Contains(root.Kubelet.Entries, "var") {
		t.Errorf("/: got %+v", root)
	}
	at := func(point string) func(mounts.Mount) bool {
		return func(m mounts.Mount) bool { return m.Point == point }
	}
	if view.MountsProblem != "" || !slices.ContainsFunc(view.Kubelet, at("/var/mnt")) || !slices.ContainsFunc(view.Host, at("/system")) || slices.ContainsFunc(view.Kubelet, at("/system")) {
		t.Errorf("mounts: %q, kubelet %v, host %v", view.MountsProblem, view.Kubelet, view.Host)
	}
}

// A kubelet that restarts has another PID, and its old one's directories are gone.
func TestViewRestart(t *testing.T) {
	for name, c := range map[string]struct {
		restarts int
		after    string
		lasts    bool
	}{
		"once, before the directories": {1, "Processes", true},
		"once, before the mounts":      {1, "Read", true},
		"again and again":              {100, "Processes", false},
	} {
		t.Run(name, func(t *testing.T) {
			n := start(t, talostest.Options{})
			var restarts atomic.Int32
			n.SetHooks(talostest.Hooks{After: func(ctx context.Context, method string) error {
				if method != c.after || int(restarts.Add(1)) > c.restarts {
					return nil
				}
				if err := n.Machine().StopKubelet(ctx); err != nil {
					return err
				}
				_, err := n.Machine().StartKubelet(ctx, nil)
				return err
			}})
			view, err := asAdmin(t, n).View(deadline(t), []string{"/var/mnt"})
			if !c.lasts {
				is(t, err, ErrRestarted, n.Config())
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			processes, err := n.Machine().Processes(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if want := processes[len(processes)-1].PID; view.PID != want || view.Dirs["/var/mnt"].Kubelet.Exists != disk.Yes || len(view.Kubelet) == 0 {
				t.Errorf("the kubelet's PID is %d; got %+v", want, view)
			}
		})
	}
}

// A kubelet that restarts while it is asked for is not the new process with the
// health of the old one.
func TestKubeletRestart(t *testing.T) {
	n := start(t, talostest.Options{})
	before := n.Kubelet().PID
	var calls atomic.Int32
	n.SetHooks(talostest.Hooks{After: func(ctx context.Context, method string) error {
		if method != "Processes" && method != "ServiceList" || calls.Add(1) > 1 {
			return nil
		}
		if err := n.Machine().StopKubelet(ctx); err != nil {
			return err
		}
		_, err := n.Machine().StartKubelet(ctx, nil)
		return err
	}})
	if k, err := asAdmin(t, n).Kubelet(deadline(t)); err != nil || k.PID != before {
		t.Errorf("%+v, %v: want process %d", k, err, before)
	}
}

// An inventory asks for kinds of resources that older releases do not have.
func TestUnsupported(t *testing.T) {
	n := start(t, talostest.Options{Profile: talostest.V16})
	node, ctx := asAdmin(t, n), deadline(t)
	disks := kind{namespaceRuntime, "Disks.block.talos.dev", reader, "the list of disks"}
	is(t, list(ctx, node, disks, func(string, *block.DiskSpec) { t.Error("there is one") }), ErrUnsupported, nil, "the list of disks")
	_, err := node.get(ctx, disks, "vda", &block.DiskSpec{})
	is(t, err, ErrUnsupported, nil, "the list of disks")

	n = start(t, talostest.Options{Profile: talostest.V113})
	node = asAdmin(t, n)
	_, err = node.get(ctx, disks, "none", &block.DiskSpec{})
	is(t, err, ErrNotFound, nil, "the list of disks")
	var ids []string
	if err := list(ctx, node, disks, func(id string, spec *block.DiskSpec) {
		if spec.GetDevPath() == "" {
			t.Errorf("%q is empty", id)
		}
		ids = append(ids, id)
	}); err != nil || len(ids) == 0 || !slices.IsSorted(ids) {
		t.Errorf("got %v, %v", ids, err)
	}
}

func TestUnreachable(t *testing.T) {
	cluster, err := talostest.NewCluster()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cluster.Close() })
	plane, err := cluster.Add(talostest.Options{Name: "cp", Addresses: []string{"10.0.0.11"}})
	if err != nil {
		t.Fatal(err)
	}
	worker, err := cluster.Add(talostest.Options{Name: "w-1", Addresses: []string{"10.0.0.12"}, Worker: true})
	if err != nil {
		t.Fatal(err)
	}
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // It takes connections, and says nothing.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	at := func(endpoints ...string) talostest.Access { return talostest.Access{Endpoints: endpoints} }
	ask := func(access talostest.Access, address string) error {
		return connect(t, cluster, access).Node("w-1", address).Verify(deadline(t))
	}
	if err := ask(at(plane.Endpoint()), "10.0.0.12"); err != nil {
		t.Error(err)
	}
	if err := ask(at(dead.Addr().String(), plane.Endpoint()), "10.0.0.12"); err != nil {
		t.Errorf("one of two endpoints is up: %v", err)
	}
	is(t, ask(at(dead.Addr().String()), "10.0.0.12"), ErrUnreachable, nil, "no answer from the Talos API at", dead.Addr().String(), "connection refused")
	is(t, ask(at(plane.Endpoint()), "10.0.0.99"), ErrUnreachable, nil, `does not reach the node at "10.0.0.99"`)
	is(t, ask(at(worker.Endpoint()), "10.0.0.11"), ErrForwarding, nil, "--talos-endpoints")
	if err := ask(at(worker.Endpoint()), "10.0.0.12"); err != nil {
		t.Errorf("a worker answers for itself: %v", err)
	}

	client := connect(t, cluster, at(silent.Addr().String()))
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, context.DeadlineExceeded)
	defer cancel()
	is(t, client.Node("w-1", "10.0.0.12").Verify(ctx), context.DeadlineExceeded, nil)

	worker.Cut()
	is(t, ask(at(plane.Endpoint()), "10.0.0.12"), ErrUnreachable, nil, `does not reach the node at "10.0.0.12"`)
}

func TestTrust(t *testing.T) {
	n := start(t, talostest.Options{})
	ctx := deadline(t)
	ask := func(config *Config) error {
		c, err := New(ctx, config)
		if err != nil {
			return err
		}
		defer c.Close()
		return c.Node(n.Name(), "127.0.0.1").Verify(ctx)
	}
	good := load(t, n.Cluster(), talostest.Access{}, Options{})
	if err := ask(good); err != nil {
		t.Fatal(err)
	}
	stranger := load(t, n.Cluster(), talostest.Access{Stranger: true}, Options{})
	is(t, ask(stranger), ErrTLS, n.Config(), "another CA", `context "test"`)
	// It trusts the server; the server does not trust it.
	stranger.file.Contexts["test"].CA = good.file.Contexts["test"].CA
	is(t, ask(stranger), ErrTLS, n.Config(), "does not accept the client certificate")
	c, err := New(ctx, stranger)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// Where gRPC saw only the end of the connection, a second one tells why.
	hung := unsent{status.Error(codes.Unavailable, "write tcp: broken pipe")}
	if err := c.refusal(ctx, hung); !hungUp(hung) || !strings.Contains(err.Error(), "remote error: tls: unknown certificate authority") {
		t.Errorf("got %v", err)
	}

	old := load(t, n.Cluster(), talostest.Access{Expired: true, Roles: []role.Role{role.Reader}}, Options{})
	if !old.Expired(time.Now()) {
		t.Error("Expired says no")
	}
	is(t, ask(old), ErrExpired, n.Config(), `context "test" ended at `, "talosctl config new", "os:reader")
	// The clock here is wrong: only the server knows.
	old.identity.NotAfter = time.Now().Add(time.Hour)
	is(t, ask(old), ErrExpired, n.Config(), "clocks")
}

func TestEnd(t *testing.T) {
	n := start(t, talostest.Options{})
	node := asAdmin(t, n)
	n.SetHooks(talostest.Hooks{Before: talostest.Hang("Version", "cosi.Get", "Read", "ServiceList", "Processes", "ApplyConfiguration", "List")})
	for name, call := range map[string]func(context.Context) error{
		"version": func(ctx context.Context) error { _, err := node.Version(ctx); return err },
		"configs": func(ctx context.Context) error { _, err := node.Configs(ctx); return err },
		"read":    func(ctx context.Context) error { _, err := node.Read(ctx, "/etc/os-release"); return err },
		"list":    func(ctx context.Context) error { _, err := node.List(ctx, "/", 1); return err },
		"kubelet": func(ctx context.Context) error { _, err := node.Kubelet(ctx); return err },
		"view":    func(ctx context.Context) error { _, err := node.View(ctx, []string{"/var"}); return err },
		"apply":   func(ctx context.Context) error { return node.Apply(ctx, changed(n), mounts.NoReboot, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			is(t, call(ctx), context.DeadlineExceeded, n.Config(), "asking the Talos API at")
			ctx, cancel = context.WithCancel(t.Context())
			cancel()
			is(t, call(ctx), context.Canceled, n.Config())
		})
	}
}
