// SPDX-License-Identifier: Apache-2.0

package talostest_test

import (
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/talosdisk/kubectl-talosdisk/pkg/talos/talostest"
)

func itoa(n int) string { return strconv.Itoa(n) }

// TestListFollowsALastLink is the trap: the root of a process, listed by its own
// name, is the node's.
func TestListFollowsALastLink(t *testing.T) {
	t.Parallel()
	n := node(t, talostest.Options{})
	sim := n.Machine().(*talostest.Sim)
	for name, target := range map[string]string{
		"/var/links/relative": "../lib",
		"/var/lib/kubelet/up": "../../../opt",
		"/var/lib/kubelet/at": "/var/only-host",
	} {
		if err := sim.Symlink(target, name); err != nil {
			t.Fatal(err)
		}
	}
	if err := sim.WriteFile("/var/only-host/here", ""); err != nil {
		t.Fatal(err)
	}
	c, proc := dial(t, n), "/proc/"+itoa(n.Kubelet().PID)+"/root"
	for name, test := range map[string]struct {
		root string
		host bool
	}{
		"a process's root":                 {proc, true},
		"with a slash":                     {proc + "/", true},
		"with a dot":                       {proc + "/.", false},
		"below it":                         {proc + "/var", false},
		"the node's":                       {"/var", true},
		"through a last link of a process": {proc + "/var/lib/kubelet/at", true},
		"through a link that is not last":  {proc + "/var/lib/kubelet/at/.", true},
	} {
		t.Run(name, func(t *testing.T) {
			names, err := list(t, c, test.root)
			if err != nil {
				t.Fatal(err)
			}
			got := " " + strings.Join(names, " ") + " "
			// The node has these, and the kubelet has not.
			host := strings.Contains(got, " boot ") || strings.Contains(got, " only-host ") || strings.Contains(got, " here ")
			if host != test.host {
				t.Errorf("lists%s", got)
			}
		})
	}
	if _, err := list(t, c,
		"/var/links/relative/none"); status.Convert(err).Message() != "lstat /var/links/relative/none: no such file or directory" {
		t.Errorf("answered %v", err)
	}
}

func TestListTellsTypesLinksAndDepth(t *testing.T) {
	t.Parallel()
	n := node(t, talostest.Options{})
	sim := n.Machine().(*talostest.Sim)
	if err := sim.WriteFile("/var/lib/disks/a/b/c", "12345"); err != nil {
		t.Fatal(err)
	}
	if err := sim.Symlink("/dev/vdf", "/var/lib/disks/vdf"); err != nil {
		t.Fatal(err)
	}
	c := dial(t, n)
	for name, test := range map[string]struct {
		req  *machine.ListRequest
		want string
	}{
		"children":   {req: &machine.ListRequest{Root: "/var/lib/disks"}, want: ". a vdf>/dev/vdf"},
		"two levels": {req: &machine.ListRequest{Root: "/var/lib/disks", Recurse: true, RecursionDepth: 2}, want: ". a a/b vdf>/dev/vdf"},
		"everything": {req: &machine.ListRequest{Root: "/var/lib/disks", Recurse: true}, want: ". a a/b a/b/c:5 vdf>/dev/vdf"},
		"links": {
			req:  &machine.ListRequest{Root: "/var/lib/disks", Recurse: true, Types: []machine.ListRequest_Type{machine.ListRequest_SYMLINK}},
			want: "vdf>/dev/vdf",
		},
		"one file": {req: &machine.ListRequest{Root: "/var/lib/disks/a/b/c"}, want: "c:5"},
	} {
		t.Run(name, func(t *testing.T) {
			stream, err := c.LS(t.Context(), test.req)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for {
				info, err := stream.Recv()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				line := info.GetRelativeName()
				if info.GetLink() != "" {
					line += ">" + info.GetLink()
				} else if !info.GetIsDir() {
					line += ":" + strconv.FormatInt(info.GetSize(), 10)
				}
				got = append(got, line)
			}
			if strings.Join(got, " ") != test.want {
				t.Errorf("lists %q, want %q", got, test.want)
			}
		})
	}
}

func TestReadByRelease(t *testing.T) {
	t.Parallel()
	for profile, code := range map[talostest.Profile]codes.Code{talostest.V16: codes.Unknown, talostest.V19: codes.NotFound} {
		n := node(t, talostest.Options{Profile: profile})
		c := dial(t, n)
		if _, err := read(t, c, "/nonexistent"); status.Code(err) != code {
			t.Errorf("%s answered %v", profile, err)
		}
		if _, err := read(t, c, "/var"); status.Convert(err).Message() != "path must be a regular file" {
			t.Errorf("%s answered %v for a directory", profile, err)
		}
		if err := n.Machine().(*talostest.Sim).WriteFile("/var/big", strings.Repeat("0123456789", 20000)); err != nil {
			t.Fatal(err)
		}
		if text, err := read(t, c, "/var/big"); err != nil || len(text) != 200000 {
			t.Errorf("%s read %d bytes, %v", profile, len(text), err)
		}
	}
}
