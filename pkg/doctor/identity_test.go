// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// A WWID that several disks of a kind have led to another disk after a reboot, by the name that
// is made of it (scrutiny#435): the serial number tells.
func TestOneWWIDAndAnotherSerial(t *testing.T) {
	text, err := os.ReadFile("testdata/identity/d10-placeholder-wwn-swapped.json")
	if err != nil {
		t.Fatal(err)
	}
	s := new(snapshot.Snapshot)
	if err := json.Unmarshal(text, s); err != nil {
		t.Fatal(err)
	}
	for _, f := range Run(s, Options{}).Findings {
		if f.Code == "TD0502" && f.Severity == Error {
			return
		}
	}
	t.Error("the link leads to another disk than recorded, and that is no error")
}
