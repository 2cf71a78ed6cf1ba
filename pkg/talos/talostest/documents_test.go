// SPDX-License-Identifier: Apache-2.0

package talostest_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/siderolabs/talos/pkg/machinery/config/configloader"

	"github.com/talosdisk/kubectl-talosdisk/internal/example"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talos/talostest"
)

// installed is a machine that runs from its disk.
type installed struct{}

func (installed) String() string        { return "metal" }
func (installed) RequiresInstall() bool { return false }
func (installed) InContainer() bool     { return false }

// TestDocumentedConfigurations has Talos's own decoder read what the documents tell people to put into machine
// configurations: documents appended to a whole configuration, as they are to be, and parts of machine by themselves.
func TestDocumentedConfigurations(t *testing.T) {
	t.Parallel()
	c, err := talostest.NewCluster()
	if err != nil {
		t.Fatal(err)
	}
	worker, err := c.Config(talostest.V113, true, false)
	if err != nil {
		t.Fatal(err)
	}
	config := regexp.MustCompile(`^machine:\n|^---\napiVersion: v1alpha1\n`)
	found := 0
	for _, name := range []string{"guide.md", "mounts.md"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", name))
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range example.Blocks(string(text)) {
			if !config.MatchString(block.Text()) {
				continue
			}
			found++
			if strings.HasPrefix(block.Text(), "machine:") {
				if _, err := configloader.NewFromBytes([]byte(block.Text())); err != nil {
					t.Errorf("docs/%s:%d: %v", name, block.Line, err)
				}
				continue
			}
			whole, err := configloader.NewFromBytes(append(worker[:len(worker):len(worker)], block.Text()...))
			if err != nil {
				t.Errorf("docs/%s:%d: %v", name, block.Line, err)
			} else if _, err := whole.Validate(installed{}); err != nil {
				t.Errorf("docs/%s:%d: %v", name, block.Line, err)
			}
		}
	}
	if found < 5 {
		t.Errorf("only %d configurations found", found)
	}
}
