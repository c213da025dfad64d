package jobs

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
)

// Session is a session with its parts. Only steps change it once it is created or loaded.
type Session struct {
	Record
	Kind  Kind
	Parts map[string]*doc.Part
	Order []string // of parts, as they joined
	// Starts says by firmware (session.BIOS, UEFI) why a machine with it will not start the session's image.
	Starts map[string]string
	// Store is why the server cannot keep what the session's node sends.
	Store Trouble

	casting map[int]bool // of which disks the casts were started and have not ended
	waited  time.Time    // when it was created, but never after this program has begun
}

// Record is what is stored of a session. Each part is a record of its own: doc.Part.
type Record struct {
	doc.Session
	Params *session.Cast `json:"params,omitempty"` // nil when nothing is cast
	Secret []byte        `json:"secret,omitempty"` // of the cast's sender; nodes never get it
	More   []Sending     `json:"more,omitempty"`   // the casts to the disks of MoreDisks
	// Sealed is the personalization, with the server's key; nil where there is none.
	Sealed []byte `json:"sealed,omitempty"`
	// Upload is set where a node sends its disk. The session's image has no Manifest until it is stored.
	Upload *session.Upload `json:"upload,omitempty"`
	// Asked is the word under which it was asked for; empty where there was none.
	Asked string `json:"asked,omitempty"`
	// Alike says which addresses and hostnames of it others had, or were to have, when it was made.
	Alike []string `json:"alike,omitempty"`
}

// Add puts a part into a session.
func (s *Session) Add(p *doc.Part) {
	if _, ok := s.Parts[p.Node]; !ok {
		s.Order = append(s.Order, p.Node)
	}
	s.Parts[p.Node] = p
}

// remove takes a part out of the session.
func (s *Session) remove(id string) {
	delete(s.Parts, id)
	s.Order = slices.DeleteFunc(s.Order, func(x string) bool { return x == id })
}

// Foreseen is Part.Unbootable before the node has looked at its disk: its firmware is not one that starts the image. A
// node that never said hello has no firmware that is known.
func (s *Session) Foreseen(firmware string) string { return s.Starts[firmware] }

// joined counts the parts whose nodes came, and those of them that are over.
func (s *Session) joined() (joined, over int) {
	for _, p := range s.Parts {
		if !p.Joined.IsZero() {
			joined++
			if p.Over() {
				over++
			}
		}
	}
	return joined, over
}

// unreached counts the parts that failed before their nodes came: their machines could not be switched on.
func (s *Session) unreached() int {
	n := 0
	for _, p := range s.Parts {
		if unreached(p) {
			n++
		}
	}
	return n
}

func unreached(p *doc.Part) bool { return p.State == doc.Failed && p.Joined.IsZero() }

// since is when the time to wait for nodes began: a session with a start time waits for nodes from then on.
func (s *Session) since() time.Time { return later(s.waited, s.Spec.At) }

// late reports whether the time to wait for nodes is over.
func (s *Session) late(now time.Time) bool {
	return s.Go || s.Spec.MaxWait > 0 && now.Sub(s.since()) >= seconds(s.Spec.MaxWait)
}

// Unbootable lists the nodes that have the image, or may still get it, and will not start it by themselves.
func (s *Session) Unbootable() []string {
	var out []string
	for _, id := range s.Order {
		if p := s.Parts[id]; p.Unbootable != "" && (p.State == doc.Done || !p.Over()) {
			out = append(out, id)
		}
	}
	return out
}

// MaxReasons is how many nodes the reason of a session's end names.
const MaxReasons = 5

// UnbootableWords say at the end of a session which of its nodes will not start by themselves, and why; empty for none.
func (s *Session) UnbootableWords() string {
	nodes := s.Unbootable()
	if len(nodes) == 0 {
		return ""
	}
	var why []string
	for _, id := range nodes {
		why = append(why, id+": "+s.Parts[id].Unbootable)
	}
	return fmt.Sprintf("%d of %d nodes will not start by themselves: %s", len(nodes), len(s.Parts), Few(why))
}

// Few names the first of the words, and how many there are more.
func Few(words []string) string {
	if n := len(words) - MaxReasons; n > 0 {
		words = append(slices.Clone(words[:MaxReasons]), fmt.Sprintf("and %d more", n))
	}
	return strings.Join(words, "; ")
}

// Stays reports whether the session's nodes stay in the network userland at its end.
func (s *Session) Stays() bool { return s.Spec.Boot != nil && s.Spec.Boot.Method == session.BootStay }

// GivesShell reports whether the session's nodes give a shell before they start what was restored.
func (s *Session) GivesShell() bool {
	return s.Spec.Boot != nil && s.Spec.Boot.Method == session.BootShell
}

// Sends reports whether the session's casts have, or will have, nodes to send to. Nodes with an open shell have
// received all.
func (s *Session) Sends() bool {
	if !s.Going() || len(s.Casts()) == 0 {
		return false
	}
	if !s.GivesShell() {
		return true
	}
	for _, p := range s.Parts {
		if !p.Over() && len(p.Shell) == 0 {
			return true
		}
	}
	return s.Joined() < s.Spec.Count
}

// StartWords puts on the part what a node says of how its machine will start.
func StartWords(p *doc.Part, ev *session.Event) {
	switch ev.Level {
	case session.Error:
		p.Unbootable = Also(p.Unbootable, ev.Message)
	case session.Warn:
		p.Warning = Also(p.Warning, ev.Message)
	}
}

// Trouble is something that goes wrong again and again.
type Trouble struct {
	Since time.Time // of the first time; zero: all is well
	Words string
}

// Lasts reports whether it has gone on for so long.
func (t Trouble) Lasts(now time.Time, d time.Duration) bool {
	return !t.Since.IsZero() && now.Sub(t.Since) >= d
}

// maxWords bounds what the operator is shown of a part, in bytes.
const maxWords = 4096

// Also adds words to those that the operator is shown.
func Also(shown, words string) string {
	switch {
	case strings.Contains(shown, words):
		words = shown
	case shown != "":
		words = shown + "; " + words
	}
	return plain.Line(words, maxWords)
}
