// SPDX-License-Identifier: Apache-2.0

package docs_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/talosdisk/kubectl-talosdisk/internal/example"
)

var (
	// beginsYAML is how what is to be pasted into a YAML file begins.
	beginsYAML = regexp.MustCompile(`^(---|[a-zA-Z]+:)(\s|$)`)
	// machineConfig is part of a machine configuration. Talos's own decoder reads it, in pkg/talos/talostest.
	machineConfig = regexp.MustCompile(`(?m)^machine:|^apiVersion: v1alpha1$`)
)

// TestSnippetsDecode reads every YAML text of the guide as it would be pasted: objects as Kubernetes, values as the chart.
func TestSnippetsDecode(t *testing.T) {
	found := 0
	for _, block := range example.Blocks(documents(t)["docs/guide.md"]) {
		if !beginsYAML.MatchString(block.Text()) || machineConfig.MatchString(block.Text()) {
			continue
		}
		found++
		for document := range strings.SplitSeq(block.Text(), "\n---\n") {
			if err := decode([]byte(document)); err != nil {
				t.Errorf("docs/guide.md:%d: %v", block.Line, err)
			}
		}
	}
	if found < 7 {
		t.Errorf("only %d snippets found", found)
	}
}

// values are those of the chart local-static-provisioner that the guide uses.
type values struct {
	Classes []struct {
		Name, HostDir, MountDir, NamePattern string
		VolumeMode                           corev1.PersistentVolumeMode
		StorageClass                         bool
	}
	Tolerations []corev1.Toleration
}

// decode reads one document. A field that there is not, or that is there twice, is an error.
func decode(document []byte) error {
	var kind struct{ APIVersion, Kind string }
	if err := yaml.Unmarshal(document, &kind); err != nil {
		return err
	}
	objects := map[string]any{"": &values{}, "v1 PersistentVolumeClaim": &corev1.PersistentVolumeClaim{}, "v1 Pod": &corev1.Pod{}}
	object := objects[strings.TrimSpace(kind.APIVersion+" "+kind.Kind)]
	if object == nil {
		return fmt.Errorf("nothing is known of %s %s", kind.APIVersion, kind.Kind)
	}
	return yaml.UnmarshalStrict(document, object)
}
