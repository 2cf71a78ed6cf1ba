// SPDX-License-Identifier: Apache-2.0

// Package pki makes the certificates, keys and kubeconfigs of a cluster.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// validity is longer than any cluster of this kind lives.
const validity = 365 * 24 * time.Hour

// CA signs certificates, and keeps everything in one directory.
type CA struct {
	Dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
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
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := newTemplate("test-cluster-ca", nil)
	template.IsCA = true
	template.BasicConstraintsValid = true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	ca := &CA{Dir: dir, cert: cert, key: key}
	return ca, ca.write("ca", der, key)
}

// Open reads the CA that New wrote.
func Open(dir string) (*CA, error) {
	ca := &CA{Dir: dir}
	der, err := readPEM(ca.CertFile("ca"))
	if err != nil {
		return nil, err
	}
	if ca.cert, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	if der, err = readPEM(ca.KeyFile("ca")); err != nil {
		return nil, err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("the CA's key is not an ECDSA key")
	}
	ca.key = key
	return ca, nil
}

// Issue signs a certificate and writes NAME.crt and NAME.key.
func (c *CA) Issue(name string, want Cert) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := newTemplate(want.User, want.Groups)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	template.DNSNames = want.Names
	for _, text := range want.IPs {
		ip := net.ParseIP(text)
		if ip == nil {
			return fmt.Errorf("certificate %q: bad address %q", name, text)
		}
		template.IPAddresses = append(template.IPAddresses, ip)
	}
	if len(want.IPs)+len(want.Names) > 0 {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, c.cert, &key.PublicKey, c.key)
	if err != nil {
		return fmt.Errorf("sign certificate %q: %w", name, err)
	}
	return c.write(name, der, key)
}

// KeyPair writes NAME.key and NAME.pub without a certificate, as service
// account tokens are signed with.
func (c *CA) KeyPair(name string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return err
	}
	if err := writePEM(filepath.Join(c.Dir, name+".pub"), "PUBLIC KEY", public); err != nil {
		return err
	}
	return writeKey(c.KeyFile(name), key)
}

// Kubeconfig writes a kubeconfig, complete in itself, for a client certificate
// of the given name.
func (c *CA) Kubeconfig(path, server, name string) error {
	files := make(map[string]string)
	for field, file := range map[string]string{"ca": c.CertFile("ca"), "cert": c.CertFile(name), "key": c.KeyFile(name)} {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		files[field] = base64.StdEncoding.EncodeToString(data)
	}
	const cluster = "talosdisk-test"
	// JSON is YAML, too.
	data, err := json.MarshalIndent(map[string]any{
		"apiVersion":      "v1",
		"kind":            "Config",
		"current-context": name + "@" + cluster,
		"clusters": []any{map[string]any{"name": cluster, "cluster": map[string]any{
			"server": server, "certificate-authority-data": files["ca"]}}},
		"users": []any{map[string]any{"name": name, "user": map[string]any{
			"client-certificate-data": files["cert"], "client-key-data": files["key"]}}},
		"contexts": []any{map[string]any{"name": name + "@" + cluster, "context": map[string]any{
			"cluster": cluster, "user": name}}},
	}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o600)
}

func newTemplate(user string, groups []string) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject:      pkix.Name{CommonName: user, Organization: groups},
		NotBefore:    now.Add(-time.Minute),
		NotAfter:     now.Add(validity),
	}
}

func (c *CA) write(name string, der []byte, key *ecdsa.PrivateKey) error {
	if err := writePEM(c.CertFile(name), "CERTIFICATE", der); err != nil {
		return err
	}
	return writeKey(c.KeyFile(name), key)
}

func writeKey(path string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return writePEM(path, "PRIVATE KEY", der)
}

func writePEM(path, kind string, der []byte) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}

func readPEM(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("read %q: not PEM", path)
	}
	return block.Bytes, nil
}
