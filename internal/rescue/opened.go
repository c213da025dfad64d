package rescue

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"

	"golang.org/x/crypto/ssh"

	"github.com/diskcast/diskcast/internal/plain"
)

// Opened is where the shell of a node is.
type Opened struct {
	Consoles []string `json:"consoles"` // names such as ttyS0
	// Addr is where SSH is served, and HostKey what it proves itself with, as known_hosts has it; both are empty
	// without keys.
	Addr    netip.AddrPort `json:"addr,omitzero"`
	HostKey string         `json:"host_key,omitempty"`
}

// Bounds on what a node says.
const (
	maxOpened   = 8 << 10
	maxConsoles = 16
	maxName     = 64
)

// ParseOpened reads what a node says.
func ParseOpened(raw []byte) (*Opened, error) {
	if len(raw) > maxOpened {
		return nil, fmt.Errorf("it has %d bytes, more than %d", len(raw), maxOpened)
	}
	o := &Opened{}
	d := json.NewDecoder(bytes.NewReader(raw))
	if err := d.Decode(o); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("something follows it")
	}
	if len(o.Consoles) > maxConsoles {
		return nil, fmt.Errorf("it has more than %d consoles", maxConsoles)
	}
	for i, c := range o.Consoles {
		o.Consoles[i] = plain.Line(c, maxName)
	}
	if o.HostKey == "" && o.Addr == (netip.AddrPort{}) {
		return o, nil
	}
	k, err := ParseKey(o.HostKey)
	if err != nil {
		return nil, fmt.Errorf("host key: %w", err)
	}
	if !o.Addr.IsValid() || o.Addr.Port() == 0 || o.Addr.Addr().Zone() != "" {
		return nil, fmt.Errorf("%v is no address with a port", o.Addr)
	}
	k.Comment = ""
	o.HostKey = k.Line()
	return o, nil
}

// Fingerprint is the host key's, as ssh shows it when it meets the node; empty without SSH.
func (o *Opened) Fingerprint() string {
	k, err := ParseKey(o.HostKey)
	if err != nil {
		return ""
	}
	return ssh.FingerprintSHA256(k)
}

// Command is what an operator types to come in.
func (o *Opened) Command() string {
	if o.Addr.Port() == 22 {
		return "ssh root@" + o.Addr.Addr().String()
	}
	return fmt.Sprintf("ssh -p %d root@%s", o.Addr.Port(), o.Addr.Addr())
}
