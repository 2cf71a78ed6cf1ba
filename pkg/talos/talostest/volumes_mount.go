// SPDX-License-Identifier: Apache-2.0

package talostest

import (
	"context"
	"fmt"
	"slices"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/siderolabs/talos/pkg/machinery/resources/block"

	"github.com/talosdisk/kubectl-talosdisk/pkg/talosrelease"
)

// mountAll mounts what is ready, and reports whether something would not be.
func (v *volumes) mountAll(ctx context.Context, want []volume) (again bool) {
	for _, w := range want {
		s := v.statuses[w.id]
		if s == nil || s.mounted || s.Phase != block.VolumePhaseReady || s.target() == "" {
			continue
		}
		err := v.hooked(ctx, w.id, VolumeMounting)
		if err == nil {
			err = v.storage.Mount(ctx, VolumeMount{
				Device: s.MountLocation, Target: s.target(), Filesystem: filesystemName(s.Filesystem), Options: v.node.mountOptions(s.volume),
			})
		}
		s.mounted = err == nil
		again = again || err != nil
	}
	return again
}

// filesystemName is "" for a directory.
func filesystemName(t block.FilesystemType) string {
	if t == block.FilesystemTypeNone {
		return ""
	}
	return t.String()
}

// mountOptions are a volume's (block/mount.go).
func (n *Node) mountOptions(v volume) []string {
	var options []string
	if v.readOnly {
		options = append(options, "ro")
	}
	if v.secure && v.label != block.UserDiskLabel && n.options.Profile.has(talosrelease.VolumeMountOptions) {
		options = append(options, "nosuid", "nodev")
		if n.options.Profile.has(talosrelease.VolumeCare) {
			options = append(options, "noexec")
		}
	}
	if v.noAtime {
		options = append(options, "noatime")
	}
	if v.Mount.ProjectQuotaSupport {
		options = append(options, "prjquota")
	}
	return options
}

// tearDown ends volumes that are no longer wanted, and reports whether something is in the way. Their partitions, their data
// and their directories stay.
func (v *volumes) tearDown(ctx context.Context, want []volume) (again bool) {
	for id, s := range v.statuses {
		if slices.ContainsFunc(want, func(w volume) bool { return w.id == id }) {
			continue
		}
		if s.mounted {
			if err := v.storage.Unmount(ctx, s.target()); err != nil {
				again = true
				continue
			}
			s.mounted = false
		}
		delete(v.statuses, id)
	}
	return again
}

// forgetAll is what a boot does. What cannot be unmounted stays as it is.
func (v *volumes) forgetAll(ctx context.Context) {
	for id, s := range v.statuses {
		if s.mounted && v.storage.Unmount(ctx, s.target()) != nil {
			continue
		}
		delete(v.statuses, id)
	}
}

// show makes disks and volumes resources.
func (v *volumes) show(ctx context.Context) error {
	all := diskResources(v.disks, v.node.options.Profile)
	for _, s := range v.statuses {
		status := block.NewVolumeStatus(block.NamespaceName, s.id)
		status.Metadata().Labels().Set(s.label, "")
		*status.TypedSpec() = s.VolumeStatusSpec
		all = append(all, status)
		if s.mounted {
			all = append(all, v.mountStatus(s))
		}
	}
	return v.shown.publish(ctx, all)
}

func (v *volumes) mountStatus(s *volumeStatus) resource.Resource {
	r := block.NewMountStatus(block.NamespaceName, s.id)
	spec := r.TypedSpec()
	spec.Spec.VolumeID, spec.Spec.ParentMountID = s.id, s.Mount.ParentID
	spec.Spec.ReadOnly, spec.Spec.DisableAccessTime = s.readOnly, s.noAtime
	spec.Spec.Secure = s.secure && v.node.options.Profile.has(talosrelease.VolumeMountOptions)
	spec.Spec.Requesters, spec.Spec.RequesterIDs = []string{"block.VolumeConfigController"}, []string{s.id}
	spec.Source, spec.Target, spec.Filesystem, spec.ReadOnly = s.MountLocation, s.target(), s.Filesystem, s.readOnly
	spec.ProjectQuotaSupport = s.Mount.ProjectQuotaSupport
	return r
}

// systemDisk is the device of the one that Talos is on, or "".
func (n *Node) systemDisk(ctx context.Context) string {
	r, err := safe.StateGetByID[*block.SystemDisk](ctx, n.state, block.SystemDiskID)
	if err != nil {
		return ""
	}
	return r.TypedSpec().DevPath
}

// volumesAreResources reports whether the release keeps machine.disks as volumes.
func (n *Node) volumesAreResources() bool {
	has, _ := n.options.Profile.release().Resource(talosrelease.VolumeStatuses)
	return has
}

// prepareUserDisks is what a boot of v1.6 and v1.7 does with machine.disks (v1alpha1_sequencer_tasks.go,
// partitionAndFormatDisks): a disk without partitions is partitioned, whatever else is on it; one that has some is left.
func (v *volumes) prepareUserDisks(ctx context.Context, want []volume) error {
	scene, err := newScene(v.disks, "", v.node.options.Profile)
	if err != nil {
		return err
	}
	for _, w := range want {
		matched, err := scene.candidates(w)
		if err != nil {
			return err
		}
		for _, device := range matched {
			_, disk, _ := contentOf(v.disks, device)
			if len(disk.Partitions) > 0 || disk.Type == "" {
				continue
			}
			if err := v.storage.Wipe(ctx, device, false); err != nil {
				return fmt.Errorf("partition %s: %w", device, err)
			}
			if err := v.look(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}
