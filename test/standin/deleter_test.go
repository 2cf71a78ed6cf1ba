// SPDX-License-Identifier: Apache-2.0

package standin

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// released makes the volume of a device of the Block class, and its claim go.
func (b *bench) released(entry string) (pvName string) {
	b.t.Helper()
	b.file("block", entry)
	b.pass()
	pvName = PVName(entry, "w-1", "block")
	b.cluster.pvs[pvName].Status.Phase = corev1.VolumeReleased
	return pvName
}

// take returns the events since the last call.
func (b *bench) takeEvents() []string {
	var all []string
	for {
		select {
		case event := <-b.events.Events:
			all = append(all, event)
		default:
			return all
		}
	}
}

func (b *bench) setCleaner(command ...string) {
	class := b.config.Classes["block"]
	class.BlockCleanerCommand = command
	b.config.Classes["block"] = class
}

// A cleaner that fails is named in the log alone; its events are those of one that works.
func TestFailingCleanerHasNoFailedDelete(t *testing.T) {
	b := newBench(t)
	b.setCleaner("sh", "-c", "echo no luck >&2; exit 1")
	name := b.released("vdb")
	start := `Normal VolumeDelete Starting cleanup of Block PV "` + name + `", this may take a while`
	for pass := range 3 {
		log := b.pass()
		if events := b.takeEvents(); len(events) != 1 || events[0] != start {
			t.Errorf("pass %d: events %q, want %q", pass, events, start)
		}
		for _, line := range []string{`Cleanup pv "` + name + `": StderrBuf - "no luck"`, "\nexit status 1\nexit status 1"} {
			if !strings.Contains(log, line) {
				t.Errorf("pass %d: log\n%s\nwant\n%s", pass, log, line)
			}
		}
		if again := strings.Contains(log, "Cleanup for pv "+name+" failed. Restarting cleanup"); again != (pass > 0) {
			t.Errorf("pass %d: log\n%s", pass, log)
		}
	}
	if pv := b.cluster.pvs[name]; pv == nil || pv.Status.Phase != corev1.VolumeReleased {
		t.Errorf("the volume is %v", pv)
	}
}

// While a cleaner runs nothing else happens to its volume, and nobody who deletes the volume
// gets it back meanwhile.
func TestCleaningRunsBesideThePasses(t *testing.T) {
	b := newBench(t)
	b.setCleaner("sh", "-c", "while [ ! -e "+b.dir+"/done ]; do sleep 0.01; done")
	name := b.released("vdb")
	pass := func() string {
		b.Provisioner.pass(t.Context(), b.config)
		return b.log.take()
	}
	pass()
	if log := pass(); strings.Contains(log, "Start cleanup") || len(b.pvs()) != 1 {
		t.Errorf("a second cleaning was started, volumes %q:\n%s", b.pvs(), log)
	}
	delete(b.cluster.pvs, name)
	if log := pass(); !strings.Contains(log, "PV "+name+" is still being cleaned, not going to recreate it") || len(b.pvs()) != 0 {
		t.Errorf("volumes %q:\n%s", b.pvs(), log)
	}
	b.file("done")
	b.processes.group.Wait()
	if pass(); len(b.pvs()) != 1 {
		t.Errorf("volumes %q, want the volume again", b.pvs())
	}
}
