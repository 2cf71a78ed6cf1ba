// SPDX-License-Identifier: Apache-2.0

package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/cgroup"
	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/kubelet"
	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/layout"
	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/loop"
	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/nodeinit"
	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/pki"
)

// varSize is the size of a node's /var in bytes. The file is sparse.
const varSize = 16 << 30

// writeFiles writes what the programs of the control plane read, and what the
// sweep will need to know.
func (s *supervisor) writeFiles() error {
	for _, dir := range []string{s.config.Dir.Logs(), s.config.Dir.Etcd()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	devices, err := loop.List()
	if err != nil {
		return err
	}
	numbers := make([]int, 0, len(devices))
	for _, d := range devices {
		numbers = append(numbers, d.Number)
	}
	if err := layout.WriteJSON(s.config.Dir.Loops(), numbers); err != nil {
		return err
	}
	return s.writeControlPlaneFiles()
}

// setupNetwork gives the cluster's loopback all addresses. Kubelets all use
// port 10250, each on its own address.
func setupNetwork(ctx context.Context, nodes int) error {
	var batch strings.Builder
	batch.WriteString("link set lo up\n")
	addresses := []string{layout.APIServerIP, layout.ServiceIP}
	for i := range nodes {
		addresses = append(addresses, layout.NodeInfo{Index: i + 1}.IP())
	}
	for _, address := range addresses {
		fmt.Fprintf(&batch, "address add %s/32 dev lo\n", address)
	}
	cmd := exec.CommandContext(ctx, "ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(batch.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("set up the cluster's network: %w", errors.Join(err, errors.New(strings.TrimSpace(string(out)))))
	}
	// Pods of different nodes reach each other over their bridges.
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0); err != nil {
		return fmt.Errorf("set up the cluster's network: %w", err)
	}
	return nil
}

// prepareNode makes a node's cgroups, its /var and its /etc/kubernetes.
func (s *supervisor) prepareNode(ctx context.Context, node layout.NodeInfo) error {
	all, err := cgroup.Hierarchies()
	if err != nil {
		return err
	}
	if err := cgroup.Create(all, nodeinit.CgroupPath(node.Name)); err != nil {
		return err
	}
	dir := s.config.Dir
	for _, d := range []string{dir.Node(node.Name), dir.NodeDisks(node.Name)} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return err
		}
	}
	if err := makeVar(ctx, dir.NodeVar(node.Name)); err != nil {
		return err
	}
	kubernetes := dir.NodeKubernetes(node.Name)
	if err := os.MkdirAll(filepath.Join(kubernetes, "pki"), 0o755); err != nil {
		return err
	}
	name := "node-" + node.Name
	if err := s.ca.Issue(name, pki.Cert{
		User: "system:node:" + node.Name, Groups: []string{"system:nodes"},
		IPs: []string{node.IP()}, Names: []string{node.Name},
	}); err != nil {
		return err
	}
	for from, to := range map[string]string{
		s.ca.CertFile("ca"): kubelet.CAFile,
		s.ca.CertFile(name): kubelet.CertFile,
		s.ca.KeyFile(name):  kubelet.KeyFile,
	} {
		data, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(kubernetes, to), data, 0o600); err != nil {
			return err
		}
	}
	if err := s.ca.Kubeconfig(filepath.Join(kubernetes, kubelet.KubeconfigFile), apiServerURL(), name); err != nil {
		return err
	}
	return kubelet.WriteConfig(kubernetes, node, all[0].V2)
}

// makeVar makes an ext4 in a sparse file.
func makeVar(ctx context.Context, path string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := errors.Join(file.Truncate(varSize), file.Close()); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "mkfs.ext4", "-q", "-F", "-m", "0", "-L", "EPHEMERAL",
		"-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard", path)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("mkfs.ext4: %w", errors.Join(err, errors.New(strings.TrimSpace(string(out)))))
	}
	return nil
}
