package engine

import (
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/jobs"
	"github.com/diskcast/diskcast/server/store/record"
)

// node is a node in memory; its nodeState is what record.go stores of it.
type node struct {
	nodeState
	seen window // event numbers of the current boot
	// spoke is when the present boot was heard; zero after a restart of the server.
	spoke time.Time
	zero  time.Time // when its kernel started, as far as can be told; zero when it cannot
	// lost says why GRUB could not start its own disk, and lostAt when it said so last.
	lost   string
	lostAt time.Time
	// asked is the number of its last DHCP transaction, which began at askedAt.
	asked   uint32
	askedAt time.Time
	// first and next bound the events in the ring: first <= n < next.
	first, next uint64
	wants       []*Want // that wait for its next descriptor
}

type nodeState struct {
	doc.Node
	Boot       string // the boot id of the last hello
	Serial     uint64
	Descriptor *session.Descriptor
	First      dmi               // what the first hello said
	Odd        map[string]string // what is odd about who speaks as the node, by kind
	Rivals     []rival           // boots before, the newest last
	Claim      *jobs.Claim
	Booted     bool // it fetched a kernel here
	Worked     bool // it reported a step of a session
	// Chosen is what somebody at its console chose for its next start; nil for nothing.
	Chosen *record.Chosen
}

// window remembers which event numbers were seen, in bounded memory: all up to Low, and those in Above.
type window struct {
	Low   uint64
	Above map[uint64]bool
}

// maxAbove bounds window.Above: a node that skips more numbers than this loses the right to send them later.
const maxAbove = 4096

// add reports whether n is new, and remembers it. Numbers begin at 1; 0 counts as seen.
func (w *window) add(n uint64) bool {
	if n <= w.Low || w.Above[n] {
		return false
	}
	if w.Above == nil {
		w.Above = map[uint64]bool{}
	}
	w.Above[n] = true
	w.settle()
	for len(w.Above) > maxAbove {
		low := n
		for k := range w.Above {
			low = min(low, k)
		}
		w.Low = low
		delete(w.Above, low)
		w.settle()
	}
	return true
}

func (w *window) settle() {
	for w.Above[w.Low+1] {
		delete(w.Above, w.Low+1)
		w.Low++
	}
}
