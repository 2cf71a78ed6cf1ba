// SPDX-License-Identifier: Apache-2.0

package docs_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/talosdisk/kubectl-talosdisk/internal/example"
	"github.com/talosdisk/kubectl-talosdisk/pkg/cmd"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
)

// unseen is what the doctor saw of pod/reader on the test cluster. TestDocuments in test/e2e, which follows the
// documents there, saves it with -update.
const unseen = "testdata/unseen.json"

// TestDiagnosesAreTheDoctors holds every diagnosis in the documents to what the program says of that snapshot today. What
// the other commands print takes a cluster: test/e2e.
func TestDiagnosesAreTheDoctors(t *testing.T) {
	const command = "kubectl talosdisk doctor pod/reader"
	var out, errOut bytes.Buffer
	streams := genericiooptions.IOStreams{In: &bytes.Buffer{}, Out: &out, ErrOut: &errOut}
	if code := cmd.Execute(t.Context(), cmd.Deps{Streams: streams}, []string{"doctor", "--from-snapshot", unseen}); code != 2 {
		t.Fatalf("exit code %d: %s%s", code, errOut.String(), out.String())
	}
	found := 0
	for file, text := range documents(t) {
		for _, e := range example.In(text) {
			if !strings.Contains(e.Command, " doctor") {
				continue
			}
			found++
			if e.Command != command {
				t.Errorf("%s:%d: nothing holds what %q prints", file, e.Line, e.Command)
			} else if err := e.Match(out.String()); err != nil {
				t.Errorf("%s:%d: %v", file, e.Line, err)
			}
		}
	}
	if found < 2 {
		t.Errorf("only %d diagnoses found", found)
	}
}

// TestPromptsBeginExamples holds that no command with a prompt is written so that the tests of the examples miss it, and that
// each says what it prints.
func TestPromptsBeginExamples(t *testing.T) {
	for file, text := range documents(t) {
		lines := map[int]bool{}
		for _, e := range example.In(text) {
			lines[e.Line] = true
			if len(e.Output) == 0 {
				t.Errorf("%s:%d: %q prints nothing; without output it needs no prompt", file, e.Line, e.Command)
			}
		}
		for i, line := range strings.Split(text, "\n") {
			if strings.HasPrefix(strings.TrimSpace(line), "$ kubectl") && !lines[i+1] {
				t.Errorf("%s:%d: a prompt in code that is not indented by four spaces", file, i+1)
			}
		}
	}
}

// TestEveryReasonIsExplained holds the table of reasons to those that there are.
func TestEveryReasonIsExplained(t *testing.T) {
	_, table, _ := strings.Cut(documents(t)["docs/disks.md"], "## Why is my disk refused?")
	for _, reason := range disk.Reasons() {
		row := ""
		for line := range strings.Lines(table) {
			if first, _, _ := strings.Cut(strings.TrimPrefix(line, "| "), " | "); strings.Contains(first, fmt.Sprintf("`%s`", reason)) {
				row = strings.TrimSpace(line)
			}
		}
		accepted := map[bool]string{true: "| yes |", false: "| no |"}[reason.Acceptable()]
		if !strings.HasSuffix(row, accepted) {
			t.Errorf("%s: the row %q does not end with %q", reason, row, accepted)
		}
	}
}
