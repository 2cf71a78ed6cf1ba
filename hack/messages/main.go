// SPDX-License-Identifier: Apache-2.0

// Command messages looks up in the sources of Kubernetes where the messages come from that
// the doctor knows: it downloads each release that pkg/doctor/testdata/messages.txt names,
// and looks in each file that a message is said to be of for its wording.
//
//	go run ./hack/messages
package main

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

func main() {
	if err := run("pkg/doctor/testdata/messages.txt"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(table string) error {
	text, err := os.ReadFile(table)
	if err != nil {
		return err
	}
	var releases []string
	looked, missing := 0, 0
	files := make(map[string][]string)
	for number, line := range strings.Split(string(text), "\n") {
		words := strings.SplitN(line, " ", 3)
		if words[0] == "releases" {
			releases = strings.Fields(line)[1:]
		}
		first, last, isRange := strings.Cut(words[0], "-")
		if !isRange || len(words) < 3 || strings.HasPrefix(line, "#") {
			continue
		}
		for _, release := range releases {
			minor := release[:strings.LastIndex(release, ".")]
			in := minor >= first && minor <= last // They are all 1.NN.
			wording, err := strconv.Unquote(`"` + strings.ReplaceAll(words[2], `"`, `\"`) + `"`)
			if err != nil {
				return fmt.Errorf("%s:%d: %w", table, number+1, err)
			}
			of := words[1] + " " + release
			if files[of] == nil {
				files[of] = literals(words[1], release)
			}
			looked++
			if slices.Contains(files[of], wording) != in {
				missing++
				fmt.Printf("%s:%d: whether %q is in %s of v%s should be %t\n", table, number+1, wording, words[1], release, in)
			}
		}
	}
	if missing > 0 || looked == 0 {
		return fmt.Errorf("%d of %d look-ups found something else than the table says", missing, looked)
	}
	fmt.Printf("%d look-ups in %d releases found what the table says\n", looked, len(releases))
	return nil
}

// literals are the strings in a file of a release, none if there is no such file.
func literals(file, release string) []string {
	module := strings.Join(strings.SplitN(file, "/", 3)[:2], "/")
	version := "v" + release
	if module != "k8s.io/kubernetes" {
		version = "v0" + strings.TrimPrefix(release, "1")
	}
	out, err := exec.Command("go", "mod", "download", "-json", module+"@"+version).Output()
	var got struct{ Dir string }
	if err == nil {
		err = json.Unmarshal(out, &got)
	}
	tree, err2 := parser.ParseFile(token.NewFileSet(), filepath.Join(got.Dir, strings.TrimPrefix(file, module)), nil, 0)
	if err != nil || err2 != nil {
		return []string{}
	}
	all := []string{}
	ast.Inspect(tree, func(n ast.Node) bool {
		if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
			s, _ := strconv.Unquote(l.Value)
			all = append(all, s)
		}
		return true
	})
	return all
}
