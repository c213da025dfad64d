package serve

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"

	"github.com/diskcast/diskcast/server/store"
	"github.com/diskcast/diskcast/server/store/record"
)

// openState opens the state file with records of the present schema. Before records of an older one are changed, the
// file is copied: that is what an older version of the server can go back to.
func openState(ctx context.Context, path string, log *slog.Logger) (*store.Bolt, error) {
	db, err := store.OpenBolt(path)
	if err != nil {
		return nil, err
	}
	kept := ""
	upgraded, err := record.Upgrade(ctx, db, func(schema int) (err error) {
		kept, err = db.Preserve(fmt.Sprintf(".schema-%d", schema))
		return err
	})
	if err != nil {
		db.Close()
		return nil, fmt.Errorf("state %s: %w", path, err)
	}
	if upgraded {
		log.Info("the state's records were brought to the schema of this version; an older version needs the copy in "+
			"the place of the state",
			"schema", record.Current, "copy", kept)
	}
	return db, nil
}

// ownName is what operators call the server at the address.
func ownName(addr netip.Addr) string {
	if host, err := os.Hostname(); err == nil {
		return fmt.Sprintf("%s (%v)", host, addr)
	}
	return addr.String()
}
