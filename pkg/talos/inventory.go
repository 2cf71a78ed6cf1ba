// SPDX-License-Identifier: Apache-2.0

package talos

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/api/resource/definitions/block"
	"github.com/siderolabs/talos/pkg/machinery/api/resource/definitions/enums"
	"github.com/siderolabs/talos/pkg/machinery/api/resource/definitions/runtime"
	"github.com/siderolabs/talos/pkg/machinery/api/storage"
	"golang.org/x/sync/errgroup"

	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talosrelease"
)

// blockKind is a type of the resources that tell of block devices. os:reader may read them all.
func blockKind(name string) kind { return kind{namespace: namespaceRuntime, name: name, role: reader} }

// Inventory is what a node tells of its block devices. Each part says for itself why it could not be read; an error
// means that nothing could, or that it is not proved that the node answers at the address.
func (c *Client) Inventory(ctx context.Context, machine snapshot.Machine) (snapshot.Talos, error) {
	n := c.Node(machine)
	if err := n.Verify(ctx); err != nil {
		return snapshot.Talos{}, err
	}
	var t snapshot.Talos
	var disks, system error
	var g errgroup.Group // No call returns an error: a part that fails does not stop the others.
	part := func(read func()) { g.Go(func() error { read(); return nil }) }
	part(func() { t.Disks, disks = n.disks(ctx) })
	part(func() { t.System, system = n.systemDisk(ctx) })
	part(func() { t.Devices = n.discovered(ctx) })
	part(func() { t.Volumes = n.volumes(ctx) })
	part(func() { t.Mounts = n.blockMounts(ctx) })
	part(func() { t.Links = n.links(ctx) })
	part(func() { t.Diagnostics = n.diagnostics(ctx) })
	part(func() { t.Kubelet = n.kubeletInService(ctx) })
	_ = g.Wait()
	if errors.Is(disks, ErrUnsupported) && errors.Is(system, ErrUnsupported) {
		t.Legacy = true
		t.Disks, t.System = n.legacyDisks(ctx)
	}
	t.Refuse()
	// udev's names come to the Disk resource a moment later than to their own.
	if t.Disks.Value != nil && t.Links.Value != nil {
		for i := range *t.Disks.Value {
			if d := &(*t.Disks.Value)[i]; len(d.Symlinks) == 0 {
				d.Symlinks = (*t.Links.Value)[d.Name]
			}
		}
	}
	return t, nil
}

// section is a value, or why there is none.
func section[T any](v T, err error) snapshot.Section[T] {
	if err != nil {
		return snapshot.Unread[T](problem.From(err))
	}
	return snapshot.Read(v)
}

func (n *Node) disks(ctx context.Context) (snapshot.Section[[]snapshot.TalosDisk], error) {
	disks := []snapshot.TalosDisk{}
	err := list(ctx, n, blockKind(talosrelease.Disks), func(id string, s *block.DiskSpec) {
		disks = append(disks, snapshot.TalosDisk{
			Name: id, Size: s.GetSize(), ReadOnly: s.GetReadonly(), CDROM: s.GetCdrom(), Rotational: s.GetRotational(), Transport: s.GetTransport(),
			Model: s.GetModel(), Serial: strings.TrimSpace(s.GetSerial()), WWID: words(s.GetWwid()),
			Symlinks: s.GetSymlinks(), Secondaries: s.GetSecondaryDisks(),
		})
	})
	return section(disks, err), err
}

func (n *Node) systemDisk(ctx context.Context) (snapshot.Section[string], error) {
	var s block.SystemDiskSpec
	_, err := n.get(ctx, blockKind(talosrelease.SystemDisks), "system-disk", &s)
	if errors.Is(err, ErrNotFound) || err == nil && s.GetDiskId() == "" {
		return snapshot.Unread[string](problem.Text(noSystemDisk)), err
	}
	return section(s.GetDiskId(), err), err
}

// noSystemDisk is what is said where Talos answers, and names none.
const noSystemDisk = "Talos names no system disk"

func (n *Node) discovered(ctx context.Context) snapshot.Section[[]snapshot.TalosDevice] {
	devices := []snapshot.TalosDevice{}
	err := list(ctx, n, blockKind(talosrelease.DiscoveredVolumes), func(id string, s *block.DiscoveredVolumeSpec) {
		devices = append(devices, snapshot.TalosDevice{
			Name: id, Parent: s.GetParent(), Content: s.GetName(), Label: s.GetLabel(), PartitionLabel: s.GetPartitionLabel(), Size: s.GetSize(),
		})
	})
	return section(devices, err)
}

