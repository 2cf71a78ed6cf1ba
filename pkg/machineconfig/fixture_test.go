// SPDX-License-Identifier: Apache-2.0

package machineconfig

import (
	"slices"

	"go.yaml.in/yaml/v3"
)

// The list that the tests edit: machine.kubelet.extraMounts, the only one that the program has.
var mountsList = List{
	Path: []string{"machine", "kubelet", "extraMounts"},
	Item: "extra mount",
	Read: func(t *Text) ([]any, error) {
		config, err := mountsOf(t)
		return values(config.ExtraMounts), err
	},
	Hints: Hints{ByHand: "by hand", Convert: "convert it", Without: "do without"},
}

type extraMount struct {
	Destination string   `json:"destination"       yaml:"destination"`
	Type        string   `json:"type,omitempty"    yaml:"type,omitempty"`
	Source      string   `json:"source,omitempty"  yaml:"source,omitempty"`
	Options     []string `json:"options,omitempty" yaml:"options,omitempty"`
}

// mountsChange is a change of the list; Rebind makes rbind of the option bind.
type mountsChange struct {
	Remove, Rebind []int
	Add            []extraMount
}

func (c mountsChange) ofList() Change {
	change := Change{Remove: c.Remove, Add: values(c.Add)}
	for _, i := range c.Rebind {
		change.Replace = append(change.Replace, Replacement{Entry: i, Key: "options", Old: "bind", New: "rbind"})
	}
	return change
}

func editMounts(raw []byte, c mountsChange) ([]byte, error) { return mountsList.Edit(raw, c.ofList()) }

func convertMounts(raw []byte, c mountsChange) ([]byte, error) {
	return mountsList.Convert(raw, c.ofList())
}

func diffMounts(before, after []byte) string { return mountsList.Diff(before, after) }

func fragment(add []extraMount) string { return mountsList.Fragment(values(add)) }

func values(entries []extraMount) []any {
	all := make([]any, len(entries))
	for i, m := range entries {
		all[i] = m
	}
	return all
}

// mountsConfig is what the tests read of a configuration.
type mountsConfig struct {
	ExtraMounts              []extraMount
	Kubelet, KubeletDocument bool
	UserVolumes              []UserVolume
	MachineDisks             []MachineDisk
}

func readMounts(raw []byte) (mountsConfig, error) {
	t, err := Parse(raw)
	if err != nil {
		return mountsConfig{}, err
	}
	return mountsOf(t)
}

func mountsOf(t *Text) (config mountsConfig, err error) {
	doc, err := t.Main()
	if err != nil {
		return mountsConfig{}, err
	}
	var typed struct {
		Machine struct {
			Kubelet yaml.Node `yaml:"kubelet"`
		} `yaml:"machine"`
	}
	if err := Decode(doc, &typed); err != nil {
		return mountsConfig{}, err
	}
	var kubelet struct {
		ExtraMounts []yaml.Node `yaml:"extraMounts"`
	}
	if config.Kubelet = typed.Machine.Kubelet.Kind != 0; config.Kubelet {
		if err := Decode(&typed.Machine.Kubelet, &kubelet); err != nil {
			return mountsConfig{}, err
		}
	}
	for _, entry := range kubelet.ExtraMounts {
		var mount extraMount
		if err := Decode(&entry, &mount); err != nil {
			return mountsConfig{}, err
		}
		config.ExtraMounts = append(config.ExtraMounts, mount)
	}
	config.KubeletDocument = len(t.Documents(kubeletConfig)) > 0
	if config.MachineDisks, err = t.MachineDisks(); err != nil {
		return mountsConfig{}, err
	}
	config.UserVolumes, err = t.UserVolumes()
	return config, err
}

func equalMount(a, b extraMount) bool {
	return a.Destination == b.Destination && a.Type == b.Type && a.Source == b.Source && slices.Equal(a.Options, b.Options)
}

// rebound is an entry with rbind for bind.
func rebound(m extraMount) extraMount {
	m.Options = slices.Clone(m.Options)
	for i, o := range m.Options {
		if o == "bind" {
			m.Options[i] = "rbind"
		}
	}
	return m
}
