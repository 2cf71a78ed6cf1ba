// SPDX-License-Identifier: Apache-2.0

package nodescript

import (
	"errors"
	"slices"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
)

func TestAnswersOfSteps(t *testing.T) {
	const first = "record=step\x1fdir=/d\x1fentry=a\x1fresult=created\x1f\x1e"
	const second = "record=step\x1fdir=/d\x1fentry=b\x1fresult=linked\x1fdetail=/d/x\x1f\x1e"
	cut := errors.New("cut")
	created, linked := StepAnswer{Answered: true, Outcome: StepCreated}, StepAnswer{Answered: true, Outcome: StepLinked, Detail: "/d/x"}
	for name, tt := range map[string]struct {
		answer Answer
		want   []StepAnswer
		why    string
	}{
		"whole": {
			answer: Answer{Out: first + second + End},
			want:   []StepAnswer{created, linked},
			why:    "the node said nothing of it",
		},
		"cut after one":      {answer: Answer{Out: first, Err: cut}, want: []StepAnswer{created, {}}, why: "cut"},
		"no end":             {answer: Answer{Out: first}, want: []StepAnswer{created, {}}, why: "the node's answer has no end"},
		"in the wrong order": {answer: Answer{Out: second + first + End}, want: []StepAnswer{{}, {}}, why: "the node said nothing of it"},
		"of a look": {
			answer: Answer{Out: "record=start\x1fentry=a\x1fresult=created\x1f\x1e" + End},
			want:   []StepAnswer{{}, {}},
			why:    "the node said nothing of it",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := tt.answer.Steps([]Step{LinkStep("vdb", disk.Number{Major: 254}, "f", "/d", "a", "/dev/vdb"),
				UnlinkStep("/d", "b", "/dev/vdc")})
			if !slices.Equal(got, tt.want) || err == nil || err.Error() != tt.why {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

// A word with a line break would be read as two, and what follows as another step.
func TestStepsWithLineBreaksAreNotSendable(t *testing.T) {
	for name, step := range map[string]Step{
		"entry":     UnlinkStep("/d", "a\nend", "/dev/x"),
		"target":    RestoreStep("/d", "a", "/dev/x\r"),
		"directory": UnlinkStep("/d\n", "a", "/dev/x"),
	} {
		if step.Sendable() {
			t.Errorf("with a line break in its %s: %q", name, step)
		}
	}
	if step := UnlinkStep("/d", "a b", "/dev/x"); !step.Sendable() || step.lines() != "unlink\n/d\na b\n/dev/x\n" {
		t.Errorf("%q", step)
	}
}
