// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/talosdisk/kubectl-talosdisk/internal/shell/shelltest"
	"github.com/talosdisk/kubectl-talosdisk/pkg/machineconfig"
)

// What a roll-out says to do next has the node's name and address as whole words, whatever they are.
func TestRollOutHints(t *testing.T) {
	refused := errors.Join(machineconfig.ErrNotTaken, errors.New("refused"))
	for name, c := range map[string]struct {
		mode   machineconfig.Mode
		change func(*talos)
		want   string
	}{
		"the kubelet is ill before": {
			mode:   machineconfig.Try,
			change: func(n *talos) { n.up = time.Now().Add(time.Hour) },
			want:   "talosctl -n ADDRESS service kubelet",
		},
		"the node is NotReady before": {
			mode:   machineconfig.Try,
			change: func(n *talos) { n.notReady = "no network" },
			want:   "kubectl describe node NAME",
		},
		"somebody changes it": {mode: machineconfig.Try, change: func(n *talos) {
			n.onApply = func(mode machineconfig.Mode) (error, error) {
				n.active = []byte("theirs")
				return nil, context.DeadlineExceeded
			}
		}, want: "kubectl talosdisk mounts list --nodes NAME"},
		"it is not kept": {mode: machineconfig.Try, change: func(n *talos) {
			n.onApply = func(mode machineconfig.Mode) (error, error) {
				if mode == machineconfig.NoReboot {
					return refused, nil
				}
				return nil, nil
			}
		}, want: "any change keeps it, such as a comment: talosctl -n ADDRESS edit machineconfig --mode no-reboot"},
		"it is not taken back": {mode: machineconfig.NoReboot, change: func(n *talos) {
			n.broken = []byte("new")
			n.onApply = func(machineconfig.Mode) (error, error) {
				if len(n.applied) > 1 {
					return refused, nil
				}
				return nil, nil
			}
		}, want: "take the entry out: talosctl -n ADDRESS edit machineconfig --mode no-reboot"},
	} {
		t.Run(name, func(t *testing.T) {
			hint := func(node, address string) (hint string) {
				synctest.Test(t, func(t *testing.T) {
					n := newTalos()
					c.change(n)
					n.name, n.address = node, address
					s := step(node, n)
					s.Address = address
					hint = rollOut(c.mode).Run(t.Context(), []Step{s}, func(Step) Node { return n })[0].Hint
				})
				return hint
			}
			usual := strings.NewReplacer("ADDRESS", "10.0.0.11", "NAME", "w-1").Replace(c.want)
			if got := hint("w-1", "10.0.0.11"); got != usual {
				t.Errorf("%q, want %q", got, usual)
			}
			if got := hint("w-1", ""); got != strings.ReplaceAll(usual, "10.0.0.11", "w-1") {
				t.Errorf("without an address: %q", got)
			}
			for _, evil := range shelltest.Hostile() {
				mark, _ := shelltest.Mark(evil)
				if names, err := shelltest.NamesInCommands(hint("w-1"+mark, "10.0.0.11"+mark), mark); err != nil || names != 1 {
					t.Errorf("%d names: %v", names, err)
				}
			}
		})
	}
}
