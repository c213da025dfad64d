package audit

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/diskcast/diskcast/internal/receipt"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
)

// Start is what the first entry has for the hash of the one before it.
var Start = strings.Repeat("0", 2*sha256.Size)

// Hash is that of an entry that follows the one with the hash prev.
func Hash(prev string, entry []byte) string {
	h := sha256.New()
	fmt.Fprintf(h, "diskcast audit 1\n%s\n", prev)
	h.Write(entry)
	return hex.EncodeToString(h.Sum(nil))
}

func markSum(m *doc.AuditMark) []byte {
	sum := sha256.Sum256(fmt.Appendf(nil, "diskcast audit mark 1\n%d\n%s\n%s", m.N, m.Hash,
		m.Time.Format(time.RFC3339Nano)))
	return sum[:]
}

// mark signs which hash an entry has.
func (l *Log) mark(n uint64, hash string) (doc.AuditMark, error) {
	m := doc.AuditMark{N: n, Hash: hash, Time: l.now().UTC()}
	var err error
	if _, ok := l.key.Public().(*ecdsa.PublicKey); !ok {
		return m, fmt.Errorf("the record of changes is signed with ECDSA keys, not with a %T", l.key.Public())
	}
	if m.PublicKey, err = x509.MarshalPKIXPublicKey(l.key.Public()); err != nil {
		return m, err
	}
	m.Sig, err = l.key.Sign(rand.Reader, markSum(&m), crypto.SHA256)
	return m, err
}

// CheckMark says what is wrong with a mark, for who knows the server by its pin.
func CheckMark(m *doc.AuditMark, pin string) error {
	if got := receipt.Pin(m.PublicKey); got != pin {
		return fmt.Errorf("the mark of entry %d is signed by the key %s, and the server's is %s", m.N, got, pin)
	}
	key, err := x509.ParsePKIXPublicKey(m.PublicKey)
	if err != nil {
		return fmt.Errorf("the mark of entry %d: its key: %w", m.N, err)
	}
	public, ok := key.(*ecdsa.PublicKey)
	if !ok || !ecdsa.VerifyASN1(public, markSum(m), m.Sig) {
		return fmt.Errorf("the mark of entry %d was changed after it was signed", m.N)
	}
	return nil
}

// Chain checks entries one after another. Its zero value is before the first that a server ever had.
type Chain struct {
	N    uint64 // of the last entry that holds
	hash string
}

// From is a chain that goes on behind the entry of a mark.
func From(m *doc.AuditMark) *Chain { return &Chain{N: m.N, hash: m.Hash} }

// Hash is that of the last entry that holds.
func (c *Chain) Hash() string {
	if c.hash == "" {
		return Start
	}
	return c.hash
}

// Add checks the line that is to be the next, and returns its entry.
func (c *Chain) Add(l *doc.AuditLine) (*doc.AuditEntry, error) {
	e := &doc.AuditEntry{}
	switch err := json.Unmarshal(l.Entry, e); {
	case err != nil:
		return nil, fmt.Errorf("what follows entry %d is no entry: %w", c.N, err)
	case e.V != session.Version:
		return nil, fmt.Errorf("entry %d has v=%d; this program reads v=%d", e.N, e.V, session.Version)
	case e.N != c.N+1:
		return nil, fmt.Errorf("entry %d follows entry %d: what was between them is gone, or was put in", e.N, c.N)
	case l.Prev != c.Hash():
		return nil, fmt.Errorf("entry %d does not follow entry %d as it is: one of them was changed", e.N, c.N)
	case Hash(l.Prev, l.Entry) != l.Hash:
		return nil, fmt.Errorf("entry %d was changed after it was written", e.N)
	}
	c.N, c.hash = e.N, l.Hash
	return e, nil
}

// Ends checks that the chain ends where the mark says.
func (c *Chain) Ends(m *doc.AuditMark) error {
	switch {
	case c.N != m.N:
		return fmt.Errorf("the last entry is %d, and the server signed that it is %d: what was behind it is gone", c.N,
			m.N)
	case c.Hash() != m.Hash:
		return fmt.Errorf("entry %d is not the one that the server signed", m.N)
	}
	return nil
}
