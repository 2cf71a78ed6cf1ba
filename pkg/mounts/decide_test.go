// SPDX-License-Identifier: Apache-2.0

package mounts

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/change"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/machineconfig"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talosrelease"
)

const disksDir = "/var/lib/disks"

// plain is a ready node with a configuration of before v1.14, of which nobody saw the kubelet.
func plain(t testing.TB, release string, entries ...ExtraMount) NodeState {
	return NodeState{
		Node:     "w-1",
		Address:  "10.0.0.11",
		Release:  version(t, release),
		Settings: Settings{Kubelet: true, ExtraMounts: entries},
		Ready:    true,
	}
}

// with changes a state.
func (n NodeState) with(change func(*NodeState)) NodeState {
	change(&n)
	return n
}

func unseen(n *NodeState)     { n.ConfigProblem = problem.FromText("os:admin is needed") }
func documented(n *NodeState) { n.Settings = Settings{KubeletDocument: true} }

func watched(v *KubeletView) func(*NodeState) { return func(n *NodeState) { n.View = v } }

func ask(dirs ...string) Request { return Request{Required: dirs} }

// decideCase is a node and a directory, and what is decided on them.
type decideCase struct {
	name    string
	node    NodeState
	dir     string
	action  change.Action
	reason  Reason
	visible disk.Answer
	message string
	hint    string
	warning string
}

