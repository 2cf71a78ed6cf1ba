// SPDX-License-Identifier: Apache-2.0

package talos

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jxskiss/base62"
	clusterpb "github.com/siderolabs/talos/pkg/machinery/api/resource/definitions/cluster"
	hardwarepb "github.com/siderolabs/talos/pkg/machinery/api/resource/definitions/hardware"
	k8spb "github.com/siderolabs/talos/pkg/machinery/api/resource/definitions/k8s"

	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talosrelease"
)

// Verify fails unless the node that answers at the address is the machine on which the
// Kubernetes node's kubelet runs: with ErrOtherNode where it is another one, with ErrUnproven
// where that cannot be decided. A name alone proves nothing, since other clusters have nodes
// of the same name. Nothing may be changed on a node, and nothing that it says counts, before.
func (n *Node) Verify(ctx context.Context) error {
	var spec k8spb.NodenameSpec
	nodename := kind{namespaceKubernetes, talosrelease.Nodenames, reader, "the node's name in Kubernetes"}
	if _, err := n.get(ctx, nodename, "nodename", &spec); err != nil {
		return err
	}
	if spec.GetNodename() != n.machine.Node {
		return fail(ErrOtherNode, fmt.Sprintf("the node at %q calls itself %q in Kubernetes, not %q", n.machine.Address, spec.GetNodename(),
			n.machine.Node), "", compareNodes)
	}
	id, idErr := n.machineID(ctx)
	if idErr != nil && ctx.Err() != nil {
		return idErr
	}
	if idErr == nil && sane(id) && sane(n.machine.MachineID) {
		return prove(n.machine, id, "", nil, nil)
	}
	uuid, uuidErr := n.systemUUID(ctx)
	if uuidErr != nil && ctx.Err() != nil {
		return uuidErr
	}
	return prove(n.machine, id, uuid, idErr, uuidErr)
}

const compareNodes = "the talosconfig may be of another cluster; compare with: kubectl get nodes -o wide"

// prove decides from the machine ID and the system UUID that Talos tells, or why it tells
// none. The machine ID is random, of this installation, and decides. The system UUID is the
// board's: boards share placeholders, and Talos can be given another one (META key
// UUIDOverride, v1.6), so that only an equal one says something.
func prove(want snapshot.Machine, id, uuid string, idErr, uuidErr error) error {
	if idErr == nil && sane(id) && sane(want.MachineID) {
		if same(id, want.MachineID) {
			return nil
		}
		return fail(ErrOtherNode,
			fmt.Sprintf("the node at %q is another machine than node %q of Kubernetes: its machine ID is %s, and the kubelet reports %s",
				want.Address, want.Node, id, want.MachineID), "", compareNodes)
	}
	if uuidErr == nil && sane(uuid) && sane(want.SystemUUID) && same(uuid, want.SystemUUID) {
		return nil
	}
	reasons := []string{
		notCompared("machine ID", want.MachineID, id, idErr),
		notCompared("system UUID", want.SystemUUID, uuid, uuidErr),
	}
	return fail(ErrUnproven, fmt.Sprintf("it is not proved that the node at %q is node %q of Kubernetes", want.Address, want.Node),
		strings.Join(reasons, "; "), compareNodes)
}

// notCompared is why a value proves nothing.
func notCompared(what, reported, configured string, err error) string {
	switch {
	case err != nil:
		return fmt.Sprintf("Talos did not tell the %s (%s)", what, err)
	case reported == "":
		return "the kubelet reports no " + what
	case configured == "":
		return "Talos tells no " + what
	case !sane(reported) || !sane(configured):
		return fmt.Sprintf("the %s is a placeholder that many machines have", what)
	}
	return fmt.Sprintf("the %s differs, which Talos can be told to do: %q, and the kubelet reports %q", what, configured, reported)
}

// placeholders are system UUIDs of boards whose maker set none (systemd,
// src/libsystemd/sd-id128, id128-util.c; AMI's and others' defaults).
func placeholders() []string {
	return []string{"03000200040005000006000700080009", "fefefefefefefefefefefefefefefefe", "0123456789abcdef0123456789abcdef",
		"12345678123456789012345678901234"}
}

// sane reports whether an ID can be one machine's alone.
func sane(id string) bool {
	bare := bareID(id)
	return len(bare) == 32 && strings.Trim(bare, "0123456789abcdef") == "" && strings.Trim(bare, bare[:1]) != "" &&
		!slices.Contains(placeholders(), bare)
}

func same(a, b string) bool { return bareID(a) == bareID(b) }

// bareID is an ID as machine-id(5) has it: no dashes, lower case.
func bareID(id string) string {
	return strings.ToLower(strings.ReplaceAll(strings.TrimSpace(id), "-", ""))
}

// machineID is the content of the node's /etc/machine-id, which the kubelet reports: the first
// 16 bytes of Talos's node identity (Talos v1.0 to v1.14,
// internal/app/machined/pkg/adapters/cluster/identity.go). The file itself is for os:admin.
func (n *Node) machineID(ctx context.Context) (string, error) {
	var spec clusterpb.IdentitySpec
	identity := kind{namespaceCluster, talosrelease.Identities, reader, "the node's identity"}
	if _, err := n.get(ctx, identity, "local", &spec); err != nil {
		return "", err
	}
	const size = 16
	raw, err := base62.DecodeString(spec.GetNodeId())
	if err != nil || len(raw) < size {
		return "", fail(ErrAnswer, "the node's identity is not understood", "", "")
	}
	return hex.EncodeToString(raw[:size]), nil
}

// systemUUID is that of the node's SMBIOS (Talos v1.2), "" where it has none.
func (n *Node) systemUUID(ctx context.Context) (string, error) {
	var spec hardwarepb.SystemInformationSpec
	information := kind{namespaceHardware, talosrelease.SystemInformations, reader, "the system's UUID"}
	if _, err := n.get(ctx, information, "systeminformation", &spec); err != nil && !errors.Is(err, ErrNotFound) {
		return "", err
	}
	return spec.GetUuid(), nil
}
