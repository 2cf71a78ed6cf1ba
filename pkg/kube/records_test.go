// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

const recordsIn = "local-storage"

func recordOf(node string) snapshot.Record {
	return snapshot.Record{
		Node: node, NodeUID: "uid-1", Class: "block", Path: "/var/lib/disks/block/vdf",
		Identity: disk.ID{
			WWID:   "naa.5000c500a1b2c3d4",
			Serial: "ZA1",
			Size:   1 << 30,
			ByID:   []string{"wwn-0x5000c500a1b2c3d4"},
			ByPath: []string{"pci-0000:00:1f.2-ata-1"},
		},
	}
}

func TestRecordsStayAndGo(t *testing.T) {
	client, ctx := fake.NewClientset(), t.Context()
	if got, err := Records(ctx, client, recordsIn); len(got) > 0 || err != nil {
		t.Fatalf("%v, %v", got, err)
	}
	if err := Forget(ctx, client, recordsIn, []string{"pv-1"}); err != nil {
		t.Errorf("there is nothing to forget: %v", err)
	}
	first, second := recordOf("w-1"), recordOf("w-2")
	if err := Record(ctx, client, recordsIn, map[string]snapshot.Record{"pv-1": first}); err != nil {
		t.Fatal(err)
	}
	if err := Record(ctx, client, recordsIn, map[string]snapshot.Record{"pv-2": second}); err != nil {
		t.Fatal(err)
	}
	want := map[string]snapshot.Record{"pv-1": first, "pv-2": second}
	if got, err := Records(ctx, client, recordsIn); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	if err := Forget(ctx, client, recordsIn, []string{"pv-1", "pv-3"}); err != nil {
		t.Fatal(err)
	}
	if got, err := Records(ctx, client, recordsIn); err != nil || !reflect.DeepEqual(got, map[string]snapshot.Record{"pv-2": second}) {
		t.Errorf("%v, %v", got, err)
	}
}

// Runs side by side make the ConfigMap once, and none loses the other's record.
func TestRecordsSideBySide(t *testing.T) {
	client := fake.NewClientset()
	const runs = 8
	var all sync.WaitGroup
	for i := range runs {
		all.Go(func() {
			if err := Record(t.Context(), client, recordsIn, map[string]snapshot.Record{fmt.Sprintf("pv-%d", i): recordOf("w-1")}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got, err := Records(t.Context(), client, recordsIn); err != nil || len(got) != runs {
		t.Errorf("%d records, %v", len(got), err)
	}
}

// What is in the ConfigMap may be anybody's: what is no record counts for nothing.
func TestRecordsOfAStranger(t *testing.T) {
	const good = `{"node":"w-1","class":"block","path":"/x/vdf","identity":{"serial":"ZA1","size":1}}`
	data := map[string]string{
		"pv-good": good,
		"not_DNS": good,
		"pv-a":    "", "pv-b": "[]", "pv-c": "null", "pv-d": good + good,
		"pv-e": `{"node":"w-1","class":"block","path":"/x/vdf","identity":{"serial":"ZA1","size":1},"more":1}`,
		"pv-f": `{"node":"w-1","class":"block","path":"x/vdf","identity":{"serial":"ZA1","size":1}}`,
		"pv-g": `{"node":"w-1","class":"block","path":"/x/vdf","identity":{}}`,
		"pv-h": `{"node":"w-1","class":"block","path":"/x/vdf","identity":{"serial":"\u001b[31m","size":1}}`,
		"pv-i": `{"node":"w-1","class":"block","path":"/x/vdf","identity":{"serial":"\u202e","size":1}}`,
		"pv-j": `{"node":"w-1","class":"block","path":"/x/vdf","identity":{"serial":"` + strings.Repeat("x", maxValue+1) + `","size":1}}`,
		"pv-k": `{"node":"w-1","class":"block","path":"/x/vdf","identity":{"serial":"ZA1","size":1,"byID":["a","b","c","d","e"]}}`,
		"pv-l": `{"node":"w-1","class":"block","path":"/x/vdf","identity":{"serial":"ZA1","size":1}}` + strings.Repeat(" ", maxRecord),
	}
	client := fake.NewClientset(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: recordsIn, Name: RecordsName}, Data: data})
	got, err := Records(t.Context(), client, recordsIn)
	if _, ok := got["pv-good"]; err != nil || !ok || len(got) != 1 {
		t.Errorf("%v, %v", got, err)
	}
}

// What is too much is cut or refused before it is sent, and a refusal is an error.
func TestRecordIsBounded(t *testing.T) {
	client := fake.NewClientset()
	many := recordOf("w-1")
	many.Identity.ByID = []string{"a", "b", "c", "d", "e", "f"}
	if err := Record(t.Context(), client, recordsIn, map[string]snapshot.Record{"pv-1": many}); err != nil {
		t.Fatal(err)
	}
	if got, err := Records(t.Context(), client, recordsIn); err != nil || len(got["pv-1"].Identity.ByID) != maxNames {
		t.Errorf("%v, %v", got, err)
	}
	long := recordOf("w-1")
	long.Identity.Serial = strings.Repeat("x", maxValue+1)
	if err := Record(t.Context(), client, recordsIn, map[string]snapshot.Record{"pv-1": long}); err == nil {
		t.Error("it was recorded")
	}
	client.PrependReactor("patch", "configmaps", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "configmaps"}, RecordsName, fmt.Errorf("not for you"))
	})
	if err := Record(t.Context(), client, recordsIn, map[string]snapshot.Record{"pv-1": recordOf("w-1")}); !apierrors.IsForbidden(err) {
		t.Errorf("got %v", err)
	}
}
