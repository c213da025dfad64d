// Package ipmi switches machines by their BMC's IPMI v2.0 (RMCP+, UDP port 623).
package ipmi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/bougou/go-ipmi/pkg/client"
	"github.com/bougou/go-ipmi/pkg/command/chassis"
	"github.com/bougou/go-ipmi/pkg/types"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/server/power"
)

// Driver is IPMI.
var Driver = &power.Driver{Name: "ipmi", Needs: "--address, --user, --password-file", Check: check, Open: open,
	Console: attach}

// Bounds of IPMI v2.0, table 22-39 and 22-32.
const (
	MaxUser     = 16
	MaxPassword = 20
)

const (
	port    = "623"
	closing = 2 * time.Second
)

func endpoint(c *power.Config) (string, int, error) {
	host, number := c.Address, port
	if h, p, err := net.SplitHostPort(c.Address); err == nil {
		host, number = h, p
	}
	n, err := strconv.Atoi(number)
	if host == "" || err != nil || n < 1 || n > 65535 {
		return "", 0, fmt.Errorf("the address of a BMC is HOST or HOST:PORT, and not %q", c.Address)
	}
	return host, n, nil
}

func check(c *power.Config) error {
	_, _, err := endpoint(c)
	switch {
	case err != nil:
		return err
	case c.User == "" || len(c.User) > MaxUser:
		return fmt.Errorf("IPMI's user names have 1 to %d bytes", MaxUser)
	case len(c.Password) > MaxPassword:
		return fmt.Errorf("IPMI's passwords have %d bytes at most", MaxPassword)
	}
	return nil
}

type bmc struct {
	c *power.Config
	h *power.Host
	s *client.Client // nil: no session
}

func open(c *power.Config, h *power.Host) (power.Device, error) { return &bmc{c: c, h: h}, check(c) }

// do sends one command, in a session that is opened by the first one.
func (b *bmc) do(ctx context.Context, f func(*client.Client) error) error {
	if err := b.h.Next(ctx); err != nil {
		return err
	}
	if b.s == nil {
		if err := b.connect(ctx); err != nil {
			return err
		}
	}
	err := reason(ctx, f(b.s))
	if w := power.WordOf(err); err != nil && w != power.Refused {
		b.Close() // a session that does not answer is not asked again
	}
	return err
}

// suites are tried in this order: HMAC-SHA256 and HMAC-SHA1, both with AES-128. The others prove or hide less, and some
// BMCs fall over when they are asked for.
var suites = []types.CipherSuiteID{types.CipherSuiteID17, types.CipherSuiteID3}

// answer is how long one packet's answer is waited for, and again as often as tries.
const (
	answer = 2 * time.Second
	tries  = 1
)

// connect opens a session by the first suite that the BMC knows.
func (b *bmc) connect(ctx context.Context) error {
	host, port, err := endpoint(b.c)
	if err != nil {
		return power.Fail(power.Fault, "%w", err)
	}
	for _, suite := range suites {
		s, err := client.NewClient(host, port, b.c.User, b.c.Password)
		if err != nil {
			return power.Fail(power.Fault, "%w", err)
		}
		s.WithCipherSuiteID(suite).WithTimeout(answer).WithRetry(tries)
		last := s.Connect(ctx)
		if last == nil {
			b.s = s
			return nil
		}
		end(ctx, s)
		if err = reason(ctx, last); power.WordOf(err) == power.Password || suite == suites[len(suites)-1] {
			return err
		}
	}
	return nil
}

// end closes the socket of a session that did not come to be; the library would wait for the BMC's goodbye.
func end(ctx context.Context, s *client.Client) {
	ctx, stop := context.WithTimeout(ctx, 20*time.Millisecond)
	defer stop()
	_ = s.Close(ctx) // there is no session to end
}

// rmcp is how the library's words on a session that did not come to be name the BMC's status: it wraps no error there.
// TestSimulator holds them.
var rmcp = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`RMCP\+ status 0x([0-9a-f]{2})`) })

