// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/metadata"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/layout"
	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/poll"
)

const resetTimeout = 90 * time.Second

// object is one object of the API.
type object struct {
	resource  schema.GroupVersionResource
	namespace string
	name      string
	uid       types.UID
	// ending is set when its deletion was asked for already.
	ending bool
}

func (o object) String() string {
	return strings.TrimPrefix(o.resource.GroupResource().String()+" "+o.namespace+"/"+o.name, "/")
}

// Reset makes the cluster what it was when it came up: objects made since are
// deleted, disks are removed, kubelets run without extra mounts, and nothing is
// below /var/lib/disks and /var/mnt. Loaded images stay.
func (c *Cluster) Reset(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, resetTimeout)
	defer cancel()
	// A pod goes only where a kubelet runs, and what it uses only after it.
	for _, step := range []func(context.Context) error{
		c.onNodes((*Node).ensureKubelet), c.deleteObjects, c.onNodes((*Node).reset),
	} {
		if err := step(ctx); err != nil {
			return fmt.Errorf("reset the cluster: %w", err)
		}
	}
	return nil
}

// onNodes makes one step of one for every node.
func (c *Cluster) onNodes(do func(*Node, context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		group, ctx := errgroup.WithContext(ctx)
		for _, node := range c.Nodes() {
			group.Go(func() error { return do(node, ctx) })
		}
		return group.Wait()
	}
}

// deleteObjects deletes what is not in the baseline until nothing is left: the
// order is of no use where controllers make new objects meanwhile.
func (c *Cluster) deleteObjects(ctx context.Context) error {
	var keep []types.UID
	if err := layout.ReadJSON(c.dir.Baseline(), &keep); err != nil {
		return err
	}
	client, err := metadata.NewForConfig(c.rest)
	if err != nil {
		return err
	}
	return poll.Until(ctx, func(ctx context.Context) error {
		objects, err := c.objects(ctx, client)
		if err != nil {
			return err
		}
		var left []string
		for _, o := range objects {
			if slices.Contains(keep, o.uid) {
				continue
			}
			left = append(left, o.String())
			if o.ending {
				continue
			}
			if err := remove(ctx, client, o); err != nil {
				return err
			}
		}
		if len(left) > 0 {
			return fmt.Errorf("still there: %s", strings.Join(left, ", "))
		}
		return nil
	})
}

// remove asks for an object's deletion. A pod gets a second to end.
func remove(ctx context.Context, client metadata.Interface, o object) error {
	second, background := int64(1), metav1.DeletePropagationBackground
	err := client.Resource(o.resource).Namespace(o.namespace).Delete(ctx, o.name, metav1.DeleteOptions{
		GracePeriodSeconds: &second,
		PropagationPolicy:  &background,
		Preconditions:      &metav1.Preconditions{UID: &o.uid},
	})
	// A namespace that is ending says so with a conflict.
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}

// objects lists everything that tests could have made.
func (c *Cluster) objects(ctx context.Context, client metadata.Interface) ([]object, error) {
	lists, err := discovery.ServerPreferredResources(c.kube.Discovery())
	if err != nil {
		return nil, err
	}
	var objects []object
	for _, list := range lists {
		version, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			return nil, err
		}
		for _, r := range list.APIResources {
			resource := version.WithResource(r.Name)
			if !slices.Contains(r.Verbs, "list") || !slices.Contains(r.Verbs, "delete") || comesByItself(resource.GroupResource()) {
				continue
			}
			found, err := client.Resource(resource).List(ctx, metav1.ListOptions{})
			if apierrors.IsNotFound(err) {
				continue // a custom resource whose definition was just deleted
			}
			if err != nil {
				return nil, fmt.Errorf("list %s: %w", resource.GroupResource(), err)
			}
			for _, item := range found.Items {
				if madeByKubernetes(r.Name, item.Namespace, item.Name) {
					continue
				}
				objects = append(objects, object{resource, item.Namespace, item.Name, item.UID, item.DeletionTimestamp != nil})
			}
		}
	}
	return objects, nil
}

// comesByItself are the kinds that Kubernetes writes while it runs.
func comesByItself(r schema.GroupResource) bool {
	switch r.String() {
	case "events", "events.events.k8s.io", "leases.coordination.k8s.io", "nodes", "csinodes.storage.k8s.io",
		"endpoints", "endpointslices.discovery.k8s.io", "ipaddresses.networking.k8s.io", "servicecidrs.networking.k8s.io",
		"certificatesigningrequests.certificates.k8s.io", "flowschemas.flowcontrol.apiserver.k8s.io",
		"prioritylevelconfigurations.flowcontrol.apiserver.k8s.io", "apiservices.apiregistration.k8s.io":
		return true
	}
	return false
}

// madeByKubernetes are the objects that appear at a time of their own.
func madeByKubernetes(resource, namespace, name string) bool {
	switch resource {
	case "serviceaccounts":
		return name == "default" || namespace == "kube-system"
	case "configmaps":
		return name == "kube-root-ca.crt"
	}
	return false
}

// writeBaseline notes what a reset is to leave alone, when pods can be made.
func (c *Cluster) writeBaseline(ctx context.Context) error {
	err := poll.Until(ctx, func(ctx context.Context) error {
		_, err := c.kube.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{})
		return err
	})
	if err != nil {
		return fmt.Errorf("wait for the default service account: %w", err)
	}
	client, err := metadata.NewForConfig(c.rest)
	if err != nil {
		return err
	}
	objects, err := c.objects(ctx, client)
	if err != nil {
		return err
	}
	keep := make([]types.UID, 0, len(objects))
	for _, o := range objects {
		keep = append(keep, o.uid)
	}
	return layout.WriteJSON(c.dir.Baseline(), keep)
}

// ensureKubelet starts the kubelet as it was, if it does not run.
func (n *Node) ensureKubelet(ctx context.Context) error {
	running, err := n.KubeletRunning(ctx)
	if err != nil || running {
		return err
	}
	return n.StartKubelet(ctx)
}

// reset removes what tests gave the node, whose pods are gone.
func (n *Node) reset(ctx context.Context) error {
	if err := n.unmountAll(ctx); err != nil {
		return err
	}
	records, err := n.diskRecords()
	if err != nil {
		return err
	}
	for _, record := range records {
		if err := n.RemoveDisk(record.Name); err != nil {
			return err
		}
	}
	pid, err := n.KubeletIn(ctx, Container{})
	if err != nil {
		return err
	}
	if pid == 0 {
		if err := n.StartKubelet(ctx); err != nil {
			return err
		}
	}
	_, err = n.Exec(ctx, "find", "/var/lib/disks", "/var/mnt", "-xdev", "-mindepth", "1", "-delete")
	return err
}

// unmountAll unmounts what tests mounted where volumes lie, the last first.
func (n *Node) unmountAll(ctx context.Context) error {
	file, err := os.Open(fmt.Sprintf("/proc/%d/mountinfo", n.info.PID))
	if err != nil {
		return err
	}
	mounts, err := mountinfo.GetMountsFromReader(file, nil)
	file.Close()
	if err != nil {
		return err
	}
	for _, mount := range slices.Backward(mounts) {
		if strings.HasPrefix(mount.Mountpoint, "/var/lib/disks/") || strings.HasPrefix(mount.Mountpoint, "/var/mnt/") {
			if _, err := n.Exec(ctx, "umount", mount.Mountpoint); err != nil {
				return err
			}
		}
	}
	return nil
}
