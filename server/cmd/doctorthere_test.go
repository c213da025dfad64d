package cmd

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/doctor"
	"github.com/diskcast/diskcast/server/identity"
	"github.com/diskcast/diskcast/server/web"
)

// TestDoctorThere prints what a server elsewhere found that looked at itself, and ends as the command here does.
func TestDoctorThere(t *testing.T) {
	o := newOffice(t)
	id, err := identity.Load(o.state)
	if err != nil {
		t.Fatal(err)
	}
	found := []doc.DoctorFinding{{ID: "clock-free", Grave: doc.GraveMind, What: "nobody keeps it right",
		Cause: "it drifts", Mend: "timedatectl set-ntp true"}}
	rounds := doctor.NewRounds(func(context.Context) *doctor.Report {
		return &doctor.Report{V: 1, Looks: []doc.DoctorLook{{Check: "clock", Found: found},
			{Check: "firewall", Not: []string{"as root"}}}}
	}, slog.New(slog.DiscardHandler))
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- rounds.Run(ctx) }() // ends with the test
	defer func() { stop(); <-done }()
	<-rounds.Ready()
	api := web.New(o.e, nil, nil, id.Token, slog.New(slog.DiscardHandler)).WithDoctor(rounds)
	srv := httptest.NewUnstartedServer(api)
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{id.Cert}}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{exitFailed, "FOUND  clock-free: nobody keeps it right\n       cause: it drifts\n       mend:  timedatectl",
			nil},
		{exitFailed, "not looked at  firewall: as root\n1 found, 1 not looked at", nil},
		{exitFailed, "the server looked at itself at ", nil},
		{exitFailed, `"grave":"mind"`, []string{"--json"}},
		{exitUsage, "--patience is of a server on this machine", []string{"--patience", "3s"}},
		{exitUsage, "--dhcp is of a server on this machine", []string{"--dhcp", "off"}},
		{exitFailed, "nobody is told", []string{"--tell"}},
	} {
		o.url = srv.URL
		code, out, said := o.run(append([]string{"doctor"}, c.args...)...)
		if code != c.code || !strings.Contains(out+said, c.want) {
			t.Errorf("doctor %v: %d, %s%s; want %d and %q", c.args, code, out, said, c.code, c.want)
		}
	}
}
