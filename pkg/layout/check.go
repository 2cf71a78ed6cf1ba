// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
)

const (
	// maxVolume is how long the name of a Talos volume is at most (Talos v1.10 to v1.14, pkg/machinery/config/types/block).
	maxVolume = 34
	// maxCount is how many disks a node has of a class at most.
	maxCount = 999
	// maxMatch is how long an expression is at most, in bytes.
	maxMatch = 8192
	// maxFact is how long a model or an identifier is at most, in bytes.
	maxFact = 255

	transportChars = "abcdefghijklmnopqrstuvwxyz0123456789-"
)

// setDefaults fills what the file does not say.
func (l *Layout) setDefaults() {
	or := func(at *string, value string) {
		if *at == "" {
			*at = value
		}
	}
	or(&l.Spec.Provisioner.Namespace, "local-storage")
	or(&l.Spec.Provisioner.Release, "local")
	for i := range l.Spec.Classes {
		c := &l.Spec.Classes[i]
		or((*string)(&c.VolumeMode), string(provisioner.Filesystem))
		if c.VolumeMode == provisioner.Block {
			or((*string)(&c.As), string(AsLink))
		} else {
			or((*string)(&c.As), string(AsVolume))
			or(&c.Filesystem, "xfs")
		}
		or((*string)(&c.By), string(ByIdentity))
		or(&c.ReclaimPolicy, "Delete")
	}
}

