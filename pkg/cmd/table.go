// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// newTable has a column for each title.
func newTable(titles ...string) *metav1.Table {
	t := &metav1.Table{}
	addColumns(t, 0, titles)
	return t
}

// addWide adds columns that only -o wide shows.
func addWide(t *metav1.Table, titles ...string) { addColumns(t, 1, titles) }

func addColumns(t *metav1.Table, priority int32, titles []string) {
	for _, title := range titles {
		t.ColumnDefinitions = append(t.ColumnDefinitions, metav1.TableColumnDefinition{Name: title, Type: "string", Priority: priority})
	}
}

func addRow(t *metav1.Table, cells ...string) {
	row := metav1.TableRow{}
	for _, c := range cells {
		row.Cells = append(row.Cells, c)
	}
	t.Rows = append(t.Rows, row)
}

// words are the values of a string type.
func words[T ~string](all []T) []string {
	s := make([]string, 0, len(all))
	for _, w := range all {
		s = append(s, string(w))
	}
	return s
}

// orNone is what a table shows for a list.
func orNone(all []string) string {
	if len(all) == 0 {
		return "-"
	}
	return strings.Join(all, ",")
}
