package cast

import (
	"context"
	"errors"
)

// Sender sends one object to a group.
type Sender struct{ p Params }

// NewSender checks p and opens the sockets.
func NewSender(p Params, src Source, o SenderOptions) (*Sender, error) {
	p = p.WithDefaults()
	if err := p.Check(); err != nil {
		return nil, err
	}
	return &Sender{p: p}, nil
}

// Run serves until ctx ends, which is no error, or, with UntilDone, until all are done. It closes the sockets.
func (s *Sender) Run(ctx context.Context) error { return errors.ErrUnsupported }

// Stats may be called at any time.
func (s *Sender) Stats() SenderStats { return SenderStats{} }
