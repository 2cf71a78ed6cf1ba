// SPDX-License-Identifier: Apache-2.0

package nodescript

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// Parse makes a view of what the probe's script said. An answer that is cut
// short or not understood is an error and never a smaller view: what is missing
// might be the disk that is in use.
func Parse(out string) (snapshot.PodView, error) {
	records, err := Records(out)
	if err != nil {
		return snapshot.PodView{}, err
	}
	if len(records) == 0 || records[0].Kind != "start" || records[0].Get("version") != "1" {
		return snapshot.PodView{}, fmt.Errorf("the node's answer does not begin as it should")
	}
	var mounted []mounts.Mount
	// Shells remove the last line's end.
	if lines := strings.TrimSuffix(records[0].Get("mountinfo"), "\n"); lines != "" {
		if mounted, err = mounts.ParseMountinfo([]byte(lines + "\n")); err != nil {
			return snapshot.PodView{}, fmt.Errorf("the pod's mountinfo is not understood: %w", err)
		}
	}
	p := parser{
		view: snapshot.PodView{
			Dirs:    make(map[string]snapshot.Dir),
			Beneath: make(map[disk.Number]string),
			Linking: disk.Answer(records[0].Get("linking")),
		},
		mounted: mounted,
		classOf: make(map[string]string),
		dirOf:   make(map[string]string),
		byID:    make(map[disk.Number][]string),
		byPath:  make(map[disk.Number][]string),
	}
	for _, r := range records[1:] {
		if err := p.record(r); err != nil {
			return snapshot.PodView{}, err
		}
		if len(p.view.Disks) > snapshot.MaxDisks { // Of each there is more to come.
			return snapshot.PodView{}, p.view.Check()
		}
	}
	p.finish()
	if err := p.view.Check(); err != nil {
		return snapshot.PodView{}, err
	}
	return p.view, nil
}

type parser struct {
	view    snapshot.PodView
	mounted []mounts.Mount
	// points are the mounts by where they are, once asked for.
	points map[string]mounts.Mount
	// classOf is the class of a class directory, dirOf the directory of a class.
	classOf, dirOf map[string]string
	byID, byPath   map[disk.Number][]string
	kernel         []kernelNames
}

// kernelNames keeps a device's place in sysfs until all are known.
type kernelNames struct{ kernel, parent string }

func (p *parser) record(r Record) error {
	switch r.Kind {
	case "dir":
		p.classOf[r.Get("path")], p.dirOf[r.Get("class")] = r.Get("class"), r.Get("path")
		p.view.Dirs[r.Get("class")] = snapshot.Dir{
			Exists:     r.Has("exists"),
			Writable:   r.Has("writable"),
			MountPoint: p.mountPoint(r.Get("path")),
			Filesystem: p.filesystem(r.Get("path")),
			Problem:    r.Get("problem"),
		}
	case "entry":
		dir := p.view.Dirs[r.Get("class")]
		entry := provisioner.Entry{
			Name:   r.Get("name"),
			Kind:   provisioner.EntryKind(r.Get("kind")),
			Target: r.Get("target"),
			Device: r.Get("device"),
		}
		if entry.Kind == provisioner.Directory {
			entry.Mounted, entry.Mount = p.mountedAt(r.Get("class"), entry.Name)
		}
		dir.Entries = append(dir.Entries, entry)
		if problem := r.Get("problem"); problem != "" {
			dir.Problem = fmt.Sprintf("%q: %s", r.Get("name"), problem)
		}
		p.view.Dirs[r.Get("class")] = dir
	case "home":
		return p.home(r)
	case "names":
		p.names(r.Get("names"))
	case "path":
		if r.Has("number") {
			n, err := disk.ParseNumber(r.Get("number"))
			if err != nil {
				return err
			}
			if p.view.Paths == nil {
				p.view.Paths = make(map[string]disk.Number)
			}
			p.view.Paths[r.Get("path")] = n
		}
	case "volume":
		return p.volume(r)
	case "disk":
		return p.disk(r)
	default:
		return fmt.Errorf("the node's answer has an unknown record %q", shorten(r.Kind))
	}
	return nil
}

// mountedAt reports whether something is mounted at an entry of a class, and what.
func (p *parser) mountedAt(class, name string) (answer disk.Answer, source string) {
	if len(p.mounted) == 0 {
		return "", ""
	}
	if p.points == nil {
		p.points = make(map[string]mounts.Mount, len(p.mounted))
		for _, m := range p.mounted {
			p.points[m.Point] = m
		}
	}
	if m, ok := p.points[path.Join(p.dirOf[class], name)]; ok {
		return disk.Yes, fmt.Sprintf("%s (%s)", m, m.Type)
	}
	return disk.No, ""
}

