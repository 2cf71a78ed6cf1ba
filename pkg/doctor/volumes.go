// SPDX-License-Identifier: Apache-2.0

package doctor

// volumeChecks are those of claims, volumes and their classes.
func volumeChecks() []Check { return nil }
