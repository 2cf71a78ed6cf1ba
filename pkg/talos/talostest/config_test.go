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
		"old control plane": {
			profile: talostest.V16,
			secrets: 8,
			text:    []string{"type: controlplane", "    kubelet:\n"},
			none:    []string{"\nkind:"},
		},
		"old worker": {
			profile: talostest.V16,
			worker:  true,
			secrets: 3,
			text:    []string{"type: worker", "    kubelet:\n"},
			none:    []string{"\nkind:"},
		},
		"v1.13 worker": {
			profile: talostest.V113,
			worker:  true,
			secrets: 3,
			text:    []string{"    kubelet:\n", "kind: HostnameConfig"},
			none:    []string{"KubeletConfig"},
		},
		"upgraded to v1.14": {
			profile: talostest.V114,
			worker:  true,
			secrets: 3,
			text:    []string{"    kubelet:\n"},
			none:    []string{"KubeletConfig"},
		},
		"v1.14 worker": {
			profile: talostest.V114,
			worker:  true,
			native:  true,
			secrets: 3,
			text:    []string{"kind: KubeletConfig\nimage: ghcr.io/siderolabs/kubelet:v", "kind: DiscoveryIdentityConfig"},
			none:    []string{"    kubelet:\n"},
		},
		"v1.14 control plane": {
			profile: talostest.V114,
			native:  true,
			secrets: 8,
			text:    []string{"kind: KubeletConfig"},
			none:    []string{"    kubelet:\n"},
		},
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
