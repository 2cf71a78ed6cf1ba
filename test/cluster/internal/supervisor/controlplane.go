// SPDX-License-Identifier: Apache-2.0

package supervisor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/layout"
	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/pki"
	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/poll"
)

// Certificates by file name.
const (
	certServer    = "apiserver"
	certAdmin     = "admin"
	certToKubelet = "apiserver-kubelet-client"
	certKCM       = "kube-controller-manager"
	certScheduler = "kube-scheduler"
	keyAccounts   = "service-accounts"
)

func apiServerURL() string { return "https://" + net.JoinHostPort(layout.APIServerIP, "443") }

// writeControlPlaneFiles makes the CA, the certificates and the kubeconfigs of
// the programs that reach the API server from within.
func (s *supervisor) writeControlPlaneFiles() error {
	ca, err := pki.New(s.config.Dir.PKI())
	if err != nil {
		return err
	}
	s.ca = ca
	for name, cert := range map[string]pki.Cert{
		certServer: {
			User:  "kube-apiserver",
			IPs:   []string{"127.0.0.1", layout.APIServerIP, layout.ServiceIP},
			Names: []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"},
		},
		certAdmin:     {User: "admin", Groups: []string{"system:masters"}},
		certToKubelet: {User: "kube-apiserver-kubelet-client", Groups: []string{"system:masters"}},
		certKCM:       {User: "system:kube-controller-manager"},
		certScheduler: {User: "system:kube-scheduler"},
	} {
		if err := ca.Issue(name, cert); err != nil {
			return err
		}
	}
	for _, name := range []string{certKCM, certScheduler} {
		if err := ca.Kubeconfig(s.kubeconfig(name), apiServerURL(), name); err != nil {
			return err
		}
	}
	return ca.KeyPair(keyAccounts)
}

func (s *supervisor) kubeconfig(name string) string {
	return filepath.Join(s.config.Dir.PKI(), name+".kubeconfig")
}

// startControlPlane returns when all four programs serve.
func (s *supervisor) startControlPlane(ctx context.Context, server string) error {
	if err := s.ca.Kubeconfig(s.config.Dir.Kubeconfig(), server, certAdmin); err != nil {
		return err
	}
	if err := s.startServer("etcd", s.etcdFlags()); err != nil {
		return err
	}
	if err := s.startServer("kube-apiserver", s.apiServerFlags()); err != nil {
		return err
	}
	client, err := s.adminClient()
	if err != nil {
		return err
	}
	if err := poll.Until(ctx, func(ctx context.Context) error { return ready(ctx, client, apiServerURL()+"/readyz") }); err != nil {
		return fmt.Errorf("wait for the API server: %w", err)
	}
	// Not before: these two end when they find no RBAC rules yet.
	if err := s.startServer("kube-controller-manager", s.controllerManagerFlags()); err != nil {
		return err
	}
	if err := s.startServer("kube-scheduler", s.schedulerFlags()); err != nil {
		return err
	}
	for name, port := range map[string]string{"kube-controller-manager": "10257", "kube-scheduler": "10259"} {
		url := "https://127.0.0.1:" + port + "/healthz"
		if err := poll.Until(ctx, func(ctx context.Context) error { return ready(ctx, client, url) }); err != nil {
			return fmt.Errorf("wait for %s: %w", name, err)
		}
	}
	return nil
}

func (s *supervisor) startServer(name string, flags []string) error {
	_, err := s.spawn(name, filepath.Join(s.config.Programs, "hyper"), append([]string{name}, flags...), 0)
	return err
}

func (s *supervisor) etcdFlags() []string {
	return []string{
		"--name=test",
		"--data-dir=" + s.config.Dir.Etcd(),
		"--listen-client-urls=http://127.0.0.1:2379",
		"--advertise-client-urls=http://127.0.0.1:2379",
		"--listen-peer-urls=http://127.0.0.1:2380",
		"--initial-advertise-peer-urls=http://127.0.0.1:2380",
		"--initial-cluster=test=http://127.0.0.1:2380",
		// The data is thrown away with the cluster.
		"--unsafe-no-fsync",
		"--log-level=warn",
	}
}

func (s *supervisor) apiServerFlags() []string {
	keys := filepath.Join(s.config.Dir.PKI(), keyAccounts)
	return []string{
		"--etcd-servers=http://127.0.0.1:2379",
		"--secure-port=443",
		"--advertise-address=" + layout.APIServerIP,
		"--service-cluster-ip-range=" + layout.ServiceCIDR,
		"--tls-cert-file=" + s.ca.CertFile(certServer),
		"--tls-private-key-file=" + s.ca.KeyFile(certServer),
		"--client-ca-file=" + s.ca.CertFile("ca"),
		"--kubelet-certificate-authority=" + s.ca.CertFile("ca"),
		"--kubelet-client-certificate=" + s.ca.CertFile(certToKubelet),
		"--kubelet-client-key=" + s.ca.KeyFile(certToKubelet),
		"--kubelet-preferred-address-types=InternalIP",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + keys + ".pub",
		"--service-account-signing-key-file=" + keys + ".key",
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--allow-privileged=true",
		"--anonymous-auth=false",
		"--profiling=false",
		"--v=1",
	}
}

func (s *supervisor) controllerManagerFlags() []string {
	config := s.kubeconfig(certKCM)
	return []string{
		"--kubeconfig=" + config,
		"--authentication-kubeconfig=" + config,
		"--authorization-kubeconfig=" + config,
		"--client-ca-file=" + s.ca.CertFile("ca"),
		"--bind-address=127.0.0.1",
		"--leader-elect=false",
		"--root-ca-file=" + s.ca.CertFile("ca"),
		"--cluster-signing-cert-file=" + s.ca.CertFile("ca"),
		"--cluster-signing-key-file=" + s.ca.KeyFile("ca"),
		"--service-account-private-key-file=" + s.ca.KeyFile(keyAccounts),
		"--use-service-account-credentials=true",
		"--kube-api-qps=300",
		"--kube-api-burst=600",
		"--profiling=false",
		"--v=1",
	}
}

func (s *supervisor) schedulerFlags() []string {
	config := s.kubeconfig(certScheduler)
	return []string{
		"--kubeconfig=" + config,
		"--authentication-kubeconfig=" + config,
		"--authorization-kubeconfig=" + config,
		"--client-ca-file=" + s.ca.CertFile("ca"),
		"--bind-address=127.0.0.1",
		"--leader-elect=false",
		"--kube-api-qps=300",
		"--kube-api-burst=600",
		"--profiling=false",
		"--v=1",
	}
}

// adminClient is an HTTP client with the administrator's certificate. The
// controller manager and the scheduler sign their own, in memory; only their
// health is asked for, on the loopback of the cluster's network.
func (s *supervisor) adminClient() (*http.Client, error) {
	cert, err := tls.LoadX509KeyPair(s.ca.CertFile(certAdmin), s.ca.KeyFile(certAdmin))
	if err != nil {
		return nil, err
	}
	pem, err := os.ReadFile(s.ca.CertFile("ca"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	config := &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: roots, MinVersion: tls.VersionTLS12}
	return &http.Client{
		Timeout: 5 * time.Second,
		Transport: &http.Transport{DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			config := config.Clone()
			config.InsecureSkipVerify = strings.HasPrefix(address, "127.")
			return (&tls.Dialer{Config: config}).DialContext(ctx, network, address)
		}},
	}, nil
}

func ready(ctx context.Context, client *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return errors.New(url + " answers " + response.Status + ": " + strings.TrimSpace(string(body)))
	}
	return nil
}
