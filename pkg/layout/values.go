// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"bytes"
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	corev1 "k8s.io/api/core/v1"

	"github.com/talosdisk/kubectl-talosdisk/pkg/change"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talosrelease"
)

// Values are those of the provisioner's chart that a layout needs (chart 2.0.0 to 2.9.0, values.yaml). All others are left to whoever
// installs it.
type Values struct {
	Classes     []ClassValues     `json:"classes"               yaml:"classes"`
	Tolerations []TolerationValue `json:"tolerations,omitempty" yaml:"tolerations,omitempty"`
}

// ClassValues is one of the chart's classes.
type ClassValues struct {
	Name                string              `json:"name"                          yaml:"name"`
	HostDir             string              `json:"hostDir"                       yaml:"hostDir"`
	MountDir            string              `json:"mountDir"                      yaml:"mountDir"`
	NamePattern         string              `json:"namePattern,omitempty"         yaml:"namePattern,omitempty"`
	VolumeMode          provisioner.Mode    `json:"volumeMode"                    yaml:"volumeMode"`
	FSType              string              `json:"fsType,omitempty"              yaml:"fsType,omitempty"`
	BlockCleanerCommand []string            `json:"blockCleanerCommand,omitempty" yaml:"blockCleanerCommand,omitempty"`
	StorageClass        *StorageClassValues `json:"storageClass,omitempty"        yaml:"storageClass,omitempty"`
}

// StorageClassValues has the chart make the class's StorageClass; nil: it is not the chart's.
type StorageClassValues struct {
	ReclaimPolicy  string `json:"reclaimPolicy"            yaml:"reclaimPolicy"`
	IsDefaultClass bool   `json:"isDefaultClass,omitempty" yaml:"isDefaultClass,omitempty"`
}

// TolerationValue is a toleration of the provisioner's pods.
type TolerationValue struct {
	Key               string                    `json:"key,omitempty"               yaml:"key,omitempty"`
	Operator          corev1.TolerationOperator `json:"operator,omitempty"          yaml:"operator,omitempty"`
	Value             string                    `json:"value,omitempty"             yaml:"value,omitempty"`
	Effect            corev1.TaintEffect        `json:"effect,omitempty"            yaml:"effect,omitempty"`
	TolerationSeconds *int64                    `json:"tolerationSeconds,omitempty" yaml:"tolerationSeconds,omitempty"`
}

// YAML is the values as a file for helm. The order is that of the layout, and then that of the names.
func (v Values) YAML() []byte {
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(v); err != nil { // Nothing but texts, numbers and switches is written.
		panic(fmt.Sprintf("the values cannot be written: %v", err))
	}
	return out.Bytes()
}

// ValuesPlan is what is to become of the provisioner's classes.
type ValuesPlan struct {
	// Provisioner is the DaemonSet that is there, as NAMESPACE/NAME; empty: none.
	Provisioner string `json:"provisioner,omitempty"`
	// Namespace, Release and Chart are what to install or to upgrade; an empty Chart is the newest, or the one that is there.
	Namespace string        `json:"namespace"`
	Release   string        `json:"release"`
	Chart     string        `json:"chart,omitempty"`
	Action    change.Action `json:"action"`
	// Why is why it is refused, or what is not known.
	Why     string      `json:"why,omitempty"`
	Classes []ClassPlan `json:"classes"`
	// Tolerations are those that are added.
	Tolerations []TolerationValue `json:"addedTolerations,omitempty"`
	Values      Values            `json:"values"`
}

// ClassPlan is what is to become of one class of the provisioner.
type ClassPlan struct {
	Name   string        `json:"name"`
	Action change.Action `json:"action"`
	// Kept: it is not in the layout, and stays as it is.
	Kept bool `json:"kept,omitempty"`
	// Fields are what changes.
	Fields []FieldChange `json:"fields,omitempty"`
	// Why is why it is refused: what an upgrade cannot change, and why the class can be nothing on its nodes.
	Why string `json:"why,omitempty"`
}

// FieldChange is one field of a class that changes.
type FieldChange struct {
	Field string `json:"field"`
	From  string `json:"from"`
	To    string `json:"to"`
}

// Values decides what the provisioner's chart needs for a layout. releases are as in Deciding.
func (o *Observed) Values(l Layout, b Bindings, releases map[string]talosrelease.Release) ValuesPlan {
	return o.values(l, l.Ways(b, o.ground(l, releases)))
}

// install is the installation in the layout's namespace.
func (o *Observed) install(l Layout) (provisioner.Install, bool) {
	i := o.s.Install
	if i.Name == "" || i.Namespace != l.Spec.Provisioner.Namespace {
		return provisioner.Install{}, false
	}
	return i, true
}

