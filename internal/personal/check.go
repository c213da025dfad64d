package personal

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/diskcast/diskcast/internal/rx"
)

// Check says what is wrong with an operator's settings.
func (s *Settings) Check() error {
	if err := s.check(false); err != nil {
		return err
	}
	if err := s.checkArchive(); err != nil {
		return err
	}
	_, err := s.parse()
	return err
}

// check judges settings, but for the archive: no template is in it, so unpacking it once is enough for all machines.
// Resolved settings have no templates.
func (s *Settings) check(resolved bool) error {
	if s.empty() {
		return errors.New("nothing is asked for")
	}
	if s.Hostname != "" && (resolved || !isTemplate(s.Hostname)) {
		if err := Hostname(s.Hostname); err != nil {
			return err
		}
	}
	for name, word := range map[string]string{"machine_id": s.MachineID, "ssh_host_keys": s.SSHHostKeys} {
		if word != "" && word != New && word != Keep {
			return fmt.Errorf("%s is %q: %s or %s", name, word, New, Keep)
		}
	}
	if len(s.AuthorizedKeys) > MaxEntries || len(s.Passwords) > MaxEntries || len(s.Files) > MaxEntries {
		return fmt.Errorf("more than %d files, users with keys or users with passwords", MaxEntries)
	}
	for _, user := range slices.Sorted(maps.Keys(s.AuthorizedKeys)) {
		if err := checkKeys(user, s.AuthorizedKeys[user]); err != nil {
			return err
		}
	}
	for _, user := range slices.Sorted(maps.Keys(s.Passwords)) {
		if !userName().MatchString(user) {
			return fmt.Errorf("passwords: %.40q is not the name of a user", user)
		}
		if s.Passwords[user] == Sealed {
			return fmt.Errorf("passwords: %s stands where the secret of %s was: give that itself", Sealed, user)
		}
		if !hash().MatchString(s.Passwords[user]) {
			return fmt.Errorf("passwords: what is given for %s is not a hash as crypt(5) writes them ($y$..., $6$..., "+
				"or ! to lock it): `mkpasswd` makes one", user)
		}
	}
	if s.Seed != nil && (s.Seed.MetaData == Sealed || s.Seed.UserData == Sealed || s.Seed.NetworkConfig == Sealed) {
		return fmt.Errorf("seed: %s stands where something secret was: give that itself", Sealed)
	}
	if s.TimeZone != "" && (!zone().MatchString(s.TimeZone) || strings.Contains(s.TimeZone, "..")) {
		return fmt.Errorf("time_zone %.60q is not a name such as Europe/Berlin", s.TimeZone)
	}
	if err := s.checkNetwork(resolved); err != nil {
		return err
	}
	if err := s.checkWindows(resolved); err != nil {
		return err
	}
	if err := s.checkKernel(resolved); err != nil {
		return err
	}
	if err := s.Script.check(); err != nil {
		return err
	}
	if err := checkPassphrase(s.LoaderPassphrase); err != nil {
		return err
	}
	return s.checkFiles()
}

func (s *Settings) empty() bool {
	return s.Hostname == "" && s.MachineID == "" && s.SSHHostKeys == "" && len(s.AuthorizedKeys) == 0 &&
		len(s.Passwords) == 0 && s.TimeZone == "" && s.Seed == nil && len(s.Files) == 0 &&
		len(s.Network) == 0 && s.NetworkWith == "" && s.Archive == nil && s.Script == nil &&
		len(s.KernelWords) == 0 && s.Windows == nil && s.LoaderPassphrase == ""
}

// The forms are made when they are first asked for: together they take as long as the start of the program.
var (
	userName = rx.New(`^[a-zA-Z_][a-zA-Z0-9_.-]{0,31}\$?$`)
	hash     = rx.New(`^(!|\*|\$[a-z0-9-]{1,16}\$[a-zA-Z0-9./$=,+_-]{8,380})$`)
	zone     = rx.New(`^[A-Za-z0-9][A-Za-z0-9_+./-]{0,63}$`)
	label    = rx.New(`^[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?$`)
	keyLine  = rx.New(`^([^\x00-\x1f]+ )?(ssh-|ecdsa-|sk-)[a-z0-9@.-]+ [A-Za-z0-9+/]{16,}={0,2}( .*)?$`)
)

