// SPDX-License-Identifier: Apache-2.0

package talosrelease

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for in, want := range map[string]string{
		"v1.13.2": "v1.13.2", "1.6.0": "v1.6.0", "v1.14.0-rc.1": "v1.14.0-rc.1", "Talos (v1.14.0)": "v1.14.0",
		"Talos (v1.15.0-alpha.0-12-gabcdef)": "v1.15.0-alpha.0-12-gabcdef",
		"":                                   "", "v1.14": "", "Talos": "", "Ubuntu 24.04 LTS": "", "Talos ()": "",
	} {
		r, err := Parse(in)
		if r.String() != want || (err != nil) != (want == "") || r.Known() != (want != "") {
			t.Errorf("%q: got %q, %v, want %q", in, r, err, want)
		}
	}
}

func TestReleaseInJSON(t *testing.T) {
	for _, s := range []string{`"v1.14.0-rc.1"`, `""`} {
		var r Release
		if err := json.Unmarshal([]byte(s), &r); err != nil {
			t.Fatal(err)
		}
		if b, err := json.Marshal(r); err != nil || string(b) != s {
			t.Errorf("got %s, %v, want %s", b, err, s)
		}
	}
	var r Release
	if err := json.Unmarshal([]byte(`"one"`), &r); err == nil {
		t.Errorf("took %q", r)
	}
}

func TestFacts(t *testing.T) {
	for _, tt := range []struct {
		release                    string
		supported, newer           bool
		varMnt, persistent, hazard bool
		cautions                   int
	}{
		{"v1.5.5", false, false, false, false, false, 0},
		{"v1.6.0", true, false, false, false, false, 0},
		{"v1.9.6", true, false, false, false, false, 0},
		{"v1.10.0-alpha.2", true, false, true, true, true, 0},
		{"v1.10.0", true, false, true, true, true, 0},
		{"v1.10.4", true, false, true, true, true, 0},
		{"v1.10.5", true, false, true, true, false, 0},
		{"v1.11.0", true, false, true, true, false, 0},
		{"v1.12.0", true, false, true, true, true, 1},
		{"v1.12.4", true, false, true, true, true, 1},
		{"v1.12.5", true, false, true, true, false, 1},
		{"v1.12.11", true, false, true, true, false, 0},
		{"v1.13.0", true, false, true, true, false, 2},
		{"v1.13.2", true, false, true, true, false, 2},
		{"v1.13.3", true, false, true, true, false, 1},
		{"v1.13.8", true, false, true, true, false, 0},
		{"v1.14.0-rc.1", true, false, true, true, false, 0},
		{"v1.15.0-alpha.1", true, true, true, true, false, 0},
		{"v2.0.0", true, true, true, true, false, 0},
	} {
		r := release(t, tt.release)
		if err := r.Supported(); (err == nil) != tt.supported {
			t.Errorf("%s: supported: %v", r, err)
		}
		if got := r.Newer(); (got != "") != tt.newer {
			t.Errorf("%s: newer: %q", r, got)
		}
		if got := r.RestartHazard(); (got != "") != tt.hazard {
			t.Errorf("%s: hazard: %q", r, got)
		}
		if got := r.RestartCautions(); len(got) != tt.cautions {
			t.Errorf("%s: cautions: %q", r, got)
		}
		if r.Has(UserVolumes) != tt.varMnt || r.Has(StoredConfig) != tt.persistent {
			t.Errorf("%s: /var/mnt %v, persistent %v", r, r.Has(UserVolumes), r.Has(StoredConfig))
		}
		if _, ok := r.DefaultMountAbove("/var/mnt/data"); ok != tt.varMnt {
			t.Errorf("%s: the table of mounts and UserVolumes differ", r)
		}
	}
	if err := (Release{}).Supported(); err == nil {
		t.Error("a version that is not known is supported")
	}
}

