// SPDX-License-Identifier: Apache-2.0

package output

import (
	"bytes"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
)

type fruit struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Bytes             uint64   `json:"bytes"`
	Tags              []string `json:"tags,omitempty"`
}

type fruitList struct {
	metav1.TypeMeta `json:",inline"`
	Items           []fruit `json:"items"`
}

func fruits() fruitList {
	return fruitList{
		TypeMeta: metav1.TypeMeta{APIVersion: APIVersion, Kind: "FruitList"},
		Items: []fruit{
			{ObjectMeta: metav1.ObjectMeta{Name: "apple"}, Bytes: 64424509441, Tags: []string{"red"}},
			{ObjectMeta: metav1.ObjectMeta{Name: "pear"}},
		},
	}
}

func fruitTable() *metav1.Table {
	return &metav1.Table{
		ColumnDefinitions: []metav1.TableColumnDefinition{
			{Name: "Name", Type: "string"}, {Name: "Size", Type: "string"}, {Name: "Tags", Type: "string", Priority: 1},
		},
		Rows: []metav1.TableRow{{Cells: []any{"apple", "60Gi", "red"}}, {Cells: []any{"pear", "0", "a\x1b[31m\nb"}}},
	}
}

func print(t *testing.T, obj any, table func() *metav1.Table, args ...string) string {
	t.Helper()
	flags := NewFlags()
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags.AddFlags(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	p, err := flags.ToPrinter()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := p.Print(&b, obj, table); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestPrint(t *testing.T) {
	template := filepath.Join(t.TempDir(), "template")
	if err := os.WriteFile(template, []byte(`{.items[0].metadata.name}`), 0o600); err != nil {
		t.Fatal(err)
	}
	columns := filepath.Join(t.TempDir(), "columns")
	if err := os.WriteFile(columns, []byte("Name Bytes\n.metadata.name  .bytes\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"table":               {want: "NAME    SIZE\napple   60Gi\npear    0\n"},
		"no headers":          {args: []string{"--no-headers"}, want: "apple   60Gi\npear    0\n"},
		"wide":                {args: []string{"-o", "wide"}, want: "NAME    SIZE   TAGS\napple   60Gi   red\npear    0      a^[[31m...\n"},
		"name":                {args: []string{"-o", "name"}, want: "fruit.talosdisk.dev/apple\nfruit.talosdisk.dev/pear\n"},
		"jsonpath":            {args: []string{"-o", "jsonpath={.items[*].bytes}"}, want: "64424509441 0"},
		"jsonpath file":       {args: []string{"-o", "jsonpath-file=" + template}, want: "apple"},
		"jsonpath --template": {args: []string{"-o", "jsonpath", "--template", "{.kind}"}, want: "FruitList"},
		"go template":         {args: []string{"-o", "go-template={{range .items}}{{.metadata.name}} {{end}}"}, want: "apple pear "},
		"template alone":      {args: []string{"--template", "{{.kind}}"}, want: "FruitList"},
		"missing key":         {args: []string{"-o", "jsonpath={.items[0].nothing}"}},
		"custom columns": {
			args: []string{"-o", "custom-columns=N:.metadata.name,B:.bytes"},
			want: "N       B\napple   64424509441\npear    0\n",
		},
		"bare paths": {
			args: []string{"-o", "custom-columns=N:metadata.name,B:{.bytes},K:{kind}"},
			want: "N       B             K\napple   64424509441   Fruit\npear    0             Fruit\n",
		},
		"nothing there": {
			args: []string{"-o", "custom-columns=N:.metadata.name,X:.x[0].y", "--no-headers"},
			want: "apple   <none>\npear    <none>\n",
		},
		"a list":              {args: []string{"-o", "custom-columns=T:.tags"}, want: "T\n[red]\n<none>\n"},
		"columns by template": {args: []string{"-o", "custom-columns", "--template", "N:.metadata.name"}, want: "N\napple\npear\n"},
		"columns of a file":   {args: []string{"-o", "custom-columns-file=" + columns}, want: "Name    Bytes\napple   64424509441\npear    0\n"},
		"json": {args: []string{"-o", "json"}, want: `{
    "apiVersion": "talosdisk.dev/v1alpha1",
    "items": [
        {
            "apiVersion": "talosdisk.dev/v1alpha1",
            "bytes": 64424509441,
            "kind": "Fruit",
            "metadata": {
                "name": "apple"
            },
            "tags": [
                "red"
            ]
        },
        {
            "apiVersion": "talosdisk.dev/v1alpha1",
            "bytes": 0,
            "kind": "Fruit",
            "metadata": {
                "name": "pear"
            }
        }
    ],
    "kind": "FruitList"
}
`},
		"yaml": {args: []string{"-o", "yaml"}, want: `apiVersion: talosdisk.dev/v1alpha1
items:
- apiVersion: talosdisk.dev/v1alpha1
  bytes: 64424509441
  kind: Fruit
  metadata:
    name: apple
  tags:
  - red
- apiVersion: talosdisk.dev/v1alpha1
  bytes: 0
  kind: Fruit
  metadata:
    name: pear
kind: FruitList
`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := print(t, fruits(), fruitTable, c.args...); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestPrintOne(t *testing.T) {
	one := fruit{TypeMeta: metav1.TypeMeta{APIVersion: APIVersion, Kind: "Fruit"}, ObjectMeta: metav1.ObjectMeta{Name: "fig"}}
	if got, want := print(t, &one, nil, "-o", "name"), "fruit.talosdisk.dev/fig\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := print(t, &one, nil, "-o", "jsonpath={.metadata.name}"); got != "fig" {
		t.Errorf("got %q", got)
	}
}

func TestPrintEmptyList(t *testing.T) {
	empty := fruitList{TypeMeta: metav1.TypeMeta{APIVersion: APIVersion, Kind: "FruitList"}}
	if got := print(t, empty, func() *metav1.Table { return &metav1.Table{} }); got != "" {
		t.Errorf("a table without rows printed %q", got)
	}
	if got := print(t, empty, nil, "-o", "json"); !strings.Contains(got, `"items": []`) {
		t.Errorf("got %s", got)
	}
}

func TestPrintRefusesWhatHasNoKind(t *testing.T) {
	p, err := (&Flags{Format: "json"}).ToPrinter()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Print(io.Discard, fruit{}, nil); err == nil || !strings.Contains(err.Error(), "no kind") {
		t.Errorf("error %v", err)
	}
}

func TestUnknownFormat(t *testing.T) {
	_, err := (&Flags{Format: "xml"}).ToPrinter()
	if err == nil || err.Error() != `unknown output format "xml"` || !strings.Contains(failure.Hint(err), "jsonpath-file, kyaml, name, ") {
		t.Errorf("error %v, hint %q", err, failure.Hint(err))
	}
	odd := filepath.Join(t.TempDir(), "odd")
	if err := os.WriteFile(odd, []byte("A B\n.a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"custom-columns", "custom-columns=", "custom-columns=A", "custom-columns=A:", "custom-columns=A:{.a",
		"custom-columns=A:.a[", "custom-columns-file=/nonexistent", "custom-columns-file=" + odd, "custom-columns-file=/dev/null"} {
		if _, err := (&Flags{Format: format}).ToPrinter(); err == nil {
			t.Errorf("%q is accepted", format)
		}
	}
	if _, err := (&Flags{Format: "jsonpath={"}).ToPrinter(); err == nil {
		t.Error("a broken template is accepted")
	}
}

// What a disk says of itself must not reach a terminal as it is.
func TestColumnsEscape(t *testing.T) {
	one := fruit{TypeMeta: metav1.TypeMeta{APIVersion: APIVersion, Kind: "Fruit"}, Tags: []string{"a\x1b[31m\nb\tc"}}
	if got, want := print(t, one, nil, "-o", "custom-columns=T:.tags[0],K:.kind"),
		"T               K\na^[[31m\\nb\\tc   Fruit\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// Every format that the help names must be one that ToPrinter takes.
func TestFormats(t *testing.T) {
	argument := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(argument, []byte("NAME\n.metadata.name\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, format := range Formats() {
		full := format
		switch {
		case strings.HasSuffix(format, "file"):
			full += "=" + argument
		case format == "custom-columns":
			full += "=N:.metadata.name"
		case strings.Contains(format, "template"), strings.HasPrefix(format, "jsonpath"):
			full += "={.kind}"
		}
		if _, err := (&Flags{Format: full}).ToPrinter(); err != nil {
			t.Errorf("%s: %v", full, err)
		}
	}
}

func TestSize(t *testing.T) {
	const gi = 1 << 30
	for bytes, want := range map[uint64]string{
		0:                    "0",
		1:                    "1",
		1023:                 "1023",
		1024:                 "1Ki",
		1025:                 "1Ki",
		1536:                 "1.5Ki",
		512 << 20:            "512Mi",
		60 * gi:              "60Gi",
		60*gi - 1:            "59Gi",
		10*gi - 1:            "9.9Gi",
		10 * gi:              "10Gi",
		10*gi + gi/2:         "10Gi",
		1024*gi - 1:          "1023Gi",
		1024 * gi:            "1Ti",
		2000398934016:        "1.8Ti", // sold as 2 TB
		4000787030016:        "3.6Ti", // sold as 4 TB
		500107862016:         "465Gi", // sold as 500 GB
		2*1024*gi - 1:        "1.9Ti",
		1 << 60:              "1Ei",
		1<<60 + 1<<59:        "1.5Ei",
		math.MaxUint64:       "15Ei",
		2<<60 - 1:            "1.9Ei",
		1<<60 + 115292150460: "1Ei",
	} {
		if got := Size(bytes); got != want {
			t.Errorf("Size(%d) = %q, want %q", bytes, got, want)
		}
	}
}

func FuzzSize(f *testing.F) {
	for _, b := range []uint64{0, 1, 1023, 1024, 1 << 40, math.MaxUint64} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, bytes uint64) {
		s := Size(bytes)
		number := strings.TrimRight(s, "KMGTPEi")
		shift := strings.Index("_KMGTPE", strings.TrimSuffix(strings.TrimPrefix(s, number), "i")) * 10
		if shift < 0 || strings.TrimPrefix(s, number) == "" {
			shift = 0
		}
		whole, tenth, _ := strings.Cut(number, ".")
		var tenths uint64
		for _, d := range whole + tenth {
			tenths = tenths*10 + uint64(d-'0')
		}
		value, unit := float64(tenths), math.Ldexp(1, shift)
		step := unit
		if tenth != "" {
			value, step = value/10, unit/10
		} else if tenths < 10 && shift > 0 {
			step = unit / 10
		}
		// float64 has 53 bits, so allow for its rounding.
		if over := value*unit - float64(bytes); over > unit*1e-9 || -over > step+unit*1e-9 {
			t.Errorf("Size(%d) = %q is off by %g", bytes, s, over)
		}
	})
}
