package client

import (
	"context"
	"fmt"

	"github.com/diskcast/diskcast/server/doc"
)

// Audit returns entries of the record of changes with a number above after, at most limit.
func (c *Client) Audit(ctx context.Context, after uint64, limit int) (*doc.Audit, error) {
	return call[*doc.Audit](ctx, c, "GET", fmt.Sprintf("/v1/audit?after=%d&limit=%d", after, limit), nil)
}

// AuditAll calls f with each part of the record after the entry, until f returns an error, and returns the last part,
// which has no lines.
func (c *Client) AuditAll(ctx context.Context, after uint64, f func(*doc.Audit) error) (*doc.Audit, error) {
	for {
		part, err := c.Audit(ctx, after, 1000)
		if err != nil {
			return nil, err
		}
		if err := f(part); err != nil {
			return nil, err
		}
		if len(part.Lines) == 0 {
			return part, nil
		}
		after = max(after, part.Pruned.N) + uint64(len(part.Lines))
	}
}
