package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// File is the file of the server's state directory that names the owner's commands: a JSON object of argument lists,
// such as {"pdu": ["/usr/local/bin/pdu", "{op}", "{address}"]}.
const File = "power-commands.json"

const maxFile = 1 << 20

// Read reads the file; one that is not there names no commands.
func Read(path string) (map[string][]string, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("power commands: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("power commands: %w", err)
	}
	if mode := st.Mode().Perm(); mode&0o022 != 0 {
		return nil, fmt.Errorf("power commands: %s has mode %04o, so others can write what the server runs: "+
			"`chmod 600 %s` closes it", path, mode, path)
	}
	var out map[string][]string
	if err := json.NewDecoder(io.LimitReader(f, maxFile)).Decode(&out); err != nil {
		return nil, fmt.Errorf("power commands: %s: %w", path, err)
	}
	for name, argv := range out {
		if len(argv) == 0 || !filepath.IsAbs(argv[0]) {
			return nil, fmt.Errorf("power commands: %s: command %q does not begin with the whole path of a program",
				path, name)
		}
	}
	return out, nil
}
