// SPDX-License-Identifier: Apache-2.0

package talos

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"slices"
	"time"

	clientconfig "github.com/siderolabs/talos/pkg/machinery/client/config"
	"github.com/siderolabs/talos/pkg/machinery/role"
)

// Identity is as whom a context speaks to the Talos API.
type Identity struct {
	// Context is the context's name in the talosconfig.
	Context string
	// Roles are the Talos roles in the client certificate, sorted: os:reader,
	// os:operator, os:admin, … None: the context signs its requests in another way
	// (Omni), and only the server knows them.
	Roles []string
	// NotAfter is when the client certificate ends; zero: there is none.
	NotAfter time.Time
	// Endpoints are where requests go.
	Endpoints []string
}

// Expired reports whether the client certificate has ended.
func (i Identity) Expired(now time.Time) bool {
	return !i.NotAfter.IsZero() && now.After(i.NotAfter)
}

// Identity is as whom the context speaks.
func (c *Config) Identity() Identity { return c.identity }

// Expired reports whether the context's client certificate has ended.
func (c *Config) Expired(now time.Time) bool { return c.identity.Expired(now) }

// Path is the talosconfig's.
func (c *Config) Path() string { return c.path }

// identify reads the context's certificates. Its errors name what is wrong, and
// never say what it looks like.
func identify(name string, c *clientconfig.Context) (Identity, error) {
	identity := Identity{Context: name, Endpoints: slices.Clone(c.Endpoints)}
	bad := func(what string) (Identity, error) {
		return Identity{}, fmt.Errorf("the %s of context %q cannot be read", what, name)
	}
	if c.CA != "" {
		ca, err := base64.StdEncoding.DecodeString(c.CA)
		if err != nil || !x509.NewCertPool().AppendCertsFromPEM(ca) {
			return bad("CA certificate")
		}
	}
	if c.Crt == "" && c.Key == "" {
		if c.Auth.SideroV1 == nil && c.Auth.Basic == nil {
			return Identity{}, fmt.Errorf("context %q has no client certificate", name)
		}
		return identity, nil
	}
	crt, err := base64.StdEncoding.DecodeString(c.Crt)
	if err != nil {
		return bad("client certificate")
	}
	key, err := base64.StdEncoding.DecodeString(c.Key)
	if err != nil {
		return bad("client key")
	}
	pair, err := tls.X509KeyPair(crt, key)
	if err != nil {
		return bad("client certificate or its key")
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return bad("client certificate")
	}
	roles, _ := role.Parse(leaf.Subject.Organization) // Roles of a newer Talos are in the set, too.
	identity.Roles, identity.NotAfter = roles.Strings(), leaf.NotAfter
	return identity, nil
}
