// SPDX-License-Identifier: Apache-2.0

package talostest_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/siderolabs/talos/pkg/machinery/client"
	"github.com/siderolabs/talos/pkg/machinery/resources/block"
	"github.com/siderolabs/talos/pkg/machinery/resources/k8s"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/talosdisk/kubectl-talosdisk/pkg/talos/talostest"
)

// trio is a control plane and two workers.
func trio(t *testing.T) (plane, one, two *talostest.Node) {
	t.Helper()
	c, err := talostest.NewCluster()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	add := func(options talostest.Options) *talostest.Node {
		n, err := c.Add(options)
		if err != nil {
			t.Fatal(err)
		}
		settle(t, n)
		return n
	}
	return add(talostest.Options{Name: "plane", Addresses: []string{"10.0.0.10"}}),
		add(talostest.Options{Name: "one", Addresses: []string{"10.0.0.11"}, Worker: true}),
		add(talostest.Options{Name: "two", Addresses: []string{"10.0.0.12"}, Worker: true, Profile: talostest.V19})
}

// nodename asks the node that a request is routed to for its name.
func nodename(ctx context.Context, c *client.Client) (string, error) {
	r, err := safe.StateGetByID[*k8s.Nodename](ctx, c.COSI, k8s.NodenameID)
	if err != nil {
		return "", err
	}
	return r.TypedSpec().Nodename, nil
}

func TestControlPlaneForwardsAndWorkerDoesNot(t *testing.T) {
	t.Parallel()
	plane, one, two := trio(t)
	for name, test := range map[string]struct {
		at   *talostest.Node
		node string
		want string
		code codes.Code
		text string
	}{
		"nobody named":         {at: plane, want: "plane"},
		"itself":               {at: plane, node: "10.0.0.10", want: "plane"},
		"a worker":             {at: plane, node: "10.0.0.11", want: "one"},
		"another worker":       {at: plane, node: "10.0.0.12", want: "two"},
		"nobody's address":     {at: plane, node: "10.0.0.99", code: codes.Unavailable, text: "dial tcp 10.0.0.99:50000"},
		"worker, nobody named": {at: one, want: "one"},
		"worker, itself":       {at: one, node: "10.0.0.11", want: "one"},
		"worker, another":      {at: one, node: "10.0.0.12", code: codes.PermissionDenied, text: "no request forwarding"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			if test.node != "" {
				ctx = client.WithNode(ctx, test.node)
			}
			c := dial(t, test.at)
			got, err := nodename(ctx, c)
			if got != test.want || status.Code(err) != test.code || !strings.Contains(status.Convert(err).Message(), test.text) {
				t.Errorf("resource API answered %q, %v", got, err)
			}
			if _, err := c.Version(ctx); status.Code(err) != test.code {
				t.Errorf("machine API answered %v", err)
			}
		})
	}
	if _, err := nodename(client.WithNodes(t.Context(), "10.0.0.11", "10.0.0.12"),
		dial(t, plane)); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "one-2-many proxying is not supported") {
		t.Errorf("several nodes: %v", err)
	}
	// The node that answers asks for the role, and knows what its own release has.
	reader := dial(t, plane, role.Reader)
	if _, err := reader.ServiceRestart(client.WithNode(t.Context(), "10.0.0.11"), "kubelet"); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a reader's restart: %v", err)
	}
	if _, err := safe.StateListAll[*block.MountStatus](client.WithNode(t.Context(), "10.0.0.12"),
		reader.COSI); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a type that %s lacks: %v", two.Name(), err)
	}
}

