package grub

import "fmt"

// Restart is the error of a choice that is known and that only the machine's firmware and loader can carry out: an
// entry that is not Linux, one that cannot be followed from here, a menu that waits for somebody. The machine is to be
// restarted; nothing else may be started instead.
type Restart struct {
	Entry string // title of the menu entry; empty when it came to none
	Why   string
	Err   error // what Why was made of, if anything
}

func (r *Restart) Error() string {
	if r.Entry == "" {
		return r.Why
	}
	return fmt.Sprintf("menu entry %q: %s", r.Entry, r.Why)
}

func (r *Restart) Unwrap() error { return r.Err }
