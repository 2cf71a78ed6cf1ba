// SPDX-License-Identifier: Apache-2.0

package talostest_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/siderolabs/talos/pkg/machinery/resources/block"
	"github.com/siderolabs/talos/pkg/machinery/resources/cluster"
	"github.com/siderolabs/talos/pkg/machinery/resources/config"
	"github.com/siderolabs/talos/pkg/machinery/resources/hardware"
	"github.com/siderolabs/talos/pkg/machinery/resources/k8s"
	"github.com/siderolabs/talos/pkg/machinery/resources/runtime"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talos/talostest"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talosrelease"
)

// kubeletMounts reads them as the plugin does.
func kubeletMounts(t *testing.T, n *talostest.Node) map[string]mounts.Mount {
	t.Helper()
	text, err := read(t, dial(t, n), "/proc/"+itoa(n.Kubelet().PID)+"/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	table, err := mounts.ParseMountinfo([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]mounts.Mount{}
	for _, m := range table {
		seen[m.Point] = m
	}
	return seen
}

func TestKubeletMountsAreAsRecorded(t *testing.T) {
	t.Parallel()
	seen := kubeletMounts(t, node(t, talostest.Options{Profile: "v1.14.0-rc.1"}))
	for _, fact := range recorded[struct{ Point, Root, Access, Propagation string }](t, "mounts.yaml") {
		m, ok := seen[fact.Point]
		if !ok {
			t.Errorf("%s is not mounted", fact.Point)
			continue
		}
		propagation := "private"
		switch {
		case m.Shared > 0:
			propagation = "shared"
		case m.Master > 0:
			propagation = "master"
		}
		if m.Root != fact.Root || !slices.Contains(m.Options, fact.Access) || propagation != fact.Propagation {
			t.Errorf("%s is %s of %s, %s; recorded %+v", fact.Point, m.Options, m.Root, propagation, fact)
		}
	}
	if _, ok := seen["/usr/libexec/kubernetes"]; ok {
		t.Error("/usr/libexec/kubernetes is mounted, which v1.14 removed")
	}
}

func TestUserVolumesPropagateByRelease(t *testing.T) {
	t.Parallel()
	for profile, want := range map[talostest.Profile]string{
		talostest.V19: "absent", "v1.10.0": "shared", talostest.V111: "shared", "v1.13.2": "shared", "v1.13.3": "slave", talostest.V114: "slave",
	} {
		m, ok := kubeletMounts(t, node(t, talostest.Options{Profile: profile, Bare: true}))["/var/mnt"]
		got := "absent"
		switch {
		case ok && m.Shared > 0:
			got = "shared"
		case ok && m.Master > 0:
			got = "slave"
		}
		if got != want {
			t.Errorf("%s mounts /var/mnt %s, want %s", profile, got, want)
		}
	}
}

func TestServicesAreAsRecorded(t *testing.T) {
	t.Parallel()
	n := node(t, talostest.Options{Profile: talostest.V114})
	answer, err := dial(t, n).ServiceList(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, s := range answer.GetMessages()[0].GetServices() {
		lines = append(lines, fmt.Sprint(s.GetId(), " ", s.GetState(), " ", s.GetHealth().GetHealthy(), " ", last(s)))
	}
	var want []string
	for _, id := range []string{"apid", "auditd", "containerd", "cri", "etcd", "kubelet", "machined", "syslogd", "trustd", "udevd"} {
		want = append(want, id+" Running true Health check successful")
	}
	if !slices.Equal(lines, want) {
		t.Errorf("services are\n%s", strings.Join(lines, "\n"))
	}
}

// TestWorkloadIsolationCountsTwice is why a service's events are no place to look
// for the kubelet's PID.
func TestWorkloadIsolationCountsTwice(t *testing.T) {
	t.Parallel()
	for native, same := range map[bool]bool{false: true, true: false} {
		n := node(t, talostest.Options{Profile: talostest.V114, Native: native, Name: "w-1"})
		answer, err := dial(t, n).Processes(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, p := range answer.GetMessages()[0].GetProcesses() {
			if p.GetCommand() != "kubelet" || p.GetExecutable() != "/usr/local/bin/kubelet" ||
				!strings.HasPrefix(p.GetArgs(),
					"/usr/local/bin/kubelet --bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubeconfig --cert-dir=/var/lib/kubelet/pki --config=/etc/kubernetes/kubelet.yaml --hostname-override=w-1 ") {
				continue
			}
			found = true
			said := false
			for _, e := range service(t, n).GetEvents().GetEvents() {
				said = said || e.GetMsg() == fmt.Sprintf("Started task kubelet (PID %d) for container kubelet", p.GetPid())
			}
			if said != same {
				t.Errorf("native %t: the events name the PID: %t", native, said)
			}
		}
		if !found {
			t.Errorf("native %t: no kubelet among the processes", native)
		}
	}
}

func TestDisksOfEveryRelease(t *testing.T) {
	t.Parallel()
	for _, profile := range []talostest.Profile{talostest.V16, talostest.V114} {
		n := node(t, talostest.Options{Profile: profile})
		answer, err := dial(t, n).StorageClient.Disks(t.Context(), &emptypb.Empty{})
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		for _, d := range answer.GetMessages()[0].GetDisks() {
			lines = append(lines, fmt.Sprint(d.GetDeviceName(), " ", d.GetSize(), " ", d.GetSerial(), " ", d.GetSystemDisk(), " ", d.GetReadonly()))
		}
		want := []string{
			"/dev/loop0 193986560  false true",
			"/dev/vda 21474836480 talos-disk-a true false",
			"/dev/vdb 10737418240 talos-disk-b false false",
			"/dev/vdc 10737418240 talos-disk-c false false",
			"/dev/vdd 5368709120 talos-disk-d false false",
			"/dev/vde 5368709120 talos-disk-e false false",
			"/dev/vdf 2147483648 talos-disk-f false false",
			"/dev/vdg 1073741824 talos-disk-g false false",
		}
		if !slices.Equal(lines, want) {
			t.Errorf("%s has\n%s", profile, strings.Join(lines, "\n"))
		}
	}
}

// TestLinksOfDisksByRelease is since when udev's names can be read (block/symlinks.go, and DiskSpec.Symlinks, v1.10).
func TestLinksOfDisksByRelease(t *testing.T) {
	t.Parallel()
	for profile, want := range map[talostest.Profile]int{talostest.V19: 0, "v1.10.0": 4, talostest.V114: 4} {
		n := node(t, talostest.Options{Profile: profile})
		d, err := safe.StateGetByID[*block.Disk](t.Context(), n.State(), "vdb")
		if err != nil {
			t.Fatal(err)
		}
		if got := d.TypedSpec().Symlinks; len(got) != want {
			t.Errorf("%s: %q", profile, got)
		}
	}
}

func TestResourcesHaveTheirNames(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		talosrelease.Disks: block.DiskType, talosrelease.SystemDisks: block.SystemDiskType,
		talosrelease.DiscoveredVolumes: block.DiscoveredVolumeType,
		talosrelease.VolumeStatuses:    block.VolumeStatusType, talosrelease.VolumeConfigs: block.VolumeConfigType,
		talosrelease.MountStatuses: block.MountStatusType,
		talosrelease.BlockSymlinks: block.SymlinkType, talosrelease.MachineConfigs: config.MachineConfigType,
		talosrelease.KubeletSpecs: k8s.KubeletSpecType,
		talosrelease.Nodenames:    k8s.NodenameType, talosrelease.Identities: cluster.IdentityType,
		talosrelease.SystemInformations: hardware.SystemInformationType,
		talosrelease.Diagnostics:        runtime.DiagnosticType,
	} {
		if name != want {
			t.Errorf("%s is called %s in Talos", name, want)
		}
	}
}
