// SPDX-License-Identifier: Apache-2.0

package mounts

import (
	"fmt"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/machineconfig"
)

func TestFindings(t *testing.T) {
	const current = "v1.13.9"
	wrong := bind(disksDir)
	wrong.Source = "/var/lib/other"
	shared := bind(disksDir, "rbind", "rshared", "rw")
	local := bind("/var/local-disks", "bind", "rshared", "rw")
	admin := func(kubelet, host string) func(*NodeState) { return watched(seen(t, kubelet, host)) }
	const served = slave + "700 305 254:6 /lib/other /var/lib/other rw master:22 - xfs /dev/vda6 rw\n"

	for _, tt := range []struct {
		name string
		node NodeState
		// want are "FLAG PATH", and text what the messages hold.
		want string
		text []string
	}{
		{name: "none", node: plain(t, current).with(admin("", hostDisk))},
		{name: "all well", node: plain(t, current, bind(disksDir)).with(admin(slave, hostDisk))},
		{name: "well, twice", node: plain(t, current, bind(disksDir), bind("/var/lib/other")).with(admin(served, hostDisk))},
		{name: "not looked at", node: plain(t, current, bind(disksDir)), want: "unknown /var/lib/disks", text: []string{"not checked"}},
		{
			name: "listed, both empty",
			node: plain(t, current, bind(disksDir)).with(watched(listing(map[string][2]string{disksDir: {"", ""}}))),
			want: "unknown /var/lib/disks",
			text: []string{"empty"},
		},
		{
			name: "not in force",
			node: plain(t, current, bind(disksDir)).with(admin("", hostDisk)),
			want: "not-in-force /var/lib/disks",
			text: []string{"extraMounts[0] is not in force: no mount"},
		},
		// talos.md 00.14.
		{
			name: "bind masks a disk",
			node: plain(t, current, bind(disksDir, "bind", "rshared", "rw")).with(admin(bound, hostDisk)),
			want: "bind-for-rbind /var/lib/disks, hidden /var/lib/disks/hdd/vde",
			text: []string{"at /var/lib/disks/hdd/vde when the kubelet starts is hidden", "/dev/vde1"},
		},
		{
			name: "bind with nothing below",
			node: plain(t, current, bind(disksDir, "bind", "rw")).with(admin(bound, "")),
			want: "bind-for-rbind /var/lib/disks",
			text: []string{"a disk that is mounted below it"},
		},
		{name: "bind beside machine.disks", node: plain(t, current, bind(disksDir, "bind", "rw")).with(func(n *NodeState) {
			n.Settings.MachineDisks = []machineconfig.MachineDisk{{Device: "/dev/vde", Mountpoint: disksDir + "/vde"}}
		}), want: "bind-for-rbind /var/lib/disks, unknown /var/lib/disks", text: []string{"at /var/lib/disks/vde"}},
		// 00.3 and 00.15.
		{name: "thrice", node: plain(t, "v1.14.0", local, local, local).with(admin(fourTimes, "")),
			want: "bind-for-rbind /var/local-disks, duplicated /var/local-disks, bind-for-rbind /var/local-disks, duplicated /var/local-disks, bind-for-rbind /var/local-disks",
			text: []string{"doubles"}},
		{
			name: "twice, leaking",
			node: plain(t, current, shared, shared).with(admin(slave, leaked(7)+hostDiskOn(906))),
			want: "duplicated /var/lib/disks, leaked /var/lib/disks",
			text: []string{"doubles the node's mounts there", "mounted there 7 times"},
		},
		{
			name: "twice, slave",
			node: plain(t, current, bind(disksDir), bind(disksDir+"/")).with(admin(slave, hostDisk)),
			want: "duplicated /var/lib/disks",
			text: []string{"both mount /var/lib/disks"},
		},
		{
			name: "not in force, for a disk's own mount point",
			node: plain(t, current, bind(disksDir+"/hdd/vde")).with(admin("", hostDisk)),
			want: "not-in-force /var/lib/disks/hdd/vde",
		},
		{
			name: "twice elsewhere",
			node: plain(t, current).with(admin("", "905 30 0:40 / /run/x rw - tmpfs tmpfs rw\n906 905 0:40 / /run/x rw - tmpfs tmpfs rw\n")),
		},
		{
			name: "leaked, and fixed since",
			node: plain(t, current).with(admin("", leaked(3))),
			want: "leaked /var/lib/disks",
			text: []string{"3 times", "until the node reboots"},
		},
		{
			name: "leaked, and what lies below",
			node: plain(t, current).with(admin("", hostDisk+hostDisk+leaked(2))),
			want: "leaked /var/lib/disks",
			text: []string{"2 times"},
		},
		{
			name: "mounted over by something else",
			node: plain(t, current).with(admin("", hostDisk+"901 384 0:99 / /var/lib/disks/hdd/vde rw - tmpfs tmpfs rw\n")),
		},
		{
			name: "nested",
			node: plain(t, current, bind(disksDir), bind(disksDir+"/block")).with(admin(slave, hostDisk)),
			want: "nested /var/lib/disks/block",
			text: []string{"below /var/lib/disks of machine.kubelet.extraMounts[0]"},
		},
		{
			name: "nested, the child first",
			node: plain(t, current, bind(disksDir+"/block"), bind(disksDir)).with(admin(slave, hostDisk)),
			want: "nested /var/lib/disks/block",
		},
		{
			name: "in /var/mnt of v1.12",
			node: plain(t, "v1.12.9", bind("/var/mnt/x")).with(admin("", "")),
			want: "nested /var/mnt/x",
			text: []string{"doubles"},
		},
		{
			name: "in /var/mnt of v1.13.2",
			node: plain(t, "v1.13.2", bind("/var/mnt")).with(admin("", "")),
			want: "nested /var/mnt",
			text: []string{"which Talos mounts itself: each start"},
		},
		{
			name: "in /var/mnt of v1.13.3",
			node: plain(t, "v1.13.3", bind("/var/mnt/x", "rbind", "ro")).with(admin("", "")),
			want: "needless /var/mnt/x",
			text: []string{"below /var/mnt, which Talos mounts itself"},
		},
		{name: "in /var/mnt of v1.9", node: plain(t, "v1.9.9", bind("/var/mnt/x")).with(admin("", ""))},
		{
			name: "read-only",
			node: plain(t, current, bind(disksDir, "rbind", "rslave", "ro")).with(admin(slave, hostDisk)),
			want: "read-only /var/lib/disks",
		},
		{
			name: "private",
			node: plain(t, current, bind(disksDir, "rbind", "rprivate", "rw")).with(admin(slave, hostDisk)),
			want: "propagation /var/lib/disks",
		},
		{
			name: "another source",
			node: plain(t, current, wrong).with(admin(slave, hostDisk)),
			want: "other-source /var/lib/disks",
			text: []string{"mounts /var/lib/other there"},
		},
		{
			name: "stale",
			node: plain(t, current, bind(disksDir)).with(admin(slave, "")),
			want: "stale /var/lib/disks/hdd/vde",
			text: []string{"still has /dev/vde1"},
		},
		{
			name: "no destination",
			node: plain(t, current, ExtraMount{Type: "bind", Source: "/var/x", Options: []string{"bind"}}).with(admin("", "")),
			want: "no-destination ",
			text: []string{"extraMounts[0] has no destination: the kubelet does not start"},
		},
		{
			name: "relative",
			node: plain(t, current, ExtraMount{Destination: "disks", Source: "/var/x", Options: []string{"bind"}},
				ExtraMount{Destination: "/var/a", Source: "b", Options: []string{"bind"}}, bind("/var/b", "rw")),
			want: "bad-entry disks, bad-entry /var/a, bad-entry /var/b",
			text: []string{"neither bind nor rbind"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got, text []string
			for _, f := range Findings(tt.node) {
				got = append(got, fmt.Sprintf("%s %s", f.Fault, f.Path))
				text = append(text, f.Message)
			}
			if s := strings.Join(got, ", "); s != tt.want {
				t.Errorf("got  %s\nwant %s", s, tt.want)
			}
			holds(t, "text", strings.Join(text, "\n"), tt.text...)
		})
	}
}