func (o *Observed) values(l Layout, ways []ClassWay) ValuesPlan {
	of := l.Spec.Provisioner
	p := ValuesPlan{Namespace: of.Namespace, Release: of.Release, Chart: of.Chart, Action: change.Keep}
	install, there := o.install(l)
	switch why := o.s.Unread[snapshot.PartInstall]; {
	case there:
		p.Provisioner = install.Namespace + "/" + install.Name
	case !why.IsZero() && !why.Is(problem.NoProvisioner):
		p.Action, p.Why = change.Skip, "which provisioner is there is not known: "+why.Message
	default:
		p.Action = change.Create
	}
	if why := o.s.Unread[snapshot.PartStorageClasses]; !why.IsZero() {
		p.Action, p.Why = change.Skip, "the StorageClasses could not be read: "+why.Message
	}
	for _, w := range ways {
		values, plan := o.classValues(w, install, of.Namespace+"/"+of.Release)
		p.Values.Classes, p.Classes = append(p.Values.Classes, values), append(p.Classes, plan)
	}
	for _, c := range install.Classes { // Sorted by name.
		if !slices.ContainsFunc(ways, func(w ClassWay) bool { return w.Class.Name == c.Name }) {
			p.Values.Classes = append(p.Values.Classes, o.kept(c, of.Namespace+"/"+of.Release))
			p.Classes = append(p.Classes, ClassPlan{Name: c.Name, Action: change.Keep, Kept: true})
		}
	}
	p.Values.Tolerations, p.Tolerations = o.tolerations(l, install.Tolerations)
	unknown := p.Action == change.Skip
	worst := func(a change.Action) {
		order := []change.Action{change.Keep, change.Patch, change.Create, change.Skip, change.Refuse}
		if slices.Index(order, a) > slices.Index(order, p.Action) {
			p.Action = a
		}
	}
	for i, c := range p.Classes {
		if unknown && c.Action != change.Refuse {
			p.Classes[i].Action, p.Classes[i].Fields = change.Skip, nil
		}
		if c.Action == change.Refuse && p.Why == "" {
			p.Why = fmt.Sprintf("class %q: %s", c.Name, c.Why)
		}
		if c.Action == change.Create && p.Action == change.Keep {
			c.Action = change.Patch // Of the installation.
		}
		worst(c.Action)
	}
	if len(p.Tolerations) > 0 {
		worst(change.Patch)
	}
	return p
}

// classValues are a class's, and how they differ from what is there.
func (o *Observed) classValues(w ClassWay, install provisioner.Install, release string) (ClassValues, ClassPlan) {
	v := ClassValues{
		Name: w.Class.Name, HostDir: w.Wanted.HostDir, MountDir: w.Wanted.MountDir, NamePattern: w.Wanted.NamePattern,
		VolumeMode: w.Class.VolumeMode, FSType: w.Wanted.FSType, StorageClass: o.storageClass(w.Class, release),
	}
	p := ClassPlan{Name: w.Class.Name, Action: change.Create}
	now, there := install.ClassOf(w.Class.Name)
	switch {
	case there:
		v.BlockCleanerCommand = now.Cleaner
	case w.Class.VolumeMode == provisioner.Block:
		v.BlockCleanerCommand = o.cleaner(w)
	}
	if there {
		p.Fields = differences(now, w.Wanted)
		if p.Action = change.Keep; len(p.Fields) > 0 {
			p.Action = change.Patch
		}
	}
	_, known := o.s.StorageClasses[w.Class.Name]
	if there && !known {
		p.Action = change.Patch
		p.Fields = append(p.Fields, FieldChange{Field: "storageClass", To: w.Class.ReclaimPolicy})
	}
	switch why := o.unchangeable(w.Class); {
	case w.NoWay != nil:
		p.Action, p.Why = change.Refuse, w.NoWay.String()
		if w.NoWay.Reason == NoWayUnknown {
			p.Action = change.Skip
		}
	case why != "":
		p.Action, p.Why = change.Refuse, why
	}
	return v, p
}

// differences are the fields of a class that change.
func differences(now, wanted provisioner.Class) []FieldChange {
	var all []FieldChange
	for _, f := range []FieldChange{
		{"hostDir", path.Clean(now.HostDir), wanted.HostDir}, {"mountDir", path.Clean(now.MountDir), wanted.MountDir},
		{"namePattern", now.NamePattern, wanted.NamePattern}, {"volumeMode", string(now.Mode), string(wanted.Mode)},
		{"fsType", now.FSType, wanted.FSType},
	} {
		if f.From != f.To {
			all = append(all, f)
		}
	}
	return all
}

// storageClass has the chart make a StorageClass, unless one is there that is not the release's: helm would refuse to take it over.
func (o *Observed) storageClass(c Class, release string) *StorageClassValues {
	now, there := o.s.StorageClasses[c.Name]
	if there && now.HelmRelease != release {
		return nil
	}
	return &StorageClassValues{ReclaimPolicy: c.ReclaimPolicy, IsDefaultClass: now.Default}
}