func (n *Node) volumes(ctx context.Context) snapshot.Section[[]snapshot.TalosVolume] {
	volumes := []snapshot.TalosVolume{}
	err := list(ctx, n, blockKind(talosrelease.VolumeStatuses), func(id string, s *block.VolumeStatusSpec) {
		v := snapshot.TalosVolume{
			ID: id, Type: lower("VOLUME_TYPE_", s.GetType()), Phase: lower("VOLUME_PHASE_", s.GetPhase()),
			Location: s.GetLocation(), MountLocation: s.GetMountLocation(), ParentLocation: s.GetParentLocation(),
			Size: s.GetSize(), Problem: s.GetErrorMessage(),
		}
		if fs := s.GetFilesystem(); fs != enums.BlockFilesystemType_FILESYSTEM_TYPE_NONE {
			v.Filesystem = lower("FILESYSTEM_TYPE_", fs)
		}
		volumes = append(volumes, v)
	})
	return section(volumes, err)
}

func (n *Node) blockMounts(ctx context.Context) snapshot.Section[[]snapshot.TalosMount] {
	mounts := []snapshot.TalosMount{}
	err := list(ctx, n, blockKind(talosrelease.MountStatuses), func(_ string, s *block.MountStatusSpec) {
		if s.GetSource() != "" { // Directories and overlays have none.
			mounts = append(mounts, snapshot.TalosMount{
				Source: s.GetSource(), Target: s.GetTarget(), Volume: s.GetSpec().GetVolumeId(), ReadOnly: s.GetReadOnly(),
			})
		}
	})
	if errors.Is(err, ErrUnsupported) {
		return n.legacyMounts(ctx)
	}
	return section(mounts, err)
}

func (n *Node) links(ctx context.Context) snapshot.Section[map[string][]string] {
	links := make(map[string][]string)
	err := list(ctx, n, blockKind(talosrelease.BlockSymlinks), func(id string, s *block.SymlinkSpec) { links[id] = s.GetPaths() })
	return section(links, err)
}

// diagnostics are Talos's own warnings (Talos v1.13, pkg/machinery/resources/runtime). A
// release that does not know them has none.
func (n *Node) diagnostics(ctx context.Context) snapshot.Section[[]snapshot.TalosDiagnostic] {
	found := []snapshot.TalosDiagnostic{}
	err := list(ctx, n, blockKind("Diagnostics.runtime.talos.dev"), func(id string, s *runtime.DiagnosticSpec) {
		found = append(found, snapshot.TalosDiagnostic{ID: id, Message: s.GetMessage(), Details: s.GetDetails()})
	})
	if errors.Is(err, ErrUnsupported) {
		err = nil
	}
	return section(found, err)
}

// legacyDisks asks StorageService.Disks, which every release has. Before v1.8 it tells neither WWIDs nor udev's names.
func (n *Node) legacyDisks(ctx context.Context) (snapshot.Section[[]snapshot.TalosDisk], snapshot.Section[string]) {
	answer, err := n.client.talos.Disks(n.to(ctx))
	if err != nil {
		err = n.call("the disks", reader).explain(ctx, err)
		return section[[]snapshot.TalosDisk](nil, err), section("", err)
	}
	disks, system := []snapshot.TalosDisk{}, snapshot.Unread[string](problem.Text(noSystemDisk))
	for _, m := range answer.GetMessages() {
		for _, d := range m.GetDisks() {
			name := path.Base(d.GetDeviceName())
			disks = append(disks, snapshot.TalosDisk{
				Name: name, Size: d.GetSize(), ReadOnly: d.GetReadonly(), CDROM: d.GetType() == storage.Disk_CD,
				Rotational: d.GetType() == storage.Disk_HDD,
				Model:      d.GetModel(), Serial: strings.TrimSpace(d.GetSerial()), WWID: words(d.GetWwid()),
			})
			if d.GetSystemDisk() {
				system = snapshot.Read(name)
			}
		}
	}
	slices.SortFunc(disks, func(a, b snapshot.TalosDisk) int { return strings.Compare(a.Name, b.Name) })
	return snapshot.Read(disks), system
}

// legacyMounts asks for the node's /proc/mounts, which are the machine's own and not only Talos's.
func (n *Node) legacyMounts(ctx context.Context) snapshot.Section[[]snapshot.TalosMount] {
	answer, err := n.client.talos.Mounts(n.to(ctx))
	if err != nil {
		return section[[]snapshot.TalosMount](nil, n.call("the mounts", reader).explain(ctx, err))
	}
	mounts := []snapshot.TalosMount{}
	for _, m := range answer.GetMessages() {
		for _, s := range m.GetStats() {
			if strings.HasPrefix(s.GetFilesystem(), "/dev/") {
				mounts = append(mounts, snapshot.TalosMount{Source: s.GetFilesystem(), Target: s.GetMountedOn()})
			}
		}
	}
	return snapshot.Read(mounts)
}

// lower is an enumeration's value as Talos's own YAML has it.
func lower(prefix string, value fmt.Stringer) string {
	return strings.ToLower(strings.TrimPrefix(value.String(), prefix))
}

// words puts one space between the words of an identifier that sysfs pads.
func words(s string) string { return strings.Join(strings.Fields(s), " ") }