func decideCases(t testing.TB) []decideCase {
	const current = "v1.13.9"
	admin := func(kubelet, host string) func(*NodeState) { return watched(seen(t, kubelet, host)) }
	reader := func(host, kubelet string) func(*NodeState) {
		return watched(listing(map[string][2]string{disksDir: {host, kubelet}}))
	}
	down := watched(&KubeletView{
		Dirs: map[string]BothSides{
			disksDir: {
				Host:    DirectoryListing{Exists: disk.Yes, Entries: []string{"hdd"}},
				Kubelet: DirectoryListing{Exists: disk.Unknown, Problem: "no kubelet runs"},
			},
		},
		MountsProblem: problem.FromText("no kubelet runs"),
	})
	wrong := bind(disksDir)
	wrong.Source = "/var/lib/other"
	noSource, relative, noBind := bind(disksDir), bind(disksDir), bind(disksDir, "rw")
	noSource.Source, relative.Source = "", "var/lib/disks"

	return []decideCase{
		// Seen without an entry.
		{
			name:    "/var/mnt",
			node:    plain(t, "v1.10.0"),
			dir:     "/var/mnt",
			action:  change.Keep,
			reason:  ReasonVisible,
			visible: disk.Unknown,
			message: "Talos v1.10.0 mounts /var/mnt into the kubelet",
		},
		{
			name:    "below /var/mnt",
			node:    plain(t, "v1.14.0-rc.1"),
			dir:     "/var/mnt/disks",
			action:  change.Keep,
			reason:  ReasonVisible,
			visible: disk.Unknown,
			message: "mounts /var/mnt",
		},
		{
			name:    "a name that begins like /var/mnt",
			node:    plain(t, current),
			dir:     "/var/mnt2",
			action:  change.Patch,
			reason:  ReasonNoEntry,
			visible: disk.Unknown,
			message: "has no extraMount, and whether the kubelet sees it is unknown: not checked",
		},
		{
			name:    "/var/mnt, with a user volume",
			node:    plain(t, "v1.14.0").with(admin(kubeletVolume, hostVolume)),
			dir:     "/var/mnt",
			action:  change.Keep,
			reason:  ReasonVisible,
			visible: disk.Yes,
			message: "mounts /var/mnt",
		},
		{
			name:    "/var/mnt, and a user volume that did not come through",
			node:    plain(t, "v1.14.0").with(admin("", hostVolume)),
			dir:     "/var/mnt",
			action:  change.Refuse,
			reason:  ReasonHidden,
			visible: disk.No,
			message: "does not see /dev/vdb2",
			hint:    "talosctl -n 10.0.0.11 service kubelet restart",
		},
		{
			name:    "by-partlabel on the oldest",
			node:    plain(t, "v1.6.0"),
			dir:     "/dev/disk/by-partlabel",
			action:  change.Keep,
			reason:  ReasonVisible,
			visible: disk.Unknown,
			message: "mounts /dev into",
		},
		{
			name:    "/dev bound on the newest",
			node:    plain(t, "v1.14.0"),
			dir:     "/dev",
			action:  change.Keep,
			reason:  ReasonVisible,
			visible: disk.Unknown,
			message: "mounts /dev into",
		},
		{
			name:    "in the kubelet's own directory",
			node:    plain(t, "v1.14.0"),
			dir:     "/var/lib/kubelet/disks",
			action:  change.Keep,
			reason:  ReasonVisible,
			visible: disk.Unknown,
			message: "mounts /var/lib/kubelet",
		},
		{
			name:    "in the kubelet's own directory, bound",
			node:    plain(t, "v1.13.1"),
			dir:     "/var/lib/kubelet/disks",
			action:  change.Skip,
			reason:  ReasonNotSeen,
			visible: disk.Unknown,
			message: "no disk mounted below",
		},
		{
			name:    "without credentials for the configuration",
			node:    plain(t, "v1.14.0").with(unseen),
			dir:     "/var/mnt/disks",
			action:  change.Keep,
			reason:  ReasonVisible,
			visible: disk.Unknown,
			message: "mounts /var/mnt",
		},
		{
			name:    "on a release to come",
			node:    plain(t, "v1.15.0"),
			dir:     "/var/mnt/disks",
			action:  change.Keep,
			reason:  ReasonVisible,
			visible: disk.Unknown,
			message: "mounts /var/mnt",
			warning: "newer than v1.14",
		},
		{
			name:    "without an entry, seen",
			node:    plain(t, current).with(admin(slave, hostDisk)),
			dir:     disksDir,
			action:  change.Keep,
			reason:  ReasonVisible,
			visible: disk.Yes,
			message: "is visible: it is mounted",
			warning: "no longer visible once the kubelet starts again",
		},
		{
			name:    "a KubeletConfig, seen",
			node:    plain(t, "v1.14.0").with(documented).with(admin(slave, hostDisk)),
			dir:     disksDir,
			action:  change.Keep,
			reason:  ReasonVisible,
			visible: disk.Yes,
			message: "is visible",
		},

		// Before v1.10 /var/mnt is a directory like any other, until the upgrade.
		{
			name:    "/var/mnt of old",
			node:    plain(t, "v1.9.6"),
			dir:     "/var/mnt/disks",
			action:  change.Refuse,
			reason:  ReasonVarMnt,
			visible: disk.Unknown,
			message: "doubles the node's mounts",
			hint:    "upgrade to Talos v1.10.5",
		},
		{
			name:    "/var/mnt of old, with an entry",
			node:    plain(t, "v1.9.6", bind("/var/mnt/disks")),
			dir:     "/var/mnt/disks",
			action:  change.Keep,
			reason:  ReasonConfigured,
			visible: disk.Unknown,
			message: "asked for by machine.kubelet.extraMounts[0]",
			warning: "on Talos v1.10",
		},

		// An entry serves, whatever its propagation.
		{
			name:    "rslave, seen",
			node:    plain(t, current, bind(disksDir)).with(admin(slave, hostDisk)),
			dir:     disksDir,
			action:  change.Keep,
			reason:  ReasonVisible,
			visible: disk.Yes,
			message: "is visible",
		},
		{
			name:    "rshared, not looked at",
			node:    plain(t, current, bind(disksDir, "rbind", "rshared", "rw")),
			dir:     disksDir,
			action:  change.Keep,
			reason:  ReasonConfigured,
			visible: disk.Unknown,
			message: "whether the kubelet sees it is unknown: not checked",
		},
		{
			name:    "private, listed",
			node:    plain(t, current, bind(disksDir, "rbind", "rprivate", "rw")).with(reader("hdd", "hdd")),
			dir:     disksDir,
			action:  change.Keep,
			reason:  ReasonVisible,
			visible: disk.Yes,
			message: "same entries",
		},
		{
			name:    "rbind without more",
			node:    plain(t, current, bind(disksDir, "rbind")),
			dir:     disksDir,
			action:  change.Keep,
			reason:  ReasonConfigured,
			visible: disk.Unknown,
			message: "asked for",
		},
		{
			name:    "an entry for the parent",
			node:    plain(t, current, bind(disksDir)),
			dir:     disksDir + "/block",
			action:  change.Keep,
			reason:  ReasonConfigured,
			visible: disk.Unknown,
			message: "extraMounts[0]",
		},
		{
			name:    "a slash at the end",
			node:    plain(t, current, bind(disksDir+"/")),
			dir:     disksDir,
			action:  change.Keep,
			reason:  ReasonConfigured,
			visible: disk.Unknown,
			message: "extraMounts[0]",
		},
		{
			name:    "both empty",
			node:    plain(t, current, bind(disksDir)).with(reader("", "")),
			dir:     disksDir,
			action:  change.Keep,
			reason:  ReasonConfigured,
			visible: disk.Unknown,
			message: "empty on the node and in the kubelet",
		},
		{
			name:    "the view failed",
			node:    plain(t, current, bind(disksDir)).with(func(n *NodeState) { n.ViewProblem = problem.FromText("no route to host") }),
			dir:     disksDir,
			action:  change.Keep,
			reason:  ReasonConfigured,
			visible: disk.Unknown,
			message: "no route to host",
		},

		// Configured, and not so.
		{
			name:    "not in force",
			node:    plain(t, current, bind(disksDir)).with(admin("", hostDisk)),
			dir:     disksDir,
			action:  change.Refuse,
			reason:  ReasonNotInForce,
			visible: disk.No,
			message: "asked for by machine.kubelet.extraMounts[0], which is not in force: no mount",
			hint:    "talosctl -n 10.0.0.11 service kubelet restart",
		},
		{
			name:    "not in force, as a listing shows",
			node:    plain(t, current, bind(disksDir)).with(reader("hdd", "-")),
			dir:     disksDir,
			action:  change.Refuse,
			reason:  ReasonNotInForce,
			visible: disk.No,
			message: "does not exist in the kubelet",
		},
		{
			name:    "not in force, where a restart does harm",
			node:    plain(t, "v1.12.4", bind(disksDir)).with(admin("", "")),
			dir:     disksDir,
			action:  change.Refuse,
			reason:  ReasonNotInForce,
			visible: disk.No,
			hint:    "upgrade Talos first",
		},
		{
			name:    "no address",
			node:    plain(t, current, bind(disksDir)).with(admin("", "")).with(func(n *NodeState) { n.Address = "" }),
			dir:     disksDir,
			action:  change.Refuse,
			reason:  ReasonNotInForce,
			visible: disk.No,
			hint:    "talosctl -n w-1 ",
		},
		// talos.md 00.14.
		{
			name:    "bind masks a disk",
			node:    plain(t, current, bind(disksDir, "bind", "rshared", "rw")).with(admin(bound, hostDisk)),
			dir:     disksDir,
			action:  change.Patch,
			reason:  ReasonBindForRbind,
			visible: disk.No,
			message: "leaves out what is mounted at /var/lib/disks/hdd/vde",
		},
		{
			name:    "bind masks a disk at the next start",
			node:    plain(t, current, bind(disksDir, "bind", "rshared", "rw")).with(admin(slave, hostDisk)),
			dir:     disksDir,
			action:  change.Patch,
			reason:  ReasonBindForRbind,
			visible: disk.Yes,
			message: "leaves out",
		},
		{name: "bind on a parent of machine.disks", node: plain(t, current, bind(disksDir, "bind", "rw")).with(func(n *NodeState) {
			n.Settings.MachineDisks = []machineconfig.MachineDisk{{Device: "/dev/vde", Mountpoint: disksDir + "/hdd/vde"}}
		}), dir: disksDir, action: change.Patch, reason: ReasonBindForRbind, visible: disk.Unknown, message: "/var/lib/disks/hdd/vde"},
		{name: "bind at the mount point of machine.disks", node: plain(t, current, bind(disksDir, "bind", "rw")).with(func(n *NodeState) {
			n.Settings.MachineDisks = []machineconfig.MachineDisk{{Device: "/dev/vde", Mountpoint: disksDir}}
		}), dir: disksDir, action: change.Keep, reason: ReasonConfigured, visible: disk.Unknown, warning: "whether there are any was not seen"},
		{
			name:    "bind at the mount point of a disk",
			node:    plain(t, current, bind(disksDir+"/hdd/vde", "bind", "rw")).with(admin(slave, hostDisk)),
			dir:     disksDir + "/hdd/vde",
			action:  change.Keep,
			reason:  ReasonVisible,
			visible: disk.Yes,
		},
		{
			name:    "bind with no disk below",
			node:    plain(t, current, bind(disksDir, "bind", "rshared", "rw")).with(admin(bound, "")),
			dir:     disksDir,
			action:  change.Keep,
			reason:  ReasonVisible,
			visible: disk.Yes,
		},
		{
			name:    "bind, listed",
			node:    plain(t, current, bind(disksDir, "bind", "rw")).with(reader("hdd", "hdd")),
			dir:     disksDir,
			action:  change.Keep,
			reason:  ReasonVisible,
			visible: disk.Yes,
			warning: "whether there are any was not seen",
		},
		{
			name:    "read-only",
			node:    plain(t, current, bind(disksDir, "rbind", "rslave", "ro")).with(admin(slave, hostDisk)),
			dir:     disksDir,
			action:  change.Refuse,
			reason:  ReasonReadOnly,
			visible: disk.Yes,
			message: "has the option ro",
		},
		{
			name:    "read-only, then not",
			node:    plain(t, current, bind(disksDir, "ro", "rbind", "rw")),
			dir:     disksDir,
			action:  change.Keep,
			reason:  ReasonConfigured,
			visible: disk.Unknown,
		},
		{
			name:    "another source",
			node:    plain(t, current, wrong),
			dir:     disksDir,
			action:  change.Refuse,
			reason:  ReasonOtherSource,
			visible: disk.Unknown,
			message: "mounts /var/lib/other there",
		},
		{
			name:    "another source for the parent",
			node:    plain(t, current, wrong),
			dir:     disksDir + "/block",
			action:  change.Refuse,
			reason:  ReasonOtherSource,
			visible: disk.Unknown,
			message: "mounts /var/lib/other/block there",
		},
		{
			name:    "no source",
			node:    plain(t, current, noSource),
			dir:     disksDir,
			action:  change.Refuse,
			reason:  ReasonBadEntry,
			visible: disk.Unknown,
			message: `machine.kubelet.extraMounts[0] for "/var/lib/disks" has no source`,
		},
		{
			name:    "a relative source",
			node:    plain(t, current, relative),
			dir:     disksDir,
			action:  change.Refuse,
			reason:  ReasonBadEntry,
			visible: disk.Unknown,
			message: `"var/lib/disks", which is not absolute`,
		},
		{
			name:    "type bind that does not",
			node:    plain(t, current, noBind),
			dir:     disksDir,
			action:  change.Refuse,
			reason:  ReasonBadEntry,
			visible: disk.Unknown,
			message: "neither bind nor rbind",
		},
		// 00.3 and 00.15: the patch applied several times.
		{
			name: "thrice, seen",
			node: plain(t, "v1.14.0", bind("/var/local-disks", "bind", "rshared", "rw"), bind("/var/local-disks", "bind", "rshared", "rw"),
				bind("/var/local-disks", "bind", "rshared", "rw")).with(admin(fourTimes, "")),
			dir:     "/var/local-disks",
			action:  change.Keep,
			reason:  ReasonVisible,
			visible: disk.Yes,
			warning: "extraMounts[0] and machine.kubelet.extraMounts[1] both mount /var/local-disks: each start of the kubelet doubles",
		},
		{
			name:    "twice, not seen",
			node:    plain(t, current, bind(disksDir), bind(disksDir+"/")),
			dir:     disksDir,
			action:  change.Refuse,
			reason:  ReasonDuplicate,
			visible: disk.Unknown,
			message: "both mount /var/lib/disks",
		},
		{
			name:    "nested, not seen",
			node:    plain(t, current, bind(disksDir), bind(disksDir+"/block")),
			dir:     disksDir + "/block/a",
			action:  change.Refuse,
			reason:  ReasonNested,
			visible: disk.Unknown,
			message: "extraMounts[1] mounts /var/lib/disks/block, below /var/lib/disks of machine.kubelet.extraMounts[0]",
		},

		// No entry.
		// 00.13: the article's case.
		{
			name:    "not visible",
			node:    plain(t, "v1.14.0").with(admin("", hostDisk)),
			dir:     disksDir,
			action:  change.Patch,
			reason:  ReasonNoEntry,
			visible: disk.No,
			message: "no extraMount covers it",
		},
		{
			name:    "not listed",
			node:    plain(t, "v1.6.0").with(reader("hdd", "-")),
			dir:     disksDir,
			action:  change.Patch,
			reason:  ReasonNoEntry,
			visible: disk.No,
			warning: "before v1.10 does not show a staged configuration",
		},
		{name: "not looked at", node: plain(t, current), dir: disksDir, action: change.Patch, reason: ReasonNoEntry, visible: disk.Unknown},
		{
			name:    "no machine.kubelet",
			node:    plain(t, current).with(func(n *NodeState) { n.Settings = Settings{} }),
			dir:     disksDir,
			action:  change.Patch,
			reason:  ReasonNoEntry,
			visible: disk.Unknown,
		},
		{
			name:    "an entry for another",
			node:    plain(t, current, bind("/var/lib/other")),
			dir:     disksDir,
			action:  change.Patch,
			reason:  ReasonNoEntry,
			visible: disk.Unknown,
		},
		{
			name:    "an entry that begins alike",
			node:    plain(t, current, bind("/var/lib/disk")),
			dir:     disksDir,
			action:  change.Patch,
			reason:  ReasonNoEntry,
			visible: disk.Unknown,
		},
		{
			name:    "that does not exist",
			node:    plain(t, current).with(reader("-", "-")),
			dir:     disksDir,
			action:  change.Patch,
			reason:  ReasonNoEntry,
			visible: disk.No,
			warning: "Talos makes it",
		},
		{
			name:    "a needless entry elsewhere, harmless",
			node:    plain(t, "v1.14.0", bind("/var/mnt/x")),
			dir:     disksDir,
			action:  change.Patch,
			reason:  ReasonNoEntry,
			visible: disk.Unknown,
			warning: "below /var/mnt, which Talos mounts itself",
		},

		{
			name:    "an entry below",
			node:    plain(t, current, bind(disksDir+"/block")),
			dir:     disksDir,
			action:  change.Refuse,
			reason:  ReasonNested,
			visible: disk.Unknown,
			message: "holds /var/lib/disks/block of machine.kubelet.extraMounts[0]",
		},
		{
			name:    "an entry below, at fault",
			node:    plain(t, current, ExtraMount{Destination: disksDir + "/block"}),
			dir:     disksDir,
			action:  change.Refuse,
			reason:  ReasonBadEntry,
			visible: disk.Unknown,
			message: "has no source: the kubelet does not start with it",
		},
		{
			name:    "another entry is twice there",
			node:    plain(t, current, bind("/var/a"), bind("/var/a")),
			dir:     disksDir,
			action:  change.Refuse,
			reason:  ReasonDuplicate,
			visible: disk.Unknown,
			message: "both mount /var/a",
		},
		{
			name:    "other entries nest",
			node:    plain(t, current, bind("/var/a"), bind("/var/a/b")),
			dir:     disksDir,
			action:  change.Refuse,
			reason:  ReasonNested,
			visible: disk.Unknown,
			message: "below /var/a of",
		},
		{
			name:    "other entries nest, the child first",
			node:    plain(t, current, bind("/var/a/b"), bind("/var/a")),
			dir:     disksDir,
			action:  change.Refuse,
			reason:  ReasonNested,
			visible: disk.Unknown,
			message: "extraMounts[0] mounts /var/a/b, below /var/a of machine.kubelet.extraMounts[1]",
		},
		{
			name:    "another entry in a shared /var/mnt",
			node:    plain(t, "v1.13.2", bind("/var/mnt/x")),
			dir:     disksDir,
			action:  change.Refuse,
			reason:  ReasonNested,
			visible: disk.Unknown,
			message: "each start of the kubelet doubles",
		},
		{
			name:    "another entry has no destination",
			node:    plain(t, current, bind("/var/a"), ExtraMount{Type: "bind", Source: "/var/x", Options: []string{"bind"}}),
			dir:     disksDir,
			action:  change.Refuse,
			reason:  ReasonBadEntry,
			visible: disk.Unknown,
			message: "machine.kubelet.extraMounts[1] has no destination",
		},
		{
			name:    "another entry has a relative destination",
			node:    plain(t, current, ExtraMount{Destination: "disks", Type: "bind", Source: "/var/x", Options: []string{"bind"}}),
			dir:     disksDir,
			action:  change.Refuse,
			reason:  ReasonBadEntry,
			visible: disk.Unknown,
			message: `destination "disks", which is not absolute`,
		},

		// Where no entry may be.
		{
			name:    "/var",
			node:    plain(t, current),
			dir:     "/var",
			action:  change.Refuse,
			reason:  ReasonHoldsTalos,
			visible: disk.Unknown,
			message: "holds /var/run",
		},
		{
			name:    "/var/lib",
			node:    plain(t, current),
			dir:     "/var/lib",
			action:  change.Refuse,
			reason:  ReasonHoldsTalos,
			visible: disk.Unknown,
			message: "holds /var/lib/containerd",
		},
		{name: "/", node: plain(t, current), dir: "/", action: change.Refuse, reason: ReasonHoldsTalos, visible: disk.Unknown},
		{
			name:    "off /var",
			node:    plain(t, current),
			dir:     "/mnt/disks",
			action:  change.Refuse,
			reason:  ReasonOffVar,
			visible: disk.Unknown,
			message: "read-only",
			hint:    "/var/lib/disks",
		},
		{
			name:    "off /var, with an entry",
			node:    plain(t, current, bind("/mnt/disks")),
			dir:     "/mnt/disks",
			action:  change.Refuse,
			reason:  ReasonOffVar,
			visible: disk.Unknown,
		},
		{name: "like /var", node: plain(t, current), dir: "/variable", action: change.Refuse, reason: ReasonOffVar, visible: disk.Unknown},

		// The configuration was not read.
		{
			name:    "a reader sees it",
			node:    plain(t, current).with(unseen).with(reader("hdd", "hdd")),
			dir:     disksDir,
			action:  change.Keep,
			reason:  ReasonVisible,
			visible: disk.Yes,
			message: "same entries as the node",
		},
		{
			name:    "a reader does not",
			node:    plain(t, current).with(unseen).with(reader("hdd", "-")),
			dir:     disksDir,
			action:  change.Skip,
			reason:  ReasonConfigNotRead,
			visible: disk.No,
			message: "is not visible: it does not exist in the kubelet; the configuration was not read: os:admin is needed",
		},
		{
			name:    "a reader cannot tell",
			node:    plain(t, current).with(unseen).with(reader("", "")),
			dir:     disksDir,
			action:  change.Skip,
			reason:  ReasonConfigNotRead,
			visible: disk.Unknown,
			message: "unknown",
		},
		{
			name:    "not checked",
			node:    plain(t, current).with(unseen),
			dir:     disksDir,
			action:  change.Skip,
			reason:  ReasonConfigNotRead,
			visible: disk.Unknown,
		},

		// A KubeletConfig document.
		{
			name:    "a KubeletConfig",
			node:    plain(t, "v1.14.0").with(documented),
			dir:     disksDir,
			action:  change.Refuse,
			reason:  ReasonKubeletDocument,
			visible: disk.Unknown,
			message: "has no extraMounts",
			hint:    "--convert-kubelet-config",
		},
		// 00.16: links in a directory volume need none.
		{
			name:    "a KubeletConfig, not seen",
			node:    plain(t, "v1.14.0").with(documented).with(admin("", hostDisk)),
			dir:     disksDir,
			action:  change.Refuse,
			reason:  ReasonKubeletDocument,
			visible: disk.No,
			message: "and does not see \"/var/lib/disks\"",
		},
		{
			name:    "a KubeletConfig, while the kubelet restarts",
			node:    plain(t, "v1.14.0").with(documented).with(down),
			dir:     disksDir,
			action:  change.Refuse,
			reason:  ReasonKubeletDocument,
			visible: disk.Unknown,
			message: "and whether it sees \"/var/lib/disks\" is unknown: the kubelet's view of it was not read: no kubelet runs",
		},
		{
			name:    "no entry, while the kubelet restarts",
			node:    plain(t, current).with(down),
			dir:     disksDir,
			action:  change.Patch,
			reason:  ReasonNoEntry,
			visible: disk.Unknown,
			message: "has no extraMount, and whether the kubelet sees it is unknown: the kubelet's view of it was not read: no kubelet runs",
		},
		{
			name:    "two entries, while the kubelet restarts",
			node:    plain(t, current, bind(disksDir), bind(disksDir)).with(down),
			dir:     disksDir,
			action:  change.Refuse,
			reason:  ReasonDuplicate,
			visible: disk.Unknown,
			message: "whether the kubelet sees it is unknown (the kubelet's view of it was not read: no kubelet runs): ",
		},
		{
			name:    "a KubeletConfig, and /var/mnt",
			node:    plain(t, "v1.14.0").with(documented),
			dir:     "/var/mnt/dir-e",
			action:  change.Keep,
			reason:  ReasonVisible,
			visible: disk.Unknown,
		},

		// Not now.
		{
			name:    "staged",
			node:    plain(t, current).with(func(n *NodeState) { n.StagedDiffers = true }),
			dir:     disksDir,
			action:  change.Refuse,
			reason:  ReasonStaged,
			visible: disk.Unknown,
			message: "staged",
		},
		{
			name:    "staged, and nothing to do",
			node:    plain(t, current, bind(disksDir)).with(func(n *NodeState) { n.StagedDiffers = true }),
			dir:     disksDir,
			action:  change.Keep,
			reason:  ReasonConfigured,
			visible: disk.Unknown,
		},
		{
			name:    "not ready",
			node:    plain(t, current).with(func(n *NodeState) { n.Ready, n.NotReady = false, "kubelet stopped posting" }),
			dir:     disksDir,
			action:  change.Refuse,
			reason:  ReasonNotReady,
			visible: disk.Unknown,
			message: "not ready: kubelet stopped posting",
			hint:    "kubectl describe node w-1",
		},
		{
			name:    "a restart unmounts volumes",
			node:    plain(t, "v1.12.4"),
			dir:     disksDir,
			action:  change.Refuse,
			reason:  ReasonHazard,
			visible: disk.Unknown,
			message: "unmounts all user volumes",
			hint:    "--accept kubelet-restart-hazard",
		},
		{
			name:    "a restart unmounts volumes in v1.10",
			node:    plain(t, "v1.10.0"),
			dir:     disksDir,
			action:  change.Refuse,
			reason:  ReasonHazard,
			visible: disk.Unknown,
			message: "fixed in v1.10.5",
		},
		{
			name:    "it no longer does",
			node:    plain(t, "v1.12.5"),
			dir:     disksDir,
			action:  change.Patch,
			reason:  ReasonNoEntry,
			visible: disk.Unknown,
			warning: "quick succession",
		},
		{
			name:    "tokens freeze",
			node:    plain(t, "v1.13.2"),
			dir:     disksDir,
			action:  change.Patch,
			reason:  ReasonNoEntry,
			visible: disk.Unknown,
			warning: "projected volumes",
		},
	}
}