func TestDefaultMounts(t *testing.T) {
	all := []string{"v1.6.0", "v1.9.0", "v1.10.0", "v1.12.9", "v1.13.0", "v1.13.2", "v1.13.3", "v1.14.0-rc.1"}
	for destination, want := range map[string][]string{
		"/dev": {"rbind,rshared,rw", "rbind,rshared,rw", "rbind,rshared,rw", "rbind,rshared,rw", "bind,rw", "bind,rw",
			"bind,rw", "bind,rw"},
		"/sys/kernel/security": {"", "bind,ro", "bind,ro", "bind,ro", "bind,ro", "bind,ro", "bind,ro", "bind,ro"},
		"/lib/modules":         {"bind,ro", "bind,ro", "", "", "", "", "", ""},
		"/usr/lib/modules":     {"", "", "bind,ro", "bind,ro", "bind,ro", "bind,ro", "bind,ro", "bind,ro"},
		"/etc/kubernetes": {"bind,rshared,rw", "bind,rshared,rw", "bind,rshared,rw", "bind,rshared,rw", "bind,rw", "bind,rw", "bind,rw",
			"bind,rw"},
		"/etc/cni": {"rbind,rshared,rw", "rbind,rshared,rw", "rbind,rshared,rw", "rbind,rshared,rw", "bind,ro", "bind,ro",
			"bind,ro", "bind,ro"},
		"/usr/libexec/kubernetes": {"rbind,rshared,rw", "rbind,rshared,rw", "rbind,rshared,rw", "rbind,rshared,rw", "bind,rw", "bind,rw",
			"bind,rw", ""},
		"/var/run": {"rbind,rshared,rw", "rbind,rshared,rw", "rbind,rshared,rw", "rbind,rshared,rw", "bind,rw", "bind,rw",
			"rbind,rslave,rw", "rbind,rslave,rw"},
		"/var/lib/containerd": {"rbind,rshared,rw", "rbind,rshared,rw", "rbind,rshared,rw", "rbind,rshared,rw", "rbind,rw", "rbind,rw",
			"rbind,rslave,rw", "rbind,rslave,rw"},
		"/var/lib/kubelet": {"rbind,rshared,rw", "rbind,rshared,rw", "rbind,rshared,rw", "rbind,rshared,rw", "bind,rw", "bind,rw",
			"rbind,rshared,rw", "rbind,rshared,rw"},
		"/var/log/pods": {"rbind,rshared,rw", "rbind,rshared,rw", "rbind,rshared,rw", "rbind,rshared,rw", "bind,rw", "bind,rw", "bind,rw",
			"bind,rw"},
		"/var/mnt":       {"", "", "rbind,rshared,ro", "rbind,rshared,ro", "rbind,ro", "rbind,ro", "rbind,rslave,ro", "rbind,rslave,ro"},
		"/var/lib/disks": {"", "", "", "", "", "", "", ""},
		"/var":           {"", "", "", "", "", "", "", ""},
	} {
		for i, s := range all {
			got := ""
			for _, m := range release(t, s).DefaultMounts() {
				if m.Destination == destination {
					got += strings.Join(m.Options, ",")
				}
			}
			if got != want[i] {
				t.Errorf("%s on %s: got %q, want %q", destination, s, got, want[i])
			}
		}
	}
}

func TestTheTableIsWhole(t *testing.T) {
	for f := UserVolumes; f <= MissingFileIsNotFound; f++ {
		if fact, ok := facts[f]; !ok || len(fact.when) == 0 || fact.source == "" {
			t.Errorf("fact %d: %+v", f, fact)
		}
		if (Release{}).Has(f) {
			t.Errorf("fact %d holds on a release that is not known", f)
		}
	}
}

func TestResource(t *testing.T) {
	for _, tt := range []struct {
		release, name  string
		has, adminOnly bool
	}{
		{release: "v1.6.0", name: MachineConfigs, has: true, adminOnly: true},
		{release: "v1.6.0", name: Nodenames, has: true},
		{release: "v1.7.7", name: Disks},
		{release: "v1.8.0", name: Disks, has: true},
		{release: "v1.8.0", name: VolumeConfigs, has: true, adminOnly: true},
		{release: "v1.9.5", name: BlockSymlinks},
		{release: "v1.10.0", name: BlockSymlinks, has: true},
		{release: "v1.12.8", name: KubeletSpecs, has: true},
		{release: "v1.12.9", name: KubeletSpecs, has: true, adminOnly: true},
		{release: "v1.13.3", name: KubeletSpecs, has: true},
		{release: "v1.13.4", name: KubeletSpecs, has: true, adminOnly: true},
		{release: "v1.14.0-rc.1", name: KubeletSpecs, has: true, adminOnly: true},
		{release: "v1.14.0", name: "Others.talos.dev"},
	} {
		has, adminOnly := release(t, tt.release).Resource(tt.name)
		if has != tt.has || adminOnly != tt.adminOnly {
			t.Errorf("%s, %s: there %v, for os:admin only %v", tt.release, tt.name, has, adminOnly)
		}
	}
}

func TestHasDocument(t *testing.T) {
	for _, tt := range []struct {
		release, kind string
		has, known    bool
	}{
		{release: "v1.9.5", kind: "UserVolumeConfig", known: true},
		{release: "v1.10.0", kind: "UserVolumeConfig", has: true, known: true},
		{release: "v1.13.9", kind: "KubeletConfig", known: true},
		{release: "v1.14.0-rc.1", kind: "KubeletConfig", has: true, known: true},
		{release: "v1.14.0", kind: "NoSuchConfig"},
	} {
		if has, known := release(t, tt.release).HasDocument(tt.kind); has != tt.has || known != tt.known {
			t.Errorf("%s, %s: there %v, known %v", tt.release, tt.kind, has, known)
		}
	}
}

func release(t *testing.T, s string) Release {
	t.Helper()
	r, err := Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
