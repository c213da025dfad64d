package cmd

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/spf13/pflag"

	"github.com/diskcast/diskcast/internal/nearest"
	"github.com/diskcast/diskcast/internal/personal"
)

// ownFlags are the flags of `session create` that make a restored machine itself.
type ownFlags struct {
	file, keys               string
	hostname, id, sshHostKey string
}

func (o *ownFlags) flags(f *pflag.FlagSet) {
	f.StringVar(&o.file, "personalize", "", "write into the restored system what this TOML file says")
	f.StringVar(&o.hostname, "hostname", "", "template of the restored machine's name: {{.Name}}, pc-{{.Labels.seat}}")
	f.StringVar(&o.keys, "authorized-keys", "", "add the public keys of this file to root's")
	f.StringVar(&o.id, "machine-id", "", "new or keep")
	f.StringVar(&o.sshHostKey, "ssh-host-keys", "", "new or keep")
}

// settings is what the flags ask for; nil for nothing. Flags win over the file.
func (o *ownFlags) settings(changed func(string) bool) (json.RawMessage, error) {
	var s personal.Settings
	if o.file != "" {
		if err := readTOML(o.file, &s); err != nil {
			return nil, err
		}
	}
	given := o.file != ""
	if a := s.Archive; a != nil {
		if err := readArchive(a, filepath.Dir(o.file)); err != nil {
			return nil, usage("--personalize: %w", err)
		}
	}
	for name, set := range map[string]func() error{
		"hostname":      func() error { s.Hostname = o.hostname; return nil },
		"machine-id":    func() error { s.MachineID = o.id; return nil },
		"ssh-host-keys": func() error { s.SSHHostKeys = o.sshHostKey; return nil },
		"authorized-keys": func() error {
			b, err := readBounded(o.keys)
			if err == nil && len(bytes.TrimSpace(b)) == 0 {
				err = fmt.Errorf("%s is empty: it has no key", o.keys)
			}
			if s.AuthorizedKeys == nil {
				s.AuthorizedKeys = map[string]string{}
			}
			s.AuthorizedKeys["root"] = string(b)
			return err
		},
	} {
		if !changed(name) {
			continue
		}
		given = true
		if err := set(); err != nil {
			return nil, usage("--%s: %w", name, err)
		}
	}
	if !given {
		return nil, nil
	}
	if err := s.Check(); err != nil {
		if o.file != "" {
			err = fmt.Errorf("--personalize %s: %w", o.file, err)
		}
		return nil, usage("%w", err)
	}
	return json.Marshal(&s)
}

// readTOML reads settings, and names the line of what is wrong without quoting it: it may be a secret.
func readTOML(file string, s *personal.Settings) error {
	b, err := readBounded(file)
	if err == nil && len(bytes.TrimSpace(b)) == 0 {
		err = fmt.Errorf("%s is empty: it says nothing of what the machine is to have of its own; leave the flag away "+
			"where that is meant", file)
	}
	if err != nil {
		return usage("--personalize: %w", err)
	}
	b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")) // some editors put it before every text
	dec := toml.NewDecoder(bytes.NewReader(b)).DisallowUnknownFields()
	err = dec.Decode(s)
	var unknown *toml.StrictMissingError
	var wrong *toml.DecodeError
	switch {
	case err == nil:
		if err := personal.CheckContents(func(v any) error { return toml.Unmarshal(b, v) }); err != nil {
			return usage("%s: %w", file, err)
		}
		return nil
	case errors.As(err, &unknown) && len(unknown.Errors) > 0:
		line, _ := unknown.Errors[0].Position()
		key := unknown.Errors[0].Key()
		return usage("%s:%d: unknown key %s%s", file, line, strings.Join(key, "."),
			nearest.Hint(key[len(key)-1], keysOf(reflect.TypeFor[personal.Settings]())))
	case errors.As(err, &wrong):
		line, _ := wrong.Position()
		if strings.Contains(wrong.Error(), "already") {
			return usage("%s:%d: a key or a table stands here that stood before", file, line)
		}
		return usage("%s:%d: this is no TOML, or not of the type that the key wants: a text, and a file's mode, "+
			"stands in double quotes", file, line)
	}
	return usage("%s: it cannot be read as TOML", file)
}

// keysOf are the keys that a type, and what is in it, has in TOML.
func keysOf(t reflect.Type) (keys []string) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	for i := range t.NumField() {
		if tag := t.Field(i).Tag.Get("toml"); tag != "" && tag != "-" {
			keys = append(append(keys, tag), keysOf(t.Field(i).Type)...)
		}
	}
	return keys
}

// readArchive reads the file that the settings name, from the folder that they are in.
func readArchive(a *personal.Archive, dir string) error {
	if a.File == "" {
		return errors.New("archive: file names none")
	}
	file := a.File
	if !filepath.IsAbs(file) {
		file = filepath.Join(dir, file)
	}
	b, err := readBounded(file)
	a.Content = base64.StdEncoding.EncodeToString(b)
	return err
}

func readBounded(file string) ([]byte, error) { return readWhole(file, personal.MaxSettings) }
