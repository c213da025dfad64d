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

// Completion codes of Activate Payload, table 24-2, and of Deactivate Payload, table 24-3.
const (
	payloadActive   = 0x80
	payloadDisabled = 0x81
	payloadLimit    = 0x82

	notActive = 0x80
)

// attach is a machine's serial console by Serial over LAN (IPMI v2.0, chapter 15). It ends with in, with ctx, or with
// an error; opened is called when the BMC has given the console.
func attach(ctx context.Context, c *power.Config, h *power.Host, in io.Reader, out io.Writer, opened func()) error {
	b := &bmc{c: c, h: h}
	defer b.Close()
	err := b.do(ctx, func(s *client.Client) error { return activate(ctx, s, h.Take) })
	if err != nil {
		return err
	}
	s := b.s
	opened()
	err = s.SOLStream(ctx, in, out, &client.SOLStreamOptions{PollInterval: polling})
	if err == nil || ctx.Err() != nil || errors.Is(err, power.ErrConsoleEnds) {
		// Where it broke off instead, it may be somebody else's by now. The BMC does it, too, when the session ends.
		end, stop := context.WithTimeout(context.WithoutCancel(ctx), closing)
		defer stop()
		_, _ = s.DeactivatePayload(end, &transport.DeactivatePayloadRequest{PayloadType: types.PayloadTypeSOL,
			PayloadInstance: solInstance})
		return ctx.Err()
	}
	return power.Fail(power.Frozen, "the console broke off (%s): somebody else took it, the BMC was reset, or "+
		"packets were lost", plain.Line(err.Error(), 160))
}

// activate asks for the console. take ends somebody else's first, which is that of another session of the BMC's: it is
// deactivated from here (24.2), as far as the BMC lets a user of this privilege.
func activate(ctx context.Context, s *client.Client, take bool) error {
	ask := func() (completion uint8, err error) {
		_, err = s.ActivatePayload(ctx, &transport.ActivatePayloadRequest{PayloadType: types.PayloadTypeSOL,
			PayloadInstance: solInstance})
		if code := (*types.ResponseError)(nil); errors.As(err, &code) {
			completion = uint8(code.CompletionCode())
		}
		return completion, err
	}
	completion, err := ask()
	held := completion == payloadActive || completion == payloadLimit
	if held && take {
		_, ended := s.DeactivatePayload(ctx, &transport.DeactivatePayloadRequest{PayloadType: types.PayloadTypeSOL,
			PayloadInstance: solInstance})
		code := (*types.ResponseError)(nil)
		switch {
		case errors.As(ended, &code) && uint8(code.CompletionCode()) != notActive:
			return power.Fail(power.Refused, "somebody has its console already, and it does not let this user end "+
				"that (completion code 0x%02x): end it there, give the user the privilege of an administrator, or "+
				"reset the BMC", uint8(code.CompletionCode()))
		case code == nil && ended != nil:
			return ended
		}
		if completion, err = ask(); completion == payloadActive || completion == payloadLimit {
			return power.Fail(power.Refused, "somebody has its console already: it was ended, and they, or a program "+
				"of theirs, opened it again before us")
		}
		held = false
	}
	switch {
	case held:
		return power.Fail(power.Refused, "somebody has its console already: take it (--take), which ends theirs, or "+
			"reset the BMC where it forgot to end one; after a restart of this server it may be the server's own of "+
			"before, which the BMC ends by itself within a minute or so")
	case completion == payloadDisabled:
		return power.Fail(power.Refused, "Serial over LAN is switched off in it: `ipmitool sol set enabled true`, and "+
			"the user needs the right to it (`ipmitool sol payload enable`)")
	}
	return err
}