// say adds a mistake at the place of a value, or, if that is not in the file, of what it would be in.
func (m *mistakes) say(path, format string, args ...any) {
	for {
		if at, there := m.at[path]; there {
			if !slices.ContainsFunc(m.unread, func(u string) bool { return within(u, path) }) {
				m.add(at, format, args...)
			}
			return
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
}

// within reports whether a value is another one, or a part of it.
func within(path, of string) bool {
	rest, is := strings.CutPrefix(path, of)
	return is && (of == "" || rest == "" || rest[0] == '.' || rest[0] == '[')
}

// checkLayout finds what is wrong with a layout that could be read, and has its defaults.
func (m *mistakes) checkLayout(l Layout) {
	m.checkWord("metadata.name", "a layout", l.Metadata.Name, validation.IsDNS1123Subdomain)
	m.checkNodes(l.Spec.Nodes)
	p := l.Spec.Provisioner
	m.checkWord("spec.provisioner.namespace", "a namespace", p.Namespace, validation.IsDNS1123Label)
	m.checkWord("spec.provisioner.release", "a Helm release", p.Release, validation.IsDNS1123Subdomain)
	if strings.Trim(p.Chart, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.+-") != "" || p.Chart != "" && p.Chart[0] == '-' {
		m.say("spec.provisioner.chart", "%.60q is not a version of a chart, as 2.9.0", p.Chart)
	}
	if len(l.Spec.Classes) == 0 {
		m.say("spec.classes", "a layout has at least one class")
	}
	names, dirs := make(map[string]bool), make(map[string]string)
	for i, c := range l.Spec.Classes {
		at := fmt.Sprintf("spec.classes[%d]", i)
		m.checkClass(at, c)
		m.checkDisks(at+".disks", c.Disks, 1)
		if !c.Disks.chooses() && c.Disks.Count == nil {
			m.say(at+".disks", "class %q chooses no disks: say how many, or which", c.Name)
		}
		if names[c.Name] {
			m.say(at+".name", "there are two classes %q", c.Name)
		}
		names[c.Name] = true
		if c.HostDir != "" {
			if other, taken := dirs[c.HostDir]; taken {
				m.say(at+".hostDir", "class %q has hostDir %s too: each would publish the other's links", other, c.HostDir)
			}
			dirs[c.HostDir] = c.Name
		}
	}
	for i, o := range l.Spec.Overrides {
		m.checkOverride(fmt.Sprintf("spec.overrides[%d]", i), o, l.Spec.Classes)
	}
}

// checkWord checks a value by one of Kubernetes's rules.
func (m *mistakes) checkWord(at, what, value string, rule func(string) []string) {
	switch {
	case value == "":
		m.say(at, "%s is missing", last(at))
	case len(rule(value)) > 0:
		m.say(at, "%.80q cannot be the name of %s: %s", value, what, rule(value)[0])
	}
}

func (m *mistakes) checkNodes(n Nodes) {
	switch {
	case len(n.Names) == 0 && n.Selector == nil:
		m.say("spec.nodes", "nodes has either names, or a selector for labels")
	case len(n.Names) > 0 && n.Selector != nil:
		m.say("spec.nodes", "nodes has names and a selector: only one of them can say which nodes are meant")
	case n.Selector != nil:
		if _, err := metav1.LabelSelectorAsSelector(n.Selector); err != nil {
			m.say("spec.nodes.selector", "it is not a selector for labels: %s", err)
		}
	}
	m.checkPatterns("spec.nodes.names", n.Names)
}

// checkPatterns checks names of nodes, which can be globs.
func (m *mistakes) checkPatterns(at string, patterns []string) {
	for i, p := range patterns {
		if _, err := path.Match(p, ""); err != nil || p == "" || strings.ContainsFunc(p, blank) {
			m.say(fmt.Sprintf("%s[%d]", at, i), "%.80q is neither the name of a node nor a pattern of names", p)
		}
	}
}

func (m *mistakes) checkClass(at string, c Class) {
	m.checkWord(at+".name", "a class", c.Name, validation.IsDNS1123Label)
	// The chart makes a volume of the pod of each class, beside these two (chart 2.9.0, templates/daemonset.yaml).
	if c.Name == "provisioner-config" || c.Name == "provisioner-dev" {
		m.say(at+".name", "%q cannot be the name of a class: the provisioner's pod has a volume of that name", c.Name)
	}
	modes := map[provisioner.Mode][]As{provisioner.Filesystem: {AsVolume, AsDisk}, provisioner.Block: {AsLink, AsPartition}}
	switch can := modes[c.VolumeMode]; {
	case can == nil:
		m.say(at+".volumeMode", "volumeMode %.60q is neither Filesystem nor Block", c.VolumeMode)
	case !slices.Contains(can, c.As):
		m.say(at+".as", "as %.60q does not go with volumeMode %s: %s or %s does", c.As, c.VolumeMode, can[0], can[1])
	}
	switch {
	case c.VolumeMode == provisioner.Block && c.Filesystem != "":
		m.say(at+".filesystem", "a class with volumeMode Block has no filesystem")
	case c.VolumeMode == provisioner.Filesystem && c.Filesystem != "xfs" && c.Filesystem != "ext4":
		m.say(at+".filesystem", "filesystem %.60q is neither xfs nor ext4", c.Filesystem)
	}
	m.checkBy(at, c.By)
	if c.ReclaimPolicy != "Delete" && c.ReclaimPolicy != "Retain" {
		m.say(at+".reclaimPolicy", "reclaimPolicy %.60q is neither Delete nor Retain", c.ReclaimPolicy)
	}
	switch {
	case c.HostDir == "":
	case c.As != AsLink:
		m.say(at+".hostDir", "only a class as: link has a hostDir: where Talos puts volumes does not change")
	case !hostDir(c.HostDir):
		m.say(at+".hostDir", "%.80q is not a directory that links stay in, as /var/mnt/NAME", c.HostDir)
	}
	if longest := VolumeName(c.Name, most(c.Disks.Count)); c.As != AsLink && len(longest) > maxVolume {
		m.say(at+".name", "the volumes of class %q would have names like %q, longer than the %d characters that Talos takes", c.Name, longest,
			maxVolume)
	}
}

// most is the highest number that a volume gets where a class has that many disks.
func most(count *int) int {
	const unless = 99
	if count == nil || *count > maxCount {
		return unless
	}
	return *count
}

func (m *mistakes) checkBy(at string, by By) {
	if by != ByIdentity && by != BySlot {
		m.say(at+".by", "by %.60q is neither %s nor %s", by, ByIdentity, BySlot)
	}
}

// hostDir reports whether links can be kept in a directory: what is below /dev and /run is gone with each boot.
func hostDir(dir string) bool {
	return path.IsAbs(dir) && path.Clean(dir) == dir && len(dir) <= maxFact && strings.HasPrefix(dir, "/var/") &&
		!strings.HasPrefix(dir, "/var/run/") && dir != "/var/mnt" &&
		!strings.ContainsFunc(dir, blank)
}

// blank tells what no path and no pattern has.
func blank(r rune) bool { return !unicode.IsPrint(r) || r == ' ' }

// checkDisks checks how a class chooses disks; least is how many it must at least ask for.
func (m *mistakes) checkDisks(at string, d Disks, least int) {
	simple := d.Rotational != nil || d.Transport != "" || d.Size != (Range{}) || d.Model != ""
	switch {
	case d.Match != "" && (simple || len(d.Names) > 0):
		m.say(at+".match", "match stands alone: write the other conditions into the expression")
	case len(d.Names) > 0 && simple:
		m.say(at+".names", "names stand alone: they say already which disks are meant")
	}
	switch {
	case d.Count == nil:
	case *d.Count < least || *d.Count > maxCount:
		m.say(at+".count", "count %d is not between %d and %d", *d.Count, least, maxCount)
	case len(d.Names) > 0 && *d.Count > 0:
		m.say(at+".count", "names and count do not go together: the names say how many disks there are")
	}
	if d.Size.Max > 0 && d.Size.Min > d.Size.Max {
		m.say(at+".size", "size has a min of %s, more than its max of %s", d.Size.Min, d.Size.Max)
	}
	if strings.Trim(d.Transport, transportChars) != "" {
		m.say(at+".transport", "transport %.60q is not a word of Talos's, as nvme, sata, sas, usb or virtio", d.Transport)
	}
	if !fact(d.Model) {
		m.say(at+".model", "model %.60q is not a disk's", d.Model)
	}
	if len(d.Match) > maxMatch {
		m.say(at+".match", "match is longer than %d bytes", maxMatch)
	}
	seen := make(map[string]bool)
	for i, name := range d.Names {
		at := fmt.Sprintf("%s.names[%d]", at, i)
		arg, err := disk.ParseArg(name)
		switch {
		case err != nil:
			m.say(at, "%s", err)
		case arg.Glob != "":
			m.say(at, "disk %q is a pattern: names are those of single disks; size, model or match choose several", name)
		case seen[arg.String()]:
			m.say(at, "disk %q is named twice", name)
		}
		seen[arg.String()] = true
	}
}

// fact reports whether a text can be one of a disk's facts.
func fact(s string) bool {
	return len(s) <= maxFact && strings.TrimSpace(s) == s && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

func (m *mistakes) checkOverride(at string, o Override, classes []Class) {
	if len(o.Nodes) == 0 {
		m.say(at+".nodes", "an override names nodes")
	}
	if len(o.Classes) == 0 {
		m.say(at+".classes", "an override names classes")
	}
	m.checkPatterns(at+".nodes", o.Nodes)
	seen := make(map[string]bool)
	for i, change := range o.Classes {
		at := fmt.Sprintf("%s.classes[%d]", at, i)
		of := slices.IndexFunc(classes, func(c Class) bool { return c.Name == change.Name })
		switch {
		case change.Name == "":
			m.say(at+".name", "name is missing")
		case of < 0:
			m.say(at+".name", "there is no class %.80q to override", change.Name)
		case seen[change.Name]:
			m.say(at+".name", "class %q is overridden twice", change.Name)
		}
		seen[change.Name] = true
		if change.By != "" {
			m.checkBy(at, change.By)
		}
		m.checkDisks(at+".disks", change.Disks, 0)
		if of < 0 {
			continue
		}
		after := change.apply(classes[of])
		if count := after.Disks.Count; len(change.Disks.Names) == 0 && len(after.Disks.Names) > 0 && count != nil && *count > 0 {
			m.say(at+".disks", "class %q has names, which say how many disks there are: override them too", change.Name)
		}
		if longest := VolumeName(change.Name, most(after.Disks.Count)); after.As != AsLink && len(longest) > maxVolume &&
			len(VolumeName(change.Name, most(classes[of].Disks.Count))) <= maxVolume {
			m.say(at+".disks", "the volumes of class %q would have names like %q, longer than the %d characters that Talos takes", change.Name,
				longest, maxVolume)
		}
	}
}

// checkBindings finds what is wrong with bindings that could be read. That they do not go with the layout's classes, or with each other,
// is nothing that is wrong with the file.
func (m *mistakes) checkBindings(b Bindings, l Layout) {
	if b.Metadata.Name != l.Metadata.Name {
		m.say("metadata.name", "these bindings are of a layout %.80q, and the file's is %.80q", b.Metadata.Name, l.Metadata.Name)
	}
	for node, volumes := range b.Nodes {
		at := below("nodes", node)
		if len(validation.IsDNS1123Subdomain(node)) > 0 {
			m.say(at, "%.80q cannot be the name of a node", node)
		}
		called := make(map[string]string)
		for _, key := range slices.SortedFunc(maps.Keys(volumes), compareVolumes) {
			binding := volumes[key]
			m.checkBinding(below(at, key), key, binding)
			name := l.space(key) + "/" + cmp.Or(binding.Name, key)
			if other := called[name]; other != "" {
				m.say(below(at, key), "%q is called as %q is on the node", key, other)
			}
			called[name] = key
		}
	}
}

// space is in what the name of a volume is its own: links have their directory, Talos's volumes one for each kind.
func (l Layout) space(key string) string {
	class, _, _ := ParseVolumeName(key)
	for _, c := range l.Spec.Classes {
		switch {
		case c.Name != class:
		case c.As == AsVolume, c.As == AsDisk:
			return "u"
		case c.As == AsPartition:
			return "r"
		}
	}
	return class + "/"
}

func (m *mistakes) checkBinding(at, key string, b Binding) {
	if class, n, ok := ParseVolumeName(key); !ok || n > maxCount || len(validation.IsDNS1123Label(class)) > 0 {
		m.say(at, "%.80q is not a volume of a class, as CLASS-1", key)
	}
	if b.Name != "" && disk.CheckEntry(b.Name) != nil {
		m.say(at+".name", "%.80q cannot be the name of a volume or a link", b.Name)
	}
	for field, value := range map[string]string{"wwid": b.WWID, "serial": b.Serial} {
		if !fact(value) {
			m.say(below(at, field), "%s %.60q is not a disk's", field, value)
		}
	}
	for field, value := range map[string]string{"byID": b.ByID, "byPath": b.ByPath} {
		if !udevName(value) {
			m.say(below(at, field), "%s %.60q is not a name below /dev/disk", field, value)
		}
	}
	if b.WWID == "" && b.Serial == "" && b.ByID == "" && b.ByPath == "" {
		m.say(at, "the binding names no disk: it has no wwid, serial, byID or byPath")
	}
	if uint64(b.Size) > 0 && uint64(b.Size) < 512 {
		m.say(at+".size", "no disk has %s bytes", strconv.FormatUint(uint64(b.Size), 10))
	}
}

// udevName reports whether a text can be the name of a link that udev makes.
func udevName(s string) bool {
	return fact(s) && !strings.ContainsAny(s, "/ \"'`\\") && s != "." && s != ".."
}