func TestDecideOnOneDirectory(t *testing.T) {
	for _, tt := range decideCases(t) {
		t.Run(tt.name, func(t *testing.T) {
			p := Decide(tt.node, ask(tt.dir))
			if p.Action != tt.action || p.Reason != tt.reason {
				t.Errorf("%s, %s: %s", p.Action, p.Reason, p.Message)
			}
			if len(p.Directories) != 1 || p.Directories[0].Path != tt.dir || p.Directories[0].Visible != tt.visible {
				t.Errorf("directories %+v", p.Directories)
			}
			holds(t, "message", p.Message, tt.message)
			holds(t, "hint", p.Hint, tt.hint)
			warnings := strings.Join(p.Warnings, "; ")
			holds(t, "warnings", warnings, tt.warning)
			if tt.warning == "" && tt.reason == ReasonVisible && tt.name != "a KubeletConfig, seen" && warnings != "" {
				t.Errorf("warns: %s", warnings)
			}
			var want []ExtraMount
			if tt.action == change.Patch && tt.reason != ReasonBindForRbind {
				want = []ExtraMount{bind(tt.dir)}
			}
			if (len(p.Rebind) > 0) != (tt.action == change.Patch && tt.reason == ReasonBindForRbind) || len(p.Rebind) != len(p.Rebound) {
				t.Errorf("makes %+v of %v", p.Rebound, p.Rebind)
			}
			if !reflect.DeepEqual(p.Add, want) || p.Restarts != (tt.action == change.Patch) || len(p.Remove)+len(p.Removed) != 0 || p.Convert {
				t.Errorf("adds %+v, restarts %v, removes %v, converts %v", p.Add, p.Restarts, p.Remove, p.Convert)
			}
			if tt.action == change.Refuse && p.Hint == "" {
				t.Error("refuses without a hint")
			}
		})
	}
}

