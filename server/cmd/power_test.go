package cmd

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/sealed"
	"github.com/diskcast/diskcast/server/engine"
	"github.com/diskcast/diskcast/server/identity"
	"github.com/diskcast/diskcast/server/power"
	"github.com/diskcast/diskcast/server/power/desk"
	"github.com/diskcast/diskcast/server/power/drivers"
	"github.com/diskcast/diskcast/server/power/redfish/redfishtest"
	"github.com/diskcast/diskcast/server/store"
	"github.com/diskcast/diskcast/server/web"
)

// newPowerOffice is an office whose server switches machines, for the API and for sessions.
func newPowerOffice(t *testing.T, with ...func(*desk.Config)) *office {
	t.Helper()
	var d *desk.Desk
	o := newOffice(t, func(o *office, cfg *engine.Config) {
		key, err := sealed.Load(o.state)
		if err != nil {
			t.Fatal(err)
		}
		conf := desk.Config{Store: store.NewMemory(), Key: key, Drivers: drivers.All, Timing: power.Timing{
			Request: 20 * time.Second, Limit: 200 * time.Millisecond, Poll: time.Millisecond, Hold: time.Millisecond,
			Tries: 2}}
		for _, f := range with {
			f(&conf)
		}
		d = desk.New(conf)
		cfg.Power = d
	})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	<-d.Ready()
	id, err := identity.Load(o.state)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(web.New(o.e, nil, nil, id.Token, slog.New(slog.DiscardHandler)).WithPower(d))
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{id.Cert}}
	srv.StartTLS()
	t.Cleanup(func() { srv.Close(); stop(); <-done })
	o.url = srv.URL
	return o
}

// bmcPassword is a file with the password of redfishtest's BMCs.
func bmcPassword(t *testing.T) string {
	t.Helper()
	secret := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(secret, []byte(redfishtest.Password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return secret
}

// TestPowerCommand sets a machine's power up, switches it, and has what went wrong be a line and an exit code.
func TestPowerCommand(t *testing.T) {
	o := newPowerOffice(t)
	bmc := redfishtest.New(t, redfishtest.Lies{})
	secret := bmcPassword(t)
	do := func(code int, want string, args ...string) {
		t.Helper()
		got, out, said := o.run(append([]string{"machine", "power"}, args...)...)
		if got != code || !strings.Contains(out+said, want) || strings.Contains(out+said, redfishtest.Password) {
			t.Errorf("%v: %d, %s%s; want %d and %q, and no password", args, got, out, said, code, want)
		}
	}
	do(1, "not set up", "show", "m1")
	do(exitFailed, "not set up", "on", "m1")
	do(0, "stored, sealed", "set", "m1", "--driver", "redfish", "--address", bmc.Address(), "--user", redfishtest.User,
		"--password-file", secret)
	do(0, "m1: off", "state", "m1")
	do(0, "m1: on", "on", "--all")
	do(0, `"power":"on"`, "state", "m1", "--json")
	do(0, "boots network next", "bootonce", "network", "m1")
	do(0, "sha256:", "show", "m1")
	do(exitUsage, "none of network", "bootonce", "moon", "m1")
	do(exitUsage, "say all", "on")
	do(exitUsage, "say all", "on", "m1", "--all")
	do(exitUsage, "--on: ", "on", "--on", "room=210,")
	do(exitFailed, `fits "room*"`, "on", "--on", "room*")
	lying := redfishtest.New(t, redfishtest.Lies{Nothing: true})
	do(0, "redfish", "set", "m1", "--driver", "redfish", "--address", lying.Address(), "--user", redfishtest.User,
		"--password-file", secret)
	do(exitFailed, "accepted and nothing happened", "on", "m1")
	// A machine that is not removed keeps its settings.
	if code, _, said := o.run("session", "create", "--image", "debian", "--nodes", o.node); code != 0 {
		t.Fatal(said)
	}
	if code, _, said := o.run("machine", "remove", "m1"); code != 1 || !strings.Contains(said, "has a part") {
		t.Errorf("removed at work: %d, %s", code, said)
	}
	do(0, "redfish", "show", "m1")
	do(0, "redfish", "forget", "m1")
	do(1, "not set up", "show", "m1")
	if bmc.Power() != "On" || lying.Power() != "Off" {
		t.Errorf("the machines are %s and %s", bmc.Power(), lying.Power())
	}
}
