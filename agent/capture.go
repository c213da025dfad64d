package main

import (
	"context"

	"github.com/diskcast/diskcast/agent/capturing"
	"github.com/diskcast/diskcast/internal/session"
)

// capture sends a disk of this node to the server. The memory that a restore would use holds what is compressed.
func (a *agent) capture(memory budget) func(context.Context, *session.Descriptor) error {
	return func(ctx context.Context, d *session.Descriptor) error {
		_, err := capturing.Capture(ctx, d, capturing.Options{
			Server: a.client, Report: a.events, Disks: a.disks, DiskWait: a.patience(), Memory: memory.writer + memory.cast, Log: a.log,
		})
		return err
	}
}
