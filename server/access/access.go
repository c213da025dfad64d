// Package access says who may do what on the server: named tokens, each with a role, an end and perhaps a selector of
// the machines that it is held to. A token is 256 random bits that are shown once; the store has their SHA-256. The
// token in the state directory's file is the administrator of last resort: it has no name here, no end, and cannot be
// removed through the API.
package access

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/store"
)

// Roles, each of which may do what the ones before it may.
const (
	Viewer   = "viewer"   // looks
	Operator = "operator" // works with machines, sessions and images
	Admin    = "admin"    // says who may, keeps secrets and rules
)

var roles = []string{Viewer, Operator, Admin}

// Covers says whether who has one role may do what another is wanted for. A role that nobody knows covers nothing and
// is covered by nothing.
func Covers(has, wanted string) bool {
	h, w := slices.Index(roles, has), slices.Index(roles, wanted)
	return w >= 0 && h >= w
}

// Bounds of what is kept.
const (
	MaxTokens = 1000
	MaxDays   = 3660
	MaxOn     = 1024     // bytes of a selector
	prefix    = "token/" // + name: record
)

// Root is the name of who comes with the token of the state directory.
const Root = "root"

var (
	// ErrSpec is wrapped by errors about tokens that cannot be made as they are asked for.
	ErrSpec = errors.New("token refused")
	// ErrExists is wrapped by errors about names that are taken.
	ErrExists = errors.New("there is a token of that name")

	names = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)
)

// record is a token as it is stored.
type record struct {
	Role  string    `json:"role"`
	Sum   string    `json:"sum"` // SHA-256 of the token, in hexadecimal digits
	Made  time.Time `json:"made"`
	Until time.Time `json:"until"` // zero: without an end
	// Held is of a token that is held to machines, in the place of Role: a server that knows no such tokens reads one
	// without a role, which may nothing.
	Held *held `json:"held,omitempty"`
}

// held is what a token may do, and to which machines.
type held struct {
	Role string `json:"role"`
	On   string `json:"on"`
}

func (r *record) token(name string, sum [sha256.Size]byte) token {
	t := token{doc.Token{Name: name, Role: r.Role, Made: r.Made, Until: r.Until}, sum}
	if r.Held != nil {
		t.Role, t.On = r.Held.Role, r.Held.On
	}
	return t
}

func (t *token) record() *record {
	r := &record{Role: t.Role, Sum: hex.EncodeToString(t.sum[:]), Made: t.Made, Until: t.Until}
	if t.On != "" {
		r.Role, r.Held = "", &held{Role: t.Role, On: t.On}
	}
	return r
}

func (r *record) sum() ([sha256.Size]byte, error) {
	b, err := hex.DecodeString(r.Sum)
	if err != nil || len(b) != sha256.Size {
		return [sha256.Size]byte{}, errors.New("its sum is not 64 hexadecimal digits")
	}
	return [sha256.Size]byte(b), nil
}

// Holder is who comes with a token.
type Holder struct {
	Name, Role string
	Within     string // selector of the machines that it is held to; empty: of all
}

type token struct {
	doc.Token
	sum [sha256.Size]byte
}

// Book has the tokens of a server.
type Book struct {
	store store.Store
	root  [sha256.Size]byte
	now   func() time.Time
	links links

	change sync.Mutex // held while the store is written
	mu     sync.RWMutex
	bySum  map[[sha256.Size]byte]token
	people map[Sum]entry
}

