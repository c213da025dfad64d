package client

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/diskcast/diskcast/internal/personal"
	"github.com/diskcast/diskcast/internal/session"
)

// Personalization asks the server for what is this node's own in the session. The server gives it once: an answer that
// was lost is given again to this call, and to no other.
func (c *Client) Personalization(ctx context.Context, id, boot string) (*personal.Document, error) {
	var secret [16]byte
	rand.Read(secret[:]) // never fails: crypto/rand
	body, err := json.Marshal(&session.PersonalAsk{V: session.Version, Session: id, Boot: boot,
		Ask: hex.EncodeToString(secret[:])})
	if err != nil {
		return nil, fmt.Errorf("personalization: %w", err)
	}
	var d *personal.Document
	err = c.authorised(ctx, "personalization", func(ctx context.Context, node, token string) error {
		resp, err := c.send(ctx, request{method: http.MethodPost, path: []string{"v1", "node", node, "personalization"},
			token: token, body: body})
		if err != nil {
			return err
		}
		defer drain(resp)
		raw, err := io.ReadAll(io.LimitReader(resp.Body, session.MaxDocument))
		if err != nil {
			return err
		}
		got, err := personal.ParseDocument(raw)
		switch {
		case err != nil:
			return permanent{err}
		case got.Session != id || got.Node != node:
			return permanent{fmt.Errorf("personalization: the server sent that of node %s in session %s", got.Node,
				got.Session)}
		}
		d = got
		return nil
	})
	return d, err
}
