// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// read puts a document into a value, by the names that its fields have in JSON, and keeps the places of what it read. A key that no field
// has, one that stands there twice, and a value of another type are mistakes.
func (m *mistakes) read(doc *yaml.Node, into any) {
	m.at, m.unread = make(map[string]place), nil
	m.value(doc, reflect.ValueOf(into).Elem(), "")
}

// wrong adds that what is at a path cannot be read. Nothing more is said of what it would be in.
func (m *mistakes) wrong(n *yaml.Node, path, format string, args ...any) {
	m.unread = append(m.unread, path)
	m.add(placeOf(n), format, args...)
}

func (m *mistakes) value(n *yaml.Node, into reflect.Value, path string) {
	m.at[path] = placeOf(n)
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		m.wrong(n, path, "anchors and aliases are not supported")
		return
	case n.ShortTag() == "!!null":
		m.wrong(n, path, "%s has no value", last(path))
		return
	case into.Kind() == reflect.Pointer:
		into.Set(reflect.New(into.Type().Elem()))
		into = into.Elem()
	}
	if size, is := into.Addr().Interface().(*Size); is {
		m.size(n, size, path)
		return
	}
	switch into.Kind() {
	case reflect.Struct:
		m.mapping(n, path, func(key, value *yaml.Node, path string) {
			field := fieldOf(into, key.Value)
			if !field.IsValid() {
				m.wrong(key, path, "key %.60q is not known here: %s", key.Value, strings.Join(keysOf(into.Type()), ", "))
				return
			}
			m.value(value, field, path)
		})
	case reflect.Map:
		into.Set(reflect.MakeMap(into.Type()))
		m.mapping(n, path, func(key, value *yaml.Node, path string) {
			element := reflect.New(into.Type().Elem()).Elem()
			m.value(value, element, path)
			into.SetMapIndex(reflect.ValueOf(key.Value), element)
		})
	case reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			m.wrong(n, path, "%s is not a list", last(path))
			return
		}
		into.Set(reflect.MakeSlice(into.Type(), len(n.Content), len(n.Content)))
		for i, element := range n.Content {
			m.value(element, into.Index(i), fmt.Sprintf("%s[%d]", path, i))
		}
	case reflect.String:
		if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" {
			hint := ""
			if n.Kind == yaml.ScalarNode {
				hint = fmt.Sprintf(": write %q", n.Value)
			}
			m.wrong(n, path, "%s is not a text%s", last(path), hint)
			return
		}
		into.SetString(n.Value)
	case reflect.Bool:
		var value bool
		if n.ShortTag() != "!!bool" || n.Decode(&value) != nil {
			m.wrong(n, path, "%s is neither true nor false", last(path))
			return
		}
		into.SetBool(value)
	case reflect.Int:
		value, err := strconv.Atoi(n.Value)
		if n.ShortTag() != "!!int" || err != nil {
			m.wrong(n, path, "%s is not a whole number", last(path))
			return
		}
		into.SetInt(int64(value))
	default:
		panic("a file has no values of type " + into.Type().String())
	}
}

func (m *mistakes) size(n *yaml.Node, into *Size, path string) {
	tag := n.ShortTag()
	if n.Kind != yaml.ScalarNode || tag != "!!int" && tag != "!!float" && tag != "!!str" {
		m.wrong(n, path, "a size is a number of bytes, or one with a unit, as 50GiB or 480GB")
		return
	}
	size, err := ParseSize(n.Value)
	if err != nil {
		m.wrong(n, path, "%s", err)
		return
	}
	*into = size
}

// mapping calls entry for each key of a mapping, the first of each name.
func (m *mistakes) mapping(n *yaml.Node, path string, entry func(key, value *yaml.Node, path string)) {
	if n.Kind != yaml.MappingNode {
		m.wrong(n, path, "%s is not a mapping of keys to values", last(path))
		return
	}
	lines := make(map[string]int)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch {
		case key.Kind != yaml.ScalarNode || key.Anchor != "" || key.ShortTag() == "!!merge":
			m.wrong(key, path, "a key is a plain text")
		case lines[key.Value] > 0:
			m.wrong(key, path, "key %.60q stands here twice, first on line %d", key.Value, lines[key.Value])
		default:
			lines[key.Value] = key.Line
			entry(key, value, below(path, key.Value))
		}
	}
}

// below is the path of a key's value. A key that has the separator is one of labels, of which nothing more is below.
func below(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// last is the end of a path, for a person: "classes[0]".
func last(path string) string {
	if path == "" {
		return "the document"
	}
	return path[strings.LastIndexByte(path, '.')+1:]
}

// fieldOf is the field that has the name in JSON; the zero Value if there is none.
func fieldOf(v reflect.Value, key string) reflect.Value {
	for i := range v.NumField() {
		if keyOf(v.Type().Field(i)) == key {
			return v.Field(i)
		}
	}
	return reflect.Value{}
}

func keysOf(t reflect.Type) []string {
	var keys []string
	for i := range t.NumField() {
		keys = append(keys, keyOf(t.Field(i)))
	}
	return keys
}

func keyOf(f reflect.StructField) string {
	key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return key
}
