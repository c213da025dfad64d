package client

import (
	"context"
	"net/url"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
)

// Receivers lists those who are told what happens.
func (c *Client) Receivers(ctx context.Context) ([]doc.NotifyReceiver, error) {
	return call[[]doc.NotifyReceiver](ctx, c, "GET", "/v1/notify", nil)
}

// TestNotify tells one receiver, or for an empty name all, a word at once.
func (c *Client) TestNotify(ctx context.Context, name string) ([]doc.NotifyResult, error) {
	return call[[]doc.NotifyResult](ctx, c, "POST", "/v1/notify/test", doc.NotifyTest{V: session.Version, To: name})
}

// TellFinding has a finding told to those who asked for them.
func (c *Client) TellFinding(ctx context.Context, f doc.NotifyFinding) error {
	_, err := call[doc.NotifyFinding](ctx, c, "POST", "/v1/notify/finding", f)
	return err
}

// SetNotifySecret stores a receiver's key or password.
func (c *Client) SetNotifySecret(ctx context.Context, name, secret string) (*doc.NotifyReceiver, error) {
	return call[*doc.NotifyReceiver](ctx, c, "PUT", "/v1/notify/"+url.PathEscape(name)+"/secret",
		doc.NotifySecret{V: session.Version, Secret: secret})
}
