// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// budget is how large the program may be, in bytes, as it is released for linux/amd64. Talos's CEL environment, which
// doctor evaluates disk selectors by, is 6 MB of it.
const budget = 66_000_000

// recorded are the sizes of modules in a program that was within the budget:
// go test ./internal/rules -run Budget -args -record
const recorded = "testdata/modules.json"

var record = flag.Bool("record", false, "write down how large modules are in the program, to compare with later")

func TestTheProgramKeepsToItsBudget(t *testing.T) {
	// go test must not take the result for that of another version of a dependency;
	// it knows which files were read. Another test reads the program's own.
	if _, err := os.ReadFile(filepath.Join("..", "..", "go.sum")); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "program")
	build(t, program, "-s -w")
	info, err := os.Stat(program)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%.1f of %.1f MB", float64(info.Size())/1e6, budget/1e6)
	if *record {
		writeModules(t, modules(t))
	}
	if info.Size() <= budget {
		return
	}
	t.Errorf("the program has %.1f MB, %.1f MB more than it may", float64(info.Size())/1e6, float64(info.Size()-budget)/1e6)
	for _, line := range grown(readModules(t), modules(t)) {
		t.Log(line)
	}
}

// build builds the program as make build and a release do, whatever this machine is.
func build(t *testing.T, to, ldflags string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags="+ldflags, "-o", to, "./cmd/kubectl-talosdisk")
	cmd.Dir = filepath.Join("..", "..")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v: %s", err, out)
	}
}

// modules are the bytes of code and data by the module that they come from.
func modules(t *testing.T) map[string]int64 {
	t.Helper()
	moduleOf := modulesOfPackages(t)
	program := filepath.Join(t.TempDir(), "with-symbols")
	build(t, program, "-w")
	out, err := exec.CommandContext(t.Context(), "go", "tool", "nm", "-size", program).Output()
	if err != nil {
		t.Fatal(err)
	}
	sizes := make(map[string]int64)
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		// The address, the size, the kind and the name; types have names with blanks in them.
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || !strings.Contains("TtRr", fields[2]) {
			continue // What is zero until it is written to is in no file, and counted as data.
		}
		if size, err := strconv.ParseInt(fields[1], 10, 64); err == nil {
			sizes[cmp.Or(moduleOf[packageOf(fields[3])], "Go")] += size
		}
	}
	if len(sizes) < 5 {
		t.Fatalf("found only the modules %v", sizes)
	}
	return sizes
}

// packageOf is the package of a symbol: what comes before the first dot of the last
// element. In that a package's own dots are written %2e.
func packageOf(symbol string) string {
	symbol = strings.TrimLeft(strings.TrimPrefix(symbol, "go:itab."), "*")
	if i := strings.IndexAny(symbol, "[,"); i >= 0 {
		symbol = symbol[:i] // Type arguments, and what an itab is for, have paths, too.
	}
	slash := strings.LastIndex(symbol, "/") + 1
	last, _, _ := strings.Cut(symbol[slash:], ".")
	return symbol[:slash] + strings.ReplaceAll(last, "%2e", ".")
}

func modulesOfPackages(t *testing.T) map[string]string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=ImportPath,Module", "./cmd/kubectl-talosdisk")
	cmd.Dir = filepath.Join("..", "..")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	moduleOf := make(map[string]string)
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath string
			Module     *struct{ Path string }
		}
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return moduleOf
		} else if err != nil {
			t.Fatal(err)
		}
		if p.Module != nil {
			moduleOf[p.ImportPath] = p.Module.Path
		}
	}
}

// grown says what is larger than it was, the most first.
func grown(before, after map[string]int64) []string {
	var larger []string
	for module, size := range after {
		if size > before[module] {
			larger = append(larger, module)
		}
	}
	slices.SortFunc(larger, func(a, b string) int {
		return cmp.Or(cmp.Compare(after[b]-before[b], after[a]-before[a]), cmp.Compare(a, b))
	})
	for i, module := range larger {
		by := fmt.Sprintf("grew by %d to %d KB", (after[module]-before[module])/1000, after[module]/1000)
		if before[module] == 0 {
			by = fmt.Sprintf("is new, with %d KB", after[module]/1000)
		}
		larger[i] = module + " " + by
	}
	return larger
}

func readModules(t *testing.T) map[string]int64 {
	t.Helper()
	text, err := os.ReadFile(recorded)
	if err != nil {
		t.Fatal(err)
	}
	sizes := make(map[string]int64)
	if err := json.Unmarshal(text, &sizes); err != nil {
		t.Fatal(err)
	}
	return sizes
}

func writeModules(t *testing.T, sizes map[string]int64) {
	t.Helper()
	text, err := json.MarshalIndent(sizes, "", "  ")
	if err == nil {
		err = os.WriteFile(recorded, append(text, '\n'), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestWhatGrewIsTold(t *testing.T) {
	got := grown(map[string]int64{"a": 1000, "b": 5000, "gone": 1, "same": 7}, map[string]int64{"a": 9000, "b": 6000, "same": 7, "new": 3000})
	want := []string{"a grew by 8 to 9 KB", "new is new, with 3 KB", "b grew by 1 to 6 KB"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, not %q", got, want)
	}
	for symbol, want := range map[string]string{
		"k8s.io/api/core/v1.(*Pod).Marshal":                  "k8s.io/api/core/v1",
		"go:itab.*k8s.io/api/core/v1.Pod,k8s.io/x.I":         "k8s.io/api/core/v1",
		"gopkg.in/inf%2ev0.init":                             "gopkg.in/inf.v0",
		"k8s.io/client-go/gentype.(*Client[go.shape.a/b.C])": "k8s.io/client-go/gentype",
		"runtime.pclntab":                                    "runtime",
	} {
		if got := packageOf(symbol); got != want {
			t.Errorf("packageOf(%q) = %q, not %q", symbol, got, want)
		}
	}
}
