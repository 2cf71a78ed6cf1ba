// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/talosdisk/kubectl-talosdisk/pkg/kube"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// readStats asks a node's kubelet, through the API server, for the file systems of its
// pods' claims. It needs get on nodes/proxy.
func (d *observation) readStats(ctx context.Context, node string) ([]snapshot.VolumeStat, error) {
	request := d.Client.CoreV1().RESTClient().Get().Resource("nodes").Name(node).SubResource("proxy").Suffix("stats/summary")
	body, err := kube.Raw(request.Do(ctx))
	if err != nil {
		return nil, err
	}
	return statsOf(body)
}

// statsOf reads a kubelet's summary (Kubernetes v1.37, k8s.io/kubelet,
// pkg/apis/stats/v1alpha1/types.go). Of a volume that could not be measured there is none.
func statsOf(body []byte) ([]snapshot.VolumeStat, error) {
	var summary struct {
		Pods []struct {
			PodRef struct {
				Name      string `json:"name"`
				Namespace string `json:"namespace"`
			} `json:"podRef"`
			Volumes []struct {
				CapacityBytes *uint64 `json:"capacityBytes"`
				PVCRef        *struct {
					Name      string `json:"name"`
					Namespace string `json:"namespace"`
				} `json:"pvcRef"`
			} `json:"volume"`
		} `json:"pods"`
	}
	if err := json.Unmarshal(body, &summary); err != nil {
		return nil, fmt.Errorf("the kubelet's stats/summary is not understood: %w", err)
	}
	stats := []snapshot.VolumeStat{}
	for _, p := range summary.Pods {
		for _, v := range p.Volumes {
			if v.PVCRef != nil && v.CapacityBytes != nil {
				stats = append(stats, snapshot.VolumeStat{
					Namespace: v.PVCRef.Namespace, Pod: p.PodRef.Name, Claim: v.PVCRef.Name, Capacity: int64(*v.CapacityBytes),
				})
			}
		}
	}
	slices.SortFunc(stats, func(a, b snapshot.VolumeStat) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Pod, b.Pod), cmp.Compare(a.Claim, b.Claim))
	})
	return stats, nil
}
