// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

func TestTheSchemaIsWhatTheTypesSay(t *testing.T) {
	t.Chdir("../..")
	got, err := schema()
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("docs/layout.schema.json")
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("docs/layout.schema.json is not what the types say: make docs; %v", err)
	}
}

// TestTheSchemaTakesWhatTheProgramTakes holds that an editor does not object to a file with everything in it, and does to mistakes.
func TestTheSchemaTakesWhatTheProgramTakes(t *testing.T) {
	t.Chdir("../..")
	raw, err := os.ReadFile("docs/layout.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("layout.json", parsed); err != nil {
		t.Fatal(err)
	}
	compiled, err := compiler.Compile("layout.json")
	if err != nil {
		t.Fatal(err)
	}
	objects := func(text string) error {
		decoder := yaml.NewDecoder(strings.NewReader(text))
		for {
			var document any
			switch err := decoder.Decode(&document); {
			case err == io.EOF:
				return nil
			case err != nil:
				t.Fatal(err)
			}
			if err := compiled.Validate(document); err != nil {
				return err
			}
		}
	}
	whole, err := os.ReadFile("pkg/layout/testdata/article.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := objects(string(whole)); err != nil {
		t.Error(err)
	}
	for name, mistake := range map[string]struct{ old, new string }{
		"a key":            {old: "volumeMode:", new: "volumemode:"},
		"a mode":           {old: "volumeMode: Block", new: "volumeMode: block"},
		"what a disk is":   {old: "as: link", new: "as: zfs"},
		"a filesystem":     {old: "filesystem: ext4", new: "filesystem: zfs"},
		"a policy":         {old: "reclaimPolicy: Retain", new: "reclaimPolicy: Keep"},
		"a unit":           {old: "min: 50GiB", new: "min: 50G"},
		"a text":           {old: "rotational: false", new: "rotational: 'no'"},
		"a kind":           {old: "kind: DiskBindings", new: "kind: Pod"},
		"a fact of a disk": {old: "wwid:", new: "uuid:"},
		"a label":          {old: "matchLabels:", new: "labels:"},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(string(whole), mistake.old, mistake.new, 1)
			if text == string(whole) || objects(text) == nil {
				t.Errorf("%q is taken", mistake.new)
			}
		})
	}
}
