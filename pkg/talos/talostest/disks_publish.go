// SPDX-License-Identifier: Apache-2.0

package talostest

import (
	"context"
	"path"
	"strconv"
	"strings"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/siderolabs/talos/pkg/machinery/resources/block"

	"github.com/talosdisk/kubectl-talosdisk/pkg/talosrelease"
)

// linuxData is the partition type of what Talos makes (internal/pkg/partition, LinuxFilesystemData).
const linuxData = "0fc63daf-8483-4772-8e79-3d69d8477de4"

// diskResources are what Talos says of disks: a Disk of each, and of each and of its
// partitions a DiscoveredVolume and udev's links. A release that does not tell links by themselves does not tell them of a disk
// either.
func diskResources(disks []Disk, profile Profile) []resource.Resource {
	var all []resource.Resource
	links, _ := profile.release().Resource(talosrelease.BlockSymlinks)
	for _, d := range disks {
		if !links {
			d.Links = nil
		}
		all = append(all, diskResource(d), wholeResource(d), linksResource(d.Name, d.Links))
		for _, p := range d.Partitions {
			all = append(all, partitionResource(d, p), linksResource(d.partition(p.Index), partitionLinks(d, p)))
		}
	}
	return all
}

func diskResource(d Disk) resource.Resource {
	r := block.NewDisk(block.NamespaceName, d.Name)
	spec := r.TypedSpec()
	spec.SetSize(d.Size)
	spec.DevPath, spec.IOSize, spec.SectorSize, spec.Readonly, spec.CDROM = d.path(), uint(d.sector()), uint(d.sector()), d.ReadOnly, d.CDROM
	spec.Model, spec.Serial, spec.Modalias, spec.WWID, spec.BusPath = d.Model, d.Serial, d.Modalias, d.WWID, d.BusPath
	spec.SubSystem, spec.Transport, spec.Rotational = "/sys/class/block", d.Transport, d.Rotational
	spec.SecondaryDisks, spec.Symlinks = d.Secondaries, d.Links
	return r
}

func wholeResource(d Disk) resource.Resource {
	r := block.NewDiscoveredVolume(block.NamespaceName, d.Name)
	spec := r.TypedSpec()
	spec.SetSize(d.Size)
	spec.Type, spec.DevPath, spec.SectorSize, spec.IOSize = "disk", d.path(), uint(d.sector()), uint(d.sector())
	spec.Name, spec.Label, spec.UUID = d.Type, d.Label, d.UUID
	return r
}

func partitionResource(d Disk, p Partition) resource.Resource {
	r := block.NewDiscoveredVolume(block.NamespaceName, d.partition(p.Index))
	spec := r.TypedSpec()
	spec.SetSize(p.Size)
	spec.Type, spec.DevPath, spec.SectorSize, spec.IOSize = "partition", d.partitionPath(p.Index), uint(d.sector()), uint(d.sector())
	spec.Parent, spec.ParentDevPath, spec.Offset = d.Name, d.path(), p.Offset
	spec.Name, spec.Label, spec.UUID = p.Type, p.Label, p.UUID
	spec.PartitionUUID, spec.PartitionType, spec.PartitionLabel, spec.PartitionIndex = p.ID, linuxData, p.Name, uint(p.Index)
	return r
}

// partitionLinks are those of 60-persistent-storage.rules.
func partitionLinks(d Disk, p Partition) []string {
	var links []string
	for _, link := range d.Links {
		if dir := path.Dir(link); dir == "/dev/disk/by-id" || dir == "/dev/disk/by-path" {
			links = append(links, link+"-part"+strconv.Itoa(p.Index))
		}
	}
	if p.Name != "" {
		links = append(links, "/dev/disk/by-partlabel/"+p.Name)
	}
	return append(links, "/dev/disk/by-partuuid/"+p.ID)
}

func linksResource(id string, links []string) resource.Resource {
	r := block.NewSymlink(block.NamespaceName, id)
	r.TypedSpec().Paths = links
	return r
}

// publisher keeps resources in a state as they are to be. It touches only those that it made, and
// leaves one that somebody else has changed since until it is to be another itself.
type publisher struct {
	state state.State
	last  map[string]resource.Resource
}

func newPublisher(st state.State) *publisher {
	return &publisher{state: st, last: map[string]resource.Resource{}}
}

// publish makes all resources of the publisher these.
func (p *publisher) publish(ctx context.Context, all []resource.Resource) error {
	now := make(map[string]resource.Resource, len(all))
	for _, r := range all {
		key := strings.Join([]string{r.Metadata().Type(), r.Metadata().ID()}, "/")
		now[key] = r.DeepCopy()
		if last, ok := p.last[key]; ok && same(last, r) {
			continue
		}
		if err := put(ctx, p.state, r); err != nil {
			return err
		}
	}
	for key, last := range p.last {
		if now[key] != nil {
			continue
		}
		if err := p.state.Destroy(ctx, last.Metadata()); err != nil && !state.IsNotFoundError(err) {
			return err
		}
	}
	p.last = now
	return nil
}
