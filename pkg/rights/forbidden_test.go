// SPDX-License-Identifier: Apache-2.0

package rights

import (
	"reflect"
	"testing"
)

func TestParseForbidden(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       Forbidden
	}{
		{name: "none", text: "connection refused"},
		{
			name: "a namespace", text: `pods "x" is forbidden: User "jane" cannot create resource "pods/exec" in API group "" in the namespace "a"`,
			want: Forbidden{User: "jane", Missing: []Right{{Verb: "create", Resource: "pods", Subresource: "exec", Namespace: "a"}}},
		},
		{
			name: "the cluster", text: `User "jane" cannot list resource "daemonsets" in API group "apps" at the cluster scope`,
			want: Forbidden{User: "jane", Missing: []Right{{Verb: "list", Group: "apps", Resource: "daemonsets"}}},
		},
		{
			name: "several",
			text: `x: User "jane" cannot list resource "events" in API group "" in the namespace "a"; y: User "jane" cannot list resource "events" in API group "" in the namespace "b"; ` +
				`z: User "jane" cannot list resource "events" in API group "" in the namespace "a"`,
			want: Forbidden{
				User:    "jane",
				Missing: []Right{{Verb: "list", Resource: "events", Namespace: "a"}, {Verb: "list", Resource: "events", Namespace: "b"}},
			},
		},
	} {
		got, ok := ParseForbidden(tt.text)
		if !reflect.DeepEqual(got, tt.want) || ok != (len(tt.want.Missing) > 0) {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}
