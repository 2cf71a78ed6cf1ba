// SPDX-License-Identifier: Apache-2.0

package manifests

import (
	"bytes"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

// YAML returns objects as one stream for `kubectl apply -f -`.
func YAML(objects ...runtime.Object) ([]byte, error) {
	var out bytes.Buffer
	for _, object := range objects {
		text, err := yaml.Marshal(object)
		if err != nil {
			return nil, fmt.Errorf("cannot write a %s as YAML: %w", object.GetObjectKind().GroupVersionKind().Kind, err)
		}
		out.WriteString("---\n")
		out.Write(text)
	}
	return out.Bytes(), nil
}
