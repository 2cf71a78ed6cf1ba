// SPDX-License-Identifier: Apache-2.0

package talostest_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/client"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"go.yaml.in/yaml/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/talosdisk/kubectl-talosdisk/pkg/talos/talostest"
)

// recorded reads a file of testdata.
func recorded[T any](t *testing.T, name string) []T {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	var facts []T
	if err := yaml.Unmarshal(data, &facts); err != nil {
		t.Fatal(err)
	}
	if len(facts) == 0 {
		t.Fatal("nothing recorded")
	}
	return facts
}

// TestCallsAreAnsweredAsRecorded replays what a real node answered to each role.
func TestCallsAreAnsweredAsRecorded(t *testing.T) {
	t.Parallel()
	n := node(t, talostest.Options{Profile: talostest.V114})
	clients := map[role.Role]*client.Client{}
	for _, fact := range recorded[struct {
		Role                role.Role
		Call, Code, Message string
	}](t, "calls.yaml") {
		t.Run(string(fact.Role)+" "+fact.Call, func(t *testing.T) {
			if clients[fact.Role] == nil {
				clients[fact.Role] = dial(t, n, fact.Role)
			}
			// A restart may have come before.
			settle(t, n)
			c := dial(t, n, fact.Role)
			err := perform(t, c, n, strings.ReplaceAll(fact.Call, "{kubelet}", strconv.Itoa(n.Kubelet().PID)))
			if fact.Code == "" {
				fact.Code = "OK"
			}
			got := answerOf(err)
			if got.Code().String() != fact.Code || got.Message() != fact.Message {
				t.Errorf("answered %s %q, recorded %s %q", got.Code(), got.Message(), fact.Code, fact.Message)
			}
		})
	}
}

// answerOf is the status in an error. The client of the resource API hides that of
// a resource that is not there.
func answerOf(err error) *status.Status {
	if state.IsNotFoundError(err) {
		_, message, _ := strings.Cut(err.Error(), "desc = ")
		return status.New(codes.NotFound, message)
	}
	return status.Convert(err)
}

// perform makes a call that is written in words.
func perform(t *testing.T, c *client.Client, n *talostest.Node, call string) error {
	t.Helper()
	words := strings.Fields(call)
	var err error
	switch words[0] {
	case "version":
		_, err = c.Version(t.Context())
	case "list":
		_, err = list(t, c, words[1])
	case "read":
		_, err = read(t, c, words[1])
	case "processes":
		_, err = c.Processes(t.Context())
	case "services":
		_, err = c.ServiceList(t.Context())
	case "disks":
		_, err = c.StorageClient.Disks(t.Context(), &emptypb.Empty{})
	case "restart":
		_, err = c.ServiceRestart(t.Context(), words[1])
	case "apply":
		_, err = apply(t, c, n.Config(), machine.ApplyConfigurationRequest_NO_REBOOT, true)
	case "get":
		_, err = c.COSI.Get(t.Context(), resource.NewMetadata(words[1], words[2], words[3], resource.VersionUndefined),
			state.WithGetUnmarshalOptions(state.WithSkipProtobufUnmarshal()))
	case "all":
		_, err = c.COSI.List(t.Context(), resource.NewMetadata(words[1], words[2], "", resource.VersionUndefined),
			state.WithListUnmarshalOptions(state.WithSkipProtobufUnmarshal()))
	default:
		t.Fatalf("no such call: %q", call)
	}
	return err
}

// localDisks is the entry that was recorded, once or several times.
func localDisks(times int) string {
	return strings.Repeat("- destination: /var/local-disks\n  type: bind\n  source: /var/local-disks\n  options:\n    - bind\n    - rshared\n    - rw\n",
		times)
}

