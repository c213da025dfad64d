package doc

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/diskcast/diskcast/internal/session"
)

// What becomes of times of a repeating session at which the server did not run.
const (
	MissedSkip = "skip" // they are said, and nothing is done
	MissedRun  = "run"  // one session is made for all of them
)

// RepeatSpec is a session that is to be made again and again: POST /v1/repeats.
type RepeatSpec struct {
	V      int             `json:"v"`
	Every  string          `json:"every"`            // as cron writes it: "0 3 * * 1-5"
	Missed string          `json:"missed,omitempty"` // MissedSkip, which empty means, or MissedRun
	Spec   json.RawMessage `json:"spec"`             // as POST /v1/sessions takes it, without at
}

// Check says what is wrong with what only this document has, but for its rule.
func (s *RepeatSpec) Check() error {
	if s.V != session.Version {
		return fmt.Errorf("%w: repeat has v=%d, this server speaks v=%d", session.ErrVersion, s.V, session.Version)
	}
	switch s.Missed {
	case "":
		s.Missed = MissedSkip
	case MissedSkip, MissedRun:
	default:
		return fmt.Errorf("missed %.40q is none of skip (they are said, and nothing is done), run (one session for "+
			"all)", s.Missed)
	}
	return nil
}

// Repeat is a session that is made again and again, as shown: GET /v1/repeats.
type Repeat struct {
	ID      string          `json:"id"`
	Owner   string          `json:"owner,omitempty"` // the server that it was made on
	Every   string          `json:"every"`
	Missed  string          `json:"missed"`
	Spec    json.RawMessage `json:"spec"` // without its secrets
	Created time.Time       `json:"created"`
	Next    time.Time       `json:"next,omitzero"`
	Last    time.Time       `json:"last,omitzero"` // the last time that something was done about, if only to say so
	Runs    []RepeatRun     `json:"runs"`          // the last ones, oldest first
	// Note is what is to be known of the rule: a time of it that the server's clock leaves out within a year.
	Note string `json:"note,omitempty"`
}

// States of a RepeatRun.
const (
	RunMaking  = "making"  // its session is being made
	RunMade    = "made"    // Session is it
	RunMissed  = "missed"  // the server did not run
	RunSkipped = "skipped" // the session before was not over
	RunFailed  = "failed"  // the session was refused
)

// RepeatRun is what came of one time.
type RepeatRun struct {
	Due     time.Time `json:"due"`
	State   string    `json:"state"`
	Session string    `json:"session,omitempty"` // that was made
	Words   string    `json:"words,omitempty"`   // why there is none, or what is to be known of it
}
