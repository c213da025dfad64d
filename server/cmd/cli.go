// Package cmd is the command line of diskcast. A command is a function of its arguments, stdin, stdout and stderr.
//
// Exit codes: 0 all is well; 1 it failed; 2 the command line is wrong, and
// nothing was sent or changed; 3 a session ended and not every node has the
// image, or a capture failed; 4 an image is damaged; 5 a session ended, every node has the image, and some will not
// start by themselves; 6 a --dry-run found something that would change.
//
// With --json a result is one document on stdout, and what stderr has is objects, a line each: {"error": {"message",
// "code", "exit"}} at the end of what failed, {"warning": {"message"}}, {"note": {"message"}}, and log lines.
package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/diskcast/diskcast/internal/emptyflag"
	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/nearest"
	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/server/client"
	"github.com/diskcast/diskcast/server/client/contexts"
	"github.com/diskcast/diskcast/server/cmd/castcmd"
	"github.com/diskcast/diskcast/server/cmd/ui"
	"github.com/diskcast/diskcast/server/config"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/library"
)

// Version is set at build time.
var Version = "devel"

// Exit codes.
const (
	exitFailed     = 1
	exitUsage      = 2
	exitSession    = 3
	exitDamage     = 4
	exitUnbootable = 5
	exitDiffers    = 6
)

// codeError gives an error an exit code.
type codeError struct {
	code int
	err  error
}

func (e *codeError) Error() string { return e.err.Error() }
func (e *codeError) Unwrap() error { return e.err }

func usage(format string, args ...any) error {
	return &codeError{exitUsage, fmt.Errorf(format, args...)}
}

// ExitCode is the exit code for what Run returned.
func ExitCode(err error) int {
	var code *codeError
	var wrong *ui.UsageError
	var damage *image.DamageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return code.code
	case errors.As(err, &wrong):
		return exitUsage
	case errors.As(err, &damage), kind(err) == doc.KindDamaged:
		return exitDamage
	}
	return exitFailed
}

// kind is the word for programs that came with an error of the server's.
func kind(err error) string {
	var status *client.StatusError
	var job *client.JobError
	switch {
	case errors.As(err, &job):
		return job.Job.Kind
	case errors.As(err, &status):
		return status.Kind
	}
	return ""
}

// env is what every command works with.
type env struct {
	ui.UI
	in     io.Reader
	raw    io.Writer // standard output as it is, for help and completions; nil: that of the process
	state  string
	store  string
	server string
	images string // URL of the server whose images are meant; empty: the store of this machine
	debug  bool
	// stateFlag is --state; nil for an env that was made for the server whose state this is.
	stateFlag *pflag.Flag
	// context names a server that was logged in to; ask asks the person at the terminal.
	context string
	ask     func(words string, secret bool) (string, error)
	pace    time.Duration // of asking
	// toldStore says that it was told which store the server here has.
	toldStore bool
}

// Run runs one command line.
func Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	out := plain.NewWriter(stdout)
	root := newRoot(&env{in: stdin, raw: stdout, UI: ui.UI{Out: out, Err: stderr}, pace: askPace})
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err != nil && ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return errInterrupted
	}
	if err == nil && out.Err() != nil {
		return fmt.Errorf("the work is done, but what was printed is not whole: %w", out.Err())
	}
	if code := (*codeError)(nil); !errors.As(err, &code) {
		err = library.Advised(err)
	}
	return err
}

