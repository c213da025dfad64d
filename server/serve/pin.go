package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/diskcast/diskcast/server/store"
)

const keyPin = "serve/pin" // of the key that the server had last

// comparePin tells the operator when the server's key is not the one that it had before: no boot directory made for
// that one leads here.
func comparePin(ctx context.Context, db store.Store, pin, dir string, machines func() int, log *slog.Logger) error {
	before := ""
	err := db.Update(ctx, func(tx store.WriteTx) error {
		before = ""
		if err := store.GetJSON(tx, keyPin, &before); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if before == pin {
			return nil
		}
		return store.PutJSON(tx, keyPin, pin)
	})
	if err != nil {
		return fmt.Errorf("the server's pin: %w", err)
	}
	if before != "" && before != pin {
		log.Warn("the server's key is a new one: every machine that boots from a directory made for the old one "+
			"takes this server for another, and fails; "+
			"stop the server, put the old key back from a backup and start again, or make each boot directory again "+
			"with `mkimage --pin`",
			"key", filepath.Join(dir, "server.pem"), "pin", pin, "pin_before", before, "known",
			fmt.Sprintf("%d machines", machines()))
	}
	return nil
}
