// SPDX-License-Identifier: Apache-2.0

package talostest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/resource/protobuf"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	configpb "github.com/siderolabs/talos/pkg/machinery/api/resource/config"
	"github.com/siderolabs/talos/pkg/machinery/client"
	"github.com/siderolabs/talos/pkg/machinery/proto"
	"github.com/siderolabs/talos/pkg/machinery/resources/config"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/talosdisk/kubectl-talosdisk/pkg/talos/talostest"
)

// node starts one, and waits for its kubelet.
func node(t *testing.T, options talostest.Options) *talostest.Node {
	t.Helper()
	n, err := talostest.New(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	settle(t, n)
	return n
}

func settle(t *testing.T, n *talostest.Node) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := n.Settle(ctx); err != nil {
		t.Fatal(err)
	}
}

// dial makes a client of these roles.
func dial(t *testing.T, n *talostest.Node, roles ...role.Role) *client.Client {
	t.Helper()
	return dialAs(t, n, talostest.Access{Roles: roles, Endpoints: []string{n.Endpoint()}})
}

func dialAs(t *testing.T, n *talostest.Node, access talostest.Access) *client.Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "talosconfig")
	if err := n.Talosconfig(path, access); err != nil {
		t.Fatal(err)
	}
	c, err := client.New(t.Context(), client.WithConfigFromFile(path))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// list is the relative names below a root.
func list(t *testing.T, c *client.Client, root string) ([]string, error) {
	t.Helper()
	stream, err := c.LS(t.Context(), &machine.ListRequest{Root: root})
	if err != nil {
		return nil, err
	}
	var names []string
	for {
		info, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return names, nil
		}
		if err != nil {
			return nil, err
		}
		names = append(names, info.GetRelativeName())
	}
}

func read(t *testing.T, c *client.Client, name string) (string, error) {
	t.Helper()
	r, err := c.Read(t.Context(), name)
	if err != nil {
		return "", err
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	return string(data), err
}

// machineConfig reads one as bytes, with its version.
func machineConfig(t *testing.T, c *client.Client, id resource.ID) ([]byte, string, error) {
	t.Helper()
	r, err := c.COSI.Get(t.Context(), resource.NewMetadata(config.NamespaceName, config.MachineConfigType, id, resource.VersionUndefined),
		state.WithGetUnmarshalOptions(state.WithSkipProtobufUnmarshal()))
	if err != nil {
		return nil, "", err
	}
	m, err := r.(*protobuf.Resource).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	var spec configpb.MachineConfigSpec
	if err := proto.Unmarshal(m.GetSpec().GetProtoSpec(), &spec); err != nil {
		t.Fatal(err)
	}
	return spec.GetYamlMarshalled(), r.Metadata().Version().String(), nil
}

type mode = machine.ApplyConfigurationRequest_Mode

func apply(t *testing.T, c *client.Client, data []byte, m mode, dry bool) (*machine.ApplyConfiguration, error) {
	t.Helper()
	answer, err := c.ApplyConfiguration(t.Context(),
		&machine.ApplyConfigurationRequest{Data: data, Mode: m, DryRun: dry, TryModeTimeout: durationpb.New(25 * time.Second)})
	if err != nil {
		return nil, err
	}
	return answer.GetMessages()[0], nil
}

// with adds extraMounts, as text, to a configuration that has none.
func with(t *testing.T, data []byte, entries string) []byte {
	t.Helper()
	at := bytes.Index(data, []byte("    kubelet:\n"))
	if at < 0 {
		t.Fatal("no machine.kubelet")
	}
	at += len("    kubelet:\n")
	var indented strings.Builder
	indented.WriteString("        extraMounts:\n")
	for line := range strings.Lines(entries) {
		indented.WriteString("            " + line)
	}
	return append(append(bytes.Clone(data[:at]), indented.String()...), data[at:]...)
}

const disks = "- destination: /var/lib/disks\n  type: bind\n  source: /var/lib/disks\n  options: [rbind, rslave, rw]\n"

func TestEveryProfileServes(t *testing.T) {
	t.Parallel()
	for _, p := range []talostest.Profile{talostest.V16, talostest.V19, talostest.V111, talostest.V113, talostest.V114} {
		for _, worker := range []bool{false, true} {
			t.Run(string(p), func(t *testing.T) {
				t.Parallel()
				n := node(t, talostest.Options{Profile: p, Worker: worker})
				c := dial(t, n)
				v, err := c.Version(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if got := v.GetMessages()[0].GetVersion().GetTag(); got != string(p) {
					t.Errorf("tag %q", got)
				}
				data, version, err := machineConfig(t, c, config.ActiveID)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(data, n.Config()) || version != "1" {
					t.Errorf("configuration differs, or is version %s", version)
				}
				changed := with(t, data, disks)
				answer, err := apply(t, c, changed, machine.ApplyConfigurationRequest_NO_REBOOT, false)
				if err != nil {
					t.Fatal(err)
				}
				if answer.GetModeDetails() != "Applied configuration without a reboot" {
					t.Errorf("details %q", answer.GetModeDetails())
				}
				settle(t, n)
				if got := n.Kubelet().Starts; got != 2 {
					t.Errorf("%d kubelet starts", got)
				}
				data, version, err = machineConfig(t, c, config.ActiveID)
				if err != nil || version != "2" || !bytes.Equal(data, changed) {
					t.Errorf("version %s, error %v, same bytes %t", version, err, bytes.Equal(data, changed))
				}
			})
		}
	}
}

func TestNativeConfigurationServes(t *testing.T) {
	t.Parallel()
	n := node(t, talostest.Options{Profile: talostest.V114, Native: true})
	c := dial(t, n)
	if _, err := apply(t, c, n.Config(), machine.ApplyConfigurationRequest_NO_REBOOT, false); err != nil {
		t.Fatal(err)
	}
	if got := n.Kubelet().Starts; got != 1 {
		t.Errorf("%d kubelet starts", got)
	}
}
