package access

import (
	"crypto/rand"
	"encoding/base64"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/diskcast/diskcast/server/doc"
)

// PersonPrefix begins the names of those whom a provider vouches for; no token's name has a colon.
const PersonPrefix = "oidc:"

// Bounds of what is kept of people who logged in by a provider.
const (
	maxEntries = 20000 // logins, and tokens that were made in them
	maxOf      = 64    // of one person
)

// entry is a login by a provider, or a token that was made in one. It is in memory: none outlives the server.
type entry struct {
	Holder
	made, until time.Time
}

// Login is Admit for whom the provider has vouched for just now. What it says now of a person holds: logins that may
// more, and tokens that were made in them, end.
func (b *Book) Login(h Holder, until time.Time) string {
	b.mu.Lock()
	maps.DeleteFunc(b.people, func(_ Sum, e entry) bool {
		return e.Name == h.Name && (!Covers(h.Role, e.Role) || h.Within != "" && e.Within != h.Within)
	})
	b.mu.Unlock()
	return b.Admit(h, until)
}

// outdoes reports whether the entry may more than another of the same person, or as much and for longer.
func (e *entry) outdoes(l *entry) bool {
	switch {
	case e.Role != l.Role:
		return Covers(e.Role, l.Role)
	case (e.Within == "") != (l.Within == ""):
		return e.Within == ""
	}
	return e.until.After(l.until)
}

// Admit lets a person in until a time, and returns what proves it from now on. Of too many the one goes that would end
// first: of the person's, or of all.
func (b *Book) Admit(h Holder, until time.Time) string {
	var bits [32]byte
	_, _ = rand.Read(bits[:]) // it never fails
	secret := base64.RawURLEncoding.EncodeToString(bits[:])
	now := b.now()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.people == nil {
		b.people = map[Sum]entry{}
	}
	b.makeRoom(h.Name, now)
	b.people[SumOf(secret)] = entry{h, now, until}
	return secret
}

// makeRoom lets those go that are over, and one where there are too many. The caller holds the lock.
func (b *Book) makeRoom(name string, now time.Time) {
	maps.DeleteFunc(b.people, func(_ Sum, e entry) bool { return !now.Before(e.until) })
	var first, firstOf Sum
	of := 0
	for sum, e := range b.people {
		if f, ok := b.people[first]; !ok || e.until.Before(f.until) {
			first = sum
		}
		if e.Name != name {
			continue
		}
		if f, ok := b.people[firstOf]; !ok || e.until.Before(f.until) {
			firstOf = sum
		}
		of++
	}
	if of >= maxOf {
		delete(b.people, firstOf)
	} else if len(b.people) >= maxEntries {
		delete(b.people, first)
	}
}

// Until says when what has the sum ends; false: it is no person's, or has ended.
func (b *Book) Until(sum Sum) (time.Time, bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	e, ok := b.people[sum]
	return e.until, ok && b.now().Before(e.until)
}

// Dismiss ends one login.
func (b *Book) Dismiss(sum Sum) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.people, sum)
}

// dismissAll ends all logins of a person, and the tokens that were made in them, and reports whether there were any.
func (b *Book) dismissAll(name string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	before := len(b.people)
	maps.DeleteFunc(b.people, func(_ Sum, e entry) bool { return e.Name == name })
	return len(b.people) < before
}

// persons are those who are logged in, each with the login that may most, and of those the one that ends last. The
// caller holds the lock.
func (b *Book) persons() []doc.Token {
	last := map[string]entry{}
	for _, e := range b.people {
		if l, ok := last[e.Name]; b.now().Before(e.until) && (!ok || e.outdoes(&l)) {
			last[e.Name] = e
		}
	}
	list := make([]doc.Token, 0, len(last))
	for _, e := range last {
		list = append(list, doc.Token{Name: e.Name, Role: e.Role, On: e.Within,
			Made: e.made.UTC().Truncate(time.Second), Until: e.until.UTC().Truncate(time.Second)})
	}
	slices.SortFunc(list, func(x, y doc.Token) int { return strings.Compare(x.Name, y.Name) })
	return list
}