func TestDecideOnSeveral(t *testing.T) {
	const current = "v1.13.9"
	for _, tt := range []struct {
		name   string
		node   NodeState
		dirs   string
		action change.Action
		reason Reason
		add    string
	}{
		{
			name:   "siblings",
			node:   plain(t, current),
			dirs:   disksDir + "/a " + disksDir + "/b/ " + disksDir + "/c",
			action: change.Patch,
			reason: ReasonNoEntry,
			add:    disksDir,
		},
		{
			name:   "siblings, one served",
			node:   plain(t, current, bind(disksDir+"/a")),
			dirs:   disksDir + "/a " + disksDir + "/b " + disksDir + "/c",
			action: change.Patch,
			reason: ReasonNoEntry,
			add:    disksDir + "/b " + disksDir + "/c",
		},
		{
			name:   "siblings, all served by the parent",
			node:   plain(t, current, bind(disksDir)),
			dirs:   disksDir + "/a " + disksDir + "/b",
			action: change.Keep,
			reason: ReasonConfigured,
		},
		{
			name:   "only /var/lib in common",
			node:   plain(t, current),
			dirs:   "/var/lib/a /var/lib/b",
			action: change.Patch,
			reason: ReasonNoEntry,
			add:    "/var/lib/a /var/lib/b",
		},
		{
			name:   "some need nothing",
			node:   plain(t, current),
			dirs:   "/dev/disk/by-partlabel /var/mnt " + disksDir,
			action: change.Patch,
			reason: ReasonNoEntry,
			add:    disksDir,
		},
		{
			name:   "none needs anything",
			node:   plain(t, current),
			dirs:   "/dev/disk/by-partlabel /var/mnt",
			action: change.Keep,
			reason: ReasonVisible,
		},
		{
			name:   "one is refused, so is the node",
			node:   plain(t, current),
			dirs:   disksDir + " /mnt/disks",
			action: change.Refuse,
			reason: ReasonOffVar,
		},
		{
			name:   "refused before skipped",
			node:   plain(t, current).with(unseen),
			dirs:   disksDir + " /mnt/disks",
			action: change.Refuse,
			reason: ReasonOffVar,
		},
		{name: "nested", node: plain(t, current), dirs: disksDir + "/a " + disksDir, action: change.Patch, reason: ReasonNoEntry, add: disksDir},
		{name: "nothing", node: plain(t, current), action: change.Keep, reason: ReasonNothing},
		{name: "relative", node: plain(t, current), dirs: disksDir + " disks", action: change.Refuse, reason: ReasonDirectory},
		{name: "too old", node: plain(t, "v1.5.5"), dirs: disksDir, action: change.Refuse, reason: ReasonVersion},
		{
			name:   "of unknown version",
			node:   plain(t, current).with(func(n *NodeState) { n.Release = talosrelease.Release{} }),
			dirs:   disksDir,
			action: change.Skip,
			reason: ReasonVersionUnknown,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := Decide(tt.node, ask(strings.Fields(tt.dirs)...))
			if p.Action != tt.action || p.Reason != tt.reason || !slices.Equal(p.Appear(), strings.Fields(tt.add)) || p.Message == "" {
				t.Errorf("%s, %s, adds %q: %s", p.Action, p.Reason, p.Appear(), p.Message)
			}
		})
	}
}

