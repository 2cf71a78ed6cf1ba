// SPDX-License-Identifier: Apache-2.0

// Package standin behaves like the local static provisioner v2.9.0 where the
// tests of this project can tell: which entries of a class directory become
// PersistentVolumes and under which names, what is cleaned when a volume is
// released, and what the pod's log and events say about everything else.
//
// The real provisioner is published as an image only; the stand-in is built
// from the Go module proxy, so that the tests need no image registry. Its
// messages are worded as the real ones, because people search for them and the
// doctor reads them; that is why some errors here begin with a capital.
// Cleaning by Jobs and metrics are left out.
package standin