func newRoot(e *env) *cobra.Command {
	var form string
	root := &cobra.Command{
		Use:   "diskcast",
		Short: "Put disk images on many machines at once",
		Long: `diskcast boots machines over the network and puts one disk image on all of them at once, by reliable ` +
			`multicast.

The line from nothing to a lab of imaged machines:
  diskcast up                                        make what a server needs, and serve network boot and casts
  diskcast image import debian.img --name debian --server https://127.0.0.1:8443    store an image
  diskcast session create --image debian --nodes 30  say what the next 30 nodes become
  diskcast session watch s1                          see them do it`,
		Version:       Version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage("%w%s (see `%s --help`)", err, unknownFlag(cmd, err), cmd.CommandPath())
	})
	f := root.PersistentFlags()
	f.BoolVar(&e.JSON, "json", false, "print JSON: --output json")
	f.StringVarP(&form, "output", "o", "", "print a table, json, yaml, or the name alone, by which other "+
		"commands know it")
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		if err := e.SetForm(ui.Form(form)); err != nil {
			return usage("%w", err)
		}
		if e.Form == ui.FormName && slices.Contains(nameless, cmd.CommandPath()) {
			return usage("%s has no name to print: leave --output name out, and nothing was done", cmd.CommandPath())
		}
		if e.JSON && slices.Contains(formless, cmd.CommandPath()) {
			return usage("%s prints no document, and so takes neither --json nor --output: leave them out, and "+
				"nothing was done", cmd.CommandPath())
		}
		return nil
	}
	f.StringVar(&e.state, "state", envOr("DISKCAST_STATE", config.Defaults().State),
		"state directory of the server ($DISKCAST_STATE)")
	e.stateFlag = f.Lookup("state")
	f.BoolVar(&e.debug, "debug", false, "log more")
	f.StringVar(&e.context, "context", os.Getenv("DISKCAST_CONTEXT"),
		"name of a server that you have logged in to ($DISKCAST_CONTEXT)")
	if e.ask == nil {
		e.ask = e.askPerson
	}
	root.AddCommand(serveCommand(e), auditCommand(e), imageCommand(e), sessionCommand(e), nodeCommand(e),
		machineCommand(e),
		groupCommand(e), profileCommand(e), ruleCommand(e), menuCommand(e), repeatCommand(e), applyCommand(e),
		exportCommand(e),
		leaseCommand(e), doctorCommand(e),
		watchCommand(e), jobCommand(e), tokenCommand(e), bootCACommand(e), configCommand(e), upCommand(e),
		receiptCommand(e),
		notifyCommand(e), loginCommand(e), loginLinkCommand(e), contextCommand(e),
		castcmd.Command(&e.UI))
	root.SetOut(e.raw) // the commands of completion take it when they are made
	addCompletion(root)
	usageErrors(root)
	emptyflag.Refuse(root, emptyMeans, func(err error) error { return usage("%w", err) })
	addAgain(e, root)
	addCompletions(e, root)
	return root
}

// nameless are the commands that do something of which a name would say nothing, or not what is told only once.
var nameless = []string{"diskcast image gc", "diskcast image export", "diskcast image nbd", "diskcast token create",
	"diskcast login-link", "diskcast up", "diskcast serve", "diskcast export"}

// formless are the commands that print what has one form, or nothing: no --output means anything to them.
var formless = []string{"diskcast completion bash", "diskcast completion zsh", "diskcast completion fish",
	"diskcast completion powershell"}

// usageErrors makes wrong arguments and missing flags of cmd and of all commands below it usage errors.
func usageErrors(cmd *cobra.Command) {
	rule := cmd.Args
	if rule == nil {
		rule = cobra.ArbitraryArgs
	}
	cmd.Args = func(cmd *cobra.Command, a []string) error {
		err := rule(cmd, a)
		if err == nil {
			err = cmd.ValidateRequiredFlags()
		}
		if err != nil {
			return usage("%w%s (usage: %s)", err, unknownCommand(cmd, a), cmd.UseLine())
		}
		return nil
	}
	for _, c := range cmd.Commands() {
		usageErrors(c)
	}
}

func envOr(name, def string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return def
}

// log is the logger of a server; quiet that of a command that prints its results itself.
func (e *env) log() *slog.Logger   { return e.logger(slog.LevelInfo) }
func (e *env) quiet() *slog.Logger { return e.logger(slog.LevelWarn) }

func (e *env) logger(level slog.Level) *slog.Logger {
	if e.debug {
		level = slog.LevelDebug
	}
	o := &slog.HandlerOptions{Level: level}
	if e.JSON {
		return slog.New(slog.NewJSONHandler(e.Err, o))
	}
	return slog.New(slog.NewTextHandler(e.Err, o))
}

