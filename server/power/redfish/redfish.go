// Package redfish switches machines by their BMC's Redfish service. Each request carries the user and password (basic
// authentication, which DSP0266 has every service take), so that none of a BMC's few sessions is used up.
package redfish

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/stmcginnis/gofish"
	"github.com/stmcginnis/gofish/common"
	"github.com/stmcginnis/gofish/redfish"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/server/power"
)

// Driver is Redfish.
var Driver = &power.Driver{Name: "redfish",
	Needs: "--address, --user, --password-file; --system where a BMC has several",
	Check: check, Open: open, Console: attach}

func base(c *power.Config) (*url.URL, error) {
	a := c.Address
	if !strings.Contains(a, "://") {
		a = "https://" + a
	}
	u, err := url.Parse(a)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" || strings.Trim(u.Path, "/") != "" {
		return nil, fmt.Errorf("the address of a BMC is HOST, HOST:PORT or https://HOST, and not %q", c.Address)
	}
	u.Path = ""
	return u, nil
}

func check(c *power.Config) error {
	_, err := base(c)
	if err == nil && (c.User == "" || c.Password == "") {
		err = errors.New("a Redfish service has a user and a password: --user and --password-file")
	}
	return err
}

type bmc struct {
	c    *power.Config
	h    *power.Host
	url  *url.URL
	wire *http.Transport
	path string                         // of the system; empty: not found yet
	mode redfish.BootSourceOverrideMode // that it had before the override was set; empty: nothing is known
	// why is why the last request came to nothing: the library does not always pass it on.
	why *power.Error
}

func open(c *power.Config, h *power.Host) (power.Device, error) {
	if err := check(c); err != nil {
		return nil, power.Fail(power.Fault, "%w", err)
	}
	u, err := base(c)
	return &bmc{c: c, h: h, url: u, wire: power.Transport(c, h)}, err
}

// system reads the machine's resource anew.
func (b *bmc) system(ctx context.Context) (*redfish.ComputerSystem, error) {
	b.why = nil
	hc := &http.Client{Transport: &guard{bmc: b}, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	conf := gofish.ClientConfig{Endpoint: b.url.String(), Username: b.c.User, Password: b.c.Password, BasicAuth: true,
		HTTPClient: hc, MaxConcurrentRequests: 1, ReuseConnections: true}
	api, err := gofish.ConnectContext(ctx, conf)
	if err != nil {
		return nil, b.reason(ctx, err)
	}
	if b.path != "" {
		s, err := redfish.GetComputerSystem(api, b.path)
		return s, b.reason(ctx, err)
	}
	all, err := api.Service.Systems()
	if err != nil {
		return nil, b.reason(ctx, err)
	}
	var ids []string
	var found *redfish.ComputerSystem
	for _, s := range all {
		ids = append(ids, plain.Line(s.ID, 40))
		if b.c.System == "" || s.ID == b.c.System {
			found = s
		}
	}
	switch {
	case found == nil:
		return nil, power.Fail(power.Refused, "the BMC has the systems %q, and not %q: name one with --system", ids,
			b.c.System)
	case b.c.System == "" && len(all) > 1:
		return nil, power.Fail(power.Refused, "the BMC has the systems %q: name one with --system", ids)
	}
	b.path = found.ODataID
	return found, nil
}

// reason finds the word for an error.
func (b *bmc) reason(ctx context.Context, err error) error {
	var e *power.Error
	var said *common.Error
	switch {
	case err == nil:
		return nil
	case b.why != nil:
		return b.why
	case errors.As(err, &e):
		return e
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &said):
		return power.Fail(power.Refused, "it answers %s", plain.Line(said.Error(), 200))
	}
	return power.Fail(power.Odd, "what it answers is no Redfish: %s", plain.Line(err.Error(), 200))
}

func (b *bmc) State(ctx context.Context) (power.State, error) {
	s, err := b.system(ctx)
	if err != nil {
		return power.Unknown, err
	}
	switch s.PowerState {
	case redfish.OnPowerState, redfish.PoweringOffPowerState:
		return power.On, nil // what goes off is not off
	case redfish.OffPowerState, redfish.PoweringOnPowerState:
		return power.Off, nil
	}
	return power.State(plain.Line(string(s.PowerState), 40)), nil
}

func (b *bmc) reset(ctx context.Context, kinds ...redfish.ResetType) error {
	s, err := b.system(ctx)
	if err != nil {
		return err
	}
	for _, k := range kinds {
		if len(s.SupportedResetTypes) == 0 || has(s.SupportedResetTypes, k) {
			return b.reason(ctx, s.Reset(k))
		}
	}
	return power.Fail(power.Cannot, "the BMC resets by %v, and none of these does what is asked for",
		s.SupportedResetTypes)
}

func has(all []redfish.ResetType, k redfish.ResetType) bool {
	for _, x := range all {
		if x == k {
			return true
		}
	}
	return false
}

func (b *bmc) On(ctx context.Context) error {
	return b.reset(ctx, redfish.OnResetType, redfish.ForceOnResetType)
}

func (b *bmc) Off(ctx context.Context) error { return b.reset(ctx, redfish.ForceOffResetType) }

var targets = map[power.Boot]redfish.BootSourceOverrideTarget{
	power.Network: redfish.PxeBootSourceOverrideTarget,
	power.Disk:    redfish.HddBootSourceOverrideTarget,
	power.Setup:   redfish.BiosSetupBootSourceOverrideTarget,
}

// BootOnce sets the override. Some services put the mode (UEFI or Legacy) back to its default unless it is sent with
// the target, and others refuse it when it is: it is sent when it has changed.
func (b *bmc) BootOnce(ctx context.Context, dev power.Boot) error {
	target, known := targets[dev]
	if !known {
		return power.Fail(power.Cannot, "Redfish has no boot device %q", string(dev))
	}
	s, err := b.system(ctx)
	if err != nil {
		return err
	}
	want := redfish.Boot{BootSourceOverrideEnabled: redfish.OnceBootSourceOverrideEnabled,
		BootSourceOverrideTarget: target}
	b.mode = s.Boot.BootSourceOverrideMode
	if err := b.reason(ctx, s.SetBoot(want)); err != nil {
		return err
	}
	if s, err = b.system(ctx); err != nil {
		return err
	}
	if b.mode == "" || s.Boot.BootSourceOverrideMode == b.mode {
		return nil
	}
	want.BootSourceOverrideMode = b.mode
	return b.reason(ctx, s.SetBoot(want))
}

func (b *bmc) Boot(ctx context.Context) (power.Boot, error) {
	s, err := b.system(ctx)
	if err != nil {
		return "", err
	}
	enabled := s.Boot.BootSourceOverrideEnabled
	for dev, target := range targets {
		switch {
		case target != s.Boot.BootSourceOverrideTarget:
		case b.mode != "" && s.Boot.BootSourceOverrideMode != b.mode:
			return dev + power.Boot(fmt.Sprintf(" by the mode %s, which was %s",
				plain.Line(string(s.Boot.BootSourceOverrideMode), 20), plain.Line(string(b.mode), 20))), nil
		case enabled == redfish.OnceBootSourceOverrideEnabled:
			return dev, nil
		case enabled == redfish.ContinuousBootSourceOverrideEnabled:
			return dev + " for ever", nil
		}
	}
	return power.Default, nil
}

func (b *bmc) Close() { b.wire.CloseIdleConnections() }
