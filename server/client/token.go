package client

import (
	"context"
	"fmt"
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

// LoginLink makes a link that logs in to the page once, with a named token: all of it, with the server's address.
func (c *Client) LoginLink(ctx context.Context, name string, in doc.LoginLinkSpec) (*doc.LoginLink, string, error) {
	l, err := call[*doc.LoginLink](ctx, c, "POST", "/v1/tokens/"+url.PathEscape(name)+"/link", in)
	if err != nil {
		return nil, "", err
	}
	ref, err := url.Parse(l.Path)
	if err != nil || ref.IsAbs() || ref.Host != "" {
		return nil, "", fmt.Errorf("the server's link %q is no path", l.Path)
	}
	return l, c.base.ResolveReference(ref).String(), nil
}
