// SPDX-License-Identifier: Apache-2.0

package snapshot

// SeenByPod reports whether a pod of any installation saw the node.
func (s *Snapshot) SeenByPod(n Node) bool {
	there, ok := s.Seen(n.Name).NodeByName(n.Name)
	return ok && there.View.Value != nil
}

// SeenByTalosAlone reports whether the provisioner is not meant to run on the node, and its Talos API listed its disks anyway.
func (s *Snapshot) SeenByTalosAlone(n Node) bool {
	return !s.WantedBy(n) && !s.SeenByPod(n) && n.Talos.Value != nil && n.Talos.Value.Disks.Value != nil
}
