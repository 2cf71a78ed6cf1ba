// SPDX-License-Identifier: Apache-2.0

package talos

import (
	"errors"
	"strings"
	"testing"

	"github.com/siderolabs/talos/pkg/machinery/role"

	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talos/talostest"
)

// A node of the same name in another cluster is another machine, and what is not known of a
// machine proves nothing.
func TestVerifyProvesTheMachine(t *testing.T) {
	const name = "w-1"
	id, uuid := talostest.MachineID(name), talostest.SystemUUID(name)
	reported := func(id, uuid string) snapshot.Machine {
		return snapshot.Machine{Node: name, Address: "127.0.0.1", MachineID: id, SystemUUID: uuid}
	}
	const placeholder = "03000200-0400-0500-0006-000700080009"
	for what, c := range map[string]struct {
		reported snapshot.Machine
		// id and uuid are what Talos tells.
		id, uuid string
		kind     error // nil: proved
		says     []string
	}{
		"both equal":             {reported: reported(id, uuid), id: id, uuid: uuid},
		"the machine ID decides": {reported: reported(id, "another"), id: id, uuid: uuid},
		"in capitals":            {reported: reported(strings.ToUpper(id), ""), id: id},
		"another machine ID": {
			reported: reported(talostest.MachineID("w-1 of another cluster"), uuid),
			id:       id,
			uuid:     uuid,
			kind:     ErrOtherNode,
			says:     []string{"is another machine", id, "another cluster"},
		},
		"no machine ID reported":      {reported: reported("", uuid), id: id, uuid: uuid},
		"no machine ID told":          {reported: reported(id, uuid), uuid: uuid},
		"the system UUID in capitals": {reported: reported("", strings.ToUpper(uuid)), id: id, uuid: uuid},
		"another system UUID": {
			reported: reported("", talostest.SystemUUID("x")),
			id:       id,
			uuid:     uuid,
			kind:     ErrUnproven,
			says:     []string{"the kubelet reports no machine ID", "the system UUID differs", uuid},
		},
		"nothing reported": {
			reported: reported("", ""),
			id:       id,
			uuid:     uuid,
			kind:     ErrUnproven,
			says:     []string{"the kubelet reports no machine ID", "the kubelet reports no system UUID"},
		},
		"nothing told": {
			reported: reported(id, uuid),
			kind:     ErrUnproven,
			says:     []string{"Talos did not tell the machine ID", "Talos tells no system UUID"},
		},
		"a placeholder": {
			reported: reported("", placeholder),
			uuid:     placeholder,
			kind:     ErrUnproven,
			says:     []string{"many machines have"},
		},
		"zeros": {
			reported: reported(strings.Repeat("0", 32), strings.Repeat("0", 32)),
			id:       strings.Repeat("0", 32),
			uuid:     strings.Repeat("0", 32),
			kind:     ErrUnproven,
			says:     []string{"many machines have"},
		},
		"zeros, and an equal system UUID": {reported: reported(strings.Repeat("0", 32), uuid), id: strings.Repeat("0", 32), uuid: uuid},
		"what is no ID": {
			reported: reported("unknown", "Not Settable"),
			id:       id,
			uuid:     "Not Settable",
			kind:     ErrUnproven,
			says:     []string{"it is not proved that the node at", `"w-1" of Kubernetes`},
		},
		"placeholders beside a machine ID": {reported: reported(id, placeholder), id: id, uuid: placeholder},
		"a placeholder, another machine ID": {
			reported: reported(talostest.MachineID("x"), placeholder),
			id:       id,
			uuid:     placeholder,
			kind:     ErrOtherNode,
		},
	} {
		t.Run(what, func(t *testing.T) {
			n := start(t, talostest.Options{Name: name})
			if err := errors.Join(n.SetMachineID(t.Context(), c.id), n.SetSystemUUID(t.Context(), c.uuid)); err != nil {
				t.Fatal(err)
			}
			client := connect(t, n.Cluster(), talostest.Access{Roles: []role.Role{role.Reader}})
			err := client.Node(c.reported).Verify(deadline(t))
			_, inventoryErr := client.Inventory(deadline(t), c.reported)
			if c.kind == nil {
				if err != nil || inventoryErr != nil {
					t.Errorf("%v, %v", err, inventoryErr)
				}
				return
			}
			is(t, err, c.kind, n.Config(), append(c.says, "kubectl get nodes -o wide")...)
			is(t, inventoryErr, c.kind, n.Config())
		})
	}
}

// Every release tells its machine ID to os:reader.
func TestVerifyInEveryRelease(t *testing.T) {
	for _, profile := range []talostest.Profile{talostest.V16, talostest.V19, talostest.V111, talostest.V113, talostest.V114} {
		n := start(t, talostest.Options{Profile: profile, Name: "w-1"})
		client := connect(t, n.Cluster(), talostest.Access{Roles: []role.Role{role.Reader}})
		if err := client.Node(machineOf("w-1", "127.0.0.1")).Verify(deadline(t)); err != nil {
			t.Errorf("%s: %v", profile, err)
		}
	}
}
