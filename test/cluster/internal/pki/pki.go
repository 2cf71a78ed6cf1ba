// SPDX-License-Identifier: Apache-2.0

// Package pki makes the certificates, keys and kubeconfigs of a cluster.
package pki

import (
	stdx509 "crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/siderolabs/crypto/x509"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// validity is longer than any cluster of this kind lives.
const validity = 365 * 24 * time.Hour

// CA signs certificates, and keeps everything in one directory.
type CA struct {
	Dir       string
	authority *x509.CertificateAuthority
}

// Cert says what a certificate is for.
type Cert struct {
	// User and Groups are who a client is to Kubernetes.
	User   string
	Groups []string
	// IPs and Names are what a server is reached by; none for a client.
	IPs   []string
	Names []string
}

// CertFile and KeyFile are the files of a certificate of a given name.
func (c *CA) CertFile(name string) string { return filepath.Join(c.Dir, name+".crt") }

// KeyFile is the key that goes with CertFile.
func (c *CA) KeyFile(name string) string { return filepath.Join(c.Dir, name+".key") }

// New makes a CA and writes ca.crt and ca.key.
func New(dir string) (*CA, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	authority, err := x509.NewSelfSignedCertificateAuthority(x509.ECDSA(true), x509.Organization("test cluster"),
		x509.NotBefore(time.Now().Add(-time.Minute)), x509.NotAfter(time.Now().Add(validity)))
	if err != nil {
		return nil, err
	}
	ca := &CA{Dir: dir, authority: authority}
	return ca, ca.write("ca", authority.CrtPEM, authority.KeyPEM)
}

// Open reads the CA that New wrote.
func Open(dir string) (*CA, error) {
	ca := &CA{Dir: dir}
	files, err := x509.NewCertificateAndKeyFromFiles(ca.CertFile("ca"), ca.KeyFile("ca"))
	if err != nil {
		return nil, err
	}
	ca.authority, err = x509.NewCertificateAuthorityFromCertificateAndKey(files)
	return ca, err
}

// Issue signs a certificate and writes NAME.crt and NAME.key.
func (c *CA) Issue(name string, want Cert) error {
	uses := []stdx509.ExtKeyUsage{stdx509.ExtKeyUsageClientAuth}
	var addresses []net.IP
	for _, text := range want.IPs {
		ip := net.ParseIP(text)
		if ip == nil {
			return fmt.Errorf("certificate %q: bad address %q", name, text)
		}
		addresses = append(addresses, ip)
	}
	if len(want.IPs)+len(want.Names) > 0 {
		uses = append(uses, stdx509.ExtKeyUsageServerAuth)
	}
	pair, err := x509.NewKeyPair(c.authority, x509.CommonName(want.User), x509.Organization(want.Groups...), x509.IPAddresses(addresses),
		x509.DNSNames(want.Names), x509.KeyUsage(stdx509.KeyUsageDigitalSignature), x509.ExtKeyUsage(uses),
		x509.NotBefore(time.Now().Add(-time.Minute)), x509.NotAfter(time.Now().Add(validity)))
	if err != nil {
		return fmt.Errorf("sign certificate %q: %w", name, err)
	}
	return c.write(name, pair.CrtPEM, pair.KeyPEM)
}

// KeyPair writes NAME.key and NAME.pub without a certificate, as service
// account tokens are signed with.
func (c *CA) KeyPair(name string) error {
	key, err := x509.NewECDSAKey()
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(c.Dir, name+".pub"), key.PublicKeyPEM, 0o600); err != nil {
		return err
	}
	return os.WriteFile(c.KeyFile(name), key.KeyPEM, 0o600)
}

// Kubeconfig writes a kubeconfig, complete in itself, for a client certificate
// of the given name.
func (c *CA) Kubeconfig(path, server, name string) error {
	const cluster = "talosdisk-test"
	config := clientcmdapi.Config{
		CurrentContext: name + "@" + cluster,
		Clusters:       map[string]*clientcmdapi.Cluster{cluster: {Server: server, CertificateAuthority: c.CertFile("ca")}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{name: {ClientCertificate: c.CertFile(name), ClientKey: c.KeyFile(name)}},
		Contexts:       map[string]*clientcmdapi.Context{name + "@" + cluster: {Cluster: cluster, AuthInfo: name}},
	}
	if err := clientcmdapi.FlattenConfig(&config); err != nil {
		return err
	}
	return clientcmd.WriteToFile(config, path)
}

func (c *CA) write(name string, cert, key []byte) error {
	if err := os.WriteFile(c.CertFile(name), cert, 0o600); err != nil {
		return err
	}
	return os.WriteFile(c.KeyFile(name), key, 0o600)
}
