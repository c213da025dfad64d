package cmd

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/diskcast/diskcast/internal/nearest"
	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/client"
	"github.com/diskcast/diskcast/server/client/contexts"
	"github.com/diskcast/diskcast/server/cmd/ui"
	"github.com/diskcast/diskcast/server/doc"
)

func loginCommand(e *env) *cobra.Command {
	var name, pin, tokenFile string
	cmd := &cobra.Command{
		Use:   "login URL",
		Short: "Remember a server and a token, for all commands that name no server",
		Long: `Remember the server with this API and a token for it: commands that name no server mean it then,
from any machine. The file is only yours to read (` + "`diskcast context list --json`" + ` names it).

A server is known by the pin of its key. Compare the one that is shown with what ` + "`diskcast token`" + `
prints on the server: whoever sits between could show a key of its own. Afterwards no other key is taken. In a script,
--pin says it.

Who logs in at the server's page by the site's own provider gets a token there, below his name: The command line.`,
		Example: `  diskcast login https://10.0.0.1:8443
  diskcast login 10.0.0.1 --name lab --pin "$PIN" --token-file token.txt`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			server, err := apiURL(args[0])
			if err != nil {
				return usage("%w", err)
			}
			path := contexts.Path()
			known, err := contexts.Load(path)
			if err != nil {
				return err
			}
			shown, err := client.PinAt(cmd.Context(), server)
			if err != nil {
				return fmt.Errorf("%s: %w", server, err)
			}
			if err := e.confirmPin(server, shown, pin, known.At(server)); err != nil {
				return err
			}
			token, err := e.readToken(tokenFile)
			if err != nil {
				return err
			}
			c, err := client.New(server, client.Credentials{Token: token, Pin: shown})
			if err != nil {
				return err
			}
			resp, err := c.Do(cmd.Context(), http.MethodGet, "/v1/jobs", nil)
			if err != nil {
				return fmt.Errorf("nothing is remembered: %w", err)
			}
			resp.Body.Close()
			name = cmp.Or(name, contextName(server))
			known.Servers[name] = contexts.Context{Server: server, Pin: shown, Token: token}
			known.Current = name
			if err := known.Save(path); err != nil {
				return fmt.Errorf("nothing is remembered: %w", err)
			}
			return e.showContexts(known, name, "logged in: commands that name no server mean this one now\n")
		},
	}
	f := cmd.Flags()
	f.StringVar(&name, "name", "", "of the server, for --context (default: its address)")
	f.StringVar(&pin, "pin", "", "that the server's key must have; nobody is asked then")
	f.StringVar(&tokenFile, "token-file", "",
		"file with the token, - for standard input (default: $DISKCAST_TOKEN, or asked)")
	return cmd
}

// apiURL completes what somebody may type of a server's URL.
func apiURL(text string) (string, error) {
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.User != nil ||
		u.RawQuery != "" {
		return "", fmt.Errorf("server %q is not of the form https://10.0.0.1:8443", text)
	}
	return "https://" + net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "8443")), nil
}

// contextName is what a server is called that was given no name.
func contextName(server string) string {
	host, port, err := net.SplitHostPort(strings.TrimPrefix(server, "https://"))
	if err != nil || port != "8443" {
		return strings.TrimPrefix(server, "https://")
	}
	return host
}

// confirmPin takes a server's key when it is the one that was asked for, was taken before, or a person says so.
func (e *env) confirmPin(server, shown, want string, before *contexts.Context) error {
	switch {
	case want != "" && shown != want:
		return fmt.Errorf("this is not the server that was asked for: its key's pin is %s, wanted %s", shown, want)
	case want != "" || before != nil && before.Pin == shown:
		return nil
	}
	words := fmt.Sprintf("The key of %s has the pin\n  %s\n`diskcast token` on the server prints the pin of its key.\n",
		server, shown)
	if before != nil {
		words = fmt.Sprintf("THE KEY IS ANOTHER ONE than when you logged in to %s: its pin was\n  %s\n", server,
			before.Pin) + words
	}
	answer, err := e.ask(words+"Are they the same? [y/N] ", false)
	if err != nil {
		return fmt.Errorf("%w: say with --pin which server is meant (`diskcast token` there prints its pin)", err)
	}
	if a := strings.ToLower(answer); a != "y" && a != "yes" {
		return errors.New("nothing is remembered: it is another server, or somebody sits between")
	}
	return nil
}

// readToken finds the token for a login.
func (e *env) readToken(file string) (token string, err error) {
	var b []byte
	switch {
	case file == "-":
		b, err = io.ReadAll(io.LimitReader(e.in, 4096))
	case file != "":
		b, err = readWhole(file, 4096)
	case os.Getenv("DISKCAST_TOKEN") != "":
		b = []byte(os.Getenv("DISKCAST_TOKEN"))
	default:
		token, err = e.ask("Token (`diskcast token` on the server prints it; it is not shown here): ", true)
		if err != nil {
			return "", fmt.Errorf("%w: give the token with --token-file or $DISKCAST_TOKEN", err)
		}
		b = []byte(token)
	}
	token = strings.TrimSpace(string(b))
	if err == nil && (token == "" || strings.ContainsAny(token, " \n\r\t")) {
		err = errors.New("the token is one word; `diskcast token` on the server prints it")
	}
	return token, err
}

