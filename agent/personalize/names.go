package personalize

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"strings"

	"golang.org/x/sys/unix"
)

var plainFile = attributes{mode: 0o644}

// hostname writes hostname(5), and the line of hosts(5) by which Debian and its kin know their own name.
func hostname(name string) thing {
	return thing{name: "hostname", do: func(t *tree) (string, error) {
		if err := t.write("/etc/hostname", []byte(name+"\n"), plainFile); err != nil {
			return "", err
		}
		b, err := t.read("/etc/hosts")
		if errors.Is(err, fs.ErrNotExist) {
			return name + " (there is no /etc/hosts)", nil
		}
		if err != nil {
			return "", err
		}
		return name, t.write("/etc/hosts", []byte(hosts(string(b), name)), plainFile)
	}}
}

// hosts has one line of 127.0.1.1, with the name.
func hosts(old, name string) string {
	words := "127.0.1.1\t" + name
	if short, _, dotted := strings.Cut(name, "."); dotted {
		words += " " + short
	}
	var out strings.Builder
	done := false
	for line := range strings.Lines(old) {
		if w := strings.Fields(line); len(w) > 0 && w[0] == "127.0.1.1" {
			if done {
				continue
			}
			line, done = words+"\n", true
		}
		out.WriteString(line)
	}
	if done {
		return out.String()
	}
	return wholeLines(out.String()) + words + "\n"
}

// wholeLines is a text whose last line ends.
func wholeLines(text string) string {
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return text
}

// machineID leaves an empty machine-id(5), which systemd fills at its first start without calling that a first boot;
// where there is no systemd, a new one is written. The seed of random numbers goes too: no two machines may have one.
func machineID() thing {
	return thing{name: "machine-id", do: func(t *tree) (string, error) {
		var id []byte
		said := "made anew by systemd at its first start"
		if systemd, err := t.hasSystemd(); err != nil {
			return "", err
		} else if !systemd {
			var b [16]byte
			rand.Read(b[:])                             // never fails: crypto/rand
			b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80 // a UUID of version 4, as machine-id(5) has it
			id, said = []byte(hex.EncodeToString(b[:])+"\n"), "written anew"
		}
		if err := t.write("/etc/machine-id", id, attributes{mode: 0o444}); err != nil {
			return "", err
		}
		// dbus has a copy of its own where its maker did not link it.
		st, err := t.stat("/var/lib/dbus/machine-id")
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return "", err
		case st.Mode&unix.S_IFMT == unix.S_IFREG:
			if err := t.link("/var/lib/dbus/machine-id", "/etc/machine-id"); err != nil {
				return "", err
			}
		}
		return said, t.remove("/var/lib/systemd/random-seed")
	}}
}

func (t *tree) hasSystemd() (bool, error) {
	name, err := t.firstOf("/usr/lib/systemd/systemd", "/lib/systemd/systemd")
	return name != "", err
}

// timeZone links localtime(5), and writes the name where Debian keeps it too.
func timeZone(name string) thing {
	file := "/usr/share/zoneinfo/" + name
	return thing{name: "time zone",
		may: func(t *tree) error {
			there, err := t.exists(file)
			if err == nil && !there {
				err = errors.New("the image has no " + file)
			}
			return err
		},
		do: func(t *tree) (string, error) {
			if err := t.link("/etc/localtime", "../usr/share/zoneinfo/"+name); err != nil {
				return "", err
			}
			if there, err := t.exists("/etc/timezone"); err != nil || !there {
				return name, err
			}
			return name, t.write("/etc/timezone", []byte(name+"\n"), plainFile)
		}}
}