// TestPatchesAreAnsweredAsRecorded replays the modes, in the order of the recording.
func TestPatchesAreAnsweredAsRecorded(t *testing.T) {
	t.Parallel()
	n := node(t, talostest.Options{Profile: talostest.V114, Clock: clock()})
	c, base, starts := dial(t, n), n.Config(), 1
	for _, fact := range recorded[struct {
		Step, Mode, Details string
		Dry                 bool
		Entries, Starts     int
		Changed             []string
	}](t, "patches.yaml") {
		send := base
		if fact.Entries > 0 {
			send = with(t, base, localDisks(fact.Entries))
		}
		answer, err := apply(t, c, send, mode(machine.ApplyConfigurationRequest_Mode_value[fact.Mode]), fact.Dry)
		if err != nil {
			t.Fatalf("%s: %v", fact.Step, err)
		}
		settle(t, n)
		starts += fact.Starts
		if got := n.Kubelet().Starts; got != starts {
			t.Errorf("%s: %d kubelet starts, recorded %d", fact.Step, got, starts)
		}
		details := answer.GetModeDetails()
		if !fact.Dry {
			if details != fact.Details {
				t.Errorf("%s: details %q, recorded %q", fact.Step, details, fact.Details)
			}
			continue
		}
		diff, ok := strings.CutPrefix(details, fact.Details)
		if !ok {
			t.Errorf("%s: details do not begin as recorded", fact.Step)
		}
		var changed []string
		for line := range strings.Lines(diff) {
			if line[0] == '+' || line[0] == '-' {
				changed = append(changed, strings.TrimRight(line, "\n"))
			}
		}
		if strings.Join(changed, "\n") != strings.Join(fact.Changed, "\n") {
			t.Errorf("%s: changed lines\n%s\nrecorded\n%s", fact.Step, strings.Join(changed, "\n"), strings.Join(fact.Changed, "\n"))
		}
	}
}

// TestNativeConfigurationRefusesAsRecorded replays what v1.14 refuses.
func TestNativeConfigurationRefusesAsRecorded(t *testing.T) {
	t.Parallel()
	native := node(t, talostest.Options{Profile: talostest.V114, Native: true})
	upgraded := node(t, talostest.Options{Profile: talostest.V114})
	machineHead := func(kubelet string) []byte {
		return []byte(strings.Replace(string(native.Config()), "machine:\n", "machine:\n    kubelet:"+kubelet+"\n", 1))
	}
	patches := map[string]struct {
		node *talostest.Node
		data []byte
	}{
		"machine.kubelet with an entry": {
			node: native,
			data: machineHead("\n        extraMounts:\n            - destination: /var/local-disks\n              source: /var/local-disks\n              type: bind"),
		},
		"machine.kubelet, empty": {node: native, data: machineHead(" {}")},
		"KubeletConfig with extraMounts": {node: native, data: []byte(strings.Replace(string(native.Config()), "kind: KubeletConfig\n",
			"kind: KubeletConfig\nextraMounts:\n    - destination: /var/local-disks\n", 1))},
		"an entry with a key that is none":  {node: upgraded, data: with(t, upgraded.Config(), "- destination: /var/x\n  option: [bind, rw]\n")},
		"an entry with options in one word": {node: upgraded, data: with(t, upgraded.Config(), "- destination: /var/x\n  options: bind,rw\n")},
	}
	for _, fact := range recorded[struct{ Patch, Message, Contains string }](t, "refusals.yaml") {
		t.Run(fact.Patch, func(t *testing.T) {
			patch, ok := patches[fact.Patch]
			if !ok {
				t.Fatal("no such patch")
			}
			before := patch.node.Config()
			for _, dry := range []bool{true, false} {
				_, err := apply(t, dial(t, patch.node), patch.data, machine.ApplyConfigurationRequest_NO_REBOOT, dry)
				got := status.Convert(err)
				if got.Code().String() != "InvalidArgument" {
					t.Fatalf("answered %v", err)
				}
				if fact.Message != "" && got.Message() != fact.Message || !strings.Contains(got.Message(), fact.Contains) {
					t.Errorf("answered %q", got.Message())
				}
			}
			if string(patch.node.Config()) != string(before) {
				t.Error("what was refused was applied")
			}
		})
	}
}
