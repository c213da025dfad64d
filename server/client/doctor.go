package client

import (
	"context"
	"fmt"

	"github.com/diskcast/diskcast/server/doc"
)

// AskDoctor has the server look at itself, unless it does so already or has just done so.
func (c *Client) AskDoctor(ctx context.Context) (*doc.Doctor, error) {
	return call[*doc.Doctor](ctx, c, "POST", "/v1/doctor", nil)
}

// Doctor returns what the server found as soon as its serial is above after and it does not look, or some time has
// passed.
func (c *Client) Doctor(ctx context.Context, after uint64) (*doc.Doctor, error) {
	return call[*doc.Doctor](ctx, c, "GET", fmt.Sprintf("/v1/doctor?after=%d&wait=20s", after), nil)
}
