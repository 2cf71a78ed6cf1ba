// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestNames holds the table of reasons, which says for each which test has it,
// to the tests that are here. It needs no cluster of its own.
func TestNames(t *testing.T) {
	const table = "../../pkg/link/reasons_test.go"
	text, err := os.ReadFile(table)
	if errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("the table of reasons is not in %s", table)
	}
	if err != nil {
		t.Fatal(err)
	}
	tests := sources(t)
	named := regexp.MustCompile(`e2e:(Test\w+)(?:/([\w-]+))?`).FindAllStringSubmatch(string(text), -1)
	if len(named) == 0 {
		t.Fatalf("%s names no test", table)
	}
	for _, n := range named {
		if !strings.Contains(tests, "\nfunc "+n[1]+"(t *testing.T)") {
			t.Errorf("%s names %s, and there is no such test", table, n[0])
			continue
		}
		if n[2] == "" {
			continue
		}
		// A subtest has its name in a table, or in a call of Run.
		if !strings.Contains(tests, `name: "`+n[2]+`"`) && !strings.Contains(tests, `t.Run("`+n[2]+`"`) &&
			!strings.Contains(tests, `{"`+n[2]+`", `) {
			t.Errorf("%s names %s, and there is no such subtest", table, n[0])
		}
	}
}

// sources are all tests of this directory but this one.
func sources(t *testing.T) string {
	t.Helper()
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), "_test.go") || e.Name() == "names_test.go" {
			continue
		}
		text, err := os.ReadFile(e.Name())
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}