// unchangeable is what the StorageClass that is there has otherwise, which no upgrade can change: provisioner, volumeBindingMode and
// reclaimPolicy (Kubernetes, pkg/apis/storage/validation).
func (o *Observed) unchangeable(c Class) string {
	now, there := o.s.StorageClasses[c.Name]
	var parts []string
	for _, f := range []FieldChange{
		{"provisioner", now.Provisioner, "kubernetes.io/no-provisioner"}, {"volumeBindingMode", now.BindingMode, "WaitForFirstConsumer"},
		{"reclaimPolicy", now.ReclaimPolicy, c.ReclaimPolicy},
	} {
		if there && f.From != "" && f.From != f.To {
			parts = append(parts, fmt.Sprintf("%s %s and not %s", f.Field, f.From, f.To))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return fmt.Sprintf("StorageClass %q has %s, which cannot be changed: delete it first, which keeps its volumes, or let the layout say what it has",
		c.Name, strings.Join(parts, ", "))
}

// kept are the values of a class that is not in the layout, as it is there.
func (o *Observed) kept(c provisioner.Class, release string) ClassValues {
	v := ClassValues{
		Name: c.Name, HostDir: c.HostDir, MountDir: c.MountDir, NamePattern: c.NamePattern, VolumeMode: c.Mode, FSType: c.FSType,
		BlockCleanerCommand: c.Cleaner,
	}
	if now, there := o.s.StorageClasses[c.Name]; there && now.HelmRelease == release {
		v.StorageClass = &StorageClassValues{ReclaimPolicy: now.ReclaimPolicy, IsDefaultClass: now.Default}
	}
	return v
}

// cleaner is the command that empties a volume of a new class before it is published again: blkdiscard where no disk of the nodes rotates,
// which not every other disk can do (provisioner v2.9.0, deployment/docker/scripts).
func (o *Observed) cleaner(w ClassWay) []string {
	for _, node := range w.Nodes {
		for _, u := range o.Disks(node) {
			if u.Rotational && u.System == "" {
				return []string{"/scripts/quick_reset.sh"}
			}
		}
	}
	return []string{"/scripts/blkdiscard.sh"}
}

// tolerations are those that the provisioner has, and those that it needs for the taints of the layout's nodes.
func (o *Observed) tolerations(l Layout, installed []corev1.Toleration) (all, added []TolerationValue) {
	for _, t := range installed {
		all = append(all, TolerationValue{t.Key, t.Operator, t.Value, t.Effect, t.TolerationSeconds})
	}
	taints := make(map[string]corev1.Taint)
	for _, n := range o.s.Nodes {
		for _, taint := range n.Taints {
			tolerated := slices.ContainsFunc(installed, func(t corev1.Toleration) bool { return tolerates(t, taint) })
			if l.Includes(n.Name) && taint.Effect != corev1.TaintEffectPreferNoSchedule && !passing(taint) && !tolerated {
				taints[taint.ToString()] = taint
			}
		}
	}
	for _, taint := range taints {
		t := TolerationValue{Key: taint.Key, Operator: corev1.TolerationOpExists, Effect: taint.Effect}
		if taint.Value != "" {
			t.Operator, t.Value = corev1.TolerationOpEqual, taint.Value
		}
		added = append(added, t)
	}
	slices.SortFunc(added, func(a, b TolerationValue) int {
		return cmp.Or(strings.Compare(a.Key, b.Key), strings.Compare(a.Value, b.Value), strings.Compare(string(a.Effect), string(b.Effect)))
	})
	return append(all, added...), added
}

// passing reports whether a taint is one that says how a node is at the moment: the DaemonSet controller tolerates those
// (Kubernetes, pkg/controller/daemon/util).
func passing(t corev1.Taint) bool {
	return slices.Contains([]string{
		corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable, corev1.TaintNodeUnschedulable, corev1.TaintNodeMemoryPressure,
		corev1.TaintNodeDiskPressure, corev1.TaintNodeNetworkUnavailable, corev1.TaintNodePIDPressure, corev1.TaintNodeOutOfService,
		"node.cloudprovider.kubernetes.io/uninitialized",
	}, t.Key)
}

// tolerates reports whether a toleration is one of a taint (Kubernetes, core/v1, ToleratesTaint).
func tolerates(t corev1.Toleration, taint corev1.Taint) bool {
	if t.Effect != "" && t.Effect != taint.Effect || t.Key != "" && t.Key != taint.Key {
		return false
	}
	return t.Operator == corev1.TolerationOpExists || t.Key != "" && t.Value == taint.Value
}
