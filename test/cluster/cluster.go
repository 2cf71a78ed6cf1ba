// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/claim"
	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/enter"
	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/layout"
	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/programs"
	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/supervisor"
)

// ErrNotUp is returned where a cluster is needed and none is up.
var ErrNotUp = layout.ErrNotUp

// Options of a new cluster.
type Options struct {
	// Nodes is how many, named worker-1 and on; 3 if it is 0.
	Nodes int
	// Images are archives, of docker save or OCI, that every node gets.
	Images []string
	// OSImage is the system that the nodes say they run.
	OSImage string
	// Detach lets the cluster outlive this process, until Down.
	Detach bool
	// Progress is told what takes time; nil for silence.
	Progress io.Writer
}

// Cluster is a running cluster.
type Cluster struct {
	dir  layout.Dir
	info layout.Info
	rest *rest.Config
	kube kubernetes.Interface
	// owner is held open by the process that the cluster must not outlive.
	owner *os.File
}

const (
	nodeTimeout = 90 * time.Second
	downTimeout = 40 * time.Second
)

// Up starts a cluster and returns when all its nodes are ready. What it needs
// is installed and built first, if it is missing.
//
// Unless it is detached the cluster ends with this process, however that ends.
// One that does not come up leaves nothing behind. There is one cluster at a
// time on a machine.
func Up(ctx context.Context, o Options) (*Cluster, error) {
	if o.Nodes == 0 {
		o.Nodes = 3
	}
	if o.Nodes < 1 || o.Nodes > layout.MaxNodes {
		return nil, fmt.Errorf("a test cluster has from 1 to %d nodes, not %d", layout.MaxNodes, o.Nodes)
	}
	if o.OSImage == "" {
		o.OSImage = "Test node"
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	if err := Supported(); err != nil {
		return nil, err
	}
	for _, image := range o.Images {
		if _, err := os.Stat(image); err != nil {
			return nil, fmt.Errorf("image to load: %w", err)
		}
	}
	cache, err := layout.CacheDir()
	if err != nil {
		return nil, err
	}
	if err := programs.Install(ctx, programs.Missing(), o.Progress); err != nil {
		return nil, err
	}
	built, err := programs.Build(ctx, cache, o.Progress)
	if err != nil {
		return nil, err
	}
	c, err := start(ctx, clusterDir(cache), built, o)
	if err != nil {
		return nil, err
	}
	if err := c.startNodes(ctx, append([]string{built.PauseImage()}, o.Images...), o.Progress); err != nil {
		supervisor.KeepLogs(c.dir)
		err = fmt.Errorf("%w (logs are in %q)", err, supervisor.FailedLogs(c.dir))
		return nil, errors.Join(err, c.Down(context.WithoutCancel(ctx)))
	}
	if o.Detach {
		if _, err := c.owner.Write([]byte{1}); err != nil {
			return nil, errors.Join(fmt.Errorf("detach from the cluster: %w", err), c.Down(context.WithoutCancel(ctx)))
		}
	}
	return c, nil
}

// Open returns the cluster that is up, no matter who started it; ErrNotUp if none is
// or if it is still starting.
func Open() (*Cluster, error) {
	holder, held, err := claim.Find(layout.LockFile)
	if err != nil {
		return nil, err
	}
	if !held {
		return nil, ErrNotUp
	}
	return open(layout.Dir(holder.Dir))
}

func open(dir layout.Dir) (*Cluster, error) {
	info, err := dir.ReadInfo()
	if err != nil {
		return nil, err
	}
	config, err := clientcmd.BuildConfigFromFlags("", dir.Kubeconfig())
	if err != nil {
		return nil, err
	}
	// Tests wait for this one process's requests only.
	config.QPS, config.Burst = 200, 400
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return &Cluster{dir: dir, info: info, rest: config, kube: kube}, nil
}

// Down ends the cluster that is up, and removes what one that crashed left
// behind. It is no error if there is none.
func Down(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, downTimeout)
	defer cancel()
	cache, err := layout.CacheDir()
	if err != nil {
		return err
	}
	dir := clusterDir(cache)
	holder, held, err := claim.Find(layout.LockFile)
	if err != nil {
		return err
	}
	if held && holder.PID > 1 {
		dir = layout.Dir(holder.Dir)
		if err := unix.Kill(holder.PID, unix.SIGTERM); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("end the cluster's supervisor: %w", err)
		}
	}
	lock, err := claim.Wait(ctx, layout.LockFile)
	if err != nil {
		return fmt.Errorf("wait for the cluster's end: %w", err)
	}
	return errors.Join(supervisor.Sweep(ctx, dir), lock.Release())
}

// Down ends the cluster. Nothing of it is left when it returns.
func (c *Cluster) Down(ctx context.Context) error {
	err := Down(ctx)
	if c.owner != nil {
		err = errors.Join(err, c.owner.Close())
		c.owner = nil
	}
	return err
}

// Node returns a node by its name.
func (c *Cluster) Node(name string) (*Node, error) {
	for _, info := range c.info.Nodes {
		if info.Name == name {
			return &Node{cluster: c, info: info}, nil
		}
	}
	return nil, fmt.Errorf("node %q: there is no such node", name)
}

// Nodes returns all nodes, by name.
func (c *Cluster) Nodes() []*Node {
	nodes := make([]*Node, 0, len(c.info.Nodes))
	for _, info := range c.info.Nodes {
		nodes = append(nodes, &Node{cluster: c, info: info})
	}
	return nodes
}

// Kubeconfig is the path of the administrator's kubeconfig. It is the same for
// every cluster.
func (c *Cluster) Kubeconfig() string { return c.dir.Kubeconfig() }

// KubectlPath is a kubectl of the cluster's version, a program of its own.
func (c *Cluster) KubectlPath() string { return programs.Programs{Dir: c.info.Programs}.Kubectl() }

// RESTConfig is the administrator's.
func (c *Cluster) RESTConfig() *rest.Config { return rest.CopyConfig(c.rest) }

// Client is the administrator's.
func (c *Cluster) Client() kubernetes.Interface { return c.kube }

// LogDir holds the logs of everything that runs, one file each.
func (c *Cluster) LogDir() string { return c.dir.Logs() }

// Server is the API server's URL.
func (c *Cluster) Server() string { return c.info.Server }

// Command returns a command that runs on the machine but in the cluster's
// network, where the nodes' addresses are.
func (c *Cluster) Command(ctx context.Context, argv ...string) *exec.Cmd {
	return enter.Network(ctx, c.info.Supervisor, argv...)
}

// LoadImage imports an image archive on every node.
func (c *Cluster) LoadImage(ctx context.Context, path string) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, node := range c.Nodes() {
		group.Go(func() error { return node.LoadImage(ctx, path) })
	}
	return group.Wait()
}

// startNodes gives every node its images and its kubelet, and waits until pods
// can be made.
func (c *Cluster) startNodes(ctx context.Context, images []string, progress io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, nodeTimeout)
	defer cancel()
	fmt.Fprintln(progress, "starting kubelets")
	group, groupCtx := errgroup.WithContext(ctx)
	for _, node := range c.Nodes() {
		group.Go(func() error {
			for _, image := range images {
				if err := node.LoadImage(groupCtx, image); err != nil {
					return err
				}
			}
			return node.StartKubelet(groupCtx)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return c.writeBaseline(ctx)
}

func (c *Cluster) clusterd() string { return programs.Programs{Dir: c.info.Programs}.Clusterd() }

func clusterDir(cache string) layout.Dir { return layout.Dir(filepath.Join(cache, "cluster")) }
