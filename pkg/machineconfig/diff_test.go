// SPDX-License-Identifier: Apache-2.0

package machineconfig

import (
	"os"
	"testing"
)

func TestDiff(t *testing.T) {
	const path, list = " machine:\n     kubelet:\n", "         extraMounts:\n"
	const added = "+            - destination: /var/lib/disks\n+              type: bind\n+              source: /var/lib/disks\n+              options:\n+                - rbind\n+                - rslave\n+                - rw\n"
	for name, c := range map[string]struct{ before, after, want string }{
		"nothing":  {"machine: {}", "machine: {}", ""},
		"spelling": {"machine: {}", "machine: {} # yes", "(only the spelling differs)\n"},
		"the first entry": {"machine: {token: CANARY, kubelet: {extraArgs: {a: CANARY}}}", "machine: {token: CANARY, kubelet: {extraArgs: {a: CANARY}, extraMounts: [" + disksFlow + "]}}",
			path + "+        extraMounts:\n" + added},
		"one more": {"machine: {kubelet: {extraMounts: [{destination: /a}]}}", "machine: {kubelet: {extraMounts: [{destination: /a}, " + disksFlow + "]}}", path + list + added},
		"one for another": {"machine: {kubelet: {extraMounts: [{destination: /a}, {destination: /b}]}}", "machine: {kubelet: {extraMounts: [{destination: /b}, " + disksFlow + "]}}",
			path + list + "-            - destination: /a\n" + added},
		"the last one":         {"machine: {kubelet: {extraMounts: [{destination: /a}]}}", "machine: {kubelet: {}}", path + "-        extraMounts:\n-            - destination: /a\n"},
		"one of several lines": {"machine: {kubelet: {extraMounts: [{destination: \"/a\\n/b\"}]}}", "machine: {kubelet: {}}", path + "-        extraMounts:\n-            - destination: \"/a\\n/b\"\n"},
		"something else": {"machine: {token: CANARY1}", "machine: {token: CANARY2, kubelet: {extraMounts: [" + disksFlow + "]}}",
			"(the configurations differ in more than extra mounts; that is not shown)\n"},
		"a document more":    {"machine: {}", "machine: {}\n---\nkind: A\nkey: CANARY\n", "(the configurations differ in more than extra mounts; that is not shown)\n"},
		"nothing to compare": {"machine: {}", "machine: [CANARY", "(the configurations differ and cannot be compared)\n"},
		"a conversion": {"machine:\n  type: worker\n---\napiVersion: v1alpha1\nkind: KubeletConfig\nimage: x\nconfig: {a: CANARY}\n",
			"machine:\n  type: worker\n  kubelet:\n    image: x\n    extraConfig: {a: CANARY}\n    disableManifestsDirectory: true\n    extraMounts: [" + disksFlow + "]\n",
			path + "+        image: (moved)\n+        extraConfig: (moved)\n+        disableManifestsDirectory: true\n+        extraMounts:\n" + added +
				"-apiVersion: v1alpha1\n-kind: KubeletConfig\n-image: (moved)\n-config: (moved)\n"},
	} {
		t.Run(name, func(t *testing.T) {
			got := diffMounts([]byte(c.before), []byte(c.after))
			if got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
			silent(t, got)
		})
	}
}

// TestDiffGenerated holds that of a whole configuration only the mounts are shown.
func TestDiffGenerated(t *testing.T) {
	for _, name := range []string{"testdata/generated-1.13.yaml", "testdata/generated-1.14.yaml"} {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		edit := editMounts
		if name == "testdata/generated-1.14.yaml" {
			edit = convertMounts
		}
		after, err := edit(raw, mountsChange{Add: []extraMount{disks()}})
		if err != nil {
			t.Fatal(err)
		}
		got := diffMounts(raw, after)
		if got == "" {
			t.Error("nothing is shown")
		}
		silent(t, got)
	}
}

func TestFragment(t *testing.T) {
	want := "machine:\n    kubelet:\n        extraMounts:\n" + block("            ")
	if got := fragment([]extraMount{disks()}); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
