// SPDX-License-Identifier: Apache-2.0

// Package output is the only place that knows tables, JSON, colour and terminals.
//
// It prints any value that has an apiVersion and a kind, and does not know what the values mean. It
// must not import cobra, a client, or a room that observes or decides.
package output

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"

	"github.com/spf13/pflag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/printers"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
)

// APIVersion is that of everything the program prints.
const APIVersion = "talosdisk.dev/v1alpha1"

// Flags choose how a value is printed. The zero value prints a table.
type Flags struct {
	Format    string
	NoHeaders bool
	Template  string
	// AllowMissingTemplateKeys has kubectl's meaning and, by NewFlags, kubectl's default: true.
	AllowMissingTemplateKeys bool
}

// NewFlags returns Flags with kubectl's defaults.
func NewFlags() *Flags { return &Flags{AllowMissingTemplateKeys: true} }

// AddFlags adds --output, --no-headers, --template and --allow-missing-template-keys.
func (f *Flags) AddFlags(fs *pflag.FlagSet) {
	fs.StringVarP(&f.Format, "output", "o", f.Format, fmt.Sprintf("Output format. One of: (%s).", strings.Join(Formats(), ", ")))
	fs.BoolVar(&f.NoHeaders, "no-headers", f.NoHeaders, "Print tables and custom columns without headers.")
	fs.StringVar(&f.Template, "template", f.Template,
		"Template, or path to a template file, for -o go-template, go-template-file, jsonpath and jsonpath-file.")
	fs.BoolVar(&f.AllowMissingTemplateKeys, "allow-missing-template-keys", f.AllowMissingTemplateKeys,
		"Ignore fields that a template names and the output lacks. Only applies to golang and jsonpath output formats.")
}

// Formats are the values that --output takes, sorted; those that need an argument take it after "=".
func Formats() []string {
	formats := slices.Concat(
		genericclioptions.NewJSONYamlPrintFlags().AllowedFormats(),
		genericclioptions.NewKubeTemplatePrintFlags().AllowedFormats(),
		[]string{columnsFormat, columnsFileFormat, "name", "wide"},
	)
	slices.Sort(formats)
	return slices.Compact(formats)
}

// ToPrinter returns the printer that the flags ask for.
func (f *Flags) ToPrinter() (*Printer, error) {
	format := f.Format
	if format == "" && f.Template != "" {
		format = "go-template"
	}
	switch format {
	case "", "wide":
		return &Printer{options: printers.PrintOptions{Wide: format == "wide", NoHeaders: f.NoHeaders}}, nil
	case "name":
		return &Printer{objects: &printers.NamePrinter{}}, nil
	}
	switch c, err := newColumns(format, f.Template, f.NoHeaders); {
	case err != nil:
		return nil, failure.Wrap(err, fmt.Sprintf("cannot print as %q", f.Format), "")
	case c != nil:
		return &Printer{objects: c}, nil
	}
	templates := genericclioptions.NewKubeTemplatePrintFlags()
	*templates.TemplateArgument, *templates.AllowMissingKeys = f.Template, f.AllowMissingTemplateKeys
	for _, try := range []func(string) (printers.ResourcePrinter, error){
		templates.ToPrinter, genericclioptions.NewJSONYamlPrintFlags().ToPrinter,
	} {
		p, err := try(format)
		if genericclioptions.IsNoCompatiblePrinterError(err) {
			continue
		}
		if err != nil {
			return nil, failure.Wrap(err, fmt.Sprintf("cannot print as %q", f.Format), "")
		}
		if format == "yaml" {
			p = &printers.YAMLPrinter{} // Which takes JSON, too.
		}
		return &Printer{objects: p, verbatim: format == "yaml"}, nil
	}
	return nil, failure.New(fmt.Sprintf("unknown output format %q", f.Format), "use one of "+strings.Join(Formats(), ", "))
}

// Printer prints values of one run.
type Printer struct {
	options printers.PrintOptions
	objects printers.ResourcePrinter // nil: tables
	// verbatim output has escapes of its own, which are not those of Filter.
	verbatim bool
}

// IsTable reports whether people read the output: a table, wide or not.
func (p *Printer) IsTable() bool { return p.objects == nil }

// Print writes obj to w, or table() if a table was asked for. In obj's JSON apiVersion and kind must be set; if it has
// "items", those that lack them get the list's apiVersion and its kind without "List".
//
// In the table, columns with a Priority above 0 are for -o wide only. A table without rows prints nothing.
func (p *Printer) Print(w io.Writer, obj any, table func() *metav1.Table) error {
	if p.IsTable() {
		return printers.NewTablePrinter(p.options).PrintObj(table(), w)
	}
	u, err := toUnstructured(obj)
	if err != nil {
		return err
	}
	if p.verbatim {
		// The libraries write no YAML of JSON that has C1 controls in it; of their escapes they do.
		body, err := json.Marshal(u)
		if err != nil {
			return err
		}
		var escaped strings.Builder
		for _, r := range string(body) {
			if unicode.IsControl(r) {
				fmt.Fprintf(&escaped, `\u%04x`, r)
			} else {
				escaped.WriteRune(r)
			}
		}
		u, w = &runtime.Unknown{Raw: []byte(escaped.String())}, behind(w)
	}
	return p.objects.PrintObj(u, w)
}

// toUnstructured makes of any value of ours what cli-runtime can print without a scheme.
func toUnstructured(obj any) (runtime.Object, error) {
	body, err := json.Marshal(obj)
	if err != nil {
		return nil, err
	}
	var content map[string]any
	if err := json.Unmarshal(body, &content); err != nil {
		return nil, err
	}
	u := &unstructured.Unstructured{Object: content}
	if u.GetAPIVersion() == "" || u.GetKind() == "" {
		return nil, fmt.Errorf("%T has no apiVersion or no kind", obj)
	}
	if content["items"] == nil {
		if _, isList := content["items"]; isList || strings.HasSuffix(u.GetKind(), "List") {
			content["items"] = []any{}
		}
	}
	items, isList := content["items"].([]any)
	if !isList {
		return u, nil
	}
	for _, item := range items {
		fields, ok := item.(map[string]any)
		if !ok {
			return nil, errors.New("an item of a list is not an object")
		}
		i := unstructured.Unstructured{Object: fields}
		if i.GetAPIVersion() == "" {
			i.SetAPIVersion(u.GetAPIVersion())
		}
		if i.GetKind() == "" {
			i.SetKind(strings.TrimSuffix(u.GetKind(), "List"))
		}
	}
	list := &unstructured.UnstructuredList{}
	list.SetUnstructuredContent(content)
	return list, nil
}