// stated reports whether the server is meant whose state directory this is, whoever was logged in to.
func (e *env) stated() bool {
	return e.stateFlag == nil || e.stateFlag.Changed || os.Getenv("DISKCAST_STATE") != ""
}

// chosen is the server that --context names, or else the current one of those that were logged in to; nil where neither
// is, and where the command line or the environment says another.
func (e *env) chosen() (*contexts.Context, error) {
	if e.context == "" && (e.stated() || os.Getenv("DISKCAST_TOKEN") != "" && os.Getenv("DISKCAST_PIN") != "") {
		return nil, nil
	}
	f, err := contexts.Load(contexts.Path())
	if err != nil {
		return nil, err
	}
	name := cmp.Or(e.context, f.Current)
	if name == "" {
		return nil, nil
	}
	c, ok := f.Servers[name]
	if !ok {
		return nil, noContext(f, name)
	}
	return &c, nil
}

// client speaks to the server that is meant.
func (e *env) client() (*client.Client, error) { return e.dial(e.server) }

// dial speaks to the server at the URL, or to the chosen one, or to that of this machine. Its credentials are those of
// the environment, of a login there, or else of the state directory.
func (e *env) dial(url string) (*client.Client, error) {
	cred := client.Credentials{Token: os.Getenv("DISKCAST_TOKEN"), Pin: os.Getenv("DISKCAST_PIN")}
	known, err := e.known(url)
	if err != nil {
		return nil, err
	}
	if known != nil {
		url = known.Server
	}
	url = cmp.Or(url, serverHere)
	if cred.Token == "" || cred.Pin == "" {
		c := &client.Credentials{}
		if known != nil {
			c.Token, c.Pin = known.Token, known.Pin
		} else if c, err = client.ReadCredentials(e.state); err != nil {
			return nil, err
		}
		if cred.Token == "" {
			cred.Token = c.Token
		}
		if cred.Pin == "" {
			cred.Pin = c.Pin
		}
	}
	c, err := client.New(url, cred)
	if err != nil {
		return nil, &codeError{exitUsage, err}
	}
	c.Exact = e.JSON
	return c, nil
}

// known is what a login remembered of the server at the URL; with no URL, of the chosen one. It is nil for a server
// that nobody logged in to.
func (e *env) known(url string) (*contexts.Context, error) {
	if url == "" {
		return e.chosen()
	}
	if e.stated() {
		return nil, nil
	}
	if whole, err := apiURL(url); err == nil {
		url = whole
	}
	f, err := contexts.Load(contexts.Path())
	if err != nil {
		return nil, err
	}
	return f.At(url), nil
}

// serverHere is the API of a server on this machine, where its settings say no other.
const serverHere = "https://127.0.0.1:8443"

func serverFlag(cmd *cobra.Command, e *env) {
	cmd.PersistentFlags().StringVar(&e.server, "server", os.Getenv("DISKCAST_SERVER"),
		"the server's API ($DISKCAST_SERVER; default: that of the current login, or else "+serverHere+")")
}

// mayMake refuses to make what belongs into a state directory where the one that --state or $DISKCAST_STATE names is
// not there: its name is most often a slip. make is the way to have it made; empty: there is none.
func (e *env) mayMake(make string) error {
	if e.stateFlag == nil || !e.stated() {
		return nil
	}
	_, err := os.Stat(e.state)
	switch {
	case err == nil || !errors.Is(err, fs.ErrNotExist):
		return nil // what makes something in it says what is wrong with it
	case make != "":
		make = "; " + make
	}
	var beside []string
	list, err := os.ReadDir(filepath.Dir(e.state))
	if err == nil {
		for _, d := range list {
			if d.IsDir() {
				beside = append(beside, filepath.Join(filepath.Dir(e.state), d.Name()))
			}
		}
	}
	return usage("there is no state directory %s, which `diskcast up` and `diskcast serve` make%s%s", e.state, make,
		nearest.Hint(e.state, beside))
}

func (e *env) storeDir() string {
	if e.store != "" {
		return e.store
	}
	return filepath.Join(e.state, "images")
}

// Tree is all commands with their help, for man pages and completions.
func Tree() *cobra.Command { return newRoot(&env{}) }
