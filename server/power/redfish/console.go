package redfish

import (
	"context"
	"io"

	"github.com/diskcast/diskcast/server/power"
	"github.com/diskcast/diskcast/server/power/ipmi"
)

// attach is a machine's serial console. Redfish says that there is one, and brings none (DSP0268, SerialConsole): what
// it names is IPMI or SSH. So it is Serial over LAN at the same BMC, with the same user and password.
func attach(ctx context.Context, c *power.Config, h *power.Host, in io.Reader, out io.Writer, opened func()) error {
	if len(c.Password) > ipmi.MaxPassword || len(c.User) > ipmi.MaxUser {
		return power.Fail(power.Cannot, "its console is reached by IPMI, whose user names have %d bytes at most and "+
			"passwords %d: give its BMC a user for that, and set its power up by ipmi", ipmi.MaxUser, ipmi.MaxPassword)
	}
	u, err := base(c)
	if err != nil {
		return err
	}
	of := *c
	of.Address = u.Hostname()
	return ipmi.Driver.Console(ctx, &of, h, in, out, opened)
}
