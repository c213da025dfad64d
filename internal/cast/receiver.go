package cast

import (
	"context"
	"errors"
)

// Receiver receives one object.
type Receiver struct{ p Params }

// NewReceiver checks p, opens the sockets and joins the group.
func NewReceiver(p Params, sink Sink, o ReceiverOptions) (*Receiver, error) {
	p = p.WithDefaults()
	if err := p.Check(); err != nil {
		return nil, err
	}
	return &Receiver{p: p}, nil
}

// Run receives until nothing is missing and the sender knows it (or a second has passed in vain), then returns nil.
// Again may be called after Run has returned; Run must then be called anew.
func (r *Receiver) Run(ctx context.Context) error { return errors.ErrUnsupported }

// Again says that the sink has lost these bytes: the blocks they are in are received anew.
func (r *Receiver) Again(off, n int64) {}

// Deliver hands in bytes of the object that came by another way. They must be authentic. Bytes that complete a block
// are not passed to the sink: whoever delivers them has them.
func (r *Receiver) Deliver(off int64, p []byte) error { return nil }

// Missing lists what is not yet whole, merged and sorted, in bytes of the object. It includes blocks that are partly here.
func (r *Receiver) Missing() []Range { return nil }

// Hold leaves the group, as when the sender sends a receiver to unicast, and joins it again.
func (r *Receiver) Hold(on bool) {}

// Stats may be called at any time.
func (r *Receiver) Stats() ReceiverStats { return ReceiverStats{} }

// Close closes the sockets; Run does so too when it returns.
func (r *Receiver) Close() error { return nil }
