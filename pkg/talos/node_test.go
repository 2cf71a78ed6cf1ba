// SPDX-License-Identifier: Apache-2.0

package talos

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/siderolabs/talos/pkg/machinery/api/resource/definitions/block"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talos/talostest"
)

func TestNode(t *testing.T) {
	for _, profile := range []talostest.Profile{talostest.V16, talostest.V19, talostest.V111, talostest.V113, talostest.V114} {
		t.Run(string(profile), func(t *testing.T) {
			n := start(t, talostest.Options{Profile: profile, Name: "w-1"})
			node, ctx := asAdmin(t, n), deadline(t)
			if err := node.Verify(ctx); err != nil {
				t.Error(err)
			}
			is(t, node.client.Node(machineOf("w-2", "127.0.0.1")).Verify(ctx), ErrOtherNode, n.Config(), `"w-1"`, `"w-2"`, `"127.0.0.1"`)
			if version, err := node.Version(ctx); err != nil || version != string(profile) {
				t.Errorf("version is %q, %v", version, err)
			}
			kubelet, err := node.Kubelet(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if want := n.Kubelet(); kubelet.PID != want.PID || kubelet.PID == 0 || kubelet.State != "Running" || kubelet.Healthy != disk.Yes ||
				kubelet.Message != want.Message {
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
	if sight := view.Dirs["/var/mnt"]; view.PID != 0 || sight.Host.Exists != disk.Yes || sight.Kubelet.Exists != disk.Unknown ||
		sight.Kubelet.Problem == "" || view.MountsProblem.Message == "" {
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
