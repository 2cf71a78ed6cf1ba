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
		{"commands", []string{"unl"}, []string{"unlink"}},
		{"disks of all nodes", []string{"link", "sd"}, []string{first.Name, second.Name}},
		{"disks that are not named yet", []string{"link", first.Name, "sd"}, []string{second.Name}},
		{"system disk", []string{"disks", "vd"}, []string{"vda"}},
		{"nodes", []string{"link", "vdf", "--nodes", ""}, []string{"worker-1", "worker-2", "worker-3"}},
		{"further nodes", []string{"link", "vdf", "--nodes", "worker-1,w"}, []string{"worker-1,worker-1", "worker-1,worker-2", "worker-1,worker-3"}},
		{"classes", []string{"link", "vdf", "--class", ""}, []string{"block-storage", "fs-storage"}},
		// The shell takes of these what fits.
		{"reasons", []string{"link", "vdf", "--accept", "p"}, []string{"signature", "partitions", "data", "removable", "too-small", "loop", "remote", "virtual"}},
		{"targets", []string{"link", "vdf", "--target", "by-"}, []string{"auto", "by-id", "by-path", "name"}},
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
