// Package personal is what makes a restored machine itself: its name, its keys, its passwords, its files. An operator
// says it once for a session, with templates where machines differ; the server resolves them, and each node is given
// what is its own.
//
// Settings are the operator's words. Check refuses what cannot be, before anything moves. Resolve makes a node's
// Document of them. Shown is what everybody may see: all but passwords and the content of files.
package personal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
)

// Version is that of the documents of this package.
const Version = 1

// Limits, in bytes but for MaxEntries.
const (
	MaxSettings = 512 << 10 // of Settings and of a Document, as JSON
	MaxFile     = 256 << 10 // of a file, resolved
	MaxEntries  = 64        // files, users with keys, users with passwords
)

// Words for MachineID and SSHHostKeys.
const (
	New  = "new"
	Keep = "keep"
)

// Sealed stands where something secret was.
const Sealed = "(sealed)"

// Settings is what is written into a restored system. Hostname, Seed, Network, Script, KernelWords, Windows.Unattend
// and the content of Files are templates (text/template) of Values. A node's Document has them resolved.
type Settings struct {
	Hostname string `json:"hostname,omitempty" toml:"hostname"`
	// MachineID and SSHHostKeys are New or Keep; empty keeps them.
	MachineID   string `json:"machine_id,omitempty" toml:"machine_id"`
	SSHHostKeys string `json:"ssh_host_keys,omitempty" toml:"ssh_host_keys"`
	// AuthorizedKeys are lines of authorized_keys by user, added to those that are there.
	AuthorizedKeys map[string]string `json:"authorized_keys,omitempty" toml:"authorized_keys"`
	// Passwords are hashes as crypt(5) writes them, by user; "!" locks the password. Secret.
	Passwords map[string]string `json:"passwords,omitempty" toml:"passwords"`
	TimeZone  string            `json:"time_zone,omitempty" toml:"time_zone"` // Europe/Berlin
	Seed      *Seed             `json:"seed,omitempty" toml:"seed"`
	Files     []File            `json:"files,omitempty" toml:"files"`
	// Network is how the machine's network is configured; NetworkWith names the program that does it where the image
	// has several.
	Network     []NIC    `json:"network,omitempty" toml:"network"`
	NetworkWith string   `json:"network_with,omitempty" toml:"network_with"`
	Archive     *Archive `json:"archive,omitempty" toml:"archive"`
	Script      *Script  `json:"script,omitempty" toml:"script"`
	KernelWords []string `json:"kernel_words,omitempty" toml:"kernel_words"` // added to the kernel's command line
	Windows     *Windows `json:"windows,omitempty" toml:"windows"`           // goes alone
	// LoaderPassphrase is what somebody would type where the disk's boot loader asks for it at each start. Nothing is
	// written of it. Secret, and no template.
	LoaderPassphrase string `json:"loader_passphrase,omitempty" toml:"loader_passphrase"`
}

// Seed is the data source NoCloud of cloud-init. Secret.
type Seed struct {
	MetaData      string `json:"meta_data,omitempty" toml:"meta_data"` // empty: an instance id of session and node
	UserData      string `json:"user_data,omitempty" toml:"user_data"`
	NetworkConfig string `json:"network_config,omitempty" toml:"network_config"`
}

// File is a file of the restored system. Its content is secret.
type File struct {
	Path    string `json:"path" toml:"path"`           // absolute, from the root of the restored system
	Mode    string `json:"mode,omitempty" toml:"mode"` // octal; empty: as it was, or 0644
	UID     *int   `json:"uid,omitempty" toml:"uid"`   // nil: as it was, or 0
	GID     *int   `json:"gid,omitempty" toml:"gid"`
	Content string `json:"content" toml:"content"`
}

// Document is what one node is given: Settings without templates.
type Document struct {
	V       int      `json:"v"`
	Session string   `json:"session"`
	Node    string   `json:"node"`
	Things  Settings `json:"things"`
}

// Parse reads Settings as a session spec has them, and checks them.
func Parse(raw []byte) (*Settings, error) {
	s, err := Decode(raw)
	if err != nil {
		return nil, err
	}
	if err := s.Check(); err != nil {
		return nil, fmt.Errorf("personalize: %w", err)
	}
	return s, nil
}

// Decode reads Settings and does not judge them. Its error quotes nothing of their values.
func Decode(raw []byte) (*Settings, error) {
	if len(raw) > MaxSettings {
		return nil, fmt.Errorf("personalize: %d bytes, at most %d are taken", len(raw), MaxSettings)
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields() // what this server does not know would not be done, and nobody would notice
	s := &Settings{}
	if err := dec.Decode(s); err != nil {
		return nil, fmt.Errorf("personalize: %w", place(err))
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("personalize: something follows the settings")
	}
	if err := CheckContents(func(v any) error { return json.Unmarshal(raw, v) }); err != nil {
		return nil, fmt.Errorf("personalize: %w", err)
	}
	return s, nil
}

// CheckContents refuses a file of which no content is said: it would be emptied, where only its mode may have been
// meant. decode reads the settings again, into what tells what is left out from what is empty.
func CheckContents(decode func(v any) error) error {
	var said struct {
		Files []struct {
			Path    string  `json:"path" toml:"path"`
			Content *string `json:"content" toml:"content"`
		} `json:"files" toml:"files"`
	}
	if err := decode(&said); err != nil {
		return place(err)
	}
	for _, f := range said.Files {
		if f.Content == nil {
			return fmt.Errorf("files: %.200q has no content, and would be emptied: give its content, or "+
				"content = \"\" where that is meant; a script changes the mode of a file alone", f.Path)
		}
	}
	return nil
}

// ParseDocument reads what a server gave a node.
func ParseDocument(raw []byte) (*Document, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	d := &Document{}
	if err := dec.Decode(d); err != nil {
		return nil, fmt.Errorf("personalization: the server is newer than this agent, or the document is damaged: %w",
			place(err))
	}
	if d.V != Version {
		return nil, fmt.Errorf("personalization: version %d, this agent speaks version %d", d.V, Version)
	}
	if err := d.Things.check(true); err != nil {
		return d, err
	}
	return d, d.Things.checkArchive()
}

// place keeps of a JSON error what says nothing of the content.
func place(err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("no JSON at byte %d", syntax.Offset)
	case errors.As(err, &kind):
		return fmt.Errorf("%s is not of the type %s", kind.Field, kind.Type)
	}
	return err
}

// Shown is the settings as everybody may see them.
func (s *Settings) Shown() *Settings {
	out := *s
	out.Windows = s.Windows.shown()
	out.LoaderPassphrase = sealed(s.LoaderPassphrase)
	out.Passwords = maps.Clone(s.Passwords)
	for user := range out.Passwords {
		out.Passwords[user] = Sealed
	}
	if s.Seed != nil {
		out.Seed = &Seed{sealed(s.Seed.MetaData), sealed(s.Seed.UserData), sealed(s.Seed.NetworkConfig)}
	}
	if s.Archive != nil {
		out.Archive = &Archive{Into: s.Archive.Into, Content: sealed(s.Archive.Content)}
	}
	if s.Script != nil {
		out.Script = &Script{Run: sealed(s.Script.Run), Timeout: s.Script.Timeout}
	}
	out.Files = nil
	for _, f := range s.Files {
		f.Content = sealed(f.Content)
		out.Files = append(out.Files, f)
	}
	return &out
}

func sealed(s string) string {
	if s == "" {
		return ""
	}
	return Sealed
}
