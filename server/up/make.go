package up

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/diskcast/diskcast/server/identity"
)

// makeIdentity makes key and token.
func (w *work) makeIdentity(context.Context) error {
	there := true
	for _, f := range []string{identity.KeyFile, identity.TokenFile} {
		if _, err := os.Stat(filepath.Join(w.set.State, f)); err != nil {
			there = false
		}
	}
	if !there && w.DryRun {
		w.step(Made, "the server's key and the operator's token in %s", w.set.State)
		return nil
	}
	id, err := identity.Load(w.set.State)
	if err != nil {
		return err
	}
	w.Pin = id.Pin
	if there {
		w.step(Kept, "the server's key and the operator's token in %s", w.set.State)
		return nil
	}
	w.step(Made, "the server's key and the operator's token in %s", w.set.State)
	return w.give(w.set.State)
}

// makeFile writes the settings file where there is none.
func (w *work) makeFile(context.Context) error {
	if w.Result.File != nil {
		w.step(Kept, "settings %s", w.Result.File.Name)
		return nil
	}
	w.step(Made, "settings %s", w.Options.File)
	if w.DryRun {
		return nil
	}
	return writeFile(w.Options.File, func(f *os.File) error {
		return w.set.WriteFile(f, "Settings of `diskcast serve`, made by `diskcast up`. "+
			"`diskcast config example` prints all keys,\n`diskcast config check` looks for mistakes; "+
			"`systemctl restart diskcast` takes changes over.")
	})
}

// writeFile makes a file in one step, readable by all.
func writeFile(name string, write func(*os.File) error) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".diskcast-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	err = write(f)
	for _, next := range []func() error{func() error { return f.Chmod(0o644) }, f.Sync} {
		if err == nil {
			err = next()
		}
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Link(f.Name(), name) // another up that runs at once is not overwritten
	}
	if err != nil {
		return fmt.Errorf("settings file: %w", err)
	}
	return nil
}
