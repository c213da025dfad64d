package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/diskcast/diskcast/internal/session"
)

// PostLook tells the server what the node saw when it was asked to look.
func (c *Client) PostLook(ctx context.Context, r *session.LookResult) error {
	body, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("look: %w", err)
	}
	return c.authorised(ctx, "look", func(ctx context.Context, node, token string) error {
		resp, err := c.send(ctx,
			request{method: http.MethodPost, path: []string{"v1", "node", node, "look"}, token: token, body: body})
		if err == nil {
			drain(resp)
		}
		return err
	})
}
