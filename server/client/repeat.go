package client

import (
	"context"
	"net/url"

	"github.com/diskcast/diskcast/server/doc"
)

// Repeats lists all repeating sessions.
func (c *Client) Repeats(ctx context.Context) ([]doc.Repeat, error) {
	return call[[]doc.Repeat](ctx, c, "GET", "/v1/repeats", nil)
}

// CreateRepeat makes one.
func (c *Client) CreateRepeat(ctx context.Context, in doc.RepeatSpec) (*doc.Repeat, error) {
	return call[*doc.Repeat](ctx, c, "POST", "/v1/repeats", in)
}

// Repeat shows one.
func (c *Client) Repeat(ctx context.Context, id string) (*doc.Repeat, error) {
	return call[*doc.Repeat](ctx, c, "GET", "/v1/repeats/"+url.PathEscape(id), nil)
}

// RemoveRepeat forgets one.
func (c *Client) RemoveRepeat(ctx context.Context, id string) error {
	_, err := call[struct{}](ctx, c, "DELETE", "/v1/repeats/"+url.PathEscape(id), nil)
	return err
}
