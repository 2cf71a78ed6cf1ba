// SPDX-License-Identifier: Apache-2.0

package mounts

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func TestParseVersion(t *testing.T) {
	for in, want := range map[string]string{
		"v1.13.2": "v1.13.2", "1.6.0": "v1.6.0", "v1.14.0-rc.1": "v1.14.0-rc.1", "Talos (v1.14.0)": "v1.14.0", "Talos (v1.15.0-alpha.0-12-gabcdef)": "v1.15.0-alpha.0-12-gabcdef",
		"": "", "v1.14": "", "Talos": "", "Ubuntu 24.04 LTS": "", "Talos ()": "",
	} {
		v, err := ParseVersion(in)
		if v.String() != want || (err != nil) != (want == "") || v.Known() != (want != "") {
			t.Errorf("%q: got %q, %v, want %q", in, v, err, want)
		}
	}
}

func TestVersionInJSON(t *testing.T) {
	for _, s := range []string{`"v1.14.0-rc.1"`, `""`} {
		var v Version
		if err := json.Unmarshal([]byte(s), &v); err != nil {
			t.Fatal(err)
		}
		if b, err := json.Marshal(v); err != nil || string(b) != s {
			t.Errorf("got %s, %v, want %s", b, err, s)
		}
	}
	var v Version
	if err := json.Unmarshal([]byte(`"one"`), &v); err == nil {
		t.Errorf("took %q", v)
	}
}

func TestVersionOrder(t *testing.T) {
	want := []string{"", "v1.6.0", "v1.9.10", "v1.10.0", "v1.14.0-alpha.1", "v1.14.0-rc.1", "v1.14.0"}
	var versions []Version
	for _, s := range want {
		if s == "" {
			versions = append(versions, Version{})
			continue
		}
		versions = append(versions, version(t, s))
	}
	for i, a := range versions {
		for j, b := range versions {
			if a.Less(b) != (i < j) {
				t.Errorf("%q before %q: %v", a, b, a.Less(b))
			}
		}
	}
}

func TestVersionFacts(t *testing.T) {
	for _, tt := range []struct {
		version                    string
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
		v := version(t, tt.version)
		if err := v.Supported(); (err == nil) != tt.supported {
			t.Errorf("%s: supported: %v", v, err)
		}
		if got := v.Newer(); (got != "") != tt.newer {
			t.Errorf("%s: newer: %q", v, got)
		}
		if got := v.RestartHazard(); (got != "") != tt.hazard {
			t.Errorf("%s: hazard: %q", v, got)
		}
		if got := v.restartCautions(); len(got) != tt.cautions {
			t.Errorf("%s: cautions: %q", v, got)
		}
		if v.SeesVarMnt() != tt.varMnt || v.ShowsPersistent() != tt.persistent {
			t.Errorf("%s: /var/mnt %v, persistent %v", v, v.SeesVarMnt(), v.ShowsPersistent())
		}
		if _, ok := v.covering("/var/mnt/data"); ok != tt.varMnt {
			t.Errorf("%s: the table of mounts and SeesVarMnt differ", v)
		}
	}
	if err := (Version{}).Supported(); err == nil {
		t.Error("a version that is not known is supported")
	}
}

func TestDefaultMounts(t *testing.T) {
	all := []string{"v1.6.0", "v1.9.0", "v1.10.0", "v1.12.9", "v1.13.0", "v1.13.2", "v1.13.3", "v1.14.0-rc.1"}
	for destination, want := range map[string][]string{
		"/dev":                    {"rbind,rshared,rw", "rbind,rshared,rw", "rbind,rshared,rw", "rbind,rshared,rw", "bind,rw", "bind,rw", "bind,rw", "bind,rw"},
		"/sys/kernel/security":    {"", "bind,ro", "bind,ro", "bind,ro", "bind,ro", "bind,ro", "bind,ro", "bind,ro"},
		"/lib/modules":            {"bind,ro", "bind,ro", "", "", "", "", "", ""},
		"/usr/lib/modules":        {"", "", "bind,ro", "bind,ro", "bind,ro", "bind,ro", "bind,ro", "bind,ro"},
		"/etc/kubernetes":         {"bind,rshared,rw", "bind,rshared,rw", "bind,rshared,rw", "bind,rshared,rw", "bind,rw", "bind,rw", "bind,rw", "bind,rw"},
		"/etc/cni":                {"rbind,rshared,rw", "rbind,rshared,rw", "rbind,rshared,rw", "rbind,rshared,rw", "bind,ro", "bind,ro", "bind,ro", "bind,ro"},
		"/usr/libexec/kubernetes": {"rbind,rshared,rw", "rbind,rshared,rw", "rbind,rshared,rw", "rbind,rshared,rw", "bind,rw", "bind,rw", "bind,rw", ""},
		"/var/run":                {"rbind,rshared,rw", "rbind,rshared,rw", "rbind,rshared,rw", "rbind,rshared,rw", "bind,rw", "bind,rw", "rbind,rslave,rw", "rbind,rslave,rw"},
		"/var/lib/containerd":     {"rbind,rshared,rw", "rbind,rshared,rw", "rbind,rshared,rw", "rbind,rshared,rw", "rbind,rw", "rbind,rw", "rbind,rslave,rw", "rbind,rslave,rw"},
		"/var/lib/kubelet":        {"rbind,rshared,rw", "rbind,rshared,rw", "rbind,rshared,rw", "rbind,rshared,rw", "bind,rw", "bind,rw", "rbind,rshared,rw", "rbind,rshared,rw"},
		"/var/log/pods":           {"rbind,rshared,rw", "rbind,rshared,rw", "rbind,rshared,rw", "rbind,rshared,rw", "bind,rw", "bind,rw", "bind,rw", "bind,rw"},
		"/var/mnt":                {"", "", "rbind,rshared,ro", "rbind,rshared,ro", "rbind,ro", "rbind,ro", "rbind,rslave,ro", "rbind,rslave,ro"},
		"/var/lib/disks":          {"", "", "", "", "", "", "", ""},
		"/var":                    {"", "", "", "", "", "", "", ""},
	} {
		for i, s := range all {
			got := ""
			for _, m := range version(t, s).DefaultMounts() {
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

// What a node of v1.14 has must be what the table says that it has.
func TestDefaultMountsAreTheRecordedOnes(t *testing.T) {
	recorded := lines(t, kubeletOwn)
	for _, m := range version(t, "v1.14.0-rc.1").DefaultMounts() {
		i := slices.IndexFunc(recorded, func(r Mount) bool { return r.Point == m.Destination && r.Propagation() != "private" })
		if i < 0 {
			continue // The recording is shortened.
		}
		if got, want := recorded[i].Propagation(), propagation(m.Options); got != want {
			t.Errorf("%s: recorded %s, table %s", m.Destination, got, want)
		}
		if got, want := recorded[i].ReadOnly(), slices.Contains(m.Options, "ro"); got != want {
			t.Errorf("%s: recorded read-only %v, table %v", m.Destination, got, want)
		}
	}
}
