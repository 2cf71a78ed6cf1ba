// SPDX-License-Identifier: Apache-2.0

package standin

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"sync/atomic"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/client-go/tools/record"
)

// Cluster is the part of the Kubernetes API that the provisioner uses.
type Cluster interface {
	PVs(ctx context.Context) ([]corev1.PersistentVolume, error)
	StorageClass(ctx context.Context, name string) (*storagev1.StorageClass, error)
	CreatePV(ctx context.Context, pv *corev1.PersistentVolume) (*corev1.PersistentVolume, error)
	DeletePV(ctx context.Context, name string) error
	Job(ctx context.Context, namespace, name string) (*batchv1.Job, error)
	CreateJob(ctx context.Context, job *batchv1.Job) error
	DeleteJob(ctx context.Context, namespace, name string) error
}

// Log takes the lines of the pod's log.
type Log interface {
	Debugf(format string, args ...any)
	Infof(format string, args ...any)
	Errorf(format string, args ...any)
}

// Provisioner publishes the entries of the class directories of one node.
type Provisioner struct {
	// Node is as it was when the program was started (cmd/local-volume-provisioner/main.go). Of a
	// node that was deleted and made again the old UID goes into every volume, until the
	// pod is replaced.
	Node *corev1.Node
	// Namespace and JobImage are those of the Jobs that clean.
	Namespace, JobImage string

	Host    Host
	Cluster Cluster
	Events  record.EventRecorder
	Log     Log

	volumes   volumes
	processes procTable
	ready     atomic.Bool
}

// Run passes over the class directories until the context ends. The config is
// read again whenever configPeriod has passed; one that cannot be read ends
// the run, as it ends the real provisioner.
func (p *Provisioner) Run(ctx context.Context, configDir string, config Config, period, configPeriod time.Duration) error {
	defer p.processes.group.Wait()
	passes, reloads := time.NewTicker(period), time.NewTicker(configPeriod)
	defer passes.Stop()
	defer reloads.Stop()
	p.pass(ctx, config)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-reloads.C:
			loaded, err := LoadConfig(configDir)
			if err != nil {
				return fmt.Errorf("Error parsing Provisioner's configuration: %w. Exiting...", err)
			}
			if !reflect.DeepEqual(loaded, config) {
				p.Log.Infof("Loaded and detected updated configuration: %+v", loaded)
				config = loaded
			}
		case <-passes.C:
			p.pass(ctx, config)
		}
	}
}

// pass looks once at everything. Both halves see the volumes as they were at
// its start, so a volume deleted in one pass is published in the next. So is one that
// somebody else deleted, no matter who has a claim to it: under the same name, with
// none of the annotations that were not the provisioner's.
func (p *Provisioner) pass(ctx context.Context, config Config) {
	all, err := p.Cluster.PVs(ctx)
	if err != nil {
		p.Log.Errorf("cannot list PersistentVolumes: %v", err)
		p.ready.Store(false)
		return
	}
	p.update(config, all)
	p.reclaim(ctx, config)
	p.ready.Store(p.discover(ctx, config))
}

// ServeHTTP answers /ready: 200 after a pass in which every entry was well.
func (p *Provisioner) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path != "/ready":
		http.NotFound(w, r)
	case p.ready.Load():
		fmt.Fprint(w, "ok")
	default:
		http.Error(w, "[-]DiscovererReadyzCheck failed: reason withheld\nready check failed", http.StatusInternalServerError)
	}
}