func TestDecideByRequest(t *testing.T) {
	node := plain(t, "v1.12.0")
	for propagation, want := range map[Propagation][]string{
		"": {"rbind", "rslave", "rw"}, PropagationSlave: {"rbind", "rslave", "rw"}, PropagationShared: {"rbind", "rshared", "rw"},
		PropagationPrivate: {"rbind", "rprivate", "rw"},
	} {
		p := Decide(node, Request{Required: []string{disksDir, "/var/openebs"}, Propagation: propagation, AcceptHazard: true})
		if len(p.Add) != 2 || !slices.Equal(p.Add[0].Options, want) || !slices.Equal(p.Add[1].Options, want) {
			t.Fatalf("%q: %+v", propagation, p)
		}
		p.Add[0].Options[0] = "changed"
		if p.Add[1].Options[0] == "changed" {
			t.Error("two entries share their options")
		}
		warnings := strings.Join(p.Warnings, "; ")
		holds(t, "warnings", warnings, "unmounts all user volumes")
		if got := strings.Contains(warnings, "private propagation"); got != (propagation == PropagationPrivate) {
			t.Errorf("%q: %s", propagation, warnings)
		}
	}
	if p := Decide(node, Request{Required: []string{disksDir}, Propagation: "slave"}); p.Action != change.Refuse ||
		p.Reason != ReasonPropagation {
		t.Errorf("%+v", p)
	}
}

