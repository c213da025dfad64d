package model

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/session"
)

// MaxNodes bounds the nodes of a session and of a server.
const MaxNodes = 20000

// NodeID makes the name of a node from a MAC address in any of the usual forms: 52-54-00-12-34-56.
func NodeID(mac string) (string, error) {
	hw, err := net.ParseMAC(mac)
	if err != nil || len(hw) != 6 {
		return "", fmt.Errorf("node %.40q is not a MAC address such as 52:54:00:12:34:56", mac)
	}
	switch {
	case hw[0]&1 != 0: // IEEE 802: the first bit on the wire; all-ones is one of them
		return "", fmt.Errorf("%s is the address of a group, which no machine's own is", hw)
	case bytes.Equal(hw, make([]byte, 6)):
		return "", fmt.Errorf("%s is no machine's address", hw)
	}
	return strings.ReplaceAll(hw.String(), ":", "-"), nil
}

// Check says what is wrong with the spec and brings node names into their one form.
func (s *Spec) Check() error {
	if s.V != session.Version {
		return fmt.Errorf("%w: session spec has v=%d, this server speaks v=%d", session.ErrVersion, s.V, session.Version)
	}
	if s.Capture != "" {
		if err := s.checkCapture(); err != nil {
			return err
		}
	} else if s.Image == "" || len(s.Image) > 300 {
		return errors.New("no image named: see `diskcast image list`")
	} else if s.Level != "" || s.Parent != "" || s.DropGaps {
		return errors.New("level, parent and drop_gaps are of a capture")
	}
	chosen := 0
	for _, b := range []bool{s.All, s.Count != 0, len(s.Nodes) > 0} {
		if b {
			chosen++
		}
	}
	if chosen != 1 {
		return errors.New("say which nodes: all, how many, or which MAC addresses")
	}
	if s.Count < 0 || s.Count > MaxNodes || len(s.Nodes) > MaxNodes {
		return fmt.Errorf("number of nodes is not in 1..%d", MaxNodes)
	}
	seen := map[string]bool{}
	for i, n := range s.Nodes {
		id, err := NodeID(n)
		if err != nil {
			return err
		}
		if seen[id] {
			return fmt.Errorf("node %s is named twice", id)
		}
		seen[id] = true
		s.Nodes[i] = id
	}
	limit := MaxNodes
	if s.Count > 0 {
		limit = s.Count
	} else if len(s.Nodes) > 0 {
		limit = len(s.Nodes)
	}
	if s.MinNodes < 0 || s.MinNodes > limit {
		return fmt.Errorf("min-nodes %d is not in 0..%d", s.MinNodes, limit)
	}
	const year = 365 * 24 * 3600
	if !(s.MaxWait >= 0 && s.MaxWait <= year) || !(s.GiveUp >= 0 && s.GiveUp <= year) { // also refuses NaN
		return errors.New("a waiting time is negative or longer than a year")
	}
	if s.Rate < 0 || (s.Rate > 0 && s.Rate < 100_000) {
		return fmt.Errorf("rate %d bit/s is below 100 kbit/s", s.Rate)
	}
	// The rest is what a descriptor may say: let its own check judge it.
	return s.checkDescriptor()
}

// checkCapture looks at what only a capture has, and fills in what was left out.
func (s *Spec) checkCapture() error {
	switch {
	case s.Image != "":
		return errors.New("a session restores an image or captures one: name one of the two")
	case s.All || s.Count > 1 || len(s.Nodes) > 1:
		return errors.New("a capture reads one node's disk: name that node, or 1 for the first that comes")
	case s.Mode != "" || s.Verify || s.NoGrow || s.Rate != 0:
		return errors.New("mode, verify, no_grow and rate are of a restore: a capture is hashed on both sides anyway")
	case len(s.Parent) > 300:
		return errors.New("the parent's name is too long")
	}
	if s.Level == "" {
		s.Level = image.Default
	}
	if s.Boot == nil {
		s.Boot = &session.Boot{Method: session.BootStay}
	}
	return image.CheckName(s.Capture)
}

func (s *Spec) checkDescriptor() error {
	if strings.ContainsAny(bootAppend(s.Boot), "\n\x00") {
		return errors.New("boot append has a line break")
	}
	zero := "sha256:" + strings.Repeat("0", 64)
	d := session.Descriptor{V: session.Version, Session: "s", Node: "n", Action: session.Restore, Mode: s.Mode, Verify: s.Verify, Boot: s.Boot, Target: &s.Target,
		Image: &session.Image{Name: s.Image, Manifest: zero, Config: session.Blob{Digest: zero, Size: 1}, Index: session.Blob{Digest: zero, Size: 1}}}
	if s.Capture != "" {
		d = session.Descriptor{V: session.Version, Session: "s", Node: "n", Action: session.Capture, Boot: s.Boot, Target: &s.Target,
			Upload: &session.Upload{ID: "u", Name: s.Capture, Level: s.Level, Grid: image.DefaultGrid}}
	}
	b, err := json.Marshal(&d)
	if err != nil {
		return err
	}
	return session.Decode(bytes.NewReader(b), &d)
}

func bootAppend(b *session.Boot) string {
	if b == nil {
		return ""
	}
	return b.Append
}

// Advice is what the operator should know of a spec that can be.
func (s *Spec) Advice() []string {
	var out []string
	if p := s.Target.Path; p != "" {
		out = append(out, fmt.Sprintf("%s is a name that the kernel gives anew at each start, to whichever disk comes first. Each node's first plan decides which "+
			"disk it is, and the session keeps to that one. serial=, wwn= and by-path= name a disk for good; `diskcast node show` prints them.", p))
	}
	return out
}
