// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// matchers are the files that look into a text, and what text that is. Nothing is decided by reading a text that this program wrote:
// what is decided on is a value, such as a problem.Kind.
var matchers = map[string]string{
	"pkg/cmd/again.go":                        "arguments: flags begin with a dash",
	"pkg/cmd/complete_targets.go":             "arguments: KIND/NAME",
	"pkg/cmd/completion.go":                   "words that a shell wants completed",
	"pkg/cmd/doctor.go":                       "arguments: KIND/NAME",
	"pkg/cmd/errors.go":                       "what client-go says of a kubeconfig",
	"pkg/cmd/explain.go":                      "the pages of docs/codes, and a word to complete",
	"pkg/cmd/root.go":                         "the name that kubectl starts the program by",
	"pkg/disk/arg.go":                         "arguments: disks and patterns",
	"pkg/disk/disk.go":                        "device numbers and udev's names",
	"pkg/disk/held.go":                        "udev's and the kernel's names",
	"pkg/disk/identity.go":                    "WWIDs",
	"pkg/disk/names.go":                       "udev's names",
	"pkg/disk/origin.go":                      "the kernel's names and transports",
	"pkg/disk/set.go":                         "the kernel's names, WWIDs and models",
	"pkg/disk/target.go":                      "udev's names",
	"pkg/doctor/checks_access.go":             "names of users in Kubernetes",
	"pkg/doctor/fix.go":                       "names of entries that a command would take for more",
	"pkg/doctor/checks_host.go":               "IDs of Talos's volumes, and what Talos says of one that failed",
	"pkg/doctor/checks_kubelet_judge.go":      "the kernel's mark of a mount whose directory was deleted",
	"pkg/doctor/checks_links.go":              "udev's names, and the provisioner's log",
	"pkg/doctor/facts_message.go":             "what the kubelet says",
	"pkg/doctor/facts_message_scheduling.go":  "what the scheduler says",
	"pkg/doctor/engine.go":                    "codes: those of pods begin alike, and those of claims",
	"pkg/doctor/facts_subject.go":             "the annotation of the volume's maker",
	"pkg/doctor/checks_provisioner.go":        "what the API server and the container runtime say; taints, names of images",
	"pkg/doctor/checks_provisioner_class.go":  "names of classes that begin alike",
	"pkg/doctor/checks_provisioner_log.go":    "the provisioner's log",
	"pkg/doctor/checks_host_selectors.go":     "labels of Talos's partitions",
	"pkg/doctor/checks_provisioner_shared.go": "IDs of Talos's volumes",
	"pkg/doctor/facts_views.go":               "what an entry has mounted, in the form of a snapshot: SOURCE (TYPE)",
	"pkg/doctor/checks_volumes.go":            "the annotation of the volume's maker",
	"pkg/doctor/checks_volumes_cleaning.go":   "the provisioner's log",
	"pkg/exec/errors.go":                      "what the API server, the kubelet, the runtime and the WebSocket library say",
	"pkg/kube/client.go":                      "paths of requests",
	"pkg/kube/records.go":                     "absolute paths",
	"pkg/kubeletprobe/parse.go":               "SELinux's labels",
	"pkg/layout/bind.go":                      "NODE/VOLUME, and the kernel's names",
	"pkg/layout/check.go":                     "paths of values in a file, and of directories",
	"pkg/layout/decode.go":                    "names of fields in JSON",
	"pkg/layout/write.go":                     "YAML",
	"pkg/link/accept.go":                      "arguments: REASON=NODE/DISK",
	"pkg/link/claims.go":                      "keys of identities: WWIDs and udev's names",
	"pkg/link/class.go":                       "paths below /dev",
	"pkg/link/holders.go":                     "names of the device mapper, and the kubelet's paths",
	"pkg/link/inventory.go":                   "the kernel's names",
	"pkg/link/plan.go":                        "paths below /run",
	"pkg/link/talos.go":                       "device names and IDs of Talos's volumes",
	"pkg/link/unlink.go":                      "paths below /dev",
	"pkg/machineconfig/convert.go":            "YAML",
	"pkg/machineconfig/replace.go":            "YAML",
	"pkg/machineconfig/text.go":               "YAML",
	"pkg/machineconfig/write.go":              "YAML",
	"pkg/mounts/decide_remove.go":             "NAMESPACE/NAME of a pod",
	"pkg/mounts/mountinfo.go":                 "/proc/PID/mountinfo",
	"pkg/nodescript/content.go":               "what blkid, mke2fs and dd say",
	"pkg/nodescript/parse.go":                 "sysfs, and the kernel's names",
	"pkg/nodescript/record.go":                "the scripts' records",
	"pkg/nodescript/session.go":               "the scripts' protocol",
	"pkg/observe/logs.go":                     "the provisioner's log",
	"pkg/output/columns.go":                   "custom columns",
	"pkg/output/output.go":                    "names of kinds: lists end alike",
	"pkg/problem/old.go":                      "snapshots of version 1, in which a problem is a text",
	"pkg/provisioner/detect.go":               "names of images",
	"pkg/rights/forbidden.go":                 "the API server's refusals",
	"pkg/rights/rights.go":                    "names of users in Kubernetes",
	"pkg/snapshot/shorten.go":                 "the mark of what was left out of the text of an event or a log",
	"pkg/snapshot/snapshot.go":                "NAMESPACE/NAME of a claim, and the kubelet's osImage",
	"pkg/snapshot/talos.go":                   "the kernel's and udev's names",
	"pkg/talos/bounded.go":                    "names of methods",
	"pkg/talos/conceal.go":                    "keys of a machine configuration that hold secrets",
	"pkg/talos/config.go":                     "what the YAML library says",
	"pkg/talos/errors.go":                     "what Talos, gRPC and TLS say",
	"pkg/talos/hangup.go":                     "what gRPC and TLS say",
	"pkg/talos/inventory.go":                  "paths below /dev",
	"pkg/talos/kubelet.go":                    "SELinux's labels",
	"pkg/talos/text.go":                       "what Talos and gRPC say",
	"pkg/talos/view.go":                       "targets of symlinks, and what the operating system says",
	"pkg/talosrelease/release.go":             "the kubelet's osImage",
}