func TestDecideStages(t *testing.T) {
	node := plain(t, "v1.12.0", bind("/var/lib/other"))
	node.Ready = false
	for _, r := range []Request{{Required: []string{disksDir}, Staged: true},
		{Required: []string{"/var/lib/other"}, Remove: true, Staged: true}} {
		if p := Decide(node, r); p.Action != change.Patch || p.Restarts || len(p.Warnings) != 0 {
			t.Errorf("%+v", p)
		}
		node := node
		node.StagedDiffers = true
		if p := Decide(node, r); p.Reason != ReasonStaged {
			t.Errorf("%+v", p)
		}
	}
}

func TestDecideConverts(t *testing.T) {
	node := plain(t, "v1.14.0").with(documented)
	p := Decide(node, Request{Required: []string{disksDir}, Convert: true})
	if p.Action != change.Patch || !p.Convert || !p.Restarts || !slices.Equal(p.Appear(), []string{disksDir}) || len(p.Ways) != 0 {
		t.Errorf("%+v", p)
	}
	// Nothing to convert, or nothing to convert for.
	if p := Decide(plain(t, "v1.14.0"), Request{Required: []string{disksDir}, Convert: true}); p.Action != change.Patch || p.Convert {
		t.Errorf("%+v", p)
	}
	if p := Decide(node, Request{Required: []string{"/var/mnt"}, Convert: true}); p.Action != change.Keep || p.Convert {
		t.Errorf("%+v", p)
	}
	// What holds for any restart holds for this one.
	node.StagedDiffers = true
	if p := Decide(node, Request{Required: []string{disksDir}, Convert: true}); p.Reason != ReasonStaged || p.Convert {
		t.Errorf("%+v", p)
	}
}