func TestNodeThatIsCutAndRestored(t *testing.T) {
	t.Parallel()
	plane, one, _ := trio(t)
	c, ctx := dial(t, plane), client.WithNode(t.Context(), "10.0.0.11")
	one.Cut()
	if _, err := c.Version(ctx); status.Code(err) != codes.Unavailable {
		t.Errorf("answered %v", err)
	}
	if err := one.Restore(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Version(ctx); err != nil {
		t.Error(err)
	}
	if _, err := dial(t, one).Version(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestCertificates(t *testing.T) {
	t.Parallel()
	n := node(t, talostest.Options{})
	for name, test := range map[string]struct {
		access talostest.Access
		text   string
	}{
		// With TLS 1.3 the client may have written before it reads why it was refused.
		"expired":  {talostest.Access{Expired: true}, ""},
		"stranger": {talostest.Access{Stranger: true}, "certificate signed by unknown authority"},
	} {
		t.Run(name, func(t *testing.T) {
			test.access.Endpoints = []string{n.Endpoint()}
			_, err := dialAs(t, n, test.access).Version(t.Context())
			if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), test.text) {
				t.Errorf("answered %v", err)
			}
		})
	}
}

func TestTalosconfigNamesControlPlanes(t *testing.T) {
	t.Parallel()
	plane, _, _ := trio(t)
	path := filepath.Join(t.TempDir(), "talosconfig")
	if err := plane.Cluster().Talosconfig(path, talostest.Access{}); err != nil {
		t.Fatal(err)
	}
	c, err := client.New(t.Context(), client.WithConfigFromFile(path))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := c.GetEndpoints(); len(got) != 1 || got[0] != plane.Endpoint() {
		t.Errorf("endpoints %v", got)
	}
	if got, err := nodename(t.Context(), c); err != nil || got != "plane" {
		t.Errorf("answered %q, %v", got, err)
	}
}

func TestHangEndsWithItsCaller(t *testing.T) {
	t.Parallel()
	n := node(t, talostest.Options{})
	reached := make(chan struct{})
	hang := talostest.Hang("Processes")
	n.SetHooks(talostest.Hooks{Before: func(ctx context.Context, method string) error {
		if method == "Processes" {
			close(reached)
		}
		return hang(ctx, method)
	}})
	c := dial(t, n)
	if _, err := c.Version(t.Context()); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-reached; cancel() }()
	if _, err := c.Processes(ctx); status.Code(err) != codes.Canceled {
		t.Errorf("answered %v", err)
	}
}

func TestResourceTypesByRelease(t *testing.T) {
	t.Parallel()
	for profile, unsupported := range map[talostest.Profile][]resource.Type{
		talostest.V16: {block.DiskType, block.SystemDiskType, block.DiscoveredVolumeType, block.VolumeStatusType, block.MountStatusType,
			block.SymlinkType},
		talostest.V19:  {block.MountStatusType, block.SymlinkType},
		talostest.V111: nil,
	} {
		n := node(t, talostest.Options{Profile: profile})
		c := dial(t, n)
		for _, kind := range []resource.Type{block.DiskType, block.SystemDiskType, block.DiscoveredVolumeType, block.VolumeStatusType,
			block.MountStatusType, block.SymlinkType} {
			list, err := c.COSI.List(t.Context(), resource.NewMetadata(block.NamespaceName, kind, "", resource.VersionUndefined))
			want := ""
			for _, u := range unsupported {
				if u == kind {
					want = `resource type "` + kind + `" is not supported`
				}
			}
			switch {
			case want == "" && (err != nil || len(list.Items) == 0):
				t.Errorf("%s: %s: %d, %v", profile, kind, len(list.Items), err)
			case want != "" && (status.Code(err) != codes.PermissionDenied || status.Convert(err).Message() != want):
				t.Errorf("%s: %s: %v", profile, kind, err)
			}
		}
	}
}

func TestKubeletSpecSensitivityByRelease(t *testing.T) {
	t.Parallel()
	for profile, code := range map[talostest.Profile]codes.Code{
		talostest.V16: codes.OK, "v1.12.8": codes.OK, "v1.12.9": codes.PermissionDenied, "v1.13.3": codes.OK,
		"v1.13.4": codes.PermissionDenied, talostest.V113: codes.PermissionDenied, "v1.14.0-rc.1": codes.PermissionDenied,
	} {
		n := node(t, talostest.Options{Profile: profile, Bare: true})
		r, err := safe.StateGetByID[*k8s.KubeletSpec](t.Context(), dial(t, n, role.Reader).COSI, k8s.KubeletID)
		if status.Code(err) != code {
			t.Errorf("%s answered %v", profile, err)
		}
		if err == nil && r.TypedSpec().Image == "" {
			t.Errorf("%s has no image", profile)
		}
	}
}
