// SPDX-License-Identifier: Apache-2.0

package standin

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

const (
	eventFailedDelete = "VolumeFailedDelete"
	eventDelete       = "VolumeDelete"

	// deviceVariable is the variable in which a block cleaner finds its device.
	deviceVariable = "LOCAL_PV_BLKDEVICE"
)

// reclaim starts the cleaning of released volumes and deletes those whose
// cleaning has succeeded. The entry is published again by a later pass.
//
// VolumeFailedDelete is about what keeps a cleaning from being started, and about a volume that
// cannot be deleted. A cleaning that fails is not told of by it: it is started again in
// the next pass, and each start of a block cleaner is an event VolumeDelete
// (pkg/deleter/deleter.go).
func (p *Provisioner) reclaim(ctx context.Context, config Config) {
	for _, pv := range p.volumes.sorted() {
		if pv.Status.Phase != corev1.VolumeReleased || pv.DeletionTimestamp != nil {
			continue
		}
		switch pv.Spec.PersistentVolumeReclaimPolicy {
		case corev1.PersistentVolumeReclaimRetain:
		case corev1.PersistentVolumeReclaimRecycle:
			p.Events.Event(pv, corev1.EventTypeWarning, "VolumeUnsupportedReclaimPolicy",
				"Volume has unsupported PersistentVolumeReclaimPolicy: Recycle")
		case corev1.PersistentVolumeReclaimDelete:
			if err := p.reclaimVolume(ctx, config, pv); err != nil {
				p.Events.Eventf(pv, corev1.EventTypeWarning, eventFailedDelete, "Error cleaning PV %q: %v", pv.Name, err)
				p.Log.Errorf("%v", err)
			}
		default:
			p.Events.Event(pv, corev1.EventTypeWarning, "VolumeUnknownReclaimPolicy",
				"Volume has unrecognized PersistentVolumeReclaimPolicy")
		}
	}
}

func (p *Provisioner) reclaimVolume(ctx context.Context, config Config, pv *corev1.PersistentVolume) error {
	if pv.Spec.Local == nil {
		return errors.New("Unsupported volume type")
	}
	class, ok := config.Classes[pv.Spec.StorageClassName]
	if !ok {
		return fmt.Errorf("Unknown storage class name %s", pv.Spec.StorageClassName)
	}
	path, err := class.containerPath(pv)
	if err != nil {
		return err
	}
	mode, err := p.Host.Mode(path)
	if err != nil {
		return fmt.Errorf("failed to get volume mode of path %q: %w", path, err)
	}
	byJob := config.byJob(mode)
	if p.cleaning(ctx, pv.Name, byJob) {
		return nil
	}
	state, err := p.takeCleaning(ctx, pv.Name, byJob)
	if err != nil {
		return err
	}
	switch state {
	case cleaningSucceeded:
		p.Log.Infof("Deleting pv %s after successful cleanup", pv.Name)
		if err := p.Cluster.DeletePV(ctx, pv.Name); err != nil && !apierrors.IsNotFound(err) {
			p.Events.Event(pv, corev1.EventTypeWarning, eventFailedDelete, err.Error())
			return fmt.Errorf("Error deleting PV %q: %w", pv.Name, err)
		}
		return nil
	case cleaningFailed:
		p.Log.Infof("Cleanup for pv %s failed. Restarting cleanup", pv.Name)
	default:
		p.Log.Infof("Start cleanup for pv %s", pv.Name)
	}
	if byJob {
		return p.runJob(ctx, config, pv, class, path)
	}
	p.processes.start(pv.Name, func() error {
		err := p.clean(ctx, pv, class, mode, path)
		if err != nil {
			p.Log.Errorf("%v", err)
		}
		return err
	})
	return nil
}

// byJob reports whether volumes of a mode are cleaned by Jobs. A filesystem never is.
func (c Config) byJob(mode corev1.PersistentVolumeMode) bool {
	return c.UseJobForCleaning && mode == corev1.PersistentVolumeBlock
}

// cleaning reports whether a cleaning of a volume goes on.
func (p *Provisioner) cleaning(ctx context.Context, pvName string, byJob bool) bool {
	if byJob {
		return p.jobRunning(ctx, pvName)
	}
	return p.processes.running(pvName)
}

// takeCleaning returns the outcome of a cleaning that has ended and forgets it.
func (p *Provisioner) takeCleaning(ctx context.Context, pvName string, byJob bool) (cleaningState, error) {
	if byJob {
		return p.takeJob(ctx, pvName)
	}
	return p.processes.take(pvName), nil
}

func (p *Provisioner) clean(ctx context.Context, pv *corev1.PersistentVolume, class Class, mode corev1.PersistentVolumeMode,
	path string) error {
	if !strings.HasPrefix(path, class.MountDir) {
		return fmt.Errorf("Unexpected error pv %q mountPath %s but mount dir is %s", pv.Name, path, class.MountDir)
	}
	if mode == corev1.PersistentVolumeFilesystem {
		p.Log.Infof("Deleting PV file volume %q contents at hostpath %q, mountpath %q", pv.Name, pv.Spec.Local.Path, path)
		return removeContents(path)
	}
	p.Events.Eventf(pv, corev1.EventTypeNormal, eventDelete, "Starting cleanup of Block PV %q, this may take a while", pv.Name)
	p.Log.Infof("Deleting PV block volume %q device hostpath %q, mountpath %q", pv.Name, pv.Spec.Local.Path, path)
	if err := p.runCleaner(ctx, pv.Name, class.BlockCleanerCommand, path); err != nil {
		p.Log.Errorf("%v", err) // The caller logs it too, as the real one does.
		return err
	}
	p.Log.Infof("Completed cleanup of pv %q", pv.Name)
	return nil
}

// runCleaner runs the block cleaner of a class, which finds the device in its
// environment and nowhere else, and logs what it prints.
func (p *Provisioner) runCleaner(ctx context.Context, pvName string, command []string, device string) error {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = append(os.Environ(), deviceVariable+"="+device)
	var readers sync.WaitGroup
	var pipes []*io.PipeWriter
	tee := func(stream string) io.Writer {
		reader, writer := io.Pipe()
		pipes = append(pipes, writer)
		readers.Go(func() {
			lines := bufio.NewScanner(reader)
			for lines.Scan() {
				p.Log.Infof("Cleanup pv %q: %s - %q", pvName, stream, lines.Text())
			}
			// A line too long ends the scan; the command must not block on it.
			_, _ = io.Copy(io.Discard, reader)
		})
		return writer
	}
	cmd.Stdout, cmd.Stderr = tee("StdoutBuf"), tee("StderrBuf")
	err := cmd.Run()
	for _, pipe := range pipes {
		pipe.Close()
	}
	readers.Wait()
	return err
}

func removeContents(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var failed []error
	for _, entry := range entries {
		failed = append(failed, os.RemoveAll(filepath.Join(dir, entry.Name())))
	}
	return errors.Join(failed...)
}
