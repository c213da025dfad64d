package cmd

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/internal/units"
	"github.com/diskcast/diskcast/server/client"
	"github.com/diskcast/diskcast/server/cmd/ui"
	"github.com/diskcast/diskcast/server/doc"
)

func jobCommand(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "job", Aliases: []string{"jobs"},
		Short: "List, follow and end long work on a server's images",
		Long: `List, follow and end long work on a server's images: what ` + "`diskcast image --server`" +
			` verify, gc, optimize,
cut, push and pull began, and the imports of files that were sent to it, as by its page. A job goes on when the command
that began it is interrupted or loses its connection. What was done stays when a job is ended, or the server is, and the
same command goes on there.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	serverFlag(cmd, e)
	cmd.AddCommand(jobList(e), jobWatch(e), jobCancel(e))
	return cmd
}

func jobList(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"},
		Short:   "List the jobs since the server was started",
		Example: "  diskcast job list --watch",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := e.client()
			if err != nil {
				return err
			}
			list, err := c.Jobs(cmd.Context())
			if err != nil {
				return err
			}
			if e.JSON {
				return e.Doc(list)
			}
			rows := [][]string{{"JOB", "KIND", "OF", "STATE", "DONE", "STARTED", "ERROR"}}
			for _, j := range list {
				rows = append(rows, []string{j.ID, j.Spec.Kind, ui.Dash(cmp.Or(j.Spec.Image, j.Spec.Name)), j.State,
					units.Percent(j.Done, j.Total), ui.Ago(j.Started), j.Error})
			}
			return ui.Table(e.Out, rows)
		},
	}
}

func jobWatch(e *env) *cobra.Command {
	return &cobra.Command{
		Use:     "watch JOB",
		Example: "  diskcast job watch j3",
		Short:   "Follow a job until it is over",
		Long:    "Follow a job until it is over. The exit code is that of the command which began it.",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, a []string) error {
			c, err := e.client()
			if err != nil {
				return err
			}
			bar := e.Progress("job " + a[0])
			j, err := c.Library().Wait(cmd.Context(), a[0], bar.Update)
			bar.Close()
			if err != nil {
				return err
			}
			return e.printJob(j)
		},
	}
}

func jobCancel(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "cancel JOB...",
		Short: "End jobs; what they did stays",
		Long: `End jobs; what they did stays. One that is over stays as it is. Where one of several cannot be ended, the
others are, and the exit code is 1.`,
		Example: "  diskcast job cancel j3 j4",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, a []string) error {
			c, err := e.client()
			if err != nil {
				return err
			}
			end := func(id string) (*doc.Job, error) {
				if _, err := c.CancelJob(cmd.Context(), id); err != nil {
					return nil, err
				}
				j, err := c.Library().Wait(cmd.Context(), id, nil)
				var ended *client.JobError
				if err != nil && (!errors.As(err, &ended) || ended.Job.State != doc.Cancelled) {
					return nil, err
				}
				return j, nil
			}
			return endEach(e, a, end, func(j *doc.Job) { fmt.Fprintln(e.Out, jobLine(j)) })
		},
	}
}

func jobLine(j *doc.Job) string { return fmt.Sprintf("%s %s %s", j.ID, j.Spec.Kind, j.State) }

func (e *env) printJob(j *doc.Job) error {
	if e.JSON {
		return e.Doc(j)
	}
	_, err := fmt.Fprintln(e.Out, jobLine(j))
	return err
}
