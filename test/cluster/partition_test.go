// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"reflect"
	"testing"
)

func TestParseDump(t *testing.T) {
	const dump = `label: gpt
label-id: 657059E1-A990-C649-99C9-3EA90393FA14
device: /dev/nvme0n1
unit: sectors
first-lba: 256
last-lba: 51199
sector-size: 4096

/dev/nvme0n1p1 : start=         256, size=       25600, uuid=63610365-DF93-DF4E-8F7C-C0F40A642820, name="u-ssd-1"
/dev/nvme0n1p12 : start=       25856, size=        2560, type=0FC63DAF-8483, uuid=E58FABF1-BC18-A743-9C58-E4E26995764A
`
	got, err := parseDump(dump)
	if err != nil {
		t.Fatal(err)
	}
	want := []Partition{
		{Number: 1, Start: 1 << 20, Size: 100 << 20, Label: "u-ssd-1", UUID: "63610365-df93-df4e-8f7c-c0f40a642820"},
		{Number: 12, Start: 101 << 20, Size: 10 << 20, UUID: "e58fabf1-bc18-a743-9c58-e4e26995764a"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if _, err := parseDump("/dev/vdb1 : start=x, size=1"); err == nil {
		t.Error("a partition that begins at x is taken")
	}
}
