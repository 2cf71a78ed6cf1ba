// SPDX-License-Identifier: Apache-2.0

package link

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
)

// tested says where every reason fires in a test: a row of a test of this package, or with e2e:
// of the tests on a real cluster.
var tested = map[disk.Reason][]string{
	disk.NotFound:  {"TestDecide/not-found", "e2e:TestRefusals/not-found"},
	disk.Partition: {"TestDecide/partition", "e2e:TestRefusals/partition"},
	disk.SystemDisk: {"TestDecide/system-disk", "TestDecide/system-disk by partition name", "TestDecide/system-disk by another path",
		"TestDecideWithTalos/system-disk", "TestDecideWithTalos/system-disk by its parts", "TestDecideWithTalos/system-disk by a volume"},
	disk.SystemDiskUnknown: {"TestDecide/system-disk-unknown", "TestDecideWithTalos/system-disk-unknown, volumes unread"},
	disk.InUse: {"TestDecide/in-use mounted", "TestDecide/in-use held", "TestDecide/in-use under a loop device",
		"TestDecide/in-use under a kubelet's loop device", "TestDecideWithTalos/in-use by a volume",
		"TestDecideWithTalos/in-use by a mount of no volume", "e2e:TestRefusals/in-use-mounted"},
	disk.ReadOnly: {"TestDecide/read-only", "e2e:TestRefusals/read-only"},
	disk.CDROM:    {"TestDecide/cdrom"},
	disk.NotChecked: {"TestDecide/not-checked", "TestDecide/not-checked content", "TestDecide/not-checked under a loop device",
		"TestDecide/data, and not read"},
	disk.AlreadyLinked:   {"TestDecide/already-linked elsewhere", "TestDecide/already-linked other path", "TestDecide/already-linked below"},
	disk.PartitionLinked: {"TestDecide/partition-linked"},
	disk.NameTaken:       {"TestDecide/name-taken by a disk", "TestDecide/name-taken by a dangling"},
	disk.VolumeExists:    {"TestDecide/volume-exists unrecorded", "TestDecide/volume-exists other disk"},
	disk.IdentityChanged: {"TestDecide/identity-changed"},
	disk.NoStableName:    {"TestDecide/no-stable-name"},
	disk.OtherClass:      {"TestDecide/other-class"},
	disk.ClassDirectory: {"TestDecide/class-directory missing", "TestDecide/class-directory not seen",
		"TestDecide/class-directory of the pod", "TestDecide/class-directory unread", "TestDecide/class-directory in memory"},
	disk.DeviceChanged: {"TestDecideAgain/device-changed: content", "TestDecideAgain/device-changed: node",
		"TestDecideAgain/device-changed: target", "TestDecideWithTalos/device-changed: another serial",
		"TestDecideWithTalos/device-changed: another size"},
	disk.Volatile: {"TestDecide/volatile"},

	disk.HasSignature:  {"TestDecide/signature", "TestDecide/signature accepted", "e2e:TestRefusals/signature-xfs"},
	disk.HasPartitions: {"TestDecide/partitions", "TestDecide/partitions accepted", "e2e:TestRefusals/partitions"},
	disk.HasData:       {"TestDecide/data", "TestDecide/data accepted", "TestDecide/data beside a signature"},
	disk.Remote:        {"TestDecide/remote", "TestDecide/remote accepted", "TestDecide/remote by name"},
	disk.Virtual:       {"TestDecide/virtual", "TestDecide/virtual accepted"},
	disk.Removable:     {"TestDecide/removable", "TestDecide/removable accepted"},
	disk.TooSmall:      {"TestDecide/too-small", "TestDecide/too-small accepted", "e2e:TestRefusals/too-small"},
	disk.Loop:          {"TestDecide/loop", "TestDecide/loop accepted"},

	Claimed:  {"TestDecideUnlink/claimed: reserved", "TestDecideUnlink/claimed: bound", "TestDecideUnlink/claimed: by path"},
	Cleaning: {"TestDecideUnlink/cleaning"},
	Released: {"TestDecideUnlink/released"},
	NotALink: {"TestDecideUnlink/not-a-link"},
	NotOurs:  {"TestDecideUnlink/not-a-disk-link"},
	NotKnown: {"TestDecideUnlink/unknown"},
}

// rowsOf are the strings in every test function of a directory, and in those that make its table, which are called ...Cases.
func rowsOf(t *testing.T, dir string) map[string][]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatal(dir, files, err)
	}
	rows, calls := make(map[string][]string), make(map[string][]string)
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Recv != nil {
				continue
			}
			name := fn.Name.Name
			rows[name] = []string{}
			ast.Inspect(fn, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.BasicLit:
					if s, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING {
						rows[name] = append(rows[name], s)
					}
				case *ast.CallExpr:
					if called, ok := n.Fun.(*ast.Ident); ok && strings.HasSuffix(called.Name, "Cases") {
						calls[name] = append(calls[name], called.Name)
					}
				}
				return true
			})
		}
	}
	for name, called := range calls {
		for _, c := range called {
			rows[name] = append(rows[name], rows[c]...)
		}
	}
	return rows
}

func TestEveryReasonIsTested(t *testing.T) {
	all := append(disk.Reasons(), Claimed, Cleaning, Released, NotALink, NotOurs, NotKnown)
	for _, r := range all {
		if len(tested[r]) == 0 {
			t.Errorf("reason %q has no test", r)
		}
		if r.Acceptable() && !slices.Contains(tested[r], "TestDecide/"+string(r)+" accepted") {
			t.Errorf("reason %q can be accepted, and no test does", r)
		}
	}
	here, cluster := rowsOf(t, "."), rowsOf(t, "../../test/e2e")
	for r, places := range tested {
		if !slices.Contains(all, r) {
			t.Errorf("%q is no reason", r)
		}
		for _, place := range places {
			rows, name := here, place
			if e2e, is := strings.CutPrefix(place, "e2e:"); is {
				rows, name = cluster, e2e
			}
			test, row, _ := strings.Cut(name, "/")
			if !slices.Contains(rows[test], row) {
				t.Errorf("%q: there is no %s", r, place)
			}
		}
	}
}
