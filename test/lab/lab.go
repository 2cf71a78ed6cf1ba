// SPDX-License-Identifier: Apache-2.0

// Package lab is a test cluster with everything that the plugin works on: the
// plugin itself, built from the tree, the provisioner, and disks. The demo and the
// benchmarks run in it.
package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/talosdisk/kubectl-talosdisk/pkg/talos/talostest"
	"github.com/talosdisk/kubectl-talosdisk/test/cluster"
	"github.com/talosdisk/kubectl-talosdisk/test/image"
	"github.com/talosdisk/kubectl-talosdisk/test/manifests"
	"github.com/talosdisk/kubectl-talosdisk/test/talosnode"
)

// Lab is a cluster, and a directory with the programs to use it by.
type Lab struct {
	*cluster.Cluster
	// Bin holds kubectl and kubectl-talosdisk.
	Bin string
	// Talos is the nodes' Talos API, once it is served.
	Talos *talosnode.Cluster
}

// Up builds the plugin, the images and a cluster that ends with this process.
func Up(ctx context.Context, progress io.Writer) (_ *Lab, err error) {
	bin, err := os.MkdirTemp("", "talosdisk-lab-")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(bin)
		}
	}()
	if err := buildPlugin(ctx, filepath.Join(bin, "kubectl-talosdisk"), progress); err != nil {
		return nil, err
	}
	cache, err := image.CacheDir()
	if err != nil {
		return nil, err
	}
	archive, err := image.Build(ctx, cache, progress)
	if err != nil {
		return nil, err
	}
	c, err := cluster.Up(ctx, cluster.Options{Images: []string{archive}, OSImage: talosnode.OSImage, Progress: progress})
	if err != nil {
		return nil, err
	}
	if err := os.Symlink(c.KubectlPath(), filepath.Join(bin, "kubectl")); err != nil {
		return nil, err
	}
	return &Lab{Cluster: c, Bin: bin}, nil
}

// ServeTalos gives the nodes the Talos API. Commands are its administrator's from
// then on.
func (l *Lab) ServeTalos(ctx context.Context) error {
	t, err := talosnode.Start(ctx, l.Cluster, talosnode.Options{})
	if err != nil {
		return err
	}
	l.Talos = t
	return t.Talosconfig(l.talosconfig(), talostest.Access{})
}

func (l *Lab) talosconfig() string { return filepath.Join(l.Bin, "talosconfig") }

// Down ends the cluster. It works although ctx is done.
func (l *Lab) Down(ctx context.Context) (err error) {
	defer os.RemoveAll(l.Bin)
	if l.Talos != nil {
		err = l.Talos.Leave()
	}
	return errors.Join(err, l.Cluster.Down(context.WithoutCancel(ctx)))
}

// buildPlugin compiles the plugin of the tree that this module lies in.
func buildPlugin(ctx context.Context, to string, progress io.Writer) error {
	gomod, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return fmt.Errorf("find the source: %w", err)
	}
	root := filepath.Dir(filepath.Dir(strings.TrimSpace(string(gomod))))
	fmt.Fprintln(progress, "building the plugin")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", to, "./cmd/kubectl-talosdisk")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stdout, cmd.Stderr = progress, progress
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build the plugin: %w", err)
	}
	return nil
}

// Command is a program of Bin, or of the machine, as the cluster's administrator.
func (l *Lab) Command(ctx context.Context, argv ...string) *exec.Cmd {
	program := argv[0]
	if path := filepath.Join(l.Bin, program); program == "kubectl" || program == "kubectl-talosdisk" {
		program = path
	}
	cmd := exec.CommandContext(ctx, program, argv[1:]...)
	// What the machine's owner has at home is another cluster's.
	cmd.Env = append(os.Environ(), "KUBECONFIG="+l.Kubeconfig(), "PATH="+l.Bin+":"+os.Getenv("PATH"), "HOME="+l.Bin, "TALOS_HOME=",
		"TALOSCONFIG=")
	if l.Talos != nil {
		cmd.Env = append(cmd.Env, "TALOSCONFIG="+l.talosconfig())
	}
	return cmd
}

// Output runs a command and returns what it printed; an error has it all.
func (l *Lab) Output(ctx context.Context, argv ...string) (string, error) {
	out, err := l.Command(ctx, argv...).CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, bytes.TrimSpace(out))
	}
	return string(out), nil
}

// Apply applies objects as kubectl does.
func (l *Lab) Apply(ctx context.Context, objects ...runtime.Object) error {
	text, err := manifests.YAML(objects...)
	if err != nil {
		return err
	}
	cmd := l.Command(ctx, "kubectl", "apply", "-f", "-")
	cmd.Stdin = bytes.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("kubectl apply: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// Install installs the provisioner and waits until it runs on every node.
func (l *Lab) Install(ctx context.Context, p manifests.Provisioner) error {
	if err := l.Apply(ctx, p.Objects()...); err != nil {
		return err
	}
	_, err := l.Output(ctx, "kubectl", "-n", p.Namespace, "rollout", "status", "daemonset/"+p.FullName(), "--timeout=120s")
	return err
}

// Eventually tries until it works or a minute is over.
func Eventually(ctx context.Context, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}
