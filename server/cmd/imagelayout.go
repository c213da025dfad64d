package cmd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/regular"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/library"
)

// isLayout reports whether the path is an OCI layout. A folder that nobody may look into is an error: what is in it is
// not known, and it is no disk.
func isLayout(path string) (bool, error) {
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return false, nil // who opens it says why
	}
	for _, name := range []string{"oci-layout", "index.json"} {
		f, err := regular.Open(filepath.Join(path, name))
		switch {
		case err == nil:
			if err := f.Close(); err != nil {
				return false, err
			}
		case errors.As(err, new(*regular.Error)):
			return true, nil // whoever opens the layout says so
		case errors.Is(err, fs.ErrNotExist):
			return name == "index.json" || image.Remains(path), nil // and so it is of one that was lost
		default:
			return false, fmt.Errorf("the folder %s cannot be read: %w: give its files to who runs this (chmod -R "+
				"u+rX, chown), "+
				"or run it as who may read them", path, err)
		}
	}
	return true, nil
}

// importLayout takes an image from another OCI layout. What is broken off is taken up again.
func (e *env) importLayout(ctx context.Context, dir string, c *captureFlags) error {
	from, err := image.OpenLayout(dir)
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("open the layout %s: %w (it is locked while it is read; copy it to a place where you may "+
			"write)", dir, err)
	}
	if err != nil {
		return fmt.Errorf("open the layout %s: %w", dir, err)
	}
	ref := c.ref
	if ref == "" {
		if ref, err = onlyImage(from); err != nil {
			return err
		}
	}
	if e.remote() {
		return e.sendLayout(ctx, from, ref, dir, c)
	}
	st, err := e.openStore()
	if err != nil {
		return err
	}
	was := e.named(ctx, library.NewLocal(st), c.name)
	began := time.Now()
	bar := e.Progress("copying " + ref)
	digest, err := st.Copy(ctx, from, ref, c.name, bar.Update)
	bar.Close()
	var damage *image.DamageError
	if errors.As(err, &damage) {
		return notSound(ref, dir, err)
	}
	if err != nil {
		return library.RoomHelp(fmt.Errorf("copy of %s from %s: %w (started again, it goes on where it was)", ref, dir,
			err), st.Dir(), "", "")
	}
	took := time.Since(began)
	e.nameMoved(c.name, was, digest)
	if e.JSON {
		return e.Doc(doc.ImageMoved{Name: c.name, Digest: digest, Seconds: took.Seconds()})
	}
	_, err = fmt.Fprintf(e.Out, "%s  %s\ncopied from %s in %.1f s, every blob's digest checked\n", c.name, digest, dir,
		took.Seconds())
	return err
}

// notSound is the error for a layout that an image cannot be copied from because it is damaged.
func notSound(ref, dir string, err error) error {
	return &codeError{exitDamage, fmt.Errorf("copy of %s from %s, which is not sound: %w; take another copy, or "+
		"import the same disk there again (`diskcast image import FILE --name NAME --store %s`), by which what is "+
		"damaged is stored anew", ref, dir, err, dir)}
}

func onlyImage(st *image.Store) (string, error) {
	list, err := st.List()
	if err != nil {
		return "", err
	}
	var names []string
	seen := map[string]bool{}
	for _, x := range list {
		if !seen[x.Digest] {
			names = append(names, x.Digest)
		}
		seen[x.Digest] = true
	}
	if len(names) != 1 {
		return "", usage("%s has %d images of ours: say which with --image (`diskcast image list --store %s` lists "+
			"them)", st.Dir(), len(names), st.Dir())
	}
	return names[0], nil
}
