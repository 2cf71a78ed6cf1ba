// SPDX-License-Identifier: Apache-2.0

package talostest

import (
	"crypto/tls"
	stdx509 "crypto/x509"
	"net"
	"time"

	"github.com/siderolabs/crypto/x509"
	clientconfig "github.com/siderolabs/talos/pkg/machinery/client/config"
	"github.com/siderolabs/talos/pkg/machinery/config/generate/secrets"
	"github.com/siderolabs/talos/pkg/machinery/role"
)

// Access is what a talosconfig gives.
type Access struct {
	// Context is the name of the context; "" is "test".
	Context string
	// Roles of the client certificate; none is os:admin.
	Roles []role.Role
	// Endpoints are host:port; none is every control plane of the cluster, or all
	// nodes if there is none.
	Endpoints []string
	// Nodes are the context's own.
	Nodes []string
	// Expired makes a certificate that ended an hour ago.
	Expired bool
	// Stranger makes a certificate, and trusts a server, of another authority.
	Stranger bool
}

// Talosconfig writes a client configuration to path.
func (c *Cluster) Talosconfig(path string, access Access) error {
	client, err := c.client(access)
	if err != nil {
		return err
	}
	return client.Save(path)
}

// client makes a client configuration.
func (c *Cluster) client(access Access) (*clientconfig.Config, error) {
	bundle := c.secrets
	if access.Stranger {
		other, err := NewCluster()
		if err != nil {
			return nil, err
		}
		bundle = other.secrets
	}
	if len(access.Roles) == 0 {
		access.Roles = []role.Role{role.Admin}
	}
	begin, life := time.Now().Add(-time.Minute), 24*time.Hour
	if access.Expired {
		begin, life = begin.Add(-2*time.Hour), time.Hour
	}
	pair, err := secrets.NewAdminCertificateAndKey(begin, bundle.Certs.OS, role.MakeSet(access.Roles...), life)
	if err != nil {
		return nil, err
	}
	if access.Context == "" {
		access.Context = "test"
	}
	if len(access.Endpoints) == 0 {
		access.Endpoints = c.endpoints()
	}
	config := clientconfig.NewConfig(access.Context, access.Endpoints, bundle.Certs.OS.Crt, pair)
	config.Contexts[access.Context].Nodes = access.Nodes
	return config, nil
}

// endpoints are the control planes', or else all nodes'.
func (c *Cluster) endpoints() []string {
	var planes, all []string
	for _, n := range c.Nodes() {
		all = append(all, n.Endpoint())
		if !n.options.Worker {
			planes = append(planes, n.Endpoint())
		}
	}
	if len(planes) == 0 {
		return all
	}
	return planes
}

// server makes the certificate of a node's API.
func (c *Cluster) server(addresses []string) (tls.Certificate, error) {
	ca, err := x509.NewCertificateAuthorityFromCertificateAndKey(c.secrets.Certs.OS)
	if err != nil {
		return tls.Certificate{}, err
	}
	ips, names := []net.IP{net.IPv4(127, 0, 0, 1)}, []string{"localhost"}
	for _, a := range addresses {
		if ip := net.ParseIP(a); ip != nil {
			ips = append(ips, ip)
		} else {
			names = append(names, a)
		}
	}
	pair, err := x509.NewKeyPair(ca,
		x509.CommonName("talostest"),
		x509.IPAddresses(ips),
		x509.DNSNames(names),
		x509.NotBefore(time.Now().Add(-time.Minute)),
		x509.NotAfter(time.Now().Add(24*time.Hour)),
		x509.KeyUsage(stdx509.KeyUsageDigitalSignature),
		x509.ExtKeyUsage([]stdx509.ExtKeyUsage{stdx509.ExtKeyUsageServerAuth}),
	)
	if err != nil {
		return tls.Certificate{}, err
	}
	return *pair.Certificate, nil
}
