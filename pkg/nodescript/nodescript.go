// SPDX-License-Identifier: Apache-2.0

// Package nodescript is all that runs in a provisioner's pod: the fixed scripts that look at a node and change its class
// directories, the records that they answer with and the parser of these, and the session in which a node is looked at and
// then given steps. Names and paths reach the scripts as data, never as code.
//
// What runs a command in a pod is behind Executor. Which steps a node is given is decided elsewhere.
package nodescript

import _ "embed"

//go:embed record.sh
var recordFunctions string

//go:embed lib.sh
var library string

//go:embed observe.sh
var observeNode string

//go:embed link.sh
var performSteps string

// linkName is what a command that may change links is called in the list of processes, where observe.sh looks for it.
const linkName = "talosdisk-link"

// Script is what runs on a node: it looks and says what it sees, up to Observed, then performs steps and says End.
func Script() string { return observeScript() + performSteps }

// observeScript only looks. What follows it in the same shell says End.
func observeScript() string { return RecordScript() + library + observeNode }

// RecordScript are the functions by which a script says its records, for a script of another room. Records reads them.
func RecordScript() string { return recordFunctions }
