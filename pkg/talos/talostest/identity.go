// SPDX-License-Identifier: Apache-2.0

package talostest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/jxskiss/base62"
	"github.com/siderolabs/talos/pkg/machinery/resources/cluster"
	"github.com/siderolabs/talos/pkg/machinery/resources/hardware"
)

// MachineID is the content of /etc/machine-id of a node that was given none: what its kubelet
// reports to Kubernetes.
func MachineID(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:16])
}

// SystemUUID is that of a node's SMBIOS, as the kubelet reports it.
func SystemUUID(name string) string {
	id := MachineID("system " + name)
	return fmt.Sprintf("%s-%s-%s-%s-%s", id[:8], id[8:12], id[12:16], id[16:20], id[20:])
}

// seedIdentity gives the node what proves which machine it is.
func (n *Node) seedIdentity(ctx context.Context) error {
	id := n.options.MachineID
	if id == "" {
		id = MachineID(n.options.Name)
	}
	return errors.Join(n.SetMachineID(ctx, id), n.SetSystemUUID(ctx, SystemUUID(n.options.Name)))
}

// SetMachineID gives the node another identity, 32 hexadecimal digits; "" removes it.
func (n *Node) SetMachineID(ctx context.Context, id string) error {
	identity := cluster.NewIdentity(cluster.NamespaceName, cluster.LocalIdentity)
	if id == "" {
		return n.forget(ctx, identity)
	}
	raw, err := hex.DecodeString(id)
	if err != nil {
		return err
	}
	// Talos's own has 32 bytes, of which the first 16 are the machine ID.
	identity.TypedSpec().NodeID = base62.EncodeToString(append(raw, make([]byte, 16)...))
	return put(ctx, n.state, identity)
}

// SetSystemUUID gives the node another SMBIOS; "" removes it, as in a container.
func (n *Node) SetSystemUUID(ctx context.Context, uuid string) error {
	information := hardware.NewSystemInformation(hardware.SystemInformationID)
	if uuid == "" {
		return n.forget(ctx, information)
	}
	information.TypedSpec().UUID = uuid
	return put(ctx, n.state, information)
}

// forget removes a resource that may not be there.
func (n *Node) forget(ctx context.Context, r resource.Resource) error {
	err := n.state.Destroy(ctx, r.Metadata())
	if state.IsNotFoundError(err) {
		return nil
	}
	return err
}
