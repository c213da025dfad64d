package up

import (
	"context"
	"fmt"

	"github.com/diskcast/diskcast/internal/bootdir"
)

// sayARM64 says whether the boot directory for machines of 64-bit ARM, where there is one, leads to this server. This
// command makes none: their kernel, shim and GRUB are packages that this machine does not have.
func (w *work) sayARM64(context.Context) error {
	dir := bootdir.ARM64.Beside(w.bootDir())
	m, err := manifestOf(dir)
	if err != nil { // those of amd64 are served all the same
		w.step(Kept, "boot directory %s, for machines of arm64\nnote: they do not come: %v", dir, err)
		return nil
	}
	if m == nil {
		return nil
	}
	if w.Pin != "" && m.Site.Server == w.URL && m.Site.Pin == w.Pin {
		w.step(Kept, "boot directory %s, for machines of arm64", dir)
		return nil
	}
	why := "was made for a server with another key"
	if m.Site.Server != w.URL {
		why = fmt.Sprintf("leads them to %s, and this server is at %s", orNothing(m.Site.Server), w.URL)
	}
	pin := w.Pin
	if pin == "" {
		pin = "PIN"
	}
	w.step(Kept, "boot directory %s, for machines of arm64\nnote: it %s: machines of arm64 do not come until it is "+
		"made again, which this command does not do: `mkimage --kernel KERNEL.deb --shim SHIM.deb --grub GRUB.deb "+
		"--server %s --pin %s --out %s`", dir, why, w.URL, pin, dir)
	return nil
}
