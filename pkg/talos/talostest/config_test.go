// SPDX-License-Identifier: Apache-2.0

package talostest_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/siderolabs/talos/pkg/machinery/config/configloader"

	"github.com/talosdisk/kubectl-talosdisk/pkg/talos/talostest"
)

func TestGeneratedConfigurations(t *testing.T) {
	t.Parallel()
	c, err := talostest.NewCluster()
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		profile        talostest.Profile
		worker, native bool
		// secrets is how many of the canaries are at least in it.
		secrets int
		text    []string
		none    []string
	}{
		"old control plane":   {talostest.V16, false, false, 8, []string{"type: controlplane", "    kubelet:\n"}, []string{"\nkind:"}},
		"old worker":          {talostest.V16, true, false, 3, []string{"type: worker", "    kubelet:\n"}, []string{"\nkind:"}},
		"v1.13 worker":        {talostest.V113, true, false, 3, []string{"    kubelet:\n", "kind: HostnameConfig"}, []string{"KubeletConfig"}},
		"upgraded to v1.14":   {talostest.V114, true, false, 3, []string{"    kubelet:\n"}, []string{"KubeletConfig"}},
		"v1.14 worker":        {talostest.V114, true, true, 3, []string{"kind: KubeletConfig\nimage: ghcr.io/siderolabs/kubelet:v", "kind: DiscoveryIdentityConfig"}, []string{"    kubelet:\n"}},
		"v1.14 control plane": {talostest.V114, false, true, 8, []string{"kind: KubeletConfig"}, []string{"    kubelet:\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			data, err := c.Config(test.profile, test.worker, test.native)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range test.text {
				if !bytes.Contains(data, []byte(want)) {
					t.Errorf("has no %q", want)
				}
			}
			for _, bad := range test.none {
				if bytes.Contains(data, []byte(bad)) {
					t.Errorf("has %q", bad)
				}
			}
			found := 0
			for _, canary := range c.Canaries() {
				if bytes.Contains(data, []byte(canary)) {
					found++
				}
			}
			if found < test.secrets {
				t.Errorf("%d secrets, want %d", found, test.secrets)
			}
			_, err = configloader.NewFromBytes(data)
			if test.native != (err != nil && strings.Contains(err.Error(), `"DiscoveryIdentityConfig" "v1alpha1": not registered`)) {
				t.Errorf("machinery v1.13 says %v", err)
			}
		})
	}
}
