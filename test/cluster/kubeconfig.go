// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/pki"
)

// KubeconfigFor writes a kubeconfig for a user with a client certificate and
// returns its path. The user may do what RBAC rules for him and his groups
// say, and at first that is next to nothing.
func (c *Cluster) KubeconfigFor(user string, groups ...string) (string, error) {
	ca, err := pki.Open(c.dir.PKI())
	if err != nil {
		return "", fmt.Errorf("kubeconfig for %q: %w", user, err)
	}
	sum := sha256.Sum256([]byte(user + "\x00" + strings.Join(groups, "\x00")))
	name := "user-" + hex.EncodeToString(sum[:6])
	if err := ca.Issue(name, pki.Cert{User: user, Groups: groups}); err != nil {
		return "", fmt.Errorf("kubeconfig for %q: %w", user, err)
	}
	path := filepath.Join(c.dir.PKI(), name+".kubeconfig")
	if err := ca.Kubeconfig(path, c.info.Server, name); err != nil {
		return "", fmt.Errorf("kubeconfig for %q: %w", user, err)
	}
	return path, nil
}

// KubeconfigForServiceAccount is KubeconfigFor, for who a service account is.
// The account need not be there.
func (c *Cluster) KubeconfigForServiceAccount(namespace, name string) (string, error) {
	return c.KubeconfigFor("system:serviceaccount:"+namespace+":"+name,
		"system:serviceaccounts", "system:serviceaccounts:"+namespace, "system:authenticated")
}
