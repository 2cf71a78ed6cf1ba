// SPDX-License-Identifier: Apache-2.0

package talostest_test

import (
	"strings"
	"testing"

	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/talosdisk/kubectl-talosdisk/pkg/talos/talostest"
)

func TestVolumeDocumentsAreChecked(t *testing.T) {
	t.Parallel()
	const b = `disk.serial == "talos-disk-b"`
	quota := user("a", b, atLeast1GiB+"filesystem:\n    projectQuotaSupport: true\n")
	mount := user("a", b, atLeast1GiB+"mount:\n    secure: false\n")
	care := user("a", b, atLeast1GiB+"trim:\n    enabled: true\n")
	directory := "---\napiVersion: v1alpha1\nkind: UserVolumeConfig\nname: a\nvolumeType: directory\n"
	for _, tt := range []struct {
		name, source string
		profile      talostest.Profile
		native       bool
		document     string
		// want is the message or a part of it, "" where it is taken.
		want string
	}{
		{
			name: "a field that disks do not have", source: "badvol-05-badcel.txt", profile: talostest.V114, native: true,
			document: user("x", "disk.nosuch == 1", atLeast1GiB),
			want: "1 error occurred:\n\t* UserVolumeConfig/x: disk selector is invalid: ERROR: <input>:1:5: undefined field 'nosuch'\n" +
				" | disk.nosuch == 1\n | ....^\n\n",
		},
		{
			name: "neither selector nor size", source: "badvol-06-nosel.txt", profile: talostest.V113,
			document: "---\napiVersion: v1alpha1\nkind: UserVolumeConfig\nname: x\n",
			want:     "1 error occurred:\n\t* UserVolumeConfig/x: disk selector is required\nmin size or max size is required\n\n",
		},
		{
			name: "a long name", source: "badvol-07-longname.txt", profile: talostest.V114,
			document: user("this-name-is-longer-than-thirty-four-characters", "true", atLeast1GiB),
			want: "1 error occurred:\n\t* UserVolumeConfig/this-name-is-longer-than-thirty-four-characters: " +
				"name must be between 1 and 34 characters long\n\n",
		},
		{
			name: "a name with a dot", source: "block, UserVolumeConfigV1Alpha1.Validate", profile: talostest.V114, native: true,
			document: raw("a.b", "true", atLeast1GiB), want: "name can only contain lowercase and uppercase ASCII letters, digits, and hyphens",
		},
		{
			name: "a whole disk with a size", source: "block, ProvisioningSpec.Validate", profile: talostest.V113,
			document: user("a", b, atLeast1GiB+wholeDisk), want: "min size, max size and grow are not supported",
		},
		{
			name: "a directory with a file system", source: "block, UserVolumeConfigV1Alpha1.Validate", profile: talostest.V113,
			document: directory + "filesystem:\n    type: ext4\n", want: "filesystem spec is invalid for volumeType directory",
		},
		{
			name: "user and existing volume of one name", source: "block, ConflictsWithKinds", profile: talostest.V114, native: true,
			document: user("a", b, atLeast1GiB) + existing("a", "true"), want: "conflict",
		},
		{
			name: "a volume twice", source: "config/container", profile: talostest.V114, native: true,
			document: user("a", b, atLeast1GiB) + user("a", b, atLeast1GiB), want: "duplicate document v1alpha1/UserVolumeConfig/a is not allowed",
		},
		{name: "user and raw volume of one name", profile: talostest.V113, document: user("a", b, atLeast1GiB) + raw("a", b, atLeast1GiB)},
		{name: "user volumes before there were some", profile: talostest.V19, document: user("a", b, atLeast1GiB), want: "not registered"},
		{name: "raw volumes before there were some", profile: "v1.10.9", document: raw("a", b, atLeast1GiB), want: "not registered"},
		{name: "existing volumes before there were some", profile: "v1.10.9", document: existing("a", "true"), want: "not registered"},
		{
			name: "quotas too early", profile: "v1.10.9", document: quota,
			want: "unknown keys found during decoding:\nfilesystem:\n    projectQuotaSupport: true\n",
		},
		{name: "quotas", profile: talostest.V111, document: quota},
		{name: "types too early", profile: talostest.V111, document: user("a", b, wholeDisk), want: "unknown keys found during decoding"},
		{name: "types", profile: "v1.12.0", document: user("a", b, wholeDisk)},
		{name: "parts too early", profile: talostest.V111, document: user("a", b, "    maxSize: 80%\n"), want: "unhandled size name: %"},
		{name: "parts", profile: "v1.12.0", document: user("a", b, "    maxSize: 80%\n")},
		{name: "mount options too early", profile: "v1.12.0", document: mount, want: "unknown keys found during decoding"},
		{name: "mount options", profile: talostest.V113, document: mount},
		{name: "what is left free, too early", profile: "v1.12.0", document: user("a", b, "    maxSize: -1GiB\n"), want: "invalid syntax"},
		{name: "what is left free", profile: talostest.V113, document: user("a", b, "    maxSize: -1GiB\n")},
		{name: "trim too early", profile: talostest.V113, document: care, want: "unknown keys found during decoding"},
		{name: "trim", profile: talostest.V114, document: care},
		{name: "trim, native", profile: talostest.V114, native: true, document: care},
		{
			name: "mount options of a directory too early", profile: talostest.V113, document: directory + "mount:\n    secure: false\n",
			want: "mount spec is invalid for volumeType directory",
		},
		{name: "mount options of a directory", profile: talostest.V114, document: directory + "mount:\n    secure: false\n"},
		{
			name: "a key that is none", profile: talostest.V114, native: true, document: user("a", b, atLeast1GiB+"nosuch: 1\n"),
			want: "unknown keys found during decoding",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := node(t, talostest.Options{Profile: tt.profile, Native: tt.native})
			data := []byte(string(n.Config()) + tt.document)
			_, err := apply(t, dial(t, n), data, machine.ApplyConfigurationRequest_NO_REBOOT, true)
			got := status.Convert(err)
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if got.Code() != codes.InvalidArgument || !strings.Contains(got.Message(), tt.want) {
				t.Errorf("%s: answered %v, want %q", tt.source, err, tt.want)
			}
		})
	}
}
