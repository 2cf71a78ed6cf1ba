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
		{"none", plain(t, current).with(admin("", hostDisk)), "", nil},
		{"all well", plain(t, current, bind(disksDir)).with(admin(slave, hostDisk)), "", nil},
		{"well, twice", plain(t, current, bind(disksDir), bind("/var/lib/other")).with(admin(served, hostDisk)), "", nil},
		{"not looked at", plain(t, current, bind(disksDir)), "unknown /var/lib/disks", []string{"not checked"}},
		{"listed, both empty", plain(t, current, bind(disksDir)).with(watched(listing(map[string][2]string{disksDir: {"", ""}}))), "unknown /var/lib/disks", []string{"empty"}},
		{"not in force", plain(t, current, bind(disksDir)).with(admin("", hostDisk)), "not-in-force /var/lib/disks", []string{"extraMounts[0] is not in force: no mount"}},
		// talos.md 00.14.
		{"bind masks a disk", plain(t, current, bind(disksDir, "bind", "rshared", "rw")).with(admin(bound, hostDisk)), "bind-for-rbind /var/lib/disks, hidden /var/lib/disks/hdd/vde", []string{"at /var/lib/disks/hdd/vde when the kubelet starts is hidden", "/dev/vde1"}},
		{"bind with nothing below", plain(t, current, bind(disksDir, "bind", "rw")).with(admin(bound, "")), "bind-for-rbind /var/lib/disks", []string{"a disk that is mounted below it"}},
		{"bind beside machine.disks", plain(t, current, bind(disksDir, "bind", "rw")).with(func(n *NodeState) {
			n.Settings.MachineDisks = []machineconfig.MachineDisk{{Device: "/dev/vde", Mountpoint: disksDir + "/vde"}}
		}), "bind-for-rbind /var/lib/disks, unknown /var/lib/disks", []string{"at /var/lib/disks/vde"}},
		// 00.3 and 00.15.
		{"thrice", plain(t, "v1.14.0", local, local, local).with(admin(fourTimes, "")),
			"bind-for-rbind /var/local-disks, duplicated /var/local-disks, bind-for-rbind /var/local-disks, duplicated /var/local-disks, bind-for-rbind /var/local-disks", []string{"doubles"}},
		{"twice, leaking", plain(t, current, shared, shared).with(admin(slave, leaked(7)+hostDiskOn(906))), "duplicated /var/lib/disks, leaked /var/lib/disks", []string{"doubles the node's mounts there", "mounted there 7 times"}},
		{"twice, slave", plain(t, current, bind(disksDir), bind(disksDir+"/")).with(admin(slave, hostDisk)), "duplicated /var/lib/disks", []string{"both mount /var/lib/disks"}},
		{"not in force, for a disk's own mount point", plain(t, current, bind(disksDir+"/hdd/vde")).with(admin("", hostDisk)), "not-in-force /var/lib/disks/hdd/vde", nil},
		{"twice elsewhere", plain(t, current).with(admin("", "905 30 0:40 / /run/x rw - tmpfs tmpfs rw\n906 905 0:40 / /run/x rw - tmpfs tmpfs rw\n")), "", nil},
		{"leaked, and fixed since", plain(t, current).with(admin("", leaked(3))), "leaked /var/lib/disks", []string{"3 times", "until the node reboots"}},
		{"leaked, and what lies below", plain(t, current).with(admin("", hostDisk+hostDisk+leaked(2))), "leaked /var/lib/disks", []string{"2 times"}},
		{"mounted over by something else", plain(t, current).with(admin("", hostDisk+"901 384 0:99 / /var/lib/disks/hdd/vde rw - tmpfs tmpfs rw\n")), "", nil},
		{"nested", plain(t, current, bind(disksDir), bind(disksDir+"/block")).with(admin(slave, hostDisk)), "nested /var/lib/disks/block", []string{"below /var/lib/disks of machine.kubelet.extraMounts[0]"}},
		{"nested, the child first", plain(t, current, bind(disksDir+"/block"), bind(disksDir)).with(admin(slave, hostDisk)), "nested /var/lib/disks/block", nil},
		{"in /var/mnt of v1.12", plain(t, "v1.12.9", bind("/var/mnt/x")).with(admin("", "")), "nested /var/mnt/x", []string{"doubles"}},
		{"in /var/mnt of v1.13.2", plain(t, "v1.13.2", bind("/var/mnt")).with(admin("", "")), "nested /var/mnt", []string{"which Talos mounts itself: each start"}},
		{"in /var/mnt of v1.13.3", plain(t, "v1.13.3", bind("/var/mnt/x", "rbind", "ro")).with(admin("", "")), "needless /var/mnt/x", []string{"below /var/mnt, which Talos mounts itself"}},
		{"in /var/mnt of v1.9", plain(t, "v1.9.9", bind("/var/mnt/x")).with(admin("", "")), "", nil},
		{"read-only", plain(t, current, bind(disksDir, "rbind", "rslave", "ro")).with(admin(slave, hostDisk)), "read-only /var/lib/disks", nil},
		{"private", plain(t, current, bind(disksDir, "rbind", "rprivate", "rw")).with(admin(slave, hostDisk)), "propagation /var/lib/disks", nil},
		{"another source", plain(t, current, wrong).with(admin(slave, hostDisk)), "other-source /var/lib/disks", []string{"mounts /var/lib/other there"}},
		{"stale", plain(t, current, bind(disksDir)).with(admin(slave, "")), "stale /var/lib/disks/hdd/vde", []string{"still has /dev/vde1"}},
		{"no destination", plain(t, current, ExtraMount{Type: "bind", Source: "/var/x", Options: []string{"bind"}}).with(admin("", "")), "no-destination ", []string{"extraMounts[0] has no destination: the kubelet does not start"}},
		{"relative", plain(t, current, ExtraMount{Destination: "disks", Source: "/var/x", Options: []string{"bind"}}, ExtraMount{Destination: "/var/a", Source: "b", Options: []string{"bind"}}, bind("/var/b", "rw")),
			"bad-entry disks, bad-entry /var/a, bad-entry /var/b", []string{"neither bind nor rbind"}},
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
		"duplicate-entries": FaultDuplicated, "nested-entries": FaultNested, "bad-entry": FaultBadEntry, "other-source": FaultOtherSource, "read-only": FaultReadOnly,
		"bind-for-rbind": FaultBindForRbind, "not-in-force": FaultNotInForce, "hidden": FaultHidden, ReasonVisible: "", ReasonHazard: "", ReasonPropagation: "",
	} {
		if got := reason.Fault(); got != want {
			t.Errorf("%s is the fault %q, want %q", reason, got, want)
		}
	}
}
