package osimage

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"github.com/diskcast/diskcast/qemu-tests/vm"
)

// Cache is where images are kept: $DISKCAST_CACHE, else build/cache of the module that the working directory is in.
func Cache() string {
	if dir := os.Getenv("DISKCAST_CACHE"); dir != "" {
		return dir
	}
	return filepath.Join(ModuleRoot(), "build", "cache")
}

// ModuleRoot is the directory of the go.mod above the working directory, or the working directory.
func ModuleRoot() string {
	wd, err := os.Getwd()
	if err != nil {
		return "."
	}
	for dir := wd; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			return wd
		}
	}
}

// Login is LoginTo the Debian as it is in the image.
func Login(ctx context.Context, m *vm.VM) error {
	return LoginTo(ctx, m, debianLayout.rootUUID, hostname)
}

// LoginTo logs in on the serial console of a machine that shows the prompt, and asks the system what its root is and
// how it is called.
func LoginTo(ctx context.Context, m *vm.VM, rootUUID, hostname string) error {
	if err := m.Console().Send(User + "\n"); err != nil {
		return err
	}
	if _, err := m.Expect(ctx, `^Password: `); err != nil {
		return err
	}
	if err := m.Console().Send(Password + "\n"); err != nil {
		return err
	}
	if _, err := m.Expect(ctx, `# $`); err != nil {
		return err
	}
	// The marker is assembled by the shell, so that the echo of the command does not match.
	if err := m.Console().Send("echo is-''root: $(findmnt -no UUID /) $(cat /etc/hostname)\n"); err != nil {
		return err
	}
	got, err := m.Expect(ctx, `^is-root: (.*)\n`)
	if err != nil {
		return err
	}
	if want := rootUUID + " " + hostname; strings.TrimSpace(got.Groups[1]) != want {
		return fmt.Errorf("the system on the console says that its root and name are %q, want %q", got.Groups[1], want)
	}
	return nil
}

// PowerOff is what is typed to switch off a Debian that was logged into. One that is still coming up on a busy machine
// has no bus yet for poweroff to be heard on, and takes it later.
const PowerOff = "until poweroff; do sleep 1; done\n"

// Junk fills the first bytes of a disk with what cannot be mistaken for a blank one.
func Junk(path string, n int) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{'j'}).Read(b) // never fails
	_, err = f.WriteAt(b, 0)
	return errors.Join(err, f.Close())
}
