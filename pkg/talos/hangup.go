// SPDX-License-Identifier: Apache-2.0

package talos

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/client"
	"github.com/siderolabs/talos/pkg/machinery/client/dialer"
	"github.com/siderolabs/talos/pkg/machinery/client/resolver"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// hungUp reports whether err is of a connection that ended as soon as it was there.
func hungUp(err error) bool {
	if client.StatusCode(err) != codes.Unavailable || !errors.As(err, new(unsent)) {
		return false
	}
	text := err.Error()
	for _, part := range []string{"broken pipe", "connection reset", "forcibly closed", "connection aborted", "EOF"} {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}

// refusal is why an endpoint does not accept the client certificate, or err. With
// TLS 1.3 a server tells so after the handshake, and hangs up on a client that has gone on
// writing, as gRPC does: the reason is then often lost. Who only reads hears it.
func (c *Client) refusal(ctx context.Context, err error) error {
	access := c.config.file.Contexts[c.config.identity.Context]
	certificate, problem := client.CertificateFromConfigContext(access)
	if problem != nil || certificate == nil {
		return err
	}
	config := &tls.Config{Certificates: []tls.Certificate{*certificate}, NextProtos: []string{"h2"}}
	if ca, problem := base64.StdEncoding.DecodeString(access.CA); problem == nil && len(ca) > 0 {
		config.RootCAs = x509.NewCertPool()
		config.RootCAs.AppendCertsFromPEM(ca)
	}
	for _, address := range resolver.EnsureEndpointsHavePorts(c.config.identity.Endpoints, constants.ApidPort) {
		if alert := listen(ctx, address, config.Clone()); alert != nil && strings.Contains(alert.Error(), "remote error: tls:") {
			return unsent{status.Error(codes.Unavailable, alert.Error())}
		}
	}
	return err
}

// listen connects and waits for the first that the server says.
func listen(ctx context.Context, address string, config *tls.Config) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	plain, err := dialer.DynamicProxyDialer(ctx, address)
	if err != nil {
		return err
	}
	defer plain.Close()
	stop := context.AfterFunc(ctx, func() { _ = plain.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if config.ServerName, _, err = net.SplitHostPort(address); err != nil {
		return err
	}
	conn := tls.Client(plain, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 1))
	return err
}
