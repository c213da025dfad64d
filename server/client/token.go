package client

import (
	"context"
	"net/url"

	"github.com/diskcast/diskcast/server/doc"
)

// Tokens lists the named tokens.
func (c *Client) Tokens(ctx context.Context) ([]doc.Token, error) {
	return call[[]doc.Token](ctx, c, "GET", "/v1/tokens", nil)
}

// CreateToken makes one.
func (c *Client) CreateToken(ctx context.Context, in doc.TokenSpec) (*doc.TokenMade, error) {
	return call[*doc.TokenMade](ctx, c, "POST", "/v1/tokens", in)
}

// RemoveToken ends one.
func (c *Client) RemoveToken(ctx context.Context, name string) error {
	_, err := call[struct{}](ctx, c, "DELETE", "/v1/tokens/"+url.PathEscape(name), nil)
	return err
}
