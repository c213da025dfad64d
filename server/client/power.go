package client

import (
	"context"
	"fmt"
	"net/url"

	"github.com/diskcast/diskcast/server/doc"
)

func powerPath(machine string) string { return "/v1/machines/" + url.PathEscape(machine) + "/power" }

// Power shows how a machine's power is reached.
func (c *Client) Power(ctx context.Context, machine string) (*doc.Power, error) {
	return call[*doc.Power](ctx, c, "GET", powerPath(machine), nil)
}

// SetPower sets it up.
func (c *Client) SetPower(ctx context.Context, machine string, in doc.PowerSet) (*doc.Power, error) {
	return call[*doc.Power](ctx, c, "PUT", powerPath(machine), in)
}

// ForgetPower takes it away, and the secret with it.
func (c *Client) ForgetPower(ctx context.Context, machine string) (*doc.Power, error) {
	return call[*doc.Power](ctx, c, "DELETE", powerPath(machine), nil)
}

// StartPower begins work on the power of machines.
func (c *Client) StartPower(ctx context.Context, spec doc.PowerSpec) (*doc.PowerRun, error) {
	return call[*doc.PowerRun](ctx, c, "POST", "/v1/power", spec)
}

// PowerRun returns work as soon as its serial is above after, or it is over, or some time has passed.
func (c *Client) PowerRun(ctx context.Context, id string, after uint64) (*doc.PowerRun, error) {
	path := fmt.Sprintf("/v1/power/%s?after=%d&wait=20s", url.PathEscape(id), after)
	return call[*doc.PowerRun](ctx, c, "GET", path, nil)
}

// CancelPower ends it.
func (c *Client) CancelPower(ctx context.Context, id string) (*doc.PowerRun, error) {
	return call[*doc.PowerRun](ctx, c, "POST", "/v1/power/"+url.PathEscape(id)+"/cancel", nil)
}
