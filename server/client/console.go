package client

import (
	"context"
	"fmt"
	"net/url"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
)

func consolePath(machine string) string {
	return "/v1/machines/" + url.PathEscape(machine) + "/console"
}

// OpenConsole opens a machine's serial console; take is also from somebody else.
func (c *Client) OpenConsole(ctx context.Context, machine string, take bool) (*doc.Console, error) {
	return call[*doc.Console](ctx, c, "POST", consolePath(machine), doc.ConsoleOpen{V: session.Version, Take: take})
}

// ReadConsole returns what it printed behind a place, as soon as there is any, or its state is not was any more, or
// some time has passed.
func (c *Client) ReadConsole(ctx context.Context, machine string, after uint64, was string) (*doc.Console, error) {
	path := fmt.Sprintf("%s?after=%d&wait=20s&state=%s", consolePath(machine), after, url.QueryEscape(was))
	return call[*doc.Console](ctx, c, "GET", path, nil)
}

// TypeConsole types at it.
func (c *Client) TypeConsole(ctx context.Context, machine string, keys []byte) error {
	_, err := call[*doc.Console](ctx, c, "POST", consolePath(machine)+"/keys",
		doc.ConsoleKeys{V: session.Version, Keys: keys})
	return err
}

// CloseConsole ends it.
func (c *Client) CloseConsole(ctx context.Context, machine string) error {
	_, err := call[*doc.Console](ctx, c, "DELETE", consolePath(machine), nil)
	return err
}