func TestDecideShowsWays(t *testing.T) {
	for _, tt := range []struct {
		node NodeState
		dir  string
		want int
	}{
		{plain(t, "v1.14.0").with(documented), disksDir, 3},
		{plain(t, "v1.14.0"), "/mnt/disks", 3},
		{plain(t, "v1.11.0"), "/mnt/disks", 2},
		{plain(t, "v1.10.5"), "/mnt/disks", 1},
		{plain(t, "v1.9.0"), "/var/mnt/disks", 0},
		{plain(t, "v1.14.0", bind(disksDir+"/a")), disksDir, 0},
	} {
		if p := Decide(tt.node, ask(tt.dir)); len(p.Ways) != tt.want || p.Action != change.Refuse {
			t.Errorf("%s, %s: %s, %d ways", tt.node.Release, tt.dir, p.Action, len(p.Ways))
		}
	}
}

// removeCase is a node and directories whose entries are to be taken out, and what is decided on them.
type removeCase struct {
	name     string
	node     NodeState
	dirs     string
	action   change.Action
	reason   Reason
	remove   []int
	warnings string
}

func removeCases(t testing.TB) []removeCase {
	const current = "v1.13.9"
	other := bind("/var/lib/other")
	return []removeCase{
		{
			name:   "one",
			node:   plain(t, current, other, bind(disksDir)),
			dirs:   disksDir,
			action: change.Patch,
			reason: ReasonRemove,
			remove: []int{1},
		},
		{
			name:   "all duplicates, by any spelling",
			node:   plain(t, current, bind(disksDir), other, bind(disksDir+"/", "bind"), bind("/var//lib/disks")),
			dirs:   disksDir + "/",
			action: change.Patch,
			reason: ReasonRemove,
			remove: []int{0, 2, 3},
		},
		{
			name:   "the parent that stood for siblings",
			node:   plain(t, current, bind(disksDir)),
			dirs:   disksDir + "/a " + disksDir + "/b",
			action: change.Patch,
			reason: ReasonRemove,
			remove: []int{0},
		},
		{
			name:   "not the parent of one",
			node:   plain(t, current, bind(disksDir)),
			dirs:   disksDir + "/a",
			action: change.Keep,
			reason: ReasonNoEntry,
		},
		{name: "not a child", node: plain(t, current, bind(disksDir+"/a")), dirs: disksDir, action: change.Keep, reason: ReasonNoEntry},
		{
			name:   "a needless one",
			node:   plain(t, current, bind("/var/mnt/x")),
			dirs:   "/var/mnt/x",
			action: change.Patch,
			reason: ReasonRemove,
			remove: []int{0},
		},
		{
			name:   "one off /var",
			node:   plain(t, current, bind("/mnt/disks")),
			dirs:   "/mnt/disks",
			action: change.Patch,
			reason: ReasonRemove,
			remove: []int{0},
		},
		{
			name:   "one beside an entry without destination",
			node:   plain(t, current, ExtraMount{Source: "/var/x"}, bind(disksDir)),
			dirs:   disksDir,
			action: change.Patch,
			reason: ReasonRemove,
			remove: []int{1},
		},
		{name: "none", node: plain(t, current, other), dirs: disksDir, action: change.Keep, reason: ReasonNoEntry},
		{name: "a KubeletConfig", node: plain(t, "v1.14.0").with(documented), dirs: disksDir, action: change.Keep, reason: ReasonNoEntry},
		{
			name:   "not read",
			node:   plain(t, current, bind(disksDir)).with(unseen),
			dirs:   disksDir,
			action: change.Skip,
			reason: ReasonConfigNotRead,
		},
		{
			name:   "staged",
			node:   plain(t, current, bind(disksDir)).with(func(n *NodeState) { n.StagedDiffers = true }),
			dirs:   disksDir,
			action: change.Refuse,
			reason: ReasonStaged,
		},
		{
			name:   "not ready",
			node:   plain(t, current, bind(disksDir)).with(func(n *NodeState) { n.Ready = false }),
			dirs:   disksDir,
			action: change.Refuse,
			reason: ReasonNotReady,
		},
		{name: "hazard", node: plain(t, "v1.10.4", bind(disksDir)), dirs: disksDir, action: change.Refuse, reason: ReasonHazard},
		{name: "volumes need it", node: plain(t, current, bind(disksDir), bind("/var/mnt/x")).with(func(n *NodeState) {
			n.Volumes = map[string]string{"pv-b": disksDir + "/vdb", "pv-a": disksDir, "pv-m": "/var/mnt/x", "pv-o": "/var/lib/disks-2/vdb"}
		}), dirs: disksDir + " /var/mnt/x", action: change.Patch, reason: ReasonRemove, remove: []int{0, 1},
			warnings: `volume "pv-a" lies at "/var/lib/disks": pods that use it can no longer start; volume "pv-b"`},
		{name: "a pod has one mounted", node: plain(t, current, bind(disksDir)).with(func(n *NodeState) {
			n.Volumes, n.Used = map[string]string{"pv-a": disksDir + "/vdb"}, map[string][]string{"pv-a": {"default/db"}}
		}), dirs: disksDir, action: change.Refuse, reason: ReasonVolumeInUse},
		{name: "a pod has another one mounted", node: plain(t, current, bind(disksDir), bind("/var/lib/other")).with(func(n *NodeState) {
			n.Volumes, n.Used = map[string]string{"pv-o": "/var/lib/other/vdb"}, map[string][]string{"pv-o": {"default/db"}}
		}), dirs: disksDir, action: change.Patch, reason: ReasonRemove, remove: []int{0}},
		{name: "who has one mounted is not known", node: plain(t, current, bind(disksDir)).with(func(n *NodeState) {
			n.Volumes, n.UsedProblem = map[string]string{"pv-a": disksDir + "/vdb"}, "forbidden"
		}), dirs: disksDir, action: change.Skip, reason: ReasonVolumeInUse},
		{name: "volumes have another entry", node: plain(t, current, bind(disksDir), bind(disksDir+"/hdd")).with(func(n *NodeState) {
			n.Volumes = map[string]string{"pv": disksDir + "/hdd/vde"}
		}), dirs: disksDir, action: change.Patch, reason: ReasonRemove, remove: []int{0}},
	}
}

