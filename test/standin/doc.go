// SPDX-License-Identifier: Apache-2.0

// Package standin behaves like the local static provisioner v2.9.0 where the
// tests of this project can tell: which entries of a class directory become
// PersistentVolumes and under which names, what is cleaned when a volume is
// released, and what the pod's log and events say about everything else.
//
// The real provisioner is published as an image only; the stand-in is built
// from the Go module proxy, so that the tests need no image registry. Its
// messages are worded as the real ones, because people search for them and the
// doctor reads them; that is why some errors here begin with a capital. A line of the
// log begins with the name of the source file, so the files that log are
// called as the real ones; the numbers of the lines differ. Comments name the real file
// that a fact is from, as of v2.9.0. Metrics, the removal of a startup taint and
// Windows are left out.
package standin
