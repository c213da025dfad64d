package up

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/diskcast/diskcast/server/config"
)

// People is what the command line says of how people log in by a provider.
type People struct {
	Settings *config.Settings
	Names    []string // of the settings that are given
}

// people looks at how people log in by a provider: all that lacks is said before anything is made.
func (w *work) people(context.Context) error {
	for _, name := range w.People.Names {
		if w.Result.File == nil {
			w.set.Take(name, w.People.Settings)
		}
	}
	if len(w.People.Names) == 0 {
		return nil // what a settings file says is the server's to judge
	}
	if err := w.set.Check(); err != nil {
		return fmt.Errorf("--%w", err)
	}
	p, err := w.set.People()
	if err != nil {
		return err
	}
	if p == nil {
		return errors.New("--public-url is where a provider sends browsers back to: name that with --oidc-issuer, " +
			"--oidc-client and --oidc-rules")
	}
	for _, x := range []struct{ name, file string }{
		{"oidc-secret-file", p.SecretFile}, {"oidc-ca-file", p.CAFile},
	} {
		if err := w.readable(x.file); x.file != "" && err != nil {
			return fmt.Errorf("--%s: %w", x.name, err)
		}
	}
	w.step(Chosen, "people log in by %s, as rules say (%d); it must know the redirect URL %s/login/oidc/callback",
		p.Issuer, len(p.Rules), p.Public)
	return nil
}

// readable refuses a file that the server could not read.
func (w *work) readable(name string) error {
	if !filepath.IsAbs(name) {
		return fmt.Errorf("%s: the settings file, which it goes into, wants a whole path", name)
	}
	st, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s is not there: make it first", name)
	case err != nil:
		return err
	case !st.Mode().IsRegular():
		return fmt.Errorf("%s is no file", name)
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok || w.owner == nil || st.Mode()&0o004 != 0 || int(sys.Uid) == w.owner.uid && st.Mode()&0o400 != 0 ||
		int(sys.Gid) == w.owner.gid && st.Mode()&0o040 != 0 {
		return nil
	}
	return fmt.Errorf("%s cannot be read by %s, who serves: `chown %s %s`", name, w.owner.name, w.owner.name, name)
}
