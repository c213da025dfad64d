package record

import (
	"encoding/json"
	"time"

	"github.com/diskcast/diskcast/server/doc"
)

// Keys of sessions that are made again and again.
const (
	RepeatSeq    = "meta/repeat" // number of the last one
	RepeatPrefix = "repeat/"     // + id: Repeat
)

// Repeat is a session that is made again and again.
type Repeat struct {
	ID      string          `json:"id"`
	Owner   string          `json:"owner,omitempty"`
	Every   string          `json:"every"`
	Missed  string          `json:"missed"`
	Spec    json.RawMessage `json:"spec"`             // as it is shown
	Sealed  []byte          `json:"sealed,omitempty"` // as it was asked for, by the server's key; none if as shown
	Created time.Time       `json:"created"`
	Last    time.Time       `json:"last,omitzero"`
	Runs    []RepeatRun     `json:"runs,omitempty"`
	Asked   string          `json:"asked,omitempty"` // the word under which it was asked for
}

// RepeatRun is what came of one time.
type RepeatRun struct {
	Due     time.Time `json:"due"`
	State   string    `json:"state"`
	Session string    `json:"session,omitempty"`
	Words   string    `json:"words,omitempty"`
}

// OfRepeat is the record of what is shown, with what nobody is.
func OfRepeat(r *doc.Repeat, sealed []byte, asked string) *Repeat {
	return &Repeat{ID: r.ID, Owner: r.Owner, Every: r.Every, Missed: r.Missed, Spec: r.Spec, Sealed: sealed,
		Asked: asked, Created: r.Created, Last: r.Last,
		Runs: each(r.Runs, func(x doc.RepeatRun) RepeatRun { return RepeatRun(x) })}
}

// Repeat is what the record is of, but for its next time.
func (r *Repeat) Repeat() doc.Repeat {
	return doc.Repeat{ID: r.ID, Owner: r.Owner, Every: r.Every, Missed: r.Missed, Spec: r.Spec, Created: r.Created,
		Last: r.Last, Runs: each(r.Runs, func(x RepeatRun) doc.RepeatRun { return doc.RepeatRun(x) })}
}
