// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
)

// maxPath is Linux's PATH_MAX.
const maxPath = 4096

// Refuse removes each part in which something has a name that neither the kernel, udev nor Talos gives, and says so
// in its place: a part that lacks one thing may lack the disk that is in use.
func (t *Talos) Refuse() {
	refuse(&t.Disks, func(disks []TalosDisk) error {
		if len(disks) > MaxDisks {
			return fmt.Errorf("%d disks, more than %d", len(disks), MaxDisks)
		}
		for _, d := range disks {
			if err := cmpErr(names("disk", kernelPath, append([]string{d.Name}, d.Secondaries...)...),
				names("name of a disk", devicePath, d.Symlinks...)); err != nil {
				return err
			}
			if len(d.Symlinks)+len(d.Secondaries) > MaxNames {
				return fmt.Errorf("%d names of disk %q, more than %d", len(d.Symlinks)+len(d.Secondaries), d.Name, MaxNames)
			}
		}
		return nil
	})
	refuse(&t.System, func(name string) error { return names("disk", kernelPath, name) })
	refuse(&t.Devices, func(devices []TalosDevice) error {
		for _, d := range devices {
			if err := names("device", kernelPath, d.Name, orName(d.Parent)); err != nil {
				return err
			}
		}
		return nil
	})
	refuse(&t.Volumes, func(volumes []TalosVolume) error {
		for _, v := range volumes {
			if err := cmpErr(names("volume", devicePath, v.ID),
				names("device", printable, v.Location, v.MountLocation, v.ParentLocation)); err != nil {
				return err
			}
		}
		return nil
	})
	refuse(&t.Mounts, func(mounts []TalosMount) error {
		for _, m := range mounts {
			if err := names("mount", printable, m.Source, m.Target, m.Volume); err != nil {
				return err
			}
		}
		return nil
	})
	refuse(&t.Links, func(links map[string][]string) error {
		for name, paths := range links {
			if err := cmpErr(names("device", kernelPath, name), names("name of a disk", devicePath, paths...)); err != nil {
				return err
			}
		}
		return nil
	})
	refuse(&t.Diagnostics, func(all []TalosDiagnostic) error {
		for _, d := range all {
			if err := names("diagnostic", kernelPath, d.ID); err != nil {
				return err
			}
		}
		return nil
	})
}

// refuse makes a section that has what cannot be one that could not be read.
func refuse[T any](s *Section[T], check func(T) error) {
	if s.Value == nil {
		return
	}
	if err := check(*s.Value); err != nil {
		*s = Unread[T](problem.Text("what Talos answers cannot be: " + err.Error()))
	}
}

// names holds names to a grammar.
func names(what string, grammar func(string) bool, all ...string) error {
	if i := slices.IndexFunc(all, func(name string) bool { return !grammar(name) }); i >= 0 {
		return fmt.Errorf("no %s is called %q", what, cut(all[i]))
	}
	return nil
}

func cmpErr(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// devicePath reports whether it is a name below /dev, or one that Talos makes of such a name.
func devicePath(p string) bool {
	parts := strings.Split(strings.TrimPrefix(p, "/"), "/")
	return len(p) <= maxPath && !slices.ContainsFunc(parts, func(part string) bool { return part == "." || part == ".." || !udevName(part) })
}

// printable reports whether it is a text of one line, which may be a path with any name in it.
func printable(p string) bool {
	return len(p) <= maxPath && utf8.ValidString(p) && !strings.ContainsFunc(p, func(r rune) bool { return !unicode.IsPrint(r) })
}

// checkHostname holds what a volume's node affinity names to the grammar of the label's values, or of nodes.
func checkHostname(name string) error {
	if len(validation.IsValidLabelValue(name)) == 0 {
		return nil
	}
	return checkName("node", name)
}

// CheckNames reports a name that the API server gives no object. Whatever is decided and printed is by these names.
func (s *Snapshot) CheckNames() error {
	object := func(what, namespace, name string) error {
		return cmpErr(checkName("namespace", namespace), checkName(what, name))
	}
	for _, n := range s.Nodes {
		if err := checkName("node", n.Name); err != nil {
			return err
		}
	}
	for _, v := range s.Volumes {
		var claim ClaimRef
		if v.Claim != nil {
			claim = *v.Claim
		}
		err := cmpErr(checkName("volume", v.Name), checkName("StorageClass", v.Class), checkHostname(v.Node),
			object("claim", claim.Namespace, claim.Name))
		if err == nil && !printable(v.Path) {
			err = fmt.Errorf("path %q of volume %q has a control character, or another that cannot be printed", cut(v.Path), v.Name)
		}
		if err != nil {
			return err
		}
	}
	if s.Claims.Value != nil {
		for _, c := range *s.Claims.Value {
			if err := cmpErr(object("claim", c.Namespace, c.Name), checkName("volume", c.Volume)); err != nil {
				return err
			}
		}
	}
	if s.Pods.Value != nil {
		for _, p := range *s.Pods.Value {
			if err := cmpErr(object("pod", p.Namespace, p.Name), checkName("node", p.Node)); err != nil {
				return err
			}
			for _, v := range p.Volumes {
				if err := checkName("claim", v.Claim); err != nil {
					return err
				}
			}
		}
	}
	for _, as := range s.Installations() {
		if err := object("DaemonSet", as.Install.Namespace, as.Install.Name); err != nil {
			return err
		}
		if err := checkName("ConfigMap", as.Install.ConfigMap); err != nil {
			return err
		}
		for _, c := range as.Install.Classes {
			if err := c.Check(); err != nil {
				return err
			}
		}
		for _, n := range as.Nodes {
			if n.Pod.Value != nil {
				if err := checkName("pod", n.Pod.Value.Name); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
