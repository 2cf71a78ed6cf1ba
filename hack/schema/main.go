// SPDX-License-Identifier: Apache-2.0

// Command schema writes the JSON schema of a layout's file, by which editors complete and check it. What it says is read from the types
// and their comments; what the program itself checks beyond that is not in it.
//
//	go run ./hack/schema SCHEMA.json
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"

	"github.com/invopop/jsonschema"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/talosdisk/kubectl-talosdisk/pkg/layout"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: schema SCHEMA.json")
		os.Exit(2)
	}
	schema, err := schema()
	if err == nil {
		err = os.WriteFile(os.Args[1], schema, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// schema is that of each document of a file. It reads comments below the working directory, which has to be the module's.
func schema() ([]byte, error) {
	r := &jsonschema.Reflector{Mapper: special, ExpandedStruct: true, Anonymous: true}
	if err := r.AddGoComments("github.com/talosdisk/kubectl-talosdisk", "./pkg/layout"); err != nil {
		return nil, err
	}
	for name, text := range r.CommentMap {
		r.CommentMap[name] = strings.Join(strings.Fields(text), " ")
	}
	all := &jsonschema.Schema{
		Version: jsonschema.Version, Title: "A document of a file of kubectl talosdisk layout", Definitions: make(jsonschema.Definitions),
	}
	for _, document := range []struct {
		kind  string
		value any
	}{{layout.Kind, layout.Layout{}}, {layout.BindingsKind, layout.Bindings{}}} {
		s := r.Reflect(document.value)
		constant(s, "apiVersion", layout.APIVersion)
		constant(s, "kind", document.kind)
		for name, d := range s.Definitions {
			all.Definitions[name] = d
		}
		s.Definitions, s.Version = nil, ""
		all.Definitions[document.kind] = s
		all.OneOf = append(all.OneOf, &jsonschema.Schema{Ref: "#/$defs/" + document.kind})
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	err := encoder.Encode(all)
	return out.Bytes(), err
}

func constant(s *jsonschema.Schema, property, value string) {
	if p, there := s.Properties.Get(property); there {
		p.Const = value
	}
}

// special are the schemas of types of which Go does not tell the values.
func special(t reflect.Type) *jsonschema.Schema {
	words := func(all ...any) *jsonschema.Schema { return &jsonschema.Schema{Type: "string", Enum: all} }
	switch t {
	case reflect.TypeFor[layout.Size]():
		return &jsonschema.Schema{
			Description: "Bytes, or a number with a unit: 50GiB, 480GB.",
			OneOf: []*jsonschema.Schema{
				{Type: "integer", Minimum: "0"}, {Type: "string", Pattern: `^[0-9]+(\.[0-9]+)? ?(B|[kKMGTP]B|[KMGTP]iB?)?$`},
			},
		}
	case reflect.TypeFor[layout.As]():
		return words(string(layout.AsVolume), string(layout.AsDisk), string(layout.AsLink), string(layout.AsPartition))
	case reflect.TypeFor[layout.By]():
		return words(string(layout.ByIdentity), string(layout.BySlot))
	case reflect.TypeFor[provisioner.Mode]():
		return words(string(provisioner.Filesystem), string(provisioner.Block))
	case reflect.TypeFor[metav1.LabelSelectorOperator]():
		return words(string(metav1.LabelSelectorOpIn), string(metav1.LabelSelectorOpNotIn), string(metav1.LabelSelectorOpExists),
			string(metav1.LabelSelectorOpDoesNotExist))
	}
	return nil
}