// volume takes where the path of a volume leads.
func (p *parser) volume(r Record) error {
	var n disk.Number
	if r.Has("number") {
		var err error
		if n, err = disk.ParseNumber(r.Get("number")); err != nil {
			return err
		}
	}
	if p.view.VolumePaths == nil {
		p.view.VolumePaths = make(map[string]disk.Number)
	}
	p.view.VolumePaths[r.Get("path")] = n
	return nil
}

// home takes the devices that a directory lies on. One that does not resolve
// is a problem only where it is a class directory.
func (p *parser) home(r Record) error {
	dir := r.Get("dir")
	for _, s := range strings.Fields(r.Get("beneath")) {
		n, err := disk.ParseNumber(s)
		if err != nil {
			return err
		}
		if _, reported := p.view.Beneath[n]; !reported {
			p.view.Beneath[n] = "holds " + dir
		}
	}
	if snapshot.Volatile(p.typeOf(r.Get("device"))) {
		return nil // It lies in memory: under it is no disk that could be missed.
	}
	if class, ok := p.classOf[dir]; ok && r.Has("problem") && p.view.BeneathProblem == "" {
		p.view.BeneathProblem = fmt.Sprintf("the directory of class %q lies on no block device that is known (%s)", class, r.Get("problem"))
	}
	return nil
}

// names takes udev's names: lines "HEXMAJOR:HEXMINOR PATH". What does not parse
// is no name that could be used.
func (p *parser) names(text string) {
	for line := range strings.Lines(text) {
		hex, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		n, ok := parseHex(hex)
		if !ok {
			continue
		}
		switch dir, base := path.Split(name); dir {
		case "/dev/disk/by-id/":
			p.byID[n] = append(p.byID[n], base)
		case "/dev/disk/by-path/":
			p.byPath[n] = append(p.byPath[n], base)
		}
	}
}

func parseHex(s string) (disk.Number, bool) {
	major, minor, _ := strings.Cut(s, ":")
	ma, err1 := strconv.ParseUint(major, 16, 32)
	mi, err2 := strconv.ParseUint(minor, 16, 32)
	return disk.Number{Major: uint32(ma), Minor: uint32(mi)}, err1 == nil && err2 == nil
}

func (p *parser) disk(r Record) error {
	n, err := disk.ParseNumber(r.Get("number"))
	if err != nil {
		return err
	}
	d := disk.Disk{
		Name:       r.Get("name"),
		Number:     n,
		ReadOnly:   r.Get("ro") == "1",
		Removable:  r.Get("removable") == "1",
		Rotational: r.Get("queue/rotational") == "1",
		Model:      strings.TrimSpace(r.Get("device/model")),
		Serial:     strings.TrimSpace(cmp.Or(r.Get("serial"), r.Get("device/serial"))),
		WWID:       strings.Join(strings.Fields(cmp.Or(r.Get("wwid"), r.Get("device/wwid"))), " "),
		Backing:    r.Get("loop/backing_file"),
		PartLabel:  r.Get("PARTNAME"),
		Partitions: r.All("part"),
		Holders:    r.All("holders"),
		Slaves:     r.All("slaves"),
		Under:      distinct(r.All("under")),
		MaybeUnder: distinct(r.All("maybe-under")),
		Kernel:     kernelName(r),
	}
	if over := r.Get("over"); over != "" && over != "-" && over != "?" {
		if d.Over, err = disk.ParseNumber(over); err != nil {
			return err
		}
	}
	// A virtio disk's vendor is the PCI vendor's number, which tells nobody anything.
	if vendor := strings.TrimSpace(r.Get("device/vendor")); !strings.HasPrefix(vendor, "0x") {
		d.Vendor = vendor
	}
	if size := r.Get("size"); size != "" {
		sectors, err := strconv.ParseUint(size, 10, 55)
		if err != nil {
			return fmt.Errorf("the size of %q is not a number: %q", d.Name, shorten(size))
		}
		d.Size = sectors * sector
	}
	d.Kind = kindOf(r)
	d.Transport, d.Virtual = transport(r), d.Kind == disk.KindDisk && virtual(r)
	names := kernelNames{kernel: d.Kernel}
	if d.Kind == disk.KindPartition {
		names.parent = path.Base(path.Dir(r.Get("sysfs")))
	}
	if r.Has("blkid") || r.Has("mke2fs") {
		d.Content = content(r)
		d.Fingerprint = fmt.Sprintf("%x", sha256.Sum256([]byte(r.Raw+"\n")))
	}
	p.view.Disks = append(p.view.Disks, d)
	p.kernel = append(p.kernel, names)
	return nil
}

// kernelName is the last element of a device's directory in sysfs; empty if the
// kernel does not know it.
func kernelName(r Record) string {
	if !r.Has("sysfs") {
		return ""
	}
	return path.Base(r.Get("sysfs"))
}

