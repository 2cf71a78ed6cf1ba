// SPDX-License-Identifier: Apache-2.0

package talos

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestBrief(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"a sentence": {
			text: "kubelet config is already set in v1alpha1 config (.machine.kubelet)",
			want: "kubelet config is already set in v1alpha1 config (.machine.kubelet)",
		},
		"several": {text: "2 errors occurred:\n\t* first\n\t* second\n\n", want: "first; second"},
		"unknown keys": {
			text: "error decoding document v1alpha1/ (line 2): unknown keys found during decoding:\nmachine:\n  tokn: CANARY\n",
			want: "error decoding document v1alpha1/ (line 2): unknown keys found during decoding (the rest is not shown, as it may hold secrets)",
		},
		"a diff": {
			text: "this config change can't be applied in immediate mode\ndiff:  &v1alpha1.Config{ MachineToken: \"CANARY\"",
			want: "this config change can't be applied in immediate mode; diff (the rest is not shown, as it may hold secrets)",
		},
		"a wrong type": {
			text: "yaml: unmarshal errors:\n  line 3: cannot unmarshal !!str `CANARY` into bool",
			want: "yaml: unmarshal errors: line 3: cannot unmarshal !!str (the rest is not shown, as it may hold secrets)",
		},
		"long": {text: strings.Repeat("ä", 300), want: strings.Repeat("ä", 200) + "…"},
		"none": {text: "", want: ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := brief(c.text); got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

func TestTransport(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{
			text: `connection error: desc = "transport: Error while dialing: dial tcp 127.0.0.1:1: connect: connection refused"`,
			want: "dial tcp 127.0.0.1:1: connect: connection refused",
		},
		{
			text: `last connection error: connection error: desc = "transport: authentication handshake failed: tls: first record does not look like a TLS handshake"`,
			want: "tls: first record does not look like a TLS handshake",
		},
		{
			text: `connection error: desc = "error reading server preface: remote error: tls: expired certificate"`,
			want: "remote error: tls: expired certificate",
		},
		{
			text: `connection error: desc = "transport: Error while dialing: invalid proxy \"http://me:CANARY@proxy:3128\""`,
			want: `invalid proxy "http://proxy:3128"`,
		},
		{text: "name resolver error: produced zero addresses", want: "the name has no address"},
		{
			text: `connection error: desc = "transport: authentication handshake failed: context deadline exceeded"`,
			want: "no connection within 5s",
		},
	} {
		if got := transport(c.text); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestConceal(t *testing.T) {
	config := strings.Join([]string{
		"version: v1alpha1",
		"machine:",
		"  type: worker",
		"  token: abcd",
		"  ca: {crt: LS0tCRT, key: \"/SLASH\"}",
		"  files:",
		"    - path: /var/etc/x",
		"      content: |",
		"        first line",
		"        second line",
		"  kubelet:",
		"    extraMounts: [{destination: /var/lib/local-disks}]",
		"---",
		"kind: OfAnotherRelease",
		"anything: no-key-says-that-this-is-one",
	}, "\n")
	for name, c := range map[string]struct{ config, text, want string }{
		"short below a key":   {config, `invalid "abcd"`, `invalid "[not shown]"`},
		"below a nested key":  {config, `bad LS0tCRT and /SLASH`, `bad [not shown] and [not shown]`},
		"a line of a file":    {config, `got second line`, `got [not shown]`},
		"long, anywhere":      {config, `got no-key-says-that-this-is-one`, `got [not shown]`},
		"words stay":          {config, `machine type worker in v1alpha1`, `machine type worker in v1alpha1`},
		"paths stay":          {config, `destination /var/lib/local-disks`, `destination /var/lib/local-disks`},
		"what cannot be read": {"machine: {token: 'unterminated, CANARY", `near CANARY`, `near [not shown]`},
	} {
		t.Run(name, func(t *testing.T) {
			err := conceal(status.Error(codes.InvalidArgument, c.text), []byte(c.config))
			if st := status.Convert(err); st.Message() != c.want || st.Code() != codes.InvalidArgument {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
