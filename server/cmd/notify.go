package cmd

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/server/cmd/ui"
	"github.com/diskcast/diskcast/server/doc"
)

func notifyCommand(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "notify",
		Short: "Show and try who is told what happens: web hooks and mail",
		Long: `Show and try who is told what happens on the server: services by signed requests, people by mail. Who
they are is in the settings file of serve, in [[notify.webhook]] and [notify.mail]
(` + "`diskcast config example`" + `); their keys and passwords are stored, sealed, by
` + "`diskcast notify secret`" + `.`,
		Example: `  diskcast notify secret chat --secret-file -
  diskcast notify test
  diskcast notify list`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	serverFlag(cmd, e)
	cmd.AddCommand(notifyListCommand(e), notifyTestCommand(e), notifySecretCommand(e))
	return cmd
}

func notifyListCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "Show what waits to be told, why, and what was never told",
		Example: "  diskcast notify list",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := e.client()
			if err != nil {
				return err
			}
			all, err := c.Receivers(cmd.Context())
			if err != nil {
				return err
			}
			if e.JSON {
				return e.Doc(all)
			}
			return e.printReceivers(all, time.Now())
		},
	}
}

func (e *env) printReceivers(all []doc.NotifyReceiver, now time.Time) error {
	if len(all) == 0 {
		e.Note("nobody is told anything: [[notify.webhook]] and [notify.mail] in the settings file say who is " +
			"(`diskcast config example`)")
		return nil
	}
	rows := [][]string{{"NAME", "TO", "WAITING", "TOLD", "GIVEN UP", "DROPPED", "NEXT TRY"}}
	for _, r := range all {
		next := "-"
		if !r.NextTry.IsZero() {
			next = "in " + max(0, r.NextTry.Sub(now)).Round(time.Second).String()
		}
		rows = append(rows, []string{r.Name, r.By + " " + r.To, fmt.Sprint(r.Waiting), fmt.Sprint(r.Told),
			fmt.Sprint(r.GivenUp), fmt.Sprint(r.Dropped), next})
	}
	if err := ui.Table(e.Out, rows); err != nil {
		return err
	}
	for _, r := range all {
		for _, words := range receiverWords(&r) {
			fmt.Fprintf(e.Out, "%s: %s\n", r.Name, words)
		}
	}
	return nil
}

// receiverWords are what the operator should know of a receiver.
func receiverWords(r *doc.NotifyReceiver) (all []string) {
	if r.Problem != "" {
		all = append(all, r.Problem)
	}
	if r.Error != "" {
		all = append(all, fmt.Sprintf("%d tries failed, the last at %s: %s", r.Tries,
			r.LastTry.Local().Format("2006-01-02 15:04:05"), r.Error))
	}
	if r.Waiting > 0 {
		all = append(all, "the oldest word waits since "+r.Oldest.Local().Format("2006-01-02 15:04:05"))
	}
	if r.GivenUp > 0 {
		all = append(all, fmt.Sprintf("%d words were given up and never told, the last at %s", r.GivenUp,
			r.LastGiven.Local().Format("2006-01-02 15:04:05")))
	}
	if r.Dropped > 0 {
		all = append(all, fmt.Sprintf("%d words were dropped and never told: too many waited, or it was removed from "+
			"the settings while they did", r.Dropped))
	}
	return all
}

func notifyTestCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:     "test [RECEIVER]",
		Example: "  diskcast notify test\n  diskcast notify test chat",
		Short:   "Tell one receiver, or all, a word at once, and print the answers",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, a []string) error {
			c, err := e.client()
			if err != nil {
				return err
			}
			all, err := c.TestNotify(cmd.Context(), strings.Join(a, ""))
			if err != nil {
				return err
			}
			if e.JSON {
				if err := e.Doc(all); err != nil {
					return err
				}
			}
			bad := 0
			for _, r := range all {
				word := "ok"
				if !r.OK {
					bad++
					word = "failed"
				}
				if !e.JSON {
					fmt.Fprintf(e.Out, "%s: %s after %.1f s: %s\n", r.Receiver, word, r.Seconds, r.Answer)
				}
			}
			if bad > 0 {
				return fmt.Errorf("%d of %d receivers were not told", bad, len(all))
			}
			return nil
		},
	}
}

func notifySecretCommand(e *env) *cobra.Command {
	var file string
	var remove bool
	cmd := &cobra.Command{
		Use: "secret RECEIVER --secret-file FILE",
		Example: `  diskcast notify secret chat --secret-file hook.key
  diskcast notify secret chat --remove`,
		Short: "Store the key that a web hook's requests are signed with, or the mail server's password",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, a []string) error {
			if (file == "") != remove {
				return usage("name one of --secret-file and --remove")
			}
			b, err := e.readText(file)
			if err != nil {
				return fmt.Errorf("secret: %w", err)
			}
			b = strings.TrimRight(b, "\r\n")
			if b == "" && !remove {
				return usage("the secret is empty: --remove takes one away")
			}
			c, err := e.client()
			if err != nil {
				return err
			}
			r, err := c.SetNotifySecret(cmd.Context(), a[0], b)
			if err != nil {
				return err
			}
			if e.JSON {
				return e.Doc(r)
			}
			what := "stored, sealed; `diskcast notify test " + r.Name + "` tries it"
			if !r.Secret {
				what = "taken away"
			}
			_, err = fmt.Fprintf(e.Out, "%s: %s\n", r.Name, what)
			return err
		},
	}
	cmd.Flags().StringVar(&file, "secret-file", "", "file with the key or password; - is standard input")
	cmd.Flags().BoolVar(&remove, "remove", false, "take what is stored away")
	return cmd
}
