// SPDX-License-Identifier: Apache-2.0

package standin

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/client-go/tools/record"
)

// Cluster is the part of the Kubernetes API that the provisioner uses.
type Cluster interface {
	PVs(ctx context.Context) ([]corev1.PersistentVolume, error)
	StorageClass(ctx context.Context, name string) (*storagev1.StorageClass, error)
	CreatePV(ctx context.Context, pv *corev1.PersistentVolume) error
	DeletePV(ctx context.Context, name string) error
}

// Log takes the lines of the pod's log.
type Log interface {
	Debugf(format string, args ...any)
	Infof(format string, args ...any)
	Errorf(format string, args ...any)
}

// Provisioner publishes the entries of the class directories of one node.
type Provisioner struct {
	Node    *corev1.Node
	Host    Host
	Cluster Cluster
	Events  record.EventRecorder
	Log     Log

	cleanings cleanings
	ready     atomic.Bool
}

// Run passes over the class directories until the context ends. The config is
// read again whenever configPeriod has passed; one that cannot be read ends
// the run, as it ends the real provisioner.
func (p *Provisioner) Run(ctx context.Context, configDir string, config Config, period, configPeriod time.Duration) error {
	defer p.cleanings.group.Wait()
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
// its start, so a volume deleted in one pass is published in the next.
func (p *Provisioner) pass(ctx context.Context, config Config) {
	all, err := p.Cluster.PVs(ctx)
	if err != nil {
		p.Log.Errorf("cannot list PersistentVolumes: %v", err)
		p.ready.Store(false)
		return
	}
	own := p.own(config, all)
	p.reclaim(ctx, config, own)
	p.ready.Store(p.discover(ctx, config, own))
}

// own picks the volumes that this provisioner made. One made by a provisioner
// of a node of the same name but another UID is not its own.
func (p *Provisioner) own(config Config, all []corev1.PersistentVolume) volumes {
	name := ProvisionerName(p.Node, config.UseNodeNameOnly)
	own := volumes{}
	for i := range all {
		pv := &all[i]
		by, ok := pv.Annotations[AnnotationProvisionedBy]
		if !ok {
			continue
		}
		earlier := config.UseNodeNameOnly && pv.Labels[corev1.LabelHostname] == p.Node.Name && strings.HasPrefix(by, name+"-")
		if by == name || earlier {
			own[pv.Name] = pv
		}
	}
	return own
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

// volumes are PersistentVolumes by name.
type volumes map[string]*corev1.PersistentVolume

// at returns the names of the volumes with a path on the node.
func (v volumes) at(hostPath string) []string {
	var names []string
	for _, pv := range v.sorted() {
		if pv.Spec.Local != nil && pv.Spec.Local.Path == hostPath {
			names = append(names, pv.Name)
		}
	}
	return names
}

func (v volumes) sorted() []*corev1.PersistentVolume {
	sorted := make([]*corev1.PersistentVolume, 0, len(v))
	for _, name := range slices.Sorted(maps.Keys(v)) {
		sorted = append(sorted, v[name])
	}
	return sorted
}
