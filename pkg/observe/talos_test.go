// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/talosdisk/kubectl-talosdisk/pkg/kube"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// nodesTalos answers for each node in a way of its own.
type nodesTalos struct {
	mu    sync.Mutex
	asked []string
	most  int
	now   int
	// meet, if set, is waited for by every call: it opens when so many are in.
	meet func()
}

func (f *nodesTalos) Inventory(ctx context.Context, machine snapshot.Machine) (snapshot.Talos, error) {
	f.mu.Lock()
	node := machine.Node
	f.asked = append(f.asked, node+" "+machine.Address)
	f.now++
	f.most = max(f.most, f.now)
	f.mu.Unlock()
	if f.meet != nil {
		f.meet()
	}
	f.mu.Lock()
	f.now--
	f.mu.Unlock()
	switch node {
	case "w-2":
		return snapshot.Talos{}, errors.New("no answer")
	case "hangs":
		<-ctx.Done()
		return snapshot.Talos{}, context.Cause(ctx)
	}
	return snapshot.Talos{System: snapshot.Read("disk-of-" + node)}, nil
}

func TestTalosIsAskedOfEveryNode(t *testing.T) {
	nowhere := node("w-3", func(n *corev1.Node) { n.Status.Addresses = nil })
	client := fake.NewClientset(daemonSet("provisioner", nil), configMap(), node("w-1", nil), node("w-2", nil), nowhere)
	for name, c := range map[string]struct {
		observer Observer
		request  Request
		asked    []string
		// want is why each node's section is unread, or its value.
		want []string
	}{
		"every node": {
			observer: Observer{Talos: &nodesTalos{}},
			request:  Request{Strict: true, Parts: OnNodes, WithoutPod: true},
			asked:    []string{"w-1 10.0.0.1", "w-2 10.0.0.1"},
			want:     []string{"disk-of-w-1", "no answer", "no InternalIP"},
		},
		"nodes with a pod only": {
			observer: Observer{Talos: &nodesTalos{}},
			request:  Request{Strict: true, Parts: OnNodes},
			want:     []string{"it was not looked at", "it was not looked at", "it was not looked at"},
		},
		"no node": {
			observer: Observer{Talos: &nodesTalos{}},
			request:  Request{Strict: true, WithoutPod: true},
			want:     []string{"it was not looked at", "it was not looked at", "it was not looked at"},
		},
		"without a talosconfig": {
			observer: Observer{NoTalos: problem.FromText("no talosconfig")},
			request:  Request{Strict: true, Parts: OnNodes, WithoutPod: true},
			want:     []string{"no talosconfig", "no talosconfig", "no talosconfig"},
		},
		"where it is not asked": {
			observer: Observer{},
			request:  Request{Strict: true, Parts: OnNodes, WithoutPod: true},
			want:     []string{"it was not looked at", "it was not looked at", "it was not looked at"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c.observer.Client, c.observer.Pods = client, &kube.Pods{}
			s, err := c.observer.Observe(t.Context(), c.request)
			if err != nil {
				t.Fatal(err)
			}
			for i, n := range s.Nodes {
				got := n.Talos.Why()
				if n.Talos.Value != nil {
					got = problem.FromText(*n.Talos.Value.System.Value)
				}
				if !strings.Contains(got.Message, c.want[i]) {
					t.Errorf("%s: %q, want %q", n.Name, got, c.want[i])
				}
			}
			if s.NoTalos != c.observer.NoTalos {
				t.Errorf("NoTalos = %q", s.NoTalos)
			}
			if f, ok := c.observer.Talos.(*nodesTalos); ok {
				if slices.Sort(f.asked); !slices.Equal(f.asked, c.asked) {
					t.Errorf("asked %q, want %q", f.asked, c.asked)
				}
			}
		})
	}
}

// A node that does not answer ends with its own timeout, and no more nodes are asked
// at once than the run allows.
func TestTalosIsAskedWithinTheBoundsOfTheRun(t *testing.T) {
	const limit = 4
	var together sync.WaitGroup
	together.Add(limit)
	once := make(chan struct{}, limit)
	for range limit {
		once <- struct{}{}
	}
	talos := &nodesTalos{meet: func() {
		// The first calls wait for each other: they run at once or never.
		select {
		case <-once:
			together.Done()
			together.Wait()
		default:
		}
	}}
	client := fake.NewClientset(daemonSet("provisioner", nil), configMap(), node("hangs", nil))
	for i := range 20 {
		if err := client.Tracker().Add(node(fmt.Sprintf("n-%02d", i), nil)); err != nil {
			t.Fatal(err)
		}
	}
	c := Observer{Client: client, Pods: &kube.Pods{}, Talos: talos, Limit: limit, Timeout: 200 * time.Millisecond}
	s, err := c.Observe(t.Context(), Request{Strict: true, Parts: OnNodes, WithoutPod: true})
	if err != nil {
		t.Fatal(err)
	}
	if why := s.Nodes[0].Talos.Why(); why.Message != "no answer within 200ms; --node-timeout gives it longer" {
		t.Errorf("the node that hangs: %q", why)
	}
	if s.Nodes[1].Talos.Value == nil || talos.most != limit || len(talos.asked) != 21 {
		t.Errorf("%q; at most %d at once, of %d", s.Nodes[1].Talos.Why(), talos.most, len(talos.asked))
	}
}
