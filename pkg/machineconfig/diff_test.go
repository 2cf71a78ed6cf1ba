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
		"nothing":  {before: "machine: {}", after: "machine: {}"},
		"spelling": {before: "machine: {}", after: "machine: {} # yes", want: "(only the spelling differs)\n"},
		"the first entry": {
			before: "machine: {token: CANARY, kubelet: {extraArgs: {a: CANARY}}}",
			after:  "machine: {token: CANARY, kubelet: {extraArgs: {a: CANARY}, extraMounts: [" + disksFlow + "]}}",
			want:   path + "+        extraMounts:\n" + added,
		},
		"one more": {
			before: "machine: {kubelet: {extraMounts: [{destination: /a}]}}",
			after:  "machine: {kubelet: {extraMounts: [{destination: /a}, " + disksFlow + "]}}",
			want:   path + list + added,
		},
		"one for another": {
			before: "machine: {kubelet: {extraMounts: [{destination: /a}, {destination: /b}]}}",
			after:  "machine: {kubelet: {extraMounts: [{destination: /b}, " + disksFlow + "]}}",
			want:   path + list + "-            - destination: /a\n" + added,
		},
		"the last one": {
			before: "machine: {kubelet: {extraMounts: [{destination: /a}]}}",
			after:  "machine: {kubelet: {}}",
			want:   path + "-        extraMounts:\n-            - destination: /a\n",
		},
		"one of several lines": {
			before: "machine: {kubelet: {extraMounts: [{destination: \"/a\\n/b\"}]}}",
			after:  "machine: {kubelet: {}}",
			want:   path + "-        extraMounts:\n-            - destination: \"/a\\n/b\"\n",
		},
		"something else": {before: "machine: {token: CANARY1}", after: "machine: {token: CANARY2, kubelet: {extraMounts: [" + disksFlow + "]}}",
			want: "(the configurations differ in more than extra mounts; that is not shown)\n"},
		"a document more": {
			before: "machine: {}",
			after:  "machine: {}\n---\nkind: A\nkey: CANARY\n",
			want:   "(the configurations differ in more than extra mounts; that is not shown)\n",
		},
		"nothing to compare": {before: "machine: {}", after: "machine: [CANARY", want: "(the configurations differ and cannot be compared)\n"},
		"a conversion": {before: "machine:\n  type: worker\n---\napiVersion: v1alpha1\nkind: KubeletConfig\nimage: x\nconfig: {a: CANARY}\n",
			after: "machine:\n  type: worker\n  kubelet:\n    image: x\n    extraConfig: {a: CANARY}\n    disableManifestsDirectory: true\n    extraMounts: [" +
				disksFlow + "]\n",
			want: path +
				"+        image: (moved)\n+        extraConfig: (moved)\n+        disableManifestsDirectory: true\n+        extraMounts:\n" + added +
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
