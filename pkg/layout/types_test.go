// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"reflect"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
)

func TestClassesFor(t *testing.T) {
	base := Class{
		Name: "slow", As: AsVolume, By: ByIdentity, Disks: Disks{Count: new(2), Rotational: new(true), Size: Range{Min: 1e12}},
	}
	other := Class{Name: "fast", Disks: Disks{Transport: "nvme"}}
	for name, c := range map[string]struct {
		overrides []Override
		want      Disks
		by        By
	}{
		"none": {want: base.Disks},
		"another node": {
			overrides: []Override{{Nodes: []string{"w-4", "x-*"}, Classes: []ClassOverride{{Name: "slow", Disks: Disks{Count: new(1)}}}}},
			want:      base.Disks,
		},
		"another class": {
			overrides: []Override{{Nodes: []string{"*"}, Classes: []ClassOverride{{Name: "slower", Disks: Disks{Count: new(1)}}}}}, want: base.Disks,
		},
		"the count": {
			overrides: []Override{{Nodes: []string{"w-3"}, Classes: []ClassOverride{{Name: "slow", Disks: Disks{Count: new(0)}}}}},
			want:      Disks{Count: new(0), Rotational: new(true), Size: Range{Min: 1e12}},
		},
		"the choice": {
			overrides: []Override{{Nodes: []string{"w-?"}, Classes: []ClassOverride{{Name: "slow", Disks: Disks{Match: "true"}}}}},
			want:      Disks{Count: new(2), Match: "true"},
		},
		"names, which say how many": {
			overrides: []Override{{Nodes: []string{"w-3"}, Classes: []ClassOverride{{Name: "slow", Disks: Disks{Names: []string{"vda"}}}}}},
			want:      Disks{Names: []string{"vda"}},
		},
		"one after the other": {
			overrides: []Override{
				{Nodes: []string{"w-*"}, Classes: []ClassOverride{{Name: "slow", Disks: Disks{Count: new(3), Model: "A*"}}}},
				{Nodes: []string{"w-3"}, Classes: []ClassOverride{{Name: "slow", By: BySlot, Disks: Disks{Model: "B*"}}}},
			},
			want: Disks{Count: new(3), Model: "B*"}, by: BySlot,
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := Layout{Spec: Spec{Classes: []Class{base, other}, Overrides: c.overrides}}
			got := l.ClassesFor("w-3")
			want := base
			want.Disks = c.want
			if c.by != "" {
				want.By = c.by
			}
			if !reflect.DeepEqual(got, []Class{want, other}) {
				t.Errorf("%+v", got)
			}
			if !reflect.DeepEqual(l.Spec.Classes, []Class{base, other}) {
				t.Error("the layout itself was changed")
			}
		})
	}
}

func TestVolumeNames(t *testing.T) {
	for key, want := range map[string]struct {
		class string
		n     int
	}{
		"fast-1": {class: "fast", n: 1}, "a-1-2": {class: "a-1", n: 2}, "a-10": {class: "a", n: 10},
		"fast": {}, "fast-": {}, "-1": {}, "fast-0": {}, "fast-01": {}, "fast-+1": {}, "fast-x": {}, "": {}, "a-99999999999999999999": {},
	} {
		class, n, ok := ParseVolumeName(key)
		if ok != (want.n > 0) || ok && (class != want.class || n != want.n) {
			t.Errorf("%q: %q, %d, %v", key, class, n, ok)
		}
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]Size{
		"50GiB": 50 << 30, "50 GiB": 50 << 30, "50Gi": 50 << 30, "480GB": 480e9, "1.5TB": 1.5e12, "0.5KiB": 512, "512": 512, "7B": 7, "0": 0,
		"9223372036854775807": 1<<63 - 1,
	} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"100G": "can mean two things: write 100GB (powers of 1000) or 100GiB (powers of 1024)", "1.5t": "write 1.5TB",
		"": "is not a number", "GiB": "is not a number", "-1GB": "is not a number", "1GBB": "is not a number", "1e9": "is not a number",
		"1.2.3GB": "is not a number", "1/2GB": "is not a number", "0x10": "is not a number", "five": "is not a number", ".": "is not a number",
		"9223372036854775808": "is too large", "99999999PiB": "is too large", strings.Repeat("9", 40): "is not a number",
	} {
		if got, err := ParseSize(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
}

func TestASizeIsReadAsItIsWritten(t *testing.T) {
	for size, want := range map[Size]string{
		50 << 30: "50GiB", 480e9: "480GB", 480103981056: "480103981056", 4e12: "4TB", 1 << 40: "1TiB", 1536 << 30: "1536GiB", 512: "512", 0: "0",
		5e6: "5MB", 5 << 20: "5MiB",
	} {
		got := size.String()
		back, err := ParseSize(got)
		if got != want || err != nil || back != size {
			t.Errorf("%d: %q, %d, %v", uint64(size), got, uint64(back), err)
		}
	}
}

func TestBindingsAsIdentities(t *testing.T) {
	disks := disk.ID{WWID: "naa.5000c500a1b2c3d4", Serial: "ZA1", ByID: []string{"ata-X_ZA1"}, ByPath: []string{"pci-1"}, Size: 5}
	whole := Binding{WWID: "naa.5000c500a1b2c3d4", Serial: "ZA1", ByID: "ata-X_ZA1", ByPath: "pci-1", Size: 5}
	if got := whole.ID(); !reflect.DeepEqual(got, disks) || whole.Slot() {
		t.Errorf("%+v", got)
	}
	slot := Binding{ByPath: "pci-1"}
	if got := slot.ID(); !reflect.DeepEqual(got, disk.ID{ByPath: []string{"pci-1"}}) || !slot.Slot() || (Binding{}).Slot() {
		t.Errorf("%+v", got)
	}
}
