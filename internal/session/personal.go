package session

import (
	"errors"

	"github.com/diskcast/diskcast/internal/rx"
)

// PersonalAsk is POST /v1/node/{node}/personalization: a node whose part is so far asks for what is its own. The answer
// is a document of package personal, and comes once: a second time only for the same Ask of the same boot, whose first
// answer was lost.
type PersonalAsk struct {
	V       int    `json:"v"`
	Session string `json:"session"`
	Boot    string `json:"boot"`
	Ask     string `json:"ask"` // 32 random hex digits, known to the asker alone
}

func (a *PersonalAsk) version() int { return a.V }

var askForm = rx.New(`^[0-9a-f]{32}$`)

func (a *PersonalAsk) check() error {
	switch {
	case a.Session == "" || a.Boot == "":
		return errors.New("personalization: no session or no boot id")
	case !askForm().MatchString(a.Ask):
		return errors.New("personalization: ask is not 32 hex digits")
	}
	return nil
}
