// SPDX-License-Identifier: Apache-2.0

package talostest

import (
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/role"
)

// allowed are the roles that may call a method (Talos
// internal/app/machined/pkg/system/services/machined.go, rules; the same in v1.6 to
// v1.14 for the methods here). What is not listed is for os:admin alone.
func allowed(method string) role.Set {
	service, name, _ := strings.Cut(strings.TrimPrefix(method, "/"), "/")
	reading := role.MakeSet(role.Admin, role.Operator, role.Reader)
	switch service {
	case "cosi.resource.State":
		switch name {
		case "Get", "List", "Watch":
			// Which resource decides further: see access.
			return reading
		}
	case "storage.StorageService":
		if name == "Disks" {
			return reading
		}
	case "machine.MachineService":
		switch name {
		case "Version", "List", "DiskUsage", "Processes", "Mounts", "Containers", "ServiceList",
			"Logs", "LogsContainers", "Dmesg", "Events", "Hostname", "Memory", "LoadAvg", "SystemStat",
			"CPUInfo", "DiskStats", "NetworkDeviceStats", "Stats":
			return reading
		case "ServiceRestart", "ServiceStart", "ServiceStop", "Reboot", "Restart", "Shutdown":
			return role.MakeSet(role.Admin, role.Operator)
		}
	}
	return role.MakeSet(role.Admin)
}