// TestTextsOfThisProgramDecideNothing holds that only the files of the list search in texts or split them.
func TestTextsOfThisProgramDecideNothing(t *testing.T) {
	found := make(map[string]bool)
	root := filepath.Join("..", "..")
	for _, room := range []string{"pkg", "internal", "cmd"} {
		err := filepath.WalkDir(filepath.Join(root, room), func(file string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || filepath.Ext(file) != ".go" || strings.HasSuffix(file, "_test.go") {
				return err
			}
			name, err := filepath.Rel(root, file)
			if err != nil {
				return err
			}
			if name = filepath.ToSlash(name); strings.HasSuffix(filepath.Dir(name), "test") || in(name, "internal/example") {
				return nil // For tests only.
			}
			for _, at := range textMatches(t, file) {
				found[name] = true
				if matchers[name] == "" {
					t.Errorf("%s: it looks into a text; decide by a value, or say in the list which foreign text or format it is", at)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for name := range matchers {
		if !found[name] {
			t.Errorf("%s is in the list, and looks into no text", name)
		}
	}
}

// textMatches are the places of a file that use a regular expression, or search in a text. That a path lies in a directory is no
// such place: HasPrefix(p, dir+"/").
func textMatches(t *testing.T, file string) []token.Position {
	t.Helper()
	files := token.NewFileSet()
	f, err := parser.ParseFile(files, file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	return searches(files, f)
}

func searches(files *token.FileSet, f *ast.File) []token.Position {
	var found []token.Position
	ast.Inspect(f, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		fun, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		of, ok := fun.X.(*ast.Ident)
		switch {
		case !ok:
		case of.Name == "regexp":
			found = append(found, files.Position(n.Pos()))
		case of.Name != "strings" && of.Name != "bytes":
		case slices.Contains([]string{"Contains", "HasPrefix", "HasSuffix", "Index", "LastIndex", "Cut", "CutPrefix", "CutSuffix", "EqualFold"},
			fun.Sel.Name):
			if sum, ok := call.Args[1].(*ast.BinaryExpr); ok {
				if slash, _ := textOf(sum.Y); slash == "/" {
					return true
				}
			}
			found = append(found, files.Position(n.Pos()))
		}
		return true
	})
	return found
}

func TestWhatLooksIntoATextIsSeen(t *testing.T) {
	for code, want := range map[string]int{
		`strings.HasSuffix(problem, "has no pod there")`: 1,
		`strings.Contains(why, other.Message)`:           1,
		`regexp.MustCompile("x")`:                        1,
		`bytes.Cut(a, b)`:                                1,
		`strings.HasPrefix(p, dir+"/")`:                  0,
		`strings.Join(all, ", ")`:                        0,
		`slices.Contains(all, "x")`:                      0,
	} {
		files := token.NewFileSet()
		f, err := parser.ParseFile(files, "x.go", "package x\nvar y = "+code, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(searches(files, f)); got != want {
			t.Errorf("%s: seen %d times", code, got)
		}
	}
}
