package ipmi

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/bougou/go-ipmi/pkg/client"
	"github.com/bougou/go-ipmi/pkg/command/transport"
	"github.com/bougou/go-ipmi/pkg/types"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/server/power"
)

// polling is how often a BMC is asked whether its machine has printed something: not all send it by themselves.
const polling = 50 * time.Millisecond

// solInstance is the console that a BMC has; hardly any has a second one.
const solInstance = 1

// Completion codes of Activate Payload, table 24-2.
const (
	payloadActive   = 0x80
	payloadDisabled = 0x81
	payloadLimit    = 0x82
)

// attach is a machine's serial console by Serial over LAN (IPMI v2.0, chapter 15). It ends with in, with ctx, or with
// an error; opened is called when the BMC has given the console.
func attach(ctx context.Context, c *power.Config, h *power.Host, in io.Reader, out io.Writer, opened func()) error {
	b := &bmc{c: c, h: h}
	defer b.Close()
	err := b.do(ctx, func(s *client.Client) error { return activate(ctx, s) })
	if err != nil {
		return err
	}
	s := b.s
	defer func() {
		ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), closing)
		defer stop()
		_, _ = s.DeactivatePayload(ctx, &transport.DeactivatePayloadRequest{PayloadType: types.PayloadTypeSOL,
			PayloadInstance: solInstance}) // the BMC does it when the session ends
	}()
	opened()
	err = s.SOLStream(ctx, in, out, &client.SOLStreamOptions{PollInterval: polling})
	switch {
	case err == nil || ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, power.ErrConsoleEnds):
		return nil
	}
	return power.Fail(power.Frozen, "the console broke off (%s): somebody else took it, the BMC was reset, or "+
		"packets were lost; open it again", plain.Line(err.Error(), 160))
}

func activate(ctx context.Context, s *client.Client) error {
	_, err := s.ActivatePayload(ctx, &transport.ActivatePayloadRequest{PayloadType: types.PayloadTypeSOL,
		PayloadInstance: solInstance})
	var code *types.ResponseError
	if !errors.As(err, &code) {
		return err
	}
	switch uint8(code.CompletionCode()) {
	case payloadActive, payloadLimit:
		return power.Fail(power.Refused, "somebody has its console already: end that, or reset the BMC where it "+
			"forgot to (`ipmitool sol deactivate`); after a restart of this server it may be the server's own of "+
			"before, which the BMC ends by itself within a minute or so: open it again then")
	case payloadDisabled:
		return power.Fail(power.Refused, "Serial over LAN is switched off in it: `ipmitool sol set enabled true`, and "+
			"the user needs the right to it (`ipmitool sol payload enable`)")
	}
	return err
}
