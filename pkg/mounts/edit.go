// SPDX-License-Identifier: Apache-2.0

package mounts

import (
	"fmt"
	"slices"
	"unicode"
	"unicode/utf8"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/machineconfig"
)

// Change is what to do with machine.kubelet.extraMounts.
type Change struct {
	// Remove are indexes of Settings.ExtraMounts.
	Remove []int
	// Rebind are indexes of those whose option bind becomes rbind.
	Rebind []int
	// Add are new entries, below those that stay.
	Add []ExtraMount
}

// extraMounts is the list in a machine configuration.
var extraMounts = machineconfig.List{
	Path: []string{"machine", "kubelet", "extraMounts"},
	Item: "extra mount",
	Read: func(t *machineconfig.Text) ([]any, error) {
		settings, err := readSettings(t)
		return values(settings.ExtraMounts), err
	},
	Hints: machineconfig.Hints{
		ByHand:  "write the entry by hand with talosctl edit machineconfig; kubectl talosdisk mounts -o patch prints it",
		Convert: "use a directory below /var/mnt or /dev, which the kubelet sees anyway, or convert it with kubectl talosdisk mounts --convert-kubelet-config",
		Without: "use a directory below /var/mnt or /dev, which the kubelet sees without extra mounts",
	},
}

// Edit changes machine.kubelet.extraMounts and nothing else.
func Edit(raw []byte, c Change) ([]byte, error) {
	if err := valid(c.Add); err != nil {
		return nil, err
	}
	return extraMounts.Edit(raw, c.ofList())
}

// Convert moves the KubeletConfig document that Talos v1.14 generates into machine.kubelet, where extra mounts are possible, and
// adds them there.
func Convert(raw []byte, c Change) ([]byte, error) {
	if err := valid(c.Add); err != nil {
		return nil, err
	}
	return extraMounts.Convert(raw, c.ofList())
}

// Diff tells what lies between two machine configurations, without secrets.
func Diff(before, after []byte) string { return extraMounts.Diff(before, after) }

// Fragment is the YAML of extra mounts, for people whose configuration lives in git.
func Fragment(add []ExtraMount) string { return extraMounts.Fragment(values(add)) }

// ofList is the change of a list whose entries happen to be extra mounts.
func (c Change) ofList() machineconfig.Change {
	change := machineconfig.Change{Remove: c.Remove, Add: values(c.Add)}
	for _, i := range c.Rebind {
		change.Replace = append(change.Replace, machineconfig.Replacement{Entry: i, Key: "options", Old: "bind", New: "rbind"})
	}
	return change
}

func values(entries []ExtraMount) []any {
	all := make([]any, len(entries))
	for i, m := range entries {
		all[i] = m
	}
	return all
}

// valid refuses what has no business in a path or a mount option, and what YAML could not hold as it is.
func valid(add []ExtraMount) error {
	for _, m := range add {
		for _, s := range append([]string{m.Destination, m.Type, m.Source}, m.Options...) {
			if !utf8.ValidString(s) || slices.ContainsFunc([]rune(s),
				func(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }) {
				return failure.New(fmt.Sprintf("the extra mount %q has control characters", m.Destination), "")
			}
		}
	}
	return nil
}
