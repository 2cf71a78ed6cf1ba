// SPDX-License-Identifier: Apache-2.0

// Package layout says where everything of a test cluster lies: paths below its
// directory, addresses in its network, names in the kernel. It holds no
// behaviour, so that the tests' side and the supervisor agree on it and on
// nothing else.
package layout

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

const (
	// Name marks what belongs to the test cluster: the lock, the cgroups, the
	// cache directory.
	Name = "kubectl-talosdisk-test"

	// LockFile is the same for every directory: one cluster to a machine.
	LockFile = "/run/" + Name + ".lock"

	// APIServerIP is where the API server listens in the cluster's network. It
	// is not a loopback address because the kubelet and the endpoints
	// controller refuse those, although it lies on the device lo.
	APIServerIP = "10.99.0.1"
	// ServiceIP is the address of the kubernetes.default service. The API
	// server listens there too, which is why no kube-proxy is needed.
	ServiceIP = "10.99.96.1"
	// ServiceCIDR holds ServiceIP.
	ServiceCIDR = "10.99.96.0/24"
	// ClusterCIDR holds every pod network.
	ClusterCIDR = "10.99.0.0/16"

	// MaxNodes is a limit of the addresses: 10.99.0.11 and 10.99.11.0/24 for
	// the first node, and so on.
	MaxNodes = 9

	// FirstLoop is the lowest number of the loop devices that stand for disks.
	// They are kept apart from the low numbers that losetup picks, so that a
	// disk of one node does not appear as /dev/loopN on another.
	FirstLoop = 128
	// NodeLoops is how many /dev/loopN a node has, from 0: the kubelet takes
	// one for every Block volume that it maps.
	NodeLoops = 64

	// BinDir is where a node finds the programs built for it.
	BinDir = "/opt/kubernetes/bin"
)

// Dir is the directory of a cluster, with everything in it that ends with it.
type Dir string

// Info is the cluster as its supervisor wrote it down when it was up.
type Info struct {
	// Supervisor is the process that ends the cluster when it is told to or
	// when it dies.
	Supervisor int `json:"supervisor"`
	// Server is the URL of the API server as the machine reaches it.
	Server string `json:"server"`
	// Programs is the directory of kubectl and the like.
	Programs string     `json:"programs"`
	Nodes    []NodeInfo `json:"nodes"`
}

// NodeInfo is one node.
type NodeInfo struct {
	Name string `json:"name"`
	// Index is 1 for the first node.
	Index int `json:"index"`
	// PID is the node's init as the machine counts processes.
	PID int `json:"pid"`
}

// IP is the node's address in the cluster's network.
func (n NodeInfo) IP() string { return fmt.Sprintf("10.99.0.%d", 10+n.Index) }

// PodSubnet is the network of the node's pods.
func (n NodeInfo) PodSubnet() string { return fmt.Sprintf("10.99.%d.0/24", 10+n.Index) }

// Bridge is the network device that the node's pods hang on.
func (n NodeInfo) Bridge() string { return "br" + strconv.Itoa(n.Index) }

// Root is the node's file system as the machine reaches it.
func (n NodeInfo) Root() string { return filepath.Join("/proc", strconv.Itoa(n.PID), "root") }

// NodeName names the node of an index.
func NodeName(index int) string { return "worker-" + strconv.Itoa(index) }

// String is the directory's path.
func (d Dir) String() string { return string(d) }

func (d Dir) join(elem ...string) string {
	return filepath.Join(append([]string{string(d)}, elem...)...)
}

// PKI holds the certificates and the kubeconfigs.
func (d Dir) PKI() string { return d.join("pki") }

// Kubeconfig is the administrator's.
func (d Dir) Kubeconfig() string { return d.join("kubeconfig") }

// Etcd is the data directory.
func (d Dir) Etcd() string { return d.join("etcd") }

// Logs holds one file for every program.
func (d Dir) Logs() string { return d.join("logs") }

// Log is the file of one program.
func (d Dir) Log(name string) string { return d.join("logs", name+".log") }

// Node is the directory of one node.
func (d Dir) Node(name string) string { return d.join("nodes", name) }

// NodeKubernetes is what a node sees as /etc/kubernetes.
func (d Dir) NodeKubernetes(name string) string { return d.join("nodes", name, "kubernetes") }

// NodeVar is the image of a node's /var.
func (d Dir) NodeVar(name string) string { return d.join("nodes", name, "var.img") }

// NodeDisks holds the disks added to a node: NAME.img and NAME.json.
func (d Dir) NodeDisks(name string) string { return d.join("nodes", name, "disks") }

// Loops lists the loop devices that the machine had before.
func (d Dir) Loops() string { return d.join("loops.json") }

// Baseline lists the objects that a reset leaves alone.
func (d Dir) Baseline() string { return d.join("baseline.json") }

func (d Dir) info() string { return d.join("cluster.json") }

// ErrNotUp says that there is no cluster in the directory, or not yet.
var ErrNotUp = errors.New("no test cluster is up")

// ReadInfo reads what the supervisor wrote; ErrNotUp if it did not.
func (d Dir) ReadInfo() (Info, error) {
	var info Info
	data, err := os.ReadFile(d.info())
	if errors.Is(err, fs.ErrNotExist) {
		return info, ErrNotUp
	}
	if err != nil {
		return info, err
	}
	if err := json.Unmarshal(data, &info); err != nil {
		return info, fmt.Errorf("read %q: %w", d.info(), err)
	}
	return info, nil
}

// WriteInfo writes it in one step.
func (d Dir) WriteInfo(info Info) error {
	return WriteJSON(d.info(), info)
}

// WriteJSON writes a value to a file that is there whole or not at all.
func WriteJSON(path string, value any) error {
	data, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("write %q: %w", path, err)
	}
	temporary := path + ".tmp"
	if err := os.WriteFile(temporary, append(data, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}

// ReadJSON reads it back.
func ReadJSON(path string, value any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, value); err != nil {
		return fmt.Errorf("read %q: %w", path, err)
	}
	return nil
}

// CacheDir is where programs are kept between clusters, and below which a
// cluster lives: $XDG_CACHE_HOME/kubectl-talosdisk-test, or the same in
// ~/.cache.
func CacheDir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache directory: %w", err)
	}
	return filepath.Join(dir, Name), nil
}
