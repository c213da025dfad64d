// Package drivers lists all ways to reach a machine's power; a new one is a folder beside this one and a line here.
package drivers

import (
	"github.com/diskcast/diskcast/server/power"
	"github.com/diskcast/diskcast/server/power/command"
	"github.com/diskcast/diskcast/server/power/ipmi"
	"github.com/diskcast/diskcast/server/power/redfish"
	"github.com/diskcast/diskcast/server/power/webhook"
	"github.com/diskcast/diskcast/server/power/wol"
)

// All are the drivers of a server.
var All = power.Drivers{
	command.Driver,
	ipmi.Driver,
	redfish.Driver,
	webhook.Driver,
	wol.Driver,
}
