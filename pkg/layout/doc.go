// SPDX-License-Identifier: Apache-2.0

// Package layout is the file that says which disks of which nodes become which class of the provisioner: its two documents,
// how they are read and written, which disks fit a class, and which file describes what a cluster has.
//
// A person owns the DiskLayout; nothing here changes a byte of it. The program owns the DiskBindings, and writes it whole. Only bindings
// say which disk is meant: nothing is chosen at the moment of acting.
//
// Functions of values only: no client and no I/O may enter.
package layout
