package grub

import (
	"fmt"
	"slices"
	"strings"
)

// Encrypted is an encrypted volume of the disk. GRUB asks for its passphrase when a configuration says cryptomount, and
// sees what is in it from then on.
type Encrypted struct {
	UUID   string // as GRUB writes it, without dashes
	Device int    // the partition
	Nested bool   // it is in RAID or LVM on the partition
	Why    string // it was not opened; empty when it was
	Argon2 bool   // its key slot goes by Argon2, which not every GRUB has
}

// made are the devices that GRUB sees so far. A volume's own device has its number, in the order in which they were
// opened, before its other name: a search comes to "crypto0".
func (s *shell) made() []Made {
	all := s.files.Made()
	out := make([]Made, 0, len(all))
	for _, m := range all {
		n := slices.IndexFunc(s.opened, func(e Encrypted) bool { return e.UUID == m.Crypt })
		switch {
		case m.Crypt == "":
		case n < 0:
			continue
		case slices.Contains(m.Names, "cryptouuid/"+m.Crypt):
			m.Names = append([]string{fmt.Sprintf("crypto%d", n)}, m.Names...)
		}
		out = append(out, m)
	}
	return out
}

// cryptOf is the encrypted volume that a device is in; empty when it is in none.
func (s *shell) cryptOf(device int) string {
	for _, m := range s.files.Made() {
		if m.Device == device {
			return m.Crypt
		}
	}
	return ""
}

var cryptomountOptions = []option{
	{short: 'u', long: "uuid"}, {short: 'a', long: "all"}, {short: 'b', long: "boot"},
	{short: 'p', long: "password", value: true}, {short: 'k', long: "key-file", value: true},
	{short: 'O', long: "keyfile-offset", value: true}, {short: 'S', long: "keyfile-size", value: true},
	{short: 'H', long: "header", value: true}, {long: "protector", value: true, short: 'P'},
}

// cryptomount asks for a passphrase and opens a volume. Where the site gave the passphrase it is as if it had been
// typed; else somebody has to.
func cryptomount(s *shell, args []string) (int, error) {
	const asks = "its configuration calls cryptomount, which asks for a passphrase"
	volumes := s.files.Encrypted()
	if len(volumes) == 0 {
		return statusFalse, &Restart{Why: asks}
	}
	p, err := parseOptions(args, false, cryptomountOptions)
	if err != nil {
		return badArgument, &Restart{Why: fmt.Sprintf("%s: its words are not understood: %v", asks, err)}
	}
	for _, o := range []string{"boot", "password", "key-file", "header", "protector"} {
		if p.has(o) {
			return statusFalse, &Restart{Why: "its configuration calls cryptomount with --" + o}
		}
	}
	var v *Encrypted
	switch {
	case p.has("all"):
		if len(volumes) > 1 {
			return statusFalse, &Restart{Why: asks + " for each of several volumes"}
		}
		v = &volumes[0]
	case len(p.args) == 0:
		return badArgument, &Restart{Why: asks + ", and names no volume"}
	case p.has("uuid"):
		v = volumeOf(volumes, func(e *Encrypted) bool { return strings.EqualFold(e.UUID, p.args[0]) })
	default:
		n, err := s.partition(p.args[0])
		if err != nil {
			return noDevice, &Restart{Why: fmt.Sprintf("%s: %v", asks, err)}
		}
		v = volumeOf(volumes, func(e *Encrypted) bool { return e.Device == n && !e.Nested })
	}
	switch {
	case v == nil:
		return noDevice, &Restart{Why: fmt.Sprintf("%s for %s, which is no volume of this disk", asks,
			strings.Join(p.args, " "))}
	case slices.ContainsFunc(s.opened, func(e Encrypted) bool { return e.UUID == v.UUID }):
		return ok, nil // GRUB says that it is open already
	case v.Why != "":
		return statusFalse, &Restart{Why: fmt.Sprintf("%s for partition %d, and the site's does not open it: %s", asks,
			v.Device, v.Why)}
	case v.Argon2 && !s.options.Argon2:
		return statusFalse, &Restart{Why: fmt.Sprintf("%s for partition %d, whose key slot goes by Argon2: that the "+
			"GRUB of this disk has it is not known", asks, v.Device)}
	}
	s.opened = append(s.opened, *v)
	return ok, nil
}

func volumeOf(volumes []Encrypted, fits func(*Encrypted) bool) *Encrypted {
	for i := range volumes {
		if fits(&volumes[i]) {
			return &volumes[i]
		}
	}
	return nil
}
