package cmd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/diskcast/diskcast/server/client"
	"github.com/diskcast/diskcast/server/cmd/ui"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/doctor"
)

// doctorThere has a server look at itself, and prints what it found.
func (e *env) doctorThere(cmd *cobra.Command, tell bool) error {
	var wrong error
	cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		if f.Changed && f.Name != "tell" && f.Name != "help" {
			wrong = usage("--%s is of a server on this machine: leave it or --server out", f.Name)
		}
	})
	if wrong != nil {
		return wrong
	}
	c, err := e.client()
	if err != nil {
		return err
	}
	v, err := lookedThere(cmd.Context(), c)
	if err != nil {
		return err
	}
	if !e.JSON {
		e.Note(fmt.Sprintf("the server looked at itself at %s (%s), for %s; it does so again from %s on",
			v.Ended.Local().Format(time.DateTime), ui.Ago(v.Ended), v.By, v.Again.Local().Format(time.TimeOnly)))
	}
	err = e.report(v.Report)
	if tell {
		err = errors.Join(err, tellFindings(cmd.Context(), &doctor.Subject{Server: c}, v.Report))
	}
	return err
}

// lookedThere waits for the end of a server's look.
func lookedThere(ctx context.Context, c *client.Client) (*doc.Doctor, error) {
	v, err := c.AskDoctor(ctx)
	for err == nil && v.State == doc.DoctorLooking {
		v, err = c.Doctor(ctx, v.Serial)
	}
	if err == nil && v.Report == nil { // it was started anew meanwhile
		err = errors.New("the server found nothing out: it was started anew while it looked; ask again")
	}
	return v, err
}
