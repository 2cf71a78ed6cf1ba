// SPDX-License-Identifier: Apache-2.0

package kubeletprobe

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
)

const (
	root    = "10 1 8:3 / / rw - ext4 /dev/sda3 rw\n"
	started = "record=start\x1fversion=1\x1fself=77\x1fboot=1000\x1f\x1e"
	end     = "record=end\x1f\x1e"
)

// spoken is what the script says of a process.
type spoken struct {
	pid                                 int
	exe, config, label, spaces, at, end string
	table, code                         string
	dirs                                string
}

// host and kubelet are as they should be.
var (
	host = spoken{
		pid:    1,
		exe:    "/sbin/init",
		spaces: "\t1",
		at:     "5",
		end:    "5",
		table:  root,
		code:   "0",
		dirs:   dir(1, "/var/lib/disks", "exists=yes", "entry=b", "entry=a"),
	}
	kubelet = spoken{
		pid: 40, exe: "/usr/local/bin/kubelet", config: "/etc/kubernetes/kubelet.yaml", label: "system_u:system_r:kubelet_t:s0", spaces: "\t40",
		at: "650", end: "650",
		table: root + "11 10 8:3 /x /var/lib\\040x rw - ext4 /dev/sda3 rw\n", code: "0", dirs: dir(40, "/var/lib/disks", "exists=no"),
	}
)

func dir(pid int, path string, fields ...string) string {
	return fmt.Sprintf("record=dir\x1fpid=%d\x1fpath=%s\x1f%s\x1f\x1e", pid, path, strings.Join(fields, "\x1f"))
}

func (s spoken) String() string {
	return fmt.Sprintf("record=process\x1fpid=%[1]d\x1fstarted=%s\x1fexe=%s\x1fconfig=%s\x1flabel=%s\x1fspaces=%s\x1f\x1e"+
		"record=mounts\x1fpid=%[1]d\x1ftext=%[7]s\x1fcode=%s\x1f\x1e%srecord=after\x1fpid=%[1]d\x1fstarted=%[10]s\x1f\x1e",
		s.pid, s.at, s.exe, s.config, s.label, s.spaces, s.table, s.code, s.dirs, s.end)
}

func with(s spoken, change func(*spoken)) spoken {
	change(&s)
	return s
}

func TestParse(t *testing.T) {
	answer, err := Parse(started + host.String() + kubelet.String() + end)
	if err != nil {
		t.Fatal(err)
	}
	table := func(s spoken) []mounts.Mount {
		m, err := mounts.ParseMountinfo([]byte(s.table))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	want := Answer{
		View: mounts.KubeletView{
			PID: 40, Host: table(host), Kubelet: table(kubelet),
			Dirs: map[string]mounts.BothSides{
				"/var/lib/disks": {
					Host:    mounts.DirectoryListing{Exists: disk.Yes, Entries: []string{"a", "b"}},
					Kubelet: mounts.DirectoryListing{Exists: disk.No},
				},
			},
		},
		Started: time.Unix(1006, 0).UTC(),
	}
	if !reflect.DeepEqual(answer, want) {
		t.Errorf("%+v\nwant %+v", answer, want)
	}
	if answer.View.Kubelet[1].Point != "/var/lib x" {
		t.Errorf("%+v", answer.View.Kubelet)
	}
}

// Nothing that is missing makes a smaller view.
func TestParseErrors(t *testing.T) {
	whole := started + host.String() + kubelet.String() + end
	for cut := range len(whole) {
		if answer, err := Parse(whole[:cut]); err == nil {
			t.Fatalf("cut after %d bytes of %d: %+v", cut, len(whole), answer)
		}
	}
	other := with(kubelet, func(s *spoken) { s.pid, s.dirs = 50, "" })
	for name, c := range map[string]struct{ out, want string }{
		"something before it": {out: "sh: oops\n" + whole, want: "is not understood"},
		"another version":     {out: strings.Replace(whole, "version=1", "version=2", 1), want: "does not begin as it should"},
		"no hostPID":          {out: strings.Replace(whole, "self=77", "self=1", 1), want: "does not have the node's processes"},
		"no process 1":        {out: started + kubelet.String() + end, want: "does not tell of process 1"},
		"process 1 changed": {
			out:  started + with(host, func(s *spoken) { s.end = "6" }).String() + kubelet.String() + end,
			want: "does not tell of process 1",
		},
		"no kubelet": {out: started + host.String() + end, want: "no process of the node looks like"},
		"one in a container": {
			out:  started + host.String() + with(kubelet, func(s *spoken) { s.spaces = "\t40\t7" }).String() + end,
			want: "no process of the node looks like",
		},
		"another program": {
			out:  started + host.String() + with(kubelet, func(s *spoken) { s.exe = "/opt/kubelet" }).String() + end,
			want: "no process of the node looks like",
		},
		"another configuration": {
			out:  started + host.String() + with(kubelet, func(s *spoken) { s.config = "/x" }).String() + end,
			want: "no process of the node looks like",
		},
		"no right to look": {
			out:  started + host.String() + with(kubelet, func(s *spoken) { s.exe = "" }).String() + end,
			want: "may not look into",
		},
		"two": {
			out:  started + host.String() + kubelet.String() + other.String() + end,
			want: "2 processes look like the node's kubelet, 40 and 50",
		},
		"it restarted": {
			out:  started + host.String() + with(kubelet, func(s *spoken) { s.end = "700" }).String() + end,
			want: "restarted while",
		},
		"it ended": {
			out:  started + host.String() + with(kubelet, func(s *spoken) { s.end = "" }).String() + end,
			want: "restarted while",
		},
		"a record of nobody":      {out: started + "record=dir\x1fpath=/x\x1f\x1e" + end, want: "of no process"},
		"a record out of place":   {out: started + host.String() + dir(40, "/x", "exists=no") + end, want: "out of its place"},
		"a record that is no one": {out: started + host.String() + "record=news\x1fpid=1\x1f\x1e" + end, want: "unknown record"},
	} {
		if answer, err := Parse(c.out); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q; %+v", name, err, c.want, answer)
		}
	}
}

