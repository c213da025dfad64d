// Package hooks runs commands of the server's owner before sessions and after them.
//
// Which commands there are is in the server's settings, never in the API: whoever has the operator's token may choose
// among them by name, and cannot have the server run anything else. A command is called without a shell, with nothing
// of the server's environment but PATH, with DISKCAST_… about the session, and with the session's document as its
// input. Exit code 0 is "well"; what it prints is kept. After a time it is ended, with all that it started.
package hooks

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/server/doc"
)

// Hook is one command.
type Hook struct {
	Name string
	Argv []string
}

// Parse reads one setting: NAME=/whole/path and, with blanks between, what it is called with.
func Parse(setting string) (*Hook, error) {
	name, line, ok := strings.Cut(setting, "=")
	if !ok {
		return nil, fmt.Errorf("%.80q is not NAME=/path/of/a/program and its arguments", setting)
	}
	h := &Hook{Name: strings.TrimSpace(name), Argv: strings.Fields(line)}
	if err := doc.CheckHookName(h.Name); err != nil {
		return nil, err
	}
	if len(h.Argv) == 0 || !filepath.IsAbs(h.Argv[0]) {
		return nil, fmt.Errorf("hook %s: its program has no whole path, such as %s=/usr/local/sbin/%s", h.Name, h.Name,
			h.Name)
	}
	return h, nil
}

// ParseAll reads all settings, and looks at each program.
func ParseAll(settings []string) ([]Hook, error) {
	var out []Hook
	for _, s := range settings {
		h, err := Parse(s)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(out, func(o Hook) bool { return o.Name == h.Name }) {
			return nil, fmt.Errorf("hook %s is there twice", h.Name)
		}
		if err := h.check(); err != nil {
			return nil, err
		}
		out = append(out, *h)
	}
	return out, nil
}

// check refuses a program that is not there, or that others may write.
func (h *Hook) check() error {
	st, err := os.Stat(h.Argv[0])
	switch {
	case err != nil:
		return fmt.Errorf("hook %s: %w", h.Name, err)
	case !st.Mode().IsRegular() || st.Mode().Perm()&0o111 == 0:
		return fmt.Errorf("hook %s: %s is no program that can be run (mode %v): `chmod 755` makes it one", h.Name,
			h.Argv[0], st.Mode())
	case st.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("hook %s: %s has mode %04o, so others can write what the server runs: `chmod go-w %s` "+
			"closes it", h.Name, h.Argv[0], st.Mode().Perm(), h.Argv[0])
	}
	return nil
}
