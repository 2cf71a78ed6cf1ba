// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

const (
	// RecordsName is the ConfigMap, in the provisioner's namespace, that has a key for each volume.
	RecordsName = "talosdisk-identities"
	// maxRecord in bytes: a ConfigMap holds 1 MiB, thousands of records.
	maxRecord = 2 << 10
	// maxNames is how many of udev's names of a kind are recorded, maxValue how long each value may be.
	maxNames = 4
	maxValue = 256
)

// Records are what was recorded of the volumes' disks, by the volume's name. What is no record is left out: anyone who may
// write ConfigMaps there can write anything.
func Records(ctx context.Context, client Client, namespace string) (map[string]snapshot.Record, error) {
	config, err := client.CoreV1().ConfigMaps(namespace).Get(ctx, RecordsName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	records := make(map[string]snapshot.Record, len(config.Data))
	for name, text := range config.Data {
		if r, ok := parseRecord(name, text); ok {
			records[name] = r
		}
	}
	return records, nil
}

// Record writes records of volumes' disks. Each has a key of its own, so that runs side by side do not lose each other's.
func Record(ctx context.Context, client Client, namespace string, records map[string]snapshot.Record) error {
	data := make(map[string]*string, len(records))
	for name, r := range records {
		r.Identity.ByID, r.Identity.ByPath = first(r.Identity.ByID), first(r.Identity.ByPath)
		text, err := json.Marshal(r)
		if err != nil {
			return err
		}
		if _, ok := parseRecord(name, string(text)); !ok {
			return fmt.Errorf("what identifies the disk of volume %q is too long, or not text", name)
		}
		data[name] = new(string(text))
	}
	err := patchRecords(ctx, client, namespace, data)
	if !apierrors.IsNotFound(err) {
		return err
	}
	made := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: RecordsName,
			Labels: map[string]string{"app.kubernetes.io/managed-by": "kubectl-talosdisk"},
			Annotations: map[string]string{
				"talosdisk.dev/description": "which disk each local volume was made for; kubectl talosdisk link writes it",
			},
		},
		Data: make(map[string]string, len(data)),
	}
	for name, text := range data {
		made.Data[name] = *text
	}
	_, err = client.CoreV1().ConfigMaps(namespace).Create(ctx, made, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) { // Another run was faster.
		return patchRecords(ctx, client, namespace, data)
	}
	return err
}

// Forget removes the records of volumes.
func Forget(ctx context.Context, client Client, namespace string, volumes []string) error {
	data := make(map[string]*string, len(volumes))
	for _, name := range volumes {
		data[name] = nil
	}
	err := patchRecords(ctx, client, namespace, data)
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// patchRecords changes keys, and no other; nil removes one.
func patchRecords(ctx context.Context, client Client, namespace string, data map[string]*string) error {
	patch, err := json.Marshal(map[string]any{"data": data})
	if err != nil {
		return err
	}
	_, err = client.CoreV1().ConfigMaps(namespace).Patch(ctx, RecordsName, types.MergePatchType, patch, metav1.PatchOptions{})
	return err
}

func first(names []string) []string { return names[:min(len(names), maxNames)] }

// parseRecord reads one record, strictly.
func parseRecord(name, text string) (snapshot.Record, bool) {
	var r snapshot.Record
	if len(text) > maxRecord || len(validation.IsDNS1123Subdomain(name)) > 0 {
		return r, false
	}
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&r); err != nil || decoder.More() {
		return r, false
	}
	values := []string{r.Node, string(r.NodeUID), r.Class, r.Path, r.Identity.WWID, r.Identity.Serial}
	if r.Node == "" || r.Class == "" || !strings.HasPrefix(r.Path, "/") || len(r.Identity.ByID) > maxNames ||
		len(r.Identity.ByPath) > maxNames {
		return r, false
	}
	for _, v := range append(append(values, r.Identity.ByID...), r.Identity.ByPath...) {
		if !plain(v) {
			return r, false
		}
	}
	return r, r.Identity.Size > 0 || r.Identity.Known()
}

// plain reports whether a value is text of one line that disturbs no terminal.
func plain(v string) bool {
	return len(v) <= maxValue && strings.IndexFunc(v, func(c rune) bool { return c == unicode.ReplacementChar || !unicode.IsPrint(c) }) < 0
}