// The mounts of one side alone prove nothing. What was listed stays.
func TestParseProblems(t *testing.T) {
	for name, c := range map[string]struct {
		host, kubelet spoken
		want          string
	}{
		"the kubelet's not read": {
			host:    host,
			kubelet: with(kubelet, func(s *spoken) { s.code, s.table = "2", "" }),
			want:    "the mounts of process 40 could not be read",
		},
		"the node's not read": {
			host:    with(host, func(s *spoken) { s.code = "1" }),
			kubelet: kubelet,
			want:    "the mounts of process 1 could not be read",
		},
		"the last line is cut": {
			host:    host,
			kubelet: with(kubelet, func(s *spoken) { s.table = strings.TrimSuffix(s.table, "rw\n") }),
			want:    "the mounts of process 40 are not understood: line 2 of mountinfo is cut off",
		},
		"there are none": {
			host:    with(host, func(s *spoken) { s.table = "" }),
			kubelet: kubelet,
			want:    "the mounts of process 1 are not understood: mountinfo is empty",
		},
	} {
		answer, err := Parse(started + c.host.String() + c.kubelet.String() + end)
		if err != nil || answer.View.MountsProblem.Message != c.want || answer.View.HasMounts() || answer.View.Host != nil ||
			answer.View.Kubelet != nil {
			t.Errorf("%s: %v, %+v", name, err, answer.View)
		}
		if s := answer.View.Dirs["/var/lib/disks"]; s.Host.Exists != disk.Yes || s.Kubelet.Exists != disk.No {
			t.Errorf("%s: %+v", name, s)
		}
	}
	unread := with(kubelet, func(s *spoken) {
		s.dirs = dir(40, "/var/lib/disks", "exists=unknown", "problem=shut") + dir(40, "/x", "exists=no")
	})
	answer, err := Parse(started + host.String() + unread.String() + end)
	if err != nil {
		t.Fatal(err)
	}
	if s := answer.View.Dirs["/var/lib/disks"].Kubelet; s.Exists != disk.Unknown || s.Problem != "shut" || len(s.Entries) > 0 {
		t.Errorf("%+v", s)
	}
	if s := answer.View.Dirs["/x"].Host; s.Exists != disk.Unknown || s.Problem != "not checked" {
		t.Errorf("%+v", s)
	}
}

// A Talos in a pod has a kubelet that looks the same, except to SELinux.
func TestParseChoosesByLabel(t *testing.T) {
	nested := with(kubelet, func(s *spoken) { s.pid, s.label, s.dirs = 50, "system_u:system_r:pod_t:s0", "" })
	answer, err := Parse(started + host.String() + nested.String() + kubelet.String() + end)
	if err != nil || answer.View.PID != 40 {
		t.Errorf("%v, %+v", err, answer)
	}
}
