// SPDX-License-Identifier: Apache-2.0

package problem

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/rights"
)

const refusal = `pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "a"`

func listPods(namespace string) rights.Right {
	return rights.Right{Verb: "list", Resource: "pods", Namespace: namespace}
}

func TestFrom(t *testing.T) {
	forbidden := &rights.Forbidden{User: "jane", Missing: []rights.Right{listPods("a")}}
	for _, tt := range []struct {
		name string
		err  error
		want Problem
	}{
		{name: "none"},
		{name: "any", err: errors.New("EOF"), want: Problem{Message: "EOF"}},
		{
			name: "a right",
			err:  failure.Wrap(errors.New(refusal), "pods", "a hint"),
			want: Problem{Kind: Forbidden, Message: "pods: " + refusal, Forbidden: forbidden},
		},
		{
			name: "late",
			err:  fmt.Errorf("asking: %w", context.DeadlineExceeded),
			want: Problem{Kind: NoAnswer, Message: "asking: context deadline exceeded"},
		},
		{
			name: "of a kind",
			err:  failure.Wrap(WithKind(BadClasses, errors.New("no such key")), "x", ""),
			want: Problem{Kind: BadClasses, Message: "x: no such key"},
		},
		{
			name: "of a kind, for a right",
			err:  WithKind(NoProvisioner, errors.New(refusal)),
			want: Problem{Kind: NoProvisioner, Message: refusal, Forbidden: forbidden},
		},
	} {
		if got := From(tt.err); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
	if WithKind(NoPod, nil) != nil {
		t.Error("no error has a kind")
	}
}

func TestBecauseKeepsTheKind(t *testing.T) {
	got := Because("the log of %q: %s; %s", "w-1", Text("it is gone"), Starting("w-1"))
	if got.Kind != KubeletStarting || got.Object != "w-1" ||
		!strings.HasPrefix(got.Message, `the log of "w-1": it is gone; the kubelet on w-1 does not know`) {
		t.Errorf("%+v", got)
	}
	if got := Because("%d disks", 3); got != Text("3 disks") {
		t.Errorf("%+v", got)
	}
}

func TestJoin(t *testing.T) {
	other := FromText(strings.ReplaceAll(refusal, `"a"`, `"b"`))
	got := Join([]Problem{Text("EOF"), FromText(refusal), {}, Text("EOF"), other})
	want := Problem{
		Kind: Forbidden, Message: "EOF; " + refusal + "; " + other.Message,
		Forbidden: &rights.Forbidden{User: "jane", Missing: []rights.Right{listPods("a"), listPods("b")}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if !Join(nil).IsZero() {
		t.Error("no problems are one")
	}
}

func TestProblemInAFile(t *testing.T) {
	for _, p := range []Problem{
		{},
		Text(`DaemonSet "a/b" has no pod there`), // It has no kind, whatever it says.
		Starting("w-1"),
		From(errors.New(refusal)),
	} {
		b, err := json.Marshal(p)
		var got Problem
		if err := errors.Join(err, json.Unmarshal(b, &got)); err != nil || !reflect.DeepEqual(got, p) {
			t.Errorf("%s became %+v, %v", b, got, err)
		}
	}
	if err := json.Unmarshal([]byte(`{"message":"x","news":1}`), new(Problem)); err == nil {
		t.Error("an unknown field is taken")
	}
}

// The texts of version 1, as the programs of that time made them.
func TestFromText(t *testing.T) {
	for text, want := range map[string]Problem{
		"": {},
		"the kubelet on w-1 does not know its pods yet, as after a start: ask again in a minute": {Kind: KubeletStarting, Object: "w-1"},
		"the DaemonSet does not tolerate the node's taint a=b:NoSchedule":                        {Kind: NotTolerated, Object: "a=b:NoSchedule"},
		"the DaemonSet's nodeSelector asks for a=b":                                              {},
		`DaemonSet "a/b" has no pod there`:                                                       {Kind: NoPod},
		`pod "a/b" is being deleted`:                                                             {Kind: PodDeleted},
		`pod "a/b" is Pending`:                                                                   {Kind: PodDown},
		`container "c" of pod "a/b" does not run: ErrImagePull`:                                  {Kind: PodDown},
		`no DaemonSet that runs the local volume static provisioner in any namespace`:            {Kind: NoProvisioner},
		`several provisioners: "a/x", "b/y"`:                                                     {Kind: SeveralProvisioners},
		`ConfigMap "a/b" of the provisioner does not exist`:                                      {Kind: BadClasses},

		"no talosconfig was found: X":                                                                                {Kind: TalosNotConfigured},
		"talosconfig X cannot be used: X":                                                                            {Kind: TalosConfig},
		"the Talos API cannot be used: X":                                                                            {Kind: TalosConfig},
		"the client certificate of Talos context X ended at X":                                                       {Kind: TalosExpired},
		"the Talos API at X takes the client certificate of X, which is good until X, for expired":                   {Kind: TalosExpired},
		"X needs the Talos role X; context X has X":                                                                  {Kind: TalosDenied},
		"the Talos API does not know who context X is: X":                                                            {Kind: TalosDenied},
		"the Talos API endpoint X is a worker, which forwards no requests to other nodes":                            {Kind: TalosForwarding},
		"the node at X calls itself X in Kubernetes, not X":                                                          {Kind: TalosOtherNode},
		"the node at X is another machine than node X of Kubernetes: its machine ID is X, and the kubelet reports X": {Kind: TalosOtherNode},
		"it is not proved that the node at X is node X of Kubernetes: X":                                             {Kind: TalosUnproven},
		"the Talos API at X has a certificate of another CA than X":                                                  {Kind: TalosTLS},
		"the Talos API's certificate is not for the endpoint X: X":                                                   {Kind: TalosTLS},
		"the Talos API at X does not accept the client certificate of X: X":                                          {Kind: TalosTLS},
		"the Talos API's certificate at X is not trusted: X":                                                         {Kind: TalosTLS},
		"no answer from the Talos API at X: X":                                                                       {Kind: TalosUnreachable},
		"the Talos API endpoint X does not reach the node at X: X":                                                   {Kind: TalosUnreachable},
		"the connection to the node at X, through the Talos API at X, broke: X":                                      {Kind: TalosUnreachable},
		"asking the Talos API at X for X: context deadline exceeded":                                                 {Kind: NoAnswer},
		"asking the Talos API at X for X: no answer within 30s":                                                      {Kind: NoAnswer},

		// Of these nothing was decided.
		"Talos did not give X: X":                  {},
		"X is not there: X":                        {},
		"X could not be read: X":                   {},
		"this release of Talos does not have X":    {},
		"X came without content":                   {},
		"the node's identity is not understood: X": {},
		"another machine configuration is being applied to the node at this moment": {},
		"the kubelet restarted while it was looked at":                              {},
	} {
		want.Message = text
		if got := FromText(text); got != want {
			t.Errorf("%q: %+v, want %+v", text, got, want)
		}
	}
	if got := FromText(refusal); got.Kind != Forbidden || len(got.Forbidden.Missing) != 1 {
		t.Errorf("%+v", got)
	}
}
