// SPDX-License-Identifier: Apache-2.0

package release

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// systems are what releases are built for. Each links other modules.
var systems = []string{"linux", "darwin", "windows"}

// TestNoticeNamesWhatIsLinked holds that NOTICE has every module that a release holds, once, and no other.
func TestNoticeNamesWhatIsLinked(t *testing.T) {
	linked := make(map[string]bool)
	for _, system := range systems {
		cmd := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}{{end}}{{end}}", "./cmd/kubectl-talosdisk")
		cmd.Dir = filepath.Join("..", "..")
		cmd.Env = append(os.Environ(), "GOOS="+system, "CGO_ENABLED=0")
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v", system, err)
		}
		for _, module := range strings.Fields(string(out)) {
			linked[module] = true
		}
	}
	text, err := os.ReadFile(filepath.Join("..", "..", "NOTICE"))
	if err != nil {
		t.Fatal(err)
	}
	var named []string
	for line := range strings.Lines(string(text)) {
		if module, ok := strings.CutPrefix(line, "  "); ok {
			named = append(named, strings.TrimSpace(module))
		}
	}
	if len(linked) < 20 {
		t.Fatalf("only %d modules are linked", len(linked))
	}
	for module := range linked {
		if !slices.Contains(named, module) {
			t.Errorf("%s is linked; put it into NOTICE under its licence", module)
		}
	}
	for i, module := range named {
		if !linked[module] || slices.Contains(named[:i], module) {
			t.Errorf("NOTICE names %s, which is not linked or named before", module)
		}
	}
}
