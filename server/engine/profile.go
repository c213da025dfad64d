package engine

import (
	"encoding/json"

	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/fleet/book"
	"github.com/diskcast/diskcast/server/store/record"
)

// profileBox is what the spec of a profile is sealed for.
func profileBox(name string) string { return "profile " + name }

// maySeal refuses profiles with secrets where no key keeps them.
func (e *Engine) maySeal(b *book.Book, c *doc.LabChange) error {
	if e.cfg.Seal != nil {
		return nil
	}
	written := map[string]int{}
	for i, p := range c.Profiles {
		written[p.Name] = i
	}
	for _, p := range b.Profiles() {
		if i, ok := written[p.Name]; ok && book.Secret(p) {
			e.fleet.Revert()
			return ofEntry("profiles", i, p.Name, errNoKey)
		}
	}
	return nil
}

// ofProfile is the record of a profile: what everybody may see, and the whole of it sealed where that is more.
func (e *Engine) ofProfile(p doc.Profile) *record.Profile {
	if e.cfg.Seal == nil || !book.Secret(p) {
		return record.OfProfile(p, nil)
	}
	return record.OfProfile(book.Shown(p), e.cfg.Seal.Seal(profileBox(p.Name), p.Spec))
}

// openProfile is the profile of a record. One that does not open is as everybody sees it, and no session can be made of
// it until its secrets are given again.
func (e *Engine) openProfile(r *record.Profile) doc.Profile {
	p := r.Profile()
	if r.Sealed == nil {
		if e.cfg.Seal != nil && book.Secret(p) { // of a version that did not seal them
			e.w.Put(record.ProfilePrefix+p.Name, e.ofProfile(p))
		}
		return p
	}
	err := errNoKey
	if e.cfg.Seal != nil {
		var spec []byte
		if spec, err = e.cfg.Seal.Open(profileBox(p.Name), r.Sealed); err == nil {
			p.Spec = json.RawMessage(spec)
			return p
		}
	}
	e.log.Error("the secrets of a profile do not open: write it anew with them (`diskcast apply`, `diskcast profile "+
		"set`); sessions of it are refused until then", "profile", p.Name, "err", err)
	return p
}
