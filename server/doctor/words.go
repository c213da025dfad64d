package doctor

import (
	"context"
	"fmt"

	"github.com/diskcast/diskcast/server/doc"
)

// teller is a server that tells what happens to others.
type teller interface {
	Receivers(ctx context.Context) ([]doc.NotifyReceiver, error)
}

// lookWords looks whether those who are to be told what happens are.
func lookWords(ctx context.Context, s *Subject, l *Look) {
	t, ok := s.Server.(teller)
	if !ok {
		l.not("whether web hooks and mail arrive: the server does not run")
		return
	}
	all, err := t.Receivers(ctx)
	if err != nil {
		l.not("whether web hooks and mail arrive: %v", err)
		return
	}
	judgeWords(all, l)
}

func judgeWords(all []doc.NotifyReceiver, l *Look) {
	well := true
	for i := range all {
		r := &all[i]
		if why := r.Problem + r.Error; why != "" {
			well = false
			l.find(NotifyStuck, fmt.Sprintf("%s is not told what happens: %d words wait", r.Name, r.Waiting), why,
				"diskcast notify test "+r.Name)
		}
		if n := r.GivenUp + r.Dropped; n > 0 {
			well = false
			l.find(NotifyLost, fmt.Sprintf("%s was never told %d words: %d were given up, %d dropped", r.Name, n,
				r.GivenUp, r.Dropped), "it could not be told for too long, or too many waited", "diskcast notify list")
		}
	}
	if well {
		l.well("all of the %d web hooks and mails that are set up were told what happened", len(all))
	}
}
