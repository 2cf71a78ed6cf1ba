// SPDX-License-Identifier: Apache-2.0

package standin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
)

// discover makes volumes of the new entries of every class. It reports whether
// all of them were well, which is what /ready says.
//
// Of two classes with one directory the first to make a volume of a path has it, and the other
// logs an error in every pass, which leaves /ready as it is (pkg/discovery/discovery.go). The real one
// takes the classes in Go's order of a map, another one in each pass.
func (p *Provisioner) discover(ctx context.Context, config Config) bool {
	ready := true
	for _, name := range slices.Sorted(maps.Keys(config.Classes)) {
		if err := p.discoverClass(ctx, config, name); err != nil {
			p.Log.Errorf("Failed to discover local volumes: %v", err)
			ready = false
		}
	}
	return ready
}

// discoverClass fails as a whole when the class or its directory cannot be
// read; one bad entry does not keep the others from being published.
func (p *Provisioner) discoverClass(ctx context.Context, config Config, name string) error {
	class := config.Classes[name]
	storageClass, err := p.Cluster.StorageClass(ctx, name)
	if err != nil {
		return fmt.Errorf("failed to get ReclaimPolicy from storage class %q: %w", name, err)
	}
	reclaim, err := reclaimPolicy(storageClass)
	if err != nil {
		return err
	}
	entries, err := p.Host.Entries(class.MountDir)
	if err != nil {
		return fmt.Errorf("error reading directory: %w", err)
	}
	mounts, err := p.Host.MountPoints()
	if err != nil {
		return fmt.Errorf("error retrieving mountpoints: %w", err)
	}
	var failed []error
	for _, entry := range entries {
		matched, err := class.matches(entry)
		if err != nil {
			return err
		}
		if !matched {
			p.Log.Debugf("file(%s) under(%s) does not match pattern(%s)", entry, class.MountDir, class.NamePattern)
			continue
		}
		bytes, err := p.inspect(ctx, config, name, entry, mounts)
		if errors.Is(err, errSkip) {
			continue
		}
		if err != nil {
			failed = append(failed, err)
			continue
		}
		pv := p.volume(config, found{
			class: name, config: class, entry: entry, bytes: bytes,
			reclaim: reclaim, mountOptions: storageClass.MountOptions,
		})
		p.Log.Infof("Found new volume at host path %q with capacity %d, creating Local PV %q, required volumeMode %q",
			pv.Spec.Local.Path, bytes, pv.Name, class.VolumeMode)
		made, err := p.Cluster.CreatePV(ctx, pv)
		if err != nil {
			failed = append(failed, fmt.Errorf("error creating PV %q for volume at %q: %w", pv.Name, pv.Spec.Local.Path, err))
			continue
		}
		p.Log.Infof("Created PV %q for volume at %q", pv.Name, pv.Spec.Local.Path)
		p.add(made)
	}
	if len(failed) > 0 {
		return fmt.Errorf("%d error(s) while discovering volumes: %v", len(failed), failed)
	}
	return nil
}

// errSkip is returned by inspect for an entry that needs nothing.
var errSkip = errors.New("nothing to publish")

// inspect decides whether an entry becomes a volume and returns its size.
func (p *Provisioner) inspect(ctx context.Context, config Config, className, entry string, mounts map[string]bool) (int64, error) {
	class := config.Classes[className]
	path := filepath.Join(class.MountDir, entry)
	mode, err := p.Host.Mode(path)
	if err != nil {
		return 0, err
	}
	pvName := PVName(entry, p.Node.Name, className)
	if pv, ok := p.volumes[pvName]; ok {
		wanted := pv.Spec.VolumeMode
		if wanted != nil && *wanted == corev1.PersistentVolumeBlock && mode == corev1.PersistentVolumeFilesystem {
			err := fmt.Errorf("incorrect Volume Mode: PV %q requires block mode but path %q was in fs mode", pvName, path)
			p.Events.Event(pv, corev1.EventTypeWarning, eventFailedDelete, err.Error())
			return 0, err
		}
		return 0, errSkip
	}
	hostPath := filepath.Join(class.HostDir, entry)
	if others := p.volumes.at(hostPath); len(others) > 0 {
		p.Log.Errorf("Volume path already in use: PV %q wants path %q which was already found in %q.",
			pvName, hostPath, strings.Join(others, ","))
		return 0, errSkip
	}
	byJob := config.byJob(mode)
	if p.cleaning(ctx, pvName, byJob) {
		p.Log.Infof("PV %s is still being cleaned, not going to recreate it", pvName)
		return 0, errSkip
	}
	if _, err := p.takeCleaning(ctx, pvName, byJob); err != nil {
		p.Log.Errorf("expected status exists and fail to remove cleanup status for pv %s", pvName)
		return 0, errSkip
	}

	if mode == corev1.PersistentVolumeBlock {
		// A Filesystem class takes a device too: the kubelet formats it.
		bytes, err := p.Host.DeviceBytes(path)
		if err != nil {
			return 0, fmt.Errorf("path %q block stats error: %w", path, err)
		}
		return bytes, nil
	}
	if class.VolumeMode == corev1.PersistentVolumeBlock {
		return 0, fmt.Errorf("path %q of filesystem mode cannot be used to create block volume", path)
	}
	if !mounts[path] {
		return 0, fmt.Errorf("path %q is not a valid mount point: mountPath=%q wasn't found in the /proc/mounts file", path, path)
	}
	bytes, err := p.Host.FilesystemBytes(path)
	if err != nil {
		return 0, fmt.Errorf("path %q fs stats error: %w", path, err)
	}
	return bytes, nil
}

func reclaimPolicy(class *storagev1.StorageClass) (corev1.PersistentVolumeReclaimPolicy, error) {
	policy := corev1.PersistentVolumeReclaimDelete
	if class.ReclaimPolicy != nil {
		policy = *class.ReclaimPolicy
	}
	switch policy {
	case corev1.PersistentVolumeReclaimDelete, corev1.PersistentVolumeReclaimRetain:
		return policy, nil
	default:
		return "", fmt.Errorf("unsupported ReclaimPolicy %q from storage class %q, supported policy are Retain and Delete", policy, class.Name)
	}
}
