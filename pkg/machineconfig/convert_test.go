// SPDX-License-Identifier: Apache-2.0

package machineconfig

import (
	"os"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
)

func TestConvert(t *testing.T) {
	mounts := "    extraMounts:\n" + block("      ")
	for name, c := range map[string]struct{ before, after string }{
		"in the middle": {
			"machine:\n  type: worker\n# the end\n---\nkind: A\n---\napiVersion: v1alpha1\nkind: KubeletConfig\nimage: x # an image\nconfig: {}\ndefaultRuntimeSeccompProfileEnabled: true\n---\nkind: B\n",
			"machine:\n  type: worker\n  kubelet:\n    image: x # an image\n    extraConfig: {}\n    defaultRuntimeSeccompProfileEnabled: true\n    disableManifestsDirectory: true\n" +
				mounts + "# the end\n---\nkind: A\n---\nkind: B\n",
		},
		"at the front, with all fields and comments": {
			"# about it\nkind: KubeletConfig # really\nimage: x\n\n# our settings\n\"config\":\n    # feature\n    featureGates:\n        A: true\n    text: |+\n        a\n\n          b\n\nextraArgs: {a: b,\n  c: d}\napiVersion: v1alpha1\nclusterDNS:\n- 10.96.0.10\n---\nmachine:\n    kubelet:\n    type: worker\n",
			"---\nmachine:\n    kubelet:\n        # about it\n        image: x\n\n        # our settings\n        extraConfig:\n            # feature\n            featureGates:\n                A: true\n            text: |+\n                a\n\n                  b\n\n        extraArgs: {a: b,\n          c: d}\n        clusterDNS:\n        - 10.96.0.10\n        disableManifestsDirectory: true\n        extraMounts:\n" +
				block("            ") + "    type: worker\n",
		},
		"at the end, with markers": {
			"---\nmachine:\n  type: worker\n...\n---\napiVersion: v1alpha1\nkind: KubeletConfig\nimage: x\n...\n",
			"---\nmachine:\n  type: worker\n  kubelet:\n    image: x\n    disableManifestsDirectory: true\n" + mounts + "...\n",
		},
		"at the end, without a line break": {
			"machine:\n  type: worker\n---\napiVersion: v1alpha1\nkind: KubeletConfig\nimage: x",
			"machine:\n  type: worker\n  kubelet:\n    image: x\n    disableManifestsDirectory: true\n" + mounts,
		},
		"indented itself": {
			"machine:\n  type: worker\n---\n          apiVersion: v1alpha1\n          kind: KubeletConfig\n          config:\n            a: b\n          image: x\n",
			"machine:\n  type: worker\n  kubelet:\n    extraConfig:\n      a: b\n    image: x\n    disableManifestsDirectory: true\n" + mounts,
		},
	} {
		for _, newline := range []string{"\n", "\r\n"} {
			before, after := strings.ReplaceAll(c.before, "\n", newline), strings.ReplaceAll(c.after, "\n", newline)
			t.Run(name, func(t *testing.T) {
				got, err := convertMounts([]byte(before), mountsChange{Add: []extraMount{disks()}})
				if err != nil {
					t.Fatal(err)
				}
				if string(got) != after {
					t.Errorf("got\n%s\nwant\n%s", got, after)
				}
			})
		}
	}
}

func TestConvertGenerated(t *testing.T) {
	raw, err := os.ReadFile("testdata/generated-1.14.yaml")
	if err != nil {
		t.Fatal(err)
	}
	got, err := convertMounts(raw, mountsChange{Add: []extraMount{disks()}})
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Replace(string(raw),
		"---\napiVersion: v1alpha1\nkind: KubeletConfig\nimage: ghcr.io/siderolabs/kubelet:v1.37.2\nconfig: {}\ndefaultRuntimeSeccompProfileEnabled: true\n",
		"", 1)
	want = strings.Replace(want, "cluster:\n    token",
		"    kubelet:\n        image: ghcr.io/siderolabs/kubelet:v1.37.2\n        extraConfig: {}\n        defaultRuntimeSeccompProfileEnabled: true\n"+
			"        disableManifestsDirectory: true\n        extraMounts:\n"+block("            ")+"cluster:\n    token", 1)
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	config, err := readMounts(got)
	if err != nil || config.KubeletDocument || !config.Kubelet || len(config.ExtraMounts) != 1 {
		t.Errorf("got %+v, %v", config, err)
	}
}

func TestConvertRefuses(t *testing.T) {
	const document = "---\napiVersion: v1alpha1\nkind: KubeletConfig\nimage: x\n"
	for name, c := range map[string]struct{ raw, message string }{
		"no document":      {raw: "machine: {}\n", message: "no \"KubeletConfig\" document"},
		"two documents":    {raw: "machine: {}\n" + document + document, message: "several \"KubeletConfig\" documents (lines 3 and 7)"},
		"machine.kubelet":  {raw: "machine:\n  kubelet: {}\n" + document, message: "does not take together"},
		"an unknown field": {raw: "machine:\n  type: worker\n" + document + "newField: CANARY\n", message: `the field "newField"`},
		"an alias": {
			raw:     "machine:\n  type: worker\n" + document + "config: &a {}\nextraArgs: *a\n",
			message: "an anchor, an alias or a tag (line 7)",
		},
		"brackets":   {raw: "machine: {type: worker}\n" + document, message: "in brackets"},
		"no machine": {raw: "version: v1alpha1\n" + document, message: `no "machine"`},
		"credential provider": {
			raw:     "machine:\n  type: worker\n" + document + "---\napiVersion: v1alpha1\nkind: KubeCredentialProviderConfig\nconfiguration: {}\n",
			message: `"KubeCredentialProviderConfig"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := convertMounts([]byte(c.raw), mountsChange{Add: []extraMount{disks()}})
			if err == nil {
				t.Fatalf("got\n%s", got)
			}
			if !strings.Contains(err.Error(), c.message) {
				t.Errorf("got %q, want %q", err, c.message)
			}
			if strings.Contains(err.Error()+failure.Hint(err), "CANARY") {
				t.Errorf("%q quotes the configuration", err)
			}
		})
	}
	if _, err := convertMounts([]byte("machine:\n  type: worker\n"+document), mountsChange{Remove: []int{0}}); err == nil {
		t.Error("an entry is removed of which there is none")
	}
}
