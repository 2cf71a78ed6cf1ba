// SPDX-License-Identifier: Apache-2.0

package mounts

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
)

func TestParseMountinfo(t *testing.T) {
	got := lines(t, slave+`36 35 98:0 /mnt\0401 /mnt\0122\134 rw,noatime shared:7 master:1 propagate_from:2 unbindable - fuse.sshfs  rw
37 36 0:4 net:[4026531840] /run/netns/a ro - nsfs nsfs\043 rw
`)
	want := []Mount{
		{
			ID:      619,
			Parent:  305,
			Device:  disk.Number{Major: 254, Minor: 6},
			Root:    "/lib/disks",
			Point:   "/var/lib/disks",
			Options: []string{"rw", "relatime"},
			Master:  22,
			Type:    "xfs",
			Source:  "/dev/vda6",
		},
		{
			ID:      620,
			Parent:  619,
			Device:  disk.Number{Major: 254, Minor: 65},
			Root:    "/",
			Point:   "/var/lib/disks/hdd/vde",
			Options: []string{"rw", "relatime"},
			Master:  51,
			Type:    "xfs",
			Source:  "/dev/vde1",
		},
		{
			ID:      36,
			Parent:  35,
			Device:  disk.Number{Major: 98},
			Root:    "/mnt 1",
			Point:   "/mnt\n2\\",
			Options: []string{"rw", "noatime"},
			Shared:  7,
			Master:  1,
			Type:    "fuse.sshfs",
		},
		{
			ID:      37,
			Parent:  36,
			Device:  disk.Number{Minor: 4},
			Root:    "net:[4026531840]",
			Point:   "/run/netns/a",
			Options: []string{"ro"},
			Type:    "nsfs",
			Source:  "nsfs#",
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	for i, propagation := range []string{"slave", "slave", "slave", "private"} {
		if got[i].Propagation() != propagation || got[i].ReadOnly() != (i == 3) {
			t.Errorf("%s: %s, read-only %v", got[i].Point, got[i].Propagation(), got[i].ReadOnly())
		}
	}
	if s := lines(t, bound)[0]; s.Propagation() != "shared" || s.String() != "/dev/vda6 (/lib/disks)" {
		t.Errorf("%s, %s", s.Propagation(), s)
	}
	if s := lines(t, kubeletOwn)[0].String(); s != "overlay" {
		t.Errorf("root is %q", s)
	}
}

func TestParseMountinfoRefuses(t *testing.T) {
	const good = "36 35 98:0 / /mnt rw - ext4 /dev/sda rw\n"
	for what, bad := range map[string]string{
		"few fields":         "36 35 98:0 / /mnt",
		"no separator":       "36 35 98:0 / /mnt rw shared:1 ext4 /dev/sda rw",
		"nothing after it":   "36 35 98:0 / /mnt rw - ext4 /dev/sda",
		"no number":          "x 35 98:0 / /mnt rw - ext4 /dev/sda rw",
		"no parent":          "36 -1 98:0 / /mnt rw - ext4 /dev/sda rw",
		"no device":          "36 35 98 / /mnt rw - ext4 /dev/sda rw",
		"no peer group":      "36 35 98:0 / /mnt rw shared: - ext4 /dev/sda rw",
		"no master":          "36 35 98:0 / /mnt rw master:x shared:2 - ext4 /dev/sda rw",
		"relative":           "36 35 98:0 / mnt rw - ext4 /dev/sda rw",
		"escape that is cut": `36 35 98:0 / /mnt\04 rw - ext4 /dev/sda rw`,
		"escape of no digit": `36 35 98:0 /\n /mnt rw - ext4 /dev/sda rw`,
		"escape too large":   `36 35 98:0 / /mnt\777 rw - ext4 /dev/sda rw`,
		"empty":              "",
	} {
		got, err := ParseMountinfo([]byte(good + bad + "\n" + good))
		if err == nil {
			t.Errorf("%s: took %+v", what, got)
		} else {
			holds(t, what, err.Error(), "line 2 ")
		}
	}
	// A stream that broke off reads like one that ended.
	if _, err := ParseMountinfo([]byte(good + strings.TrimSuffix(good, "\n"))); err == nil ||
		!strings.Contains(err.Error(), "line 2 of mountinfo is cut off") {
		t.Error(err)
	}
	if _, err := ParseMountinfo(nil); err == nil {
		t.Error("took nothing")
	}
}

// line is the inverse of parseMount.
func line(m Mount) string {
	escape := func(s string) string {
		return strings.NewReplacer(" ", `\040`, "\t", `\011`, "\n", `\012`, `\`, `\134`).Replace(s)
	}
	text := fmt.Sprintf("%d %d %s %s %s %s", m.ID, m.Parent, m.Device, escape(m.Root), escape(m.Point), strings.Join(m.Options, ","))
	if m.Shared != 0 {
		text += fmt.Sprintf(" shared:%d", m.Shared)
	}
	if m.Master != 0 {
		text += fmt.Sprintf(" master:%d", m.Master)
	}
	return text + fmt.Sprintf(" - %s %s rw\n", escape(m.Type), escape(m.Source))
}

func FuzzParseMountinfo(f *testing.F) {
	for _, text := range []string{kubeletOwn, fourTimes, bound, slave, hostOwn, hostDisk, hostVolume, kubeletVolume,
		"1 2 0:1 / / rw - a b c\n2 1 0:1 / / rw - a b c\n", "3 0 0:0  /  -   \n3 0 0:0  /0  -   \n",
		`36 35 98:0 /mnt\0401 /mnt2 rw shared:7 master:1 - ext4 /dev/sd\134a rw` + "\n"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		mounts, err := ParseMountinfo(data)
		if err != nil {
			return
		}
		var again strings.Builder
		for _, m := range mounts {
			again.WriteString(line(m))
		}
		if got := lines(t, again.String()); !reflect.DeepEqual(got, mounts) {
			t.Fatalf("written and read again: %+v, was %+v", got, mounts)
		}
		// Whatever it says, a walk through it ends.
		view := KubeletView{Kubelet: mounts, Host: mounts}
		for _, m := range mounts[:min(len(mounts), 50)] {
			if s := view.Visibility(m.Point); s.Visible == disk.No {
				t.Fatalf("a namespace differs from itself at %q: %s", m.Point, s.Why)
			}
		}
	})
}