// Hostname says why a name is none that a machine can have: RFC 1123, 2.1, and Linux' limit of 64 bytes.
func Hostname(name string) error {
	if name == "" || len(name) > 64 {
		return fmt.Errorf("hostname %.80q has not 1 to 64 characters", name)
	}
	if low := "." + strings.ToLower(name); strings.HasSuffix(low, ".localhost") ||
		strings.HasSuffix(low, ".localhost.localdomain") {
		return fmt.Errorf("hostname %q: that is every machine's name for itself: give it a name of its own", name)
	}
	for l := range strings.SplitSeq(name, ".") {
		if len(l) > 63 {
			return fmt.Errorf("hostname %.80q: %.80q has %d characters, and between dots at most 63 are taken (RFC "+
				"1123)", name, l, len(l))
		}
		if !label().MatchString(l) {
			return fmt.Errorf("hostname %q: %q is not made of letters, digits and inner hyphens (RFC 1123)", name, l)
		}
	}
	return nil
}

// checkKeys looks at lines of an authorized_keys file.
func checkKeys(user, lines string) error {
	if !userName().MatchString(user) {
		return fmt.Errorf("authorized_keys: %.40q is not the name of a user", user)
	}
	found := false
	for line := range strings.Lines(lines) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if strings.Contains(line, "PRIVATE KEY") {
			return fmt.Errorf("authorized_keys of %s: this is a private key; give the file that ends in .pub", user)
		}
		if !keyLine().MatchString(line) {
			return fmt.Errorf("authorized_keys of %s: a line is no public key: %.40q", user, line)
		}
		found = true
	}
	if !found {
		return fmt.Errorf("authorized_keys of %s has no key", user)
	}
	return nil
}

// checkFiles refuses paths that lead out of the system, and two ways for one file.
func (s *Settings) checkFiles() error {
	seen := map[string]bool{}
	for _, f := range s.Files {
		switch {
		case !path.IsAbs(f.Path) || path.Clean(f.Path) != f.Path || f.Path == "/" || len(f.Path) > 1024:
			return fmt.Errorf("files: path %.100q: give it from the root of the restored system, without . and .. in "+
				"it, such as /etc/motd", f.Path)
		case hasControls(f.Path):
			return fmt.Errorf("files: path %.100q has a control character", f.Path)
		case seen[f.Path]:
			return fmt.Errorf("files: %s is named twice", f.Path)
		case f.Content == Sealed:
			return fmt.Errorf("files: %s: %s stands where something secret was: give that itself", f.Path, Sealed)
		case len(f.Content) > MaxFile:
			return fmt.Errorf("files: %s has %d bytes, at most %d are taken", f.Path, len(f.Content), MaxFile)
		case f.UID != nil && (*f.UID < 0 || *f.UID > 1<<31) || f.GID != nil && (*f.GID < 0 || *f.GID > 1<<31):
			return fmt.Errorf("files: %s: uid or gid out of range", f.Path)
		}
		if _, err := f.Bits(); err != nil {
			return err
		}
		if by := s.owner(f.Path); by != "" {
			return fmt.Errorf("files: %s is written by %s too: give one of the two", f.Path, by)
		}
		seen[f.Path] = true
	}
	return nil
}

// hasControls tells whether a path has a control character of ASCII.
func hasControls(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 127 })
}

// owner says which other setting writes the path.
func (s *Settings) owner(p string) string {
	switch {
	case p == "/etc/hostname" && s.Hostname != "", p == "/etc/hosts" && s.Hostname != "":
		return "hostname"
	case (p == "/etc/machine-id" || p == "/var/lib/dbus/machine-id") && s.MachineID == New:
		return "machine_id"
	case strings.HasPrefix(p, "/etc/ssh/ssh_host_") && s.SSHHostKeys == New:
		return "ssh_host_keys"
	case p == "/etc/shadow" && len(s.Passwords) > 0:
		return "passwords"
	case (p == "/etc/localtime" || p == "/etc/timezone") && s.TimeZone != "":
		return "time_zone"
	case strings.HasSuffix(p, "/.ssh/authorized_keys") && len(s.AuthorizedKeys) > 0:
		return "authorized_keys"
	case strings.HasPrefix(p, "/var/lib/cloud/seed/nocloud/") && s.Seed != nil:
		return "seed"
	case len(s.Network) > 0 && (p == "/etc/network/interfaces" || p == "/etc/resolv.conf" ||
		strings.Contains(path.Base(p), "diskcast")):
		return "network"
	}
	return ""
}

// Bits is the mode; nil where none is given.
func (f *File) Bits() (*uint32, error) {
	if f.Mode == "" {
		return nil, nil
	}
	n, err := strconv.ParseUint(f.Mode, 8, 32)
	if err != nil || n > 0o7777 {
		return nil, fmt.Errorf("files: mode %.12q of %s is not octal, such as 0644", f.Mode, f.Path)
	}
	bits := uint32(n)
	return &bits, nil
}
