package cmd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/server/store"
)

// openStore opens the store of this machine for who puts an image into it, and makes it where there is none.
func (e *env) openStore() (*image.Store, error) {
	if e.store == "" {
		if err := e.mayMake("--store names a folder of images by itself"); err != nil {
			return nil, err
		}
	}
	return e.storeBy(e.openListed)
}

// openListed opens the store in dir, and makes the list of its images anew where that was lost.
func (e *env) openListed(dir string) (*image.Store, error) {
	st, err := image.OpenStore(dir)
	if !errors.As(err, new(*image.DamageError)) {
		return st, err
	}
	n, done, rerr := image.Relist(dir)
	if rerr != nil {
		return nil, fmt.Errorf("making the list of the images in %s anew, which was lost: %w", dir, rerr)
	}
	if done {
		e.Warn(fmt.Sprintf("the list of the images in %s was lost and is made anew; images whose manifests are there: "+
			"%d. Their names are lost (`diskcast image list` shows digests, `diskcast image tag DIGEST NAME` gives a "+
			"name; `diskcast image gc --unnamed` removes those without)", dir, n))
	}
	return image.OpenStore(dir) // if it was not done, another process was faster, or something else is damaged
}

// findStore opens the store of this machine for who works with images that are there; it makes nothing.
func (e *env) findStore() (*image.Store, error) {
	if e.store == "" {
		if err := e.mayMake("--store names a folder of images by itself"); err != nil {
			return nil, err
		}
	}
	st, err := e.storeBy(image.FindStore)
	if !errors.Is(err, image.ErrNoStore) {
		return st, err
	}
	switch other := e.elsewhere(); {
	case other != "":
		return nil, fmt.Errorf("%w: the server that runs on %s has its images in %s; add --store %[3]s, or ask the "+
			"server with --server", err, e.state, other)
	case e.store == "" && !e.stated():
		return nil, fmt.Errorf("%w: say whose images are meant, with --server URL, `diskcast login` or --store DIR; "+
			"`diskcast image import` makes a store here", err)
	}
	return nil, fmt.Errorf("%w: look at the name; `diskcast image import` and image pull make a store", err)
}

// storeBy opens the store's directory by open, and says when the server that runs here has another.
func (e *env) storeBy(open func(string) (*image.Store, error)) (*image.Store, error) {
	dir := e.storeDir()
	if err := ownStore(dir, os.Geteuid()); err != nil {
		return nil, err
	}
	st, err := open(dir)
	if err != nil {
		return nil, fmt.Errorf("open image store: %w", err)
	}
	if other := e.elsewhere(); other != "" && !e.toldStore {
		e.toldStore = true
		e.Warn(fmt.Sprintf("the server that runs on %s has its images in %s (--store %[2]s), not in %s, which is what "+
			"this command works on", e.state, other, dir))
	}
	return st, nil
}

// elsewhere is the store of the server that runs on the state directory, where no other store is named and that is not
// the one in it. Who may not look is told nothing.
func (e *env) elsewhere() string {
	if e.store != "" {
		return ""
	}
	other, err := store.ImagesOf(e.state)
	if err != nil || sameDir(other, filepath.Join(e.state, "images")) {
		return ""
	}
	return other
}

// outside refuses to write to a path that leads into a store here: into that which the command works with, by whatever
// link, and into any other, such as the one of a server that runs here.
func (e *env) outside(path string) error {
	dir, in := image.InStore(path)
	if !in && !e.remote() {
		st, err := e.findStore()
		if err != nil {
			return err
		}
		dir, in = st.Dir(), st.Holds(path)
	}
	if in {
		return usage("%s is in the image store %s, whose images would be destroyed: name a place outside of it", path,
			dir)
	}
	return nil
}

func (e *env) openImage(ref string) (*image.Image, error) {
	st, err := e.findStore()
	if err != nil {
		return nil, err
	}
	return st.Open(ref)
}