func TestDecideRemoves(t *testing.T) {
	for _, tt := range removeCases(t) {
		t.Run(tt.name, func(t *testing.T) {
			p := Decide(tt.node, Request{Required: strings.Fields(tt.dirs), Remove: true})
			if p.Action != tt.action || p.Reason != tt.reason || !slices.Equal(p.Remove, tt.remove) || p.Restarts != (tt.action == change.Patch) ||
				len(p.Add) != 0 || p.Message == "" {
				t.Errorf("%+v", p)
			}
			var removed []ExtraMount
			for _, i := range tt.remove {
				removed = append(removed, tt.node.Settings.ExtraMounts[i])
			}
			if !reflect.DeepEqual(p.Removed, removed) {
				t.Errorf("removes %+v", p.Removed)
			}
			warnings := strings.Join(p.Warnings, "; ")
			if holds(t, "warnings", warnings, tt.warnings); tt.warnings == "" && warnings != "" || strings.Count(warnings, "volume \"") > 2 {
				t.Errorf("warns: %s", warnings)
			}
		})
	}
}

// What is planned and performed is not planned again.
func TestDecideIsIdempotent(t *testing.T) {
	for _, release := range []string{"v1.6.0", "v1.9.9", "v1.11.0", "v1.13.0", "v1.14.0"} {
		node := plain(t, release, bind("/var/lib/other"))
		r := ask(disksDir+"/a", disksDir+"/b", "/var/lib/c", "/dev/disk/by-id")
		p := Decide(node, r)
		if !slices.Equal(p.Appear(), []string{"/var/lib/c", disksDir}) {
			t.Fatalf("%s: %+v", release, p)
		}
		node.Settings.ExtraMounts = append(node.Settings.ExtraMounts, p.Add...)
		if again := Decide(node, r); again.Action != change.Keep {
			t.Errorf("%s: again: %+v", release, again)
		}
		if clash := conflicts(node.Release, node.Settings.ExtraMounts); len(clash) != 0 {
			t.Errorf("%s: %+v", release, clash)
		}
		r.Remove = true
		if p := Decide(node, r); !slices.Equal(p.Remove, []int{1, 2}) {
			t.Errorf("%s: %+v", release, p)
		}
	}
}

func TestPlanInJSON(t *testing.T) {
	b, err := json.Marshal(Decide(plain(t, "v1.13.9"), ask(disksDir)))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"node":"w-1","action":"patch","reason":"no-entry","message":"\"/var/lib/disks\" has no extraMount, and whether the kubelet sees it is unknown: not checked",` +
		`"directories":[{"path":"/var/lib/disks","action":"patch","reason":"no-entry","visible":"unknown","message":"has no extraMount, and whether the kubelet sees it is unknown: not checked"}],` +
		`"add":[{"destination":"/var/lib/disks","type":"bind","source":"/var/lib/disks","options":["rbind","rslave","rw"]}],"restarts":true}`
	if string(b) != want {
		t.Errorf("got  %s\nwant %s", b, want)
	}
}