// kindOf tells what a device is from what its directory in sysfs has.
func kindOf(r Record) disk.Kind {
	kernel := kernelName(r)
	switch {
	case r.Has("partition"):
		return disk.KindPartition
	// SCSI peripheral device type 5 is CD/DVD (SPC-4, table 49).
	case r.Get("device/type") == "5", strings.HasPrefix(kernel, "sr"):
		return disk.KindCDROM
	case r.Has("loop/backing_file"), strings.HasPrefix(kernel, "loop"):
		return disk.KindLoop
	case r.Has("dm/name"), r.Has("dm/uuid"), strings.HasPrefix(kernel, "dm-"):
		return disk.KindMapper
	case r.Has("md/uuid"), strings.HasPrefix(kernel, "md"):
		return disk.KindRAID
	}
	return disk.KindDisk
}

// transport tells from a device's place in sysfs, and from what its NVMe controllers
// say, how it is reached; empty: by nothing that is distinguished (Linux 6.18: iscsi
// drivers/scsi/scsi_transport_iscsi.c, Fibre Channel scsi_transport_fc.c, SRP
// drivers/infiniband/ulp/srp, SATA drivers/ata/libata-transport.c, USB/IP drivers/usb/usbip, emulated SCSI scsi_debug.c and
// drivers/target/loopback; nvme/host/sysfs.c).
func transport(r Record) string {
	for _, part := range strings.Split(r.Get("sysfs"), "/") {
		switch {
		case numbered(part, "session"):
			return "iscsi"
		case strings.HasPrefix(part, "rport-"):
			return "fc"
		case strings.HasPrefix(part, "srp-"), part == "infiniband_srp":
			return "srp"
		case strings.HasPrefix(part, "vhci_hcd."):
			return "usbip"
		case numbered(part, "ata"):
			return "sata"
		case numbered(part, "pseudo_"), numbered(part, "tcm_loop_"), numbered(part, "tcm_loop_adapter_"):
			return "scsi-loop"
		}
	}
	for _, t := range r.All("transport") {
		// One way over the network is enough. The controllers of a machine itself are
		// pcie, and apple-nvme on Apple's.
		if t = strings.TrimSpace(t); t != "" && t != "pcie" && t != "apple-nvme" {
			return "nvme-" + t
		}
	}
	if strings.Contains(r.Get("sysfs"), "/nvme-subsystem/") && len(r.All("transport")) == 0 {
		return "nvme-unseen"
	}
	return ""
}

func numbered(s, prefix string) bool {
	rest, ok := strings.CutPrefix(s, prefix)
	return ok && rest != "" && strings.Trim(rest, "0123456789") == ""
}

// virtual reports whether the kernel knows no hardware of a device. An NVMe drive with
// several controllers has its place there too, with what it is reached by.
func virtual(r Record) bool {
	return strings.HasPrefix(r.Get("sysfs"), "/sys/devices/virtual/") && transport(r) == "" && len(r.All("transport")) == 0
}

func distinct(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}

// finish joins what needs the whole answer: udev's names, the names of parents,
// a stable order.
func (p *parser) finish() {
	if len(p.view.Beneath) == 0 && p.view.BeneathProblem == "" && len(p.classOf) > 0 {
		p.view.BeneathProblem = "none of the node's directories that the pod sees lies on a block device"
	}
	byKernel := make(map[string]string, len(p.view.Disks))
	for i, names := range p.kernel {
		byKernel[names.kernel] = p.view.Disks[i].Name
	}
	for i := range p.view.Disks {
		d := &p.view.Disks[i]
		d.ByID, d.ByPath = slices.Sorted(slices.Values(p.byID[d.Number])), slices.Sorted(slices.Values(p.byPath[d.Number]))
		if parent := p.kernel[i].parent; parent != "" {
			d.Parent = cmp.Or(byKernel[parent], parent)
		}
	}
	slices.SortFunc(p.view.Disks, func(a, b disk.Disk) int {
		return cmp.Or(cmp.Compare(len(a.Name), len(b.Name)), cmp.Compare(a.Name, b.Name))
	})
	for class := range maps.Keys(p.view.Dirs) {
		slices.SortFunc(p.view.Dirs[class].Entries, func(a, b provisioner.Entry) int { return cmp.Compare(a.Name, b.Name) })
	}
}

// typeOf is the type of the file system that has a device number; empty if none that the
// pod sees has it.
func (p *parser) typeOf(device string) string {
	for _, m := range p.mounted {
		if m.Device.String() == device {
			return m.Type
		}
	}
	return ""
}

// filesystem is the type of the file system that is mounted at a directory, the last
// one where there are several; empty if none is.
func (p *parser) filesystem(dir string) string {
	kind := ""
	for _, m := range p.mounted {
		if m.Point == path.Clean(dir) {
			kind = m.Type
		}
	}
	return kind
}

func (p *parser) mountPoint(dir string) bool {
	return slices.ContainsFunc(p.mounted, func(m mounts.Mount) bool { return m.Point == path.Clean(dir) })
}
