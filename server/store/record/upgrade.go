package record

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/diskcast/diskcast/server/store"
)

// steps bring records from the schema of their place to the next. What they read and write they spell out themselves,
// not by the types of this package, which go on changing.
var steps = []func(store.WriteTx) error{
	deeds,
	machines,
}

// Current is the schema that this version writes.
var Current = len(steps)

// NewerError says that a later version wrote the store.
type NewerError struct{ Got, Known int }

func (e *NewerError) Error() string {
	return fmt.Sprintf("its records have schema %d, which a newer version of diskcast wrote, and this one knows up "+
		"to schema %d. Nothing was changed. "+
		"Start the newer version again; to go back for good, put the copy in its place that the newer version made "+
		"before it changed the records "+
		"(state.db.schema-%d, if it is there): what sessions, machines and leases became since is then lost", e.Got,
		e.Known, e.Known)
}

// Upgrade brings the records of the store to the present schema, all in one transaction, and reports whether they were
// of an older one. Before that, it calls before, if that is not nil, with their schema; an error of it leaves them as
// they are. An empty store gets the present schema.
func Upgrade(ctx context.Context, s store.Store, before func(schema int) error) (upgraded bool, err error) {
	was, empty := 0, true
	read := func(tx store.Tx) (err error) {
		was, empty, err = schemaOf(tx)
		return err
	}
	if err := s.View(ctx, read); err != nil {
		return false, err
	}
	upgraded = was < Current && !empty
	if upgraded && before != nil {
		if err := before(was); err != nil {
			return false, err
		}
	}
	err = s.Update(ctx, func(tx store.WriteTx) error {
		if err := read(tx); err != nil {
			return err
		}
		if was == Current {
			return nil
		}
		if !empty {
			for i, step := range steps[was:] {
				if err := step(tx); err != nil {
					return fmt.Errorf("bringing records from schema %d to %d: %w", was+i, was+i+1, err)
				}
			}
		}
		return store.PutJSON(tx, Schema, Current)
	})
	return upgraded, err
}

// schemaOf reads the schema of a store; one without a number was written before there was one, or is empty.
func schemaOf(tx store.Tx) (schema int, empty bool, err error) {
	switch err := store.GetJSON(tx, Schema, &schema); {
	case errors.Is(err, store.ErrNotFound):
	case err != nil:
		return 0, false, err
	case schema < 0:
		return 0, false, fmt.Errorf("state of %s is damaged: it is %d", Schema, schema)
	case schema > Current:
		return schema, false, &NewerError{Got: schema, Known: Current}
	default:
		return schema, false, nil
	}
	found := errors.New("found")
	err = tx.Walk("", func(string, []byte) error { return found })
	if errors.Is(err, found) {
		return 0, false, nil
	}
	return 0, true, err
}

// object is a record of an older schema, whose fields a step moves about without knowing all of them.
type object map[string]json.RawMessage

// rewrite calls f with each record under the prefix, and stores what f makes of it.
func rewrite(tx store.WriteTx, prefix string, f func(object) error) error {
	now := map[string]object{}
	err := tx.Walk(prefix, func(key string, b []byte) error {
		o := object{}
		if err := json.Unmarshal(b, &o); err != nil {
			return fmt.Errorf("state of %s is damaged: %w", key, err)
		}
		if err := f(o); err != nil {
			return fmt.Errorf("state of %s: %w", key, err)
		}
		now[key] = o
		return nil
	})
	if err != nil {
		return err
	}
	for key, o := range now {
		if err := store.PutJSON(tx, key, o); err != nil {
			return err
		}
	}
	return nil
}

// get reads a field into v; one that is not there leaves v as it is.
func (o object) get(field string, v any) error {
	b, ok := o[field]
	if !ok {
		return nil
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("field %s: %w", field, err)
	}
	return nil
}

// deeds (0 to 1): nodes had a form of their own, before 1 of which it was not kept whether they fetched a kernel here
// and worked for a session.
func deeds(tx store.WriteTx) error {
	return rewrite(tx, "node/", func(o object) error {
		var form int
		var trace map[string]json.RawMessage
		var last, session string
		if err := errors.Join(o.get("form", &form), o.get("trace", &trace), o.get("last", &last),
			o.get("session", &session)); err != nil {
			return err
		}
		delete(o, "form")
		if form < 1 {
			if _, fetched := trace["kernel"]; fetched {
				o["booted"] = json.RawMessage("true")
			}
			if last != "" || session != "" {
				o["worked"] = json.RawMessage("true")
			}
		}
		return nil
	})
}

// machines (1 to 2): there are records of machines, which the server makes of the nodes that are there. A version that
// does not know them would forget nodes and leave their machines.
func machines(store.WriteTx) error { return nil }
