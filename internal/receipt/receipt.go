// Package receipt is the signed account of what was done to the disk of one machine: which disk, by which method, when,
// by whose word, and with which result. A receipt is a JSON document in a DSSE envelope, signed with the server's key:
// https://github.com/secure-systems-lab/dsse, protocol 1.0.2. Whoever knows the pin of that key (`diskcast serve`
// prints it) needs nothing else to check one.
package receipt

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/diskcast/diskcast/internal/plain"
)

// Version is that of the document. A reader refuses another.
const Version = 1

// MaxSize bounds, in bytes, an envelope that is read.
const MaxSize = 1 << 20

// Results of what was done.
const (
	Done   = "done"
	Failed = "failed"
)

// Terms of NIST SP 800-88: how hard it is to get back what was on the disk.
const (
	Clear = "clear" // not by reading the disk as any program does
	Purge = "purge" // not in a laboratory either
)

// Receipt is the document that is signed.
type Receipt struct {
	V       int     `json:"v"`
	ID      string  `json:"id"`      // of the receipt: session/machine, and /2 and on for a second time
	Session string  `json:"session"` // what it was part of
	Kind    string  `json:"kind"`    // of the session
	By      string  `json:"by"`      // by whose word: the operator, as the server knows them
	Server  Server  `json:"server"`
	Machine Machine `json:"machine"`
	Disk    Disk    `json:"disk"`
	// Method is what was done, as the kind calls it: "nvme-format-crypto", "overwrite".
	Method string `json:"method"`
	// Term is the NIST SP 800-88 term that the method reaches on this disk, empty where none is claimed. Reason says
	// why it is that one.
	Term     string    `json:"term,omitempty"`
	Reason   string    `json:"reason,omitempty"`
	Started  time.Time `json:"started"` // by the server's clock
	Ended    time.Time `json:"ended"`
	Result   string    `json:"result"`            // Done or Failed
	Message  string    `json:"message,omitempty"` // why it failed
	Verified string    `json:"verified"`          // how the result was looked at, in words; "no" where it was not
	// Left are the places that the method did not reach, in words; never empty by silence: a kind that cannot know says
	// so here.
	Left []string `json:"left,omitempty"`
	// Details are the kind's own, as the node reported them.
	Details json.RawMessage `json:"details,omitempty"`
}

// Server is who signed.
type Server struct {
	Name    string `json:"name"`
	Version string `json:"version"` // of the program
}

// Machine is what the node said of itself.
type Machine struct {
	ID string `json:"id"` // of the node: the MAC address of the NIC that it booted from
	// Machine is the id that the server gave the machine, and which no NIC changes; empty in older receipts.
	Machine string   `json:"machine,omitempty"`
	Name    string   `json:"name,omitempty"`
	Vendor  string   `json:"vendor,omitempty"`
	Model   string   `json:"model,omitempty"`
	Serial  string   `json:"serial,omitempty"`
	UUID    string   `json:"uuid,omitempty"`
	MACs    []string `json:"macs,omitempty"`
}

// Disk is the disk as the node's plan named it. It is empty where a node began without naming one; the receipt then
// says so in Left and claims no term.
type Disk struct {
	Path     string `json:"path,omitempty"`
	Model    string `json:"model,omitempty"`
	Serial   string `json:"serial,omitempty"`
	WWN      string `json:"wwn,omitempty"`
	Firmware string `json:"firmware,omitempty"`
	Bus      string `json:"bus,omitempty"`
	Size     int64  `json:"size"` // bytes
}

// Check says what a document lacks to be an account that somebody may lean on.
func (r *Receipt) Check() error {
	var wrong []string
	for _, f := range []struct{ name, value string }{
		{"id", r.ID}, {"session", r.Session}, {"kind", r.Kind}, {"by", r.By}, {"server.name", r.Server.Name},
		{"machine.id", r.Machine.ID},
		{"method", r.Method}, {"verified", r.Verified},
	} {
		if plain.Blank(f.value) {
			wrong = append(wrong, "it has no "+f.name)
		}
	}
	switch {
	case r.V != Version:
		return fmt.Errorf("the receipt has version %d; this program reads version %d", r.V, Version)
	case r.Disk.Size < 0, r.Disk.Size == 0 && (r.Disk != Disk{} || r.Term != "" || len(r.Left) == 0):
		wrong = append(wrong, "its disk has no size")
	case r.Started.IsZero() || r.Ended.IsZero():
		wrong = append(wrong, "it does not say when")
	case r.Ended.Before(r.Started):
		wrong = append(wrong, "it ended before it started")
	}
	if r.Result != Done && r.Result != Failed {
		wrong = append(wrong, fmt.Sprintf("its result is %q", r.Result))
	}
	if r.Result == Failed && plain.Blank(r.Message) {
		wrong = append(wrong, "it does not say why it failed")
	}
	if r.Term != "" && r.Term != Clear && r.Term != Purge {
		wrong = append(wrong, fmt.Sprintf("its term is %q", r.Term))
	}
	if r.Term != "" && (r.Result != Done || plain.Blank(r.Reason)) {
		wrong = append(wrong, "it claims a term of NIST SP 800-88 without having been done, or without a reason")
	}
	if len(wrong) > 0 {
		return errors.New("the receipt is not whole: " + strings.Join(wrong, ", "))
	}
	return nil
}