// New reads the tokens of a store; root is the one of the state directory's file.
func New(ctx context.Context, db store.Store, root string) (*Book, error) {
	b := &Book{store: db, root: sha256.Sum256([]byte(root)), now: time.Now, bySum: map[[sha256.Size]byte]token{}}
	var found []string
	err := db.View(ctx, func(tx store.Tx) error {
		return tx.Walk(prefix, func(key string, _ []byte) error {
			found = append(found, key)
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read tokens: %w", err)
	}
	for _, key := range found {
		name := strings.TrimPrefix(key, prefix)
		r := &record{}
		err := db.View(ctx, func(tx store.Tx) error { return store.GetJSON(tx, key, r) })
		if err != nil {
			return nil, fmt.Errorf("read the token %s: %w", name, err)
		}
		sum, err := r.sum()
		if err == nil && r.Held != nil && r.Held.On == "" {
			err = errors.New("it is held to machines, and to which is not there")
		}
		if err != nil {
			return nil, fmt.Errorf("the token %s in the store: %w", name, err)
		}
		b.bySum[sum] = r.token(name, sum)
	}
	return b, nil
}

// Only returns a book that knows nobody but who comes with the token of the state directory, and makes no others.
func Only(root string) *Book {
	return &Book{root: sha256.Sum256([]byte(root)), now: time.Now, bySum: map[[sha256.Size]byte]token{}}
}

// Sum is what a token is known by after it was shown once. It gives nobody the token back.
type Sum [sha256.Size]byte

// SumOf is the sum of a token.
func SumOf(secret string) Sum { return sha256.Sum256([]byte(secret)) }

// Who says who comes with a token; no: nobody does, or no longer.
func (b *Book) Who(secret string) (Holder, bool) { return b.Of(SumOf(secret)) }

// Of says whose token has the sum, as Who does.
func (b *Book) Of(sum Sum) (Holder, bool) {
	if subtle.ConstantTimeCompare(sum[:], b.root[:]) == 1 { // equal lengths: the time that it takes tells nothing
		return Holder{Name: Root, Role: Admin}, true
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	// What is looked up is a hash: how long that takes tells nothing of a token.
	if e, ok := b.people[sum]; ok && b.now().Before(e.until) {
		return e.Holder, true
	}
	t, ok := b.bySum[sum]
	if !ok || !t.Until.IsZero() && !b.now().Before(t.Until) {
		return Holder{}, false
	}
	return Holder{t.Name, t.Role, t.On}, true
}

// List returns all tokens by name, those that have ended too, and people who are logged in by a provider.
func (b *Book) List() []doc.Token {
	b.mu.RLock()
	defer b.mu.RUnlock()
	list := make([]doc.Token, 0, len(b.bySum))
	for _, t := range b.bySum {
		t.Ended = !t.Until.IsZero() && !b.now().Before(t.Until)
		list = append(list, t.Token)
	}
	slices.SortFunc(list, func(x, y doc.Token) int { return strings.Compare(x.Name, y.Name) })
	return append(list, b.persons()...)
}

// count is how many tokens there are.
func (b *Book) count() int {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return len(b.bySum)
}

func (b *Book) check(in *doc.TokenSpec) error {
	switch {
	case in.V != session.Version:
		return fmt.Errorf("%w: it has v=%d, this server speaks v=%d", ErrSpec, in.V, session.Version)
	case b.store == nil:
		return fmt.Errorf("%w: this server keeps none", ErrSpec)
	case !names.MatchString(in.Name):
		return fmt.Errorf("%w: the name %q is not 1 to 63 of a-z, 0-9, dot, dash and underscore, the first a letter "+
			"or digit", ErrSpec, in.Name)
	case in.Name == Root:
		return fmt.Errorf("%w: %s is the name of the state directory's token", ErrSpec, Root)
	case !slices.Contains(roles, in.Role):
		return fmt.Errorf("%w: the role %q is none of %s", ErrSpec, in.Role, strings.Join(roles, ", "))
	case in.Role == Admin && in.On != "":
		return fmt.Errorf("%w: an admin makes tokens, rules and groups, and so is held to no machines: leave the "+
			"selector away, or make it an operator", ErrSpec)
	case len(in.On) > MaxOn:
		return fmt.Errorf("%w: its selector is longer than %d bytes: keep it as a group (`diskcast group set`)",
			ErrSpec, MaxOn)
	case in.Days < 0 || in.Days > MaxDays:
		return fmt.Errorf("%w: %d days are not 0 (without an end) to %d", ErrSpec, in.Days, MaxDays)
	}
	return nil
}

// Create makes a token. What it returns has the token itself, which is kept nowhere.
func (b *Book) Create(ctx context.Context, in doc.TokenSpec) (*doc.TokenMade, error) {
	if err := b.check(&in); err != nil {
		return nil, err
	}
	var bits [32]byte
	if _, err := rand.Read(bits[:]); err != nil {
		return nil, err
	}
	secret := base64.RawURLEncoding.EncodeToString(bits[:])
	sum := sha256.Sum256([]byte(secret))
	t := token{doc.Token{Name: in.Name, Role: in.Role, On: in.On, Made: b.now().UTC().Truncate(time.Second)}, sum}
	if in.Days > 0 {
		t.Until = t.Made.Add(time.Duration(in.Days) * 24 * time.Hour)
	}
	b.change.Lock()
	defer b.change.Unlock()
	if _, taken := b.find(in.Name); taken {
		return nil, fmt.Errorf("%w: %s (`diskcast token rm %s` ends it)", ErrExists, in.Name, in.Name)
	}
	if b.count() >= MaxTokens {
		return nil, fmt.Errorf("%w: there are %d already; remove those that have ended", ErrSpec, MaxTokens)
	}
	err := b.store.Update(ctx, func(tx store.WriteTx) error {
		return store.PutJSON(tx, prefix+in.Name, t.record())
	})
	if err != nil {
		return nil, fmt.Errorf("store the token %s: %w", in.Name, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bySum[sum] = t
	return &doc.TokenMade{Token: t.Token, Secret: secret}, nil
}

func (b *Book) find(name string) (token, bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, t := range b.bySum {
		if t.Name == name {
			return t, true
		}
	}
	return token{}, false
}

// Remove ends a token: who comes with it from then on is nobody. Of a person who is logged in by a provider it ends all
// logins. The error of one that is not there wraps store.ErrNotFound.
func (b *Book) Remove(ctx context.Context, name string) error {
	if strings.HasPrefix(name, PersonPrefix) {
		if !b.dismissAll(name) {
			return fmt.Errorf("%q is not logged in: %w", name, store.ErrNotFound)
		}
		return nil
	}
	b.change.Lock()
	defer b.change.Unlock()
	t, ok := b.find(name)
	if !ok {
		return fmt.Errorf("token %q: %w", name, store.ErrNotFound)
	}
	if err := b.store.Update(ctx, func(tx store.WriteTx) error { return tx.Delete(prefix + name) }); err != nil {
		return fmt.Errorf("remove the token %s: %w", name, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.bySum, t.sum)
	return nil
}