// reason finds the word for an error.
func reason(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	var code *types.ResponseError
	if found := (*power.Error)(nil); errors.As(err, &found) {
		return err
	}
	said := rmcp().FindStringSubmatch(err.Error())
	switch {
	case strings.Contains(err.Error(), client.ErrRAKPAuthentication.Error()):
		return power.Fail(power.Password, "the BMC's proof does not fit the password: set up its user and password "+
			"again")
	case said != nil:
		n, _ := strconv.ParseUint(said[1], 16, 8) // the expression lets nothing else through
		return statusReason(types.NewRmcpStatusError(types.RmcpStatusCode(n)))
	case errors.As(err, &code):
		return codeReason(code)
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return power.Fail(power.Silent, "nothing that answers to IPMI is there (%s): look at its address and cable, and "+
		"whether IPMI over LAN is switched on", plain.Line(err.Error(), 120))
}

func statusReason(s *types.RmcpStatusError) error {
	switch s.StatusCode() {
	case types.RmcpStatusCodeUnauthorizedName, types.RmcpStatusCodeInvalidIntegrityCheckValue,
		types.RmcpStatusCodeInvalidNameLength:
		return power.Fail(power.Password, "%w: set up its user and password again", s)
	case types.RmcpStatusCodeNoResToCreateSess, types.RmcpStatusCodeNoResToCreateSessAtRole:
		return power.Busy("%w: it has no free session; others are logged in, or it forgot to end theirs: wait for its "+
			"time-out, or reset the BMC", s)
	case types.RmcpStatusCodeUnauthorizedRoleOfPriLevel, types.RmcpStatusCodeInvalidRole:
		return power.Fail(power.Refused, "%w: give its user the privilege of an operator or administrator", s)
	}
	return power.Fail(power.Refused, "%w", s)
}

// Completion codes, table 5-2.
const (
	nodeBusy  = 0xc0
	notAllow  = 0xd4
	notInMode = 0xd5
)

func codeReason(c *types.ResponseError) error {
	switch c.CompletionCode() {
	case nodeBusy:
		return power.Busy("%w, again and again: give it a minute; if it stays so, reset the BMC", c)
	case notAllow:
		return power.Fail(power.Refused, "%w: give its user the privilege of an operator or administrator", c)
	case notInMode:
		return power.Fail(power.Refused, "%w: not in its present state", c)
	}
	return power.Fail(power.Refused, "it refuses with the completion code 0x%02x%s", uint8(c.CompletionCode()),
		completions[uint8(c.CompletionCode())])
}

// completions are what codes of table 5-2 mean, as the end of a sentence.
var completions = map[uint8]string{
	0xc1: ": it does not know the command",
	0xc2: ": it does not know the command for this part of it",
	0xc3: ": it took too long for it",
	0xc4: ": it is out of memory",
	0xc6: ": the request is cut off",
	0xc7: ": the request has a length that it does not know",
	0xc9: ": a value is outside of its range",
	0xcb: ": it has no such sensor or record",
	0xcc: ": it does not take a value in the request",
	0xce: ": it cannot answer",
	0xd3: ": what it asks itself does not answer",
	0xd6: ": the function is switched off in it",
	0xff: ": it does not say why",
}

func (b *bmc) State(ctx context.Context) (power.State, error) {
	state := power.Off
	err := b.do(ctx, func(s *client.Client) error {
		got, err := s.GetChassisStatus(ctx)
		if err == nil && got.PowerIsOn {
			state = power.On
		}
		return err
	})
	if err != nil {
		return power.Unknown, err
	}
	return state, nil
}

func (b *bmc) control(ctx context.Context, c chassis.ChassisControl) error {
	return b.do(ctx, func(s *client.Client) error {
		_, err := s.ChassisControl(ctx, c)
		return err
	})
}

func (b *bmc) On(ctx context.Context) error { return b.control(ctx, chassis.ChassisControlPowerUp) }

func (b *bmc) Off(ctx context.Context) error { return b.control(ctx, chassis.ChassisControlPowerDown) }

var selectors = map[power.Boot]types.BootDeviceSelector{
	power.Network: types.BootDeviceSelectorForcePXE,
	power.Disk:    types.BootDeviceSelectorForceHardDrive,
	power.Setup:   types.BootDeviceSelectorForceBIOSSetup,
}

// noClearing has the boot flags stay valid until a start uses them: a BMC clears them after 60 s without one (28.13,
// parameter 3), and a large machine's firmware needs longer.
const noClearing = 0x1f

// bootFlags reads parameter 5 of table 28-14.
func (b *bmc) bootFlags(ctx context.Context) (flags types.BootOptionParam_BootFlags, err error) {
	err = b.do(ctx, func(s *client.Client) error { return s.GetSystemBootOptionsParamFor(ctx, &flags) })
	return flags, err
}

// BootOnce sets parameter 5, boot flags, of table 28-14. The firmware's kind stays as it is read: a flag for BIOS has
// some firmware leave UEFI.
func (b *bmc) BootOnce(ctx context.Context, dev power.Boot) error {
	sel, known := selectors[dev]
	if !known {
		return power.Fail(power.Cannot, "IPMI has no boot device %q", string(dev))
	}
	flags, err := b.bootFlags(ctx)
	if err != nil {
		return err
	}
	kind := flags.BIOSBootType
	if !flags.BootFlagsValid {
		kind = types.BIOSBootTypeEFI
	}
	// Not every BMC knows the clearing; the flags are read back all the same.
	err = b.do(ctx, func(s *client.Client) error {
		_, err := s.SetSystemBootOptionsParam(ctx, &chassis.SetSystemBootOptionsParamRequest{
			ParamSelector: types.BootOptionParamSelector_BMCBootFlagValidBitClear, ParamData: []byte{noClearing}})
		return err
	})
	if err != nil && power.WordOf(err) != power.Refused {
		return err
	}
	return b.do(ctx, func(s *client.Client) error { return s.SetBootDevice(ctx, sel, kind, false) })
}

func (b *bmc) Boot(ctx context.Context) (power.Boot, error) {
	flags, err := b.bootFlags(ctx)
	if err != nil {
		return "", err
	}
	if !flags.BootFlagsValid {
		return power.Default, nil
	}
	for dev, sel := range selectors {
		if sel == flags.BootDeviceSelector {
			if flags.Persist {
				return dev + " for ever", nil
			}
			return dev, nil
		}
	}
	return power.Default, nil
}

// Close ends the session: a BMC has four or so.
func (b *bmc) Close() {
	if b.s == nil {
		return
	}
	ctx, stop := context.WithTimeout(context.Background(), closing)
	defer stop()
	_ = b.s.Close(ctx) // it ends by itself, a minute later
	b.s = nil
}