// What is below decides whether the node's mounts double (measured with runc 1.1.5).
func TestConflictsLeak(t *testing.T) {
	shared := []string{"rbind", "rshared", "rw"}
	slaved := []string{"rbind", "rslave", "rw"}
	for _, tt := range []struct {
		name          string
		version       string
		first, second ExtraMount
		want          bool
	}{
		{"twice shared", "v1.14.0", bind("/var/a", shared...), bind("/var/a", shared...), true},
		{"twice without a word", "v1.14.0", bind("/var/a", "rbind"), bind("/var/a", "rbind"), true},
		{"twice slave", "v1.14.0", bind("/var/a", slaved...), bind("/var/a", slaved...), false},
		{"slave upon shared", "v1.14.0", bind("/var/a", shared...), bind("/var/a", slaved...), true},
		{"shared upon slave", "v1.14.0", bind("/var/a", slaved...), bind("/var/a", shared...), false},
		{"child in shared", "v1.14.0", bind("/var/a", shared...), bind("/var/a/b", slaved...), true},
		{"child in slave", "v1.14.0", bind("/var/a", slaved...), bind("/var/a/b", shared...), false},
		{"child first", "v1.14.0", bind("/var/a/b", shared...), bind("/var/a", shared...), false},
		{"slave in /var/mnt", "v1.12.9", bind("/var/z", slaved...), bind("/var/mnt/a", slaved...), true},
		{"slave in /var/mnt, fixed", "v1.13.3", bind("/var/z", slaved...), bind("/var/mnt/a", shared...), false},
	} {
		found := conflicts(version(t, tt.version), []ExtraMount{tt.first, tt.second})
		if len(found) != 1 || found[0].leaks != tt.want {
			t.Errorf("%s: %+v", tt.name, found)
		}
	}
}

func TestReasonsThatAreFaults(t *testing.T) {
	for reason, want := range map[Reason]Fault{
		"duplicate-entries": FaultDuplicated, "nested-entries": FaultNested, "bad-entry": FaultBadEntry, "other-source": FaultOtherSource,
		"read-only":      FaultReadOnly,
		"bind-for-rbind": FaultBindForRbind, "not-in-force": FaultNotInForce, "hidden": FaultHidden, ReasonVisible: "", ReasonHazard: "",
		ReasonPropagation: "",
	} {
		if got := reason.Fault(); got != want {
			t.Errorf("%s is the fault %q, want %q", reason, got, want)
		}
	}
}
