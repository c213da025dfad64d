package doctor

import (
	"context"
	"fmt"

	"github.com/diskcast/diskcast/server/doc"
)

// recorder is a server that records who changed what.
type recorder interface {
	Audit(ctx context.Context, after uint64, limit int) (*doc.Audit, error)
}

// lookRecord looks whether the record of changes has all that was changed.
func lookRecord(ctx context.Context, s *Subject, l *Look) {
	r, ok := s.Server.(recorder)
	if !ok {
		l.not("whether the record of changes is whole: the server does not run")
		return
	}
	part, err := r.Audit(ctx, 0, 1)
	if err != nil {
		l.not("whether the record of changes is whole: %v", err)
		return
	}
	judgeRecord(part, l)
}

func judgeRecord(a *doc.Audit, l *Look) {
	if a.Waiting > 0 {
		l.find(RecordWaits, fmt.Sprintf("%d entries of the record of changes wait to be stored", a.Waiting),
			"the state takes none: its disk is full or fails; what ends something is done all the same",
			"make room where the state is (`df -h`, `dmesg`)")
	}
	if a.Lost > 0 {
		l.find(RecordLost, fmt.Sprintf("%d entries of the record of changes are lost", a.Lost),
			"the state takes none, and more waited than are kept", "make room where the state is (`df -h`, `dmesg`)")
	}
	if a.Waiting == 0 && a.Lost == 0 {
		l.well("every change that was asked for is recorded: %d entries", a.Head.N)
	}
}