var errNobody = errors.New("there is no terminal, and so nobody to ask")

// askPerson asks the person at the terminal; what is secret is not shown.
func (e *env) askPerson(words string, secret bool) (string, error) {
	in, ok := e.in.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return "", errNobody
	}
	fmt.Fprint(e.Err, words)
	if secret {
		b, err := term.ReadPassword(int(in.Fd()))
		fmt.Fprintln(e.Err)
		return string(b), err
	}
	line, err := bufio.NewReader(in).ReadString('\n')
	return strings.TrimSpace(line), err
}

func contextCommand(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "context",
		Short: "The servers that you have logged in to",
		Long: "The servers that `diskcast login` remembered. A command without --server means the current one; " +
			"--context NAME or\n$DISKCAST_CONTEXT another; --server URL, $DISKCAST_SERVER and --state go before.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	change := func(use, short string, do func(f *contexts.File, name string)) *cobra.Command {
		return &cobra.Command{Use: use + " NAME", Short: short, Args: cobra.ExactArgs(1),
			Example: "  diskcast context " + use + " lab",
			RunE: func(_ *cobra.Command, args []string) error {
				f, err := contexts.Load(contexts.Path())
				if err != nil {
					return err
				}
				if _, ok := f.Servers[args[0]]; !ok {
					return noContext(f, args[0])
				}
				do(f, args[0])
				if err := f.Save(contexts.Path()); err != nil {
					return err
				}
				return e.showContexts(f, "", "")
			}}
	}
	cmd.AddCommand(
		&cobra.Command{Use: "list", Short: "List them, and which is the current one", Args: cobra.NoArgs,
			Example: "  diskcast context list",
			RunE: func(*cobra.Command, []string) error {
				f, err := contexts.Load(contexts.Path())
				if err != nil {
					return err
				}
				return e.showContexts(f, "", "")
			}},
		change("use", "Mean this one where no server is named",
			func(f *contexts.File, name string) { f.Current = name }),
		change("rm", "Forget one, with its token", func(f *contexts.File, name string) {
			if delete(f.Servers, name); f.Current == name {
				f.Current = ""
			}
		}))
	return cmd
}

func noContext(f *contexts.File, name string) error {
	return fmt.Errorf("you have logged in to no server of the name %s (`diskcast context list` lists them)%s",
		plain.Text(name), nearest.Hint(name, f.Names()))
}

// contextRow is a server as shown: without its token.
type contextRow struct {
	Name    string `json:"name"`
	Server  string `json:"server"`
	Pin     string `json:"pin"`
	Current bool   `json:"current"`
}

// showContexts shows one, or all when name is empty.
func (e *env) showContexts(f *contexts.File, name, words string) error {
	rows := []contextRow{}
	for _, n := range f.Names() {
		if name == "" || n == name {
			rows = append(rows, contextRow{n, f.Servers[n].Server, f.Servers[n].Pin, n == f.Current})
		}
	}
	if e.Form == ui.FormName {
		return e.Doc(rows)
	}
	if e.JSON {
		return e.Doc(struct {
			File    string       `json:"file"`
			Servers []contextRow `json:"servers"`
		}{contexts.Path(), rows})
	}
	fmt.Fprint(e.Out, words)
	if len(rows) == 0 {
		fmt.Fprintf(e.Out, "none (%s): `diskcast login URL` remembers one\n", contexts.Path())
		return nil
	}
	for _, r := range rows {
		mark := " "
		if r.Current {
			mark = "*"
		}
		fmt.Fprintf(e.Out, "%s %s  %s  pin %s\n", mark, r.Name, r.Server, r.Pin)
	}
	return nil
}

func loginLinkCommand(e *env) *cobra.Command {
	in := doc.LoginLinkSpec{V: session.Version}
	cmd := &cobra.Command{
		Use:   "login-link NAME",
		Short: "Make a link that logs somebody in to the server's page once, with a named token",
		Long: `Make a link to the server's page that logs in once, with the token of that name, which it does not tell.
It is good for so many minutes, and until the server ends; the login lasts as one for which the token was typed. Whoever
has the link first uses it: who finds it used up tells you.`,
		Example: `  diskcast token create room-210 --role operator --on room=210
  diskcast login-link room-210 --minutes 10`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, a []string) error {
			c, err := e.client()
			if err != nil {
				return err
			}
			l, link, err := c.LoginLink(cmd.Context(), a[0], in)
			if err != nil {
				return err
			}
			if e.JSON {
				return e.Doc(map[string]any{"name": l.Name, "url": link, "until": l.Until})
			}
			e.Note(fmt.Sprintf("it logs in as %s, once, until %s", l.Name, clockTime(l.Until)))
			if u, err := url.Parse(link); err == nil && net.ParseIP(u.Hostname()).IsLoopback() {
				e.Note(fmt.Sprintf("on another machine it has the server's address in the place of %s", u.Hostname()))
			}
			_, err = fmt.Fprintln(e.Out, link)
			return err
		},
	}
	serverFlag(cmd, e)
	cmd.Flags().IntVar(&in.Minutes, "minutes", 10, "how long it is good for")
	return cmd
}
