// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster"
	"github.com/talosdisk/kubectl-talosdisk/test/manifests"
)

// TestCompletion asks kubectl, as a shell does, which asks the plugin by the
// name kubectl_complete-talosdisk.
func TestCompletion(t *testing.T) {
	begin(t, manifests.Default())
	first, second := addDisk(t, node(t, "worker-1"), cluster.Disk{}), addDisk(t, node(t, "worker-2"), cluster.Disk{})
	complete := func(t *testing.T, kubeconfig string, args ...string) []string {
		cmd := exec.CommandContext(t.Context(), theCluster.KubectlPath(), append([]string{"__complete", "talosdisk"}, args...)...)
		cmd.Env = append(os.Environ(), "PATH="+pluginDir+":"+os.Getenv("PATH"), "KUBECONFIG="+kubeconfig)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %s", err, out)
		}
		var words []string
		for line := range strings.Lines(string(out)) {
			word, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
			if !strings.HasPrefix(word, ":") {
				words = append(words, word)
			}
		}
		return words
	}
	for _, test := range []struct {
		name string
		args []string
		want []string
	}{
		{name: "commands", args: []string{"unl"}, want: []string{"unlink"}},
		{name: "disks of all nodes", args: []string{"link", "sd"}, want: []string{first.Name, second.Name}},
		{name: "disks that are not named yet", args: []string{"link", first.Name, "sd"}, want: []string{second.Name}},
		{name: "system disk", args: []string{"disks", "vd"}, want: []string{"vda"}},
		{name: "nodes", args: []string{"link", "vdf", "--nodes", ""}, want: []string{"worker-1", "worker-2", "worker-3"}},
		{
			name: "further nodes",
			args: []string{"link", "vdf", "--nodes", "worker-1,w"},
			want: []string{"worker-1,worker-1", "worker-1,worker-2", "worker-1,worker-3"},
		},
		{name: "classes", args: []string{"link", "vdf", "--class", ""}, want: []string{"block-storage", "fs-storage"}},
		// The shell takes of these what fits.
		{
			name: "reasons",
			args: []string{"link", "vdf", "--accept", "p"},
			want: []string{"signature", "partitions", "data", "removable", "too-small", "loop", "remote", "virtual"},
		},
		{name: "targets", args: []string{"link", "vdf", "--target", "by-"}, want: []string{"auto", "by-id", "by-path", "name"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := complete(t, theCluster.Kubeconfig(), test.args...); !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	t.Run("nothing where there is no cluster", func(t *testing.T) {
		if got := complete(t, writeFile(t, ""), "link", "sd"); len(got) > 0 {
			t.Errorf("got %q", got)
		}
	})
}
