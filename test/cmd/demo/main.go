// SPDX-License-Identifier: Apache-2.0

// Command demo shows the plugin's main job on a real cluster of this machine,
// and explains each step.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster"
	"github.com/talosdisk/kubectl-talosdisk/test/lab"
	"github.com/talosdisk/kubectl-talosdisk/test/manifests"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	if err := cluster.Supported(); err != nil {
		return fmt.Errorf("the demo needs a real cluster, and this machine cannot have one: %w", err)
	}
	say("A real Kubernetes of three nodes, on this machine. The first time this builds Kubernetes, which takes minutes.")
	l, err := lab.Up(ctx, os.Stderr)
	if err != nil {
		return err
	}
	defer func() {
		say("Cleaning up.")
		err = errors.Join(err, l.Down(ctx))
	}()
	d := demo{ctx: ctx, Lab: l}
	for _, step := range []func() error{d.nodes, d.provisioner, d.disks, d.link, d.pod, d.doctor, d.mounts, d.read, d.unlink} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// demo is the story; each step stops it if it does not go as it should.
type demo struct {
	*lab.Lab
	ctx context.Context
}

func say(text string) { fmt.Println("\n# " + text) }

// show runs a command as a person would type it, and expects that exit code.
func (d demo) show(want int, argv ...string) error {
	fmt.Println("$ " + typed(argv))
	cmd := d.Command(d.ctx, argv...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stdout
	err := cmd.Run()
	if err != nil && d.ctx.Err() != nil {
		return d.ctx.Err()
	}
	if got := cmd.ProcessState.ExitCode(); got != want {
		return fmt.Errorf("%s ended with exit code %d, not %d", typed(argv), got, want)
	}
	return nil
}

func typed(argv []string) string {
	words := make([]string, 0, len(argv))
	for _, w := range argv {
		if strings.ContainsAny(w, " *?[]{}") {
			w = "'" + w + "'"
		}
		words = append(words, w)
	}
	return strings.Join(words, " ")
}

func (d demo) nodes() error {
	say("The nodes. Their kubelets run in mount namespaces of their own, like those of Talos, and each has the Talos API.")
	if err := d.ServeTalos(d.ctx); err != nil {
		return err
	}
	if err := d.show(0, "kubectl", "get", "nodes", "-o", "wide"); err != nil {
		return err
	}
	say("Each node gets two disks (loop devices over files), and vdf of worker-2 holds somebody's filesystem.")
	// What tells them apart is written behind the first MiB: a disk that begins with data is refused.
	for _, n := range d.Nodes() {
		for _, name := range []string{"vdf", "vdg"} {
			disk := cluster.Disk{Name: name, Size: 60 << 30, Serial: "demo-" + n.Name() + "-" + name}
			if err := n.AddDisk(disk); err != nil {
				return err
			}
			if _, err := n.Exec(d.ctx, "sh", "-euc", `echo "this is $1 of $2" | dd of=/dev/$1 bs=1M seek=4 conv=notrunc`, "sh", name, n.Name()); err != nil {
				return err
			}
		}
	}
	n, err := d.Node("worker-2")
	if err != nil {
		return err
	}
	if _, err := n.Exec(d.ctx, "mkfs.ext4", "-q", "-L", "data", "/dev/vdf"); err != nil {
		return err
	}
	for _, n := range d.Talos.Nodes() {
		if err := n.SyncDisks(d.ctx); err != nil {
			return err
		}
	}
	return nil
}

func (d demo) provisioner() error {
	say("The local static provisioner, as its chart installs it: a DaemonSet, with a Block and a Filesystem class.")
	p := manifests.Default()
	if err := d.Install(d.ctx, p); err != nil {
		return err
	}
	return d.show(0, "kubectl", "-n", p.Namespace, "get", "pods", "-o", "wide")
}

func (d demo) disks() error {
	say("What disks are there, and what uses them?")
	return d.show(0, "kubectl", "talosdisk", "disks")
}

func (d demo) link() error {
	say("Link vdf and vdg on every node, and wait for the PersistentVolumes. That these disks are loop devices has to be")
	fmt.Println("# accepted. The disk with the filesystem is refused, with the reason; everything else is done, and the exit code is 1.")
	if err := d.show(1, "kubectl", "talosdisk", "link", "vdf", "vdg", "--accept", "loop", "--yes"); err != nil {
		return err
	}
	say("Asking again changes nothing.")
	if err := d.show(0, "kubectl", "talosdisk", "link", "vdg"); err != nil {
		return err
	}
	return d.show(0, "kubectl", "get", "pv")
}

func (d demo) pod() error {
	say("A pod that claims a raw disk. It cannot start: its kubelet, in its container, does not see the directory with the links.")
	claim := manifests.Claim("default", "raw-claim", "block-storage", corev1.PersistentVolumeBlock, resource.MustParse("50Gi"))
	if err := d.Apply(d.ctx, claim, manifests.BlockPod("default", "reader", "raw-claim")); err != nil {
		return err
	}
	failed := []string{"kubectl", "get", "events", "--field-selector", "reason=FailedMapVolume", "-o",
		"custom-columns=REASON:.reason,MESSAGE:.message"}
	err := lab.Eventually(d.ctx, func() error {
		out, err := d.Output(d.ctx, failed...)
		if err == nil && !strings.Contains(out, "/var/lib/disks") {
			err = errors.New("the pod has no event FailedMapVolume")
		}
		return err
	})
	if err != nil {
		return err
	}
	return d.show(0, failed...)
}

// doctor ends with 2 where it finds a problem.
func (d demo) doctor() error {
	say("Why does it not start? The chain from the pod to its disk, as the node, the provisioner's pod and the kubelet see it.")
	return d.show(2, "kubectl", "talosdisk", "doctor", "pod/reader")
}

func (d demo) mounts() error {
	say("What do the kubelets see?")
	if err := d.show(0, "kubectl", "talosdisk", "mounts", "list"); err != nil {
		return err
	}
	say("Let them see it. One node at a time: try the new machine configuration, look whether kubelet, node and directory are")
	fmt.Println("# well, keep it. Were this interrupted, Talos would take it back by itself.")
	if err := d.show(0, "kubectl", "talosdisk", "mounts", "--yes"); err != nil {
		return err
	}
	say("Asking again changes nothing, and restarts no kubelet.")
	return d.show(0, "kubectl", "talosdisk", "mounts")
}

func (d demo) read() error {
	say("The pod runs now, and reads what is written on its disk, in the fifth MiB.")
	if err := d.show(0, "kubectl", "wait", "--for=condition=Ready", "pod/reader", "--timeout=90s"); err != nil {
		return err
	}
	if err := d.show(0, "kubectl", "get", "pod,pvc", "-o", "wide"); err != nil {
		return err
	}
	if err := d.show(0, "kubectl", "exec", "reader", "--", "sh", "-c",
		"dd if="+manifests.DevicePath+" bs=1M skip=4 count=1 2>/dev/null | head -n 1"); err != nil {
		return err
	}
	say("Every volume with its chain.")
	if err := d.show(0, "kubectl", "talosdisk", "status"); err != nil {
		return err
	}
	say("Which disk is it?")
	return d.show(0, "kubectl", "talosdisk", "disks", "-o",
		`custom-columns=NAME:.metadata.name,LINK:.links[0],PV:.volumes[0].name,CLAIM:.volumes[0].claim,PODS:.volumes[0].pods`)
}

func (d demo) unlink() error {
	say("A link that a claim needs stays; the others go, with their PersistentVolumes.")
	if err := d.show(1, "kubectl", "talosdisk", "unlink", "vd*", "--yes"); err != nil {
		return err
	}
	return d.show(0, "kubectl", "get", "pv")
}
