package personal

import (
	"errors"
	"fmt"
)

// maxPassphrase is the longest that GRUB takes at its prompt, bytes.
const maxPassphrase = 255

// checkPassphrase says why nobody could type it where a boot loader asks. Its errors quote nothing of it.
func checkPassphrase(p string) error {
	switch {
	case p == Sealed:
		return fmt.Errorf("loader_passphrase: %s stands where the secret was: give that itself", Sealed)
	case len(p) > maxPassphrase:
		return fmt.Errorf("loader_passphrase has %d bytes, and a boot loader takes at most %d", len(p), maxPassphrase)
	case hasControls(p):
		return errors.New("loader_passphrase has a control character, such as the end of a line, which nobody can " +
			"type at a boot loader's prompt")
	}
	return nil
}

// TakePassphrase returns what is for the disk's boot loader, leaves it out of the document, and tells whether there is
// anything else in it, which is to be written.
func (d *Document) TakePassphrase() (passphrase string, more bool) {
	passphrase, d.Things.LoaderPassphrase = d.Things.LoaderPassphrase, ""
	return passphrase, !d.Things.empty()
}
