package config

import (
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/diskcast/diskcast/server/doc"
)

// Notify is who is told what happens: the tables of a settings file.
type Notify struct {
	Webhooks []*Webhook
	Mail     *Mail // nil: none
}

// Webhook is a [[notify.webhook]].
type Webhook struct {
	Name, URL, CAFile string
	PlainHTTP         bool // its words may go over the network as anybody can read them
	Kinds             []string
	GiveUp            time.Duration
}

// Mail is the [notify.mail].
type Mail struct {
	Server, From, User, TLS, CAFile string
	To, Kinds                       []string
	Gather, GiveUp                  time.Duration
}

// MailName is what the mail's receiver is called among the others.
const MailName = "mail"

// How mail is kept from those on the way.
const (
	StartTLS = "starttls" // the server must take it
	TLS      = "tls"      // from the first byte on
	NoTLS    = "off"
)

// Bounds on the tables.
const (
	maxWebhooks = 16
	maxTo       = 64
	maxGather   = time.Hour
	maxGiveUp   = 30 * 24 * time.Hour
)

const (
	webhookTable = "notify.webhook"
	mailTable    = "notify.mail"
)

func newWebhook() *Webhook {
	return &Webhook{Kinds: slices.Clone(doc.UsualWords), GiveUp: 72 * time.Hour}
}

func newMail() *Mail {
	return &Mail{TLS: StartTLS, Kinds: slices.Clone(doc.UsualWords), Gather: time.Minute, GiveUp: 72 * time.Hour}
}

// here makes what Setting.at wants of a place that is in no Settings.
func here(p any) func(*Settings) any { return func(*Settings) any { return p } }

const (
	kindsAbout  = "what it is told: "
	giveUpAbout = "how long one word is tried; what is given up is counted in `diskcast notify list`"
	caAbout     = "file with the certificates (PEM) of those who may vouch for it, in place of the system's"
	hoursUnit   = `a duration in h, m and s, such as "72h"`
)

func kindsSetting(p *[]string) Setting {
	return Setting{Name: "kinds", About: kindsAbout + strings.Join(doc.WordKinds, ", "), Unit: "a list of these words",
		at: here(p), check: oneOf(doc.WordKinds...)}
}

func (h *Webhook) table() []Setting {
	return []Setting{
		{Name: "name", About: "what it is called by `diskcast notify`", Unit: `small letters, digits and dashes`,
			at: here(&h.Name), check: receiverName},
		{Name: "url", About: "where a signed POST goes to", Unit: `a URL, such as "https://chat.example.org/hooks/42"`,
			at: here(&h.URL), check: hookURL},
		kindsSetting(&h.Kinds),
		{Name: "give-up", About: giveUpAbout, Unit: hoursUnit, at: here(&h.GiveUp),
			check: within(time.Minute, maxGiveUp)},
		{Name: "ca-file", About: caAbout, Unit: "a whole path", at: here(&h.CAFile), path: true},
		{Name: "plain-http", About: "allow http:// to another machine, where all can read what it is told",
			Unit: "true or false", at: here(&h.PlainHTTP)},
	}
}

func (m *Mail) table() []Setting {
	return []Setting{
		{Name: "server", About: "the mail server that takes them",
			Unit: `HOST:PORT, such as "mail.example.org:587"`, at: here(&m.Server), check: nameAndPort},
		{Name: "from", About: "whom they are from", Unit: `an address, such as "diskcast@example.org"`,
			at: here(&m.From), check: mailAddress},
		{Name: "to", About: "whom they go to", Unit: `a list of addresses, such as ["lab@example.org"]`,
			at: here(&m.To), check: mailAddress},
		{Name: "user", About: "what the server logs in with; the password is stored by `diskcast notify secret mail`",
			Unit: `a user's name; "" is no log-in`, at: here(&m.User)},
		{Name: "tls", About: "starttls (refused where the server cannot), tls (from the first byte, port 465), or " +
			"off (all on the way can read and change it)", Unit: "a word", at: here(&m.TLS),
			check: oneOf(StartTLS, TLS, NoTLS)},
		{Name: "ca-file", About: caAbout, Unit: "a whole path", at: here(&m.CAFile), path: true},
		kindsSetting(&m.Kinds),
		{Name: "gather", About: "what happens within this time is one mail",
			Unit: `a duration in h, m and s, such as "1m"`, at: here(&m.Gather), check: within(0, maxGather)},
		{Name: "give-up", About: giveUpAbout, Unit: hoursUnit, at: here(&m.GiveUp),
			check: within(time.Minute, maxGiveUp)},
	}
}

var nameForm = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`) })

func receiverName(s string) error {
	switch {
	case s == MailName:
		return errors.New("is the name of [" + mailTable + "]: choose another one")
	case !nameForm().MatchString(s):
		return errors.New("is no name of up to 32 small letters, digits and dashes")
	}
	return nil
}

func hookURL(s string) error {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "":
		return errors.New("is not of the form https://HOST/PATH")
	case u.User != nil:
		return errors.New("has a user or password in it: what proves that a word is the server's is its signature")
	case u.Fragment != "":
		return errors.New("has a # in it")
	}
	return nil
}

func nameAndPort(s string) error {
	host, port, err := net.SplitHostPort(s)
	if n, perr := strconv.ParseUint(port, 10, 16); err != nil || perr != nil || n == 0 || host == "" ||
		strings.ContainsAny(host, "/ ") {
		return errors.New(`is not HOST:PORT, such as "mail.example.org:587"`)
	}
	return nil
}

func mailAddress(s string) error {
	if a, err := mail.ParseAddress(s); err != nil || !strings.Contains(a.Address, "@") {
		return errors.New("is no mail address")
	}
	return nil
}

func within(least, most time.Duration) func(string) error {
	return func(s string) error {
		if d, err := time.ParseDuration(s); err != nil || d < least || d > most {
			return fmt.Errorf("is not from %v to %v", least, most)
		}
		return nil
	}
}

// whole says what a webhook lacks, or contradicts.
func (h *Webhook) whole() error {
	u, err := url.Parse(h.URL)
	switch {
	case h.Name == "" || h.URL == "" || err != nil:
		return errors.New("it needs a name and a url")
	case len(h.Kinds) == 0:
		return errors.New("its kinds are empty: it would be told nothing")
	case u.Scheme == "http" && !h.PlainHTTP && !loopback(u.Hostname()):
		return errors.New("its url is http://, so everybody on the way can read what it is told: use https://, or " +
			"say plain-http = true")
	}
	return nil
}

func (m *Mail) whole() error {
	host, _, err := net.SplitHostPort(m.Server)
	switch {
	case err != nil || m.From == "" || len(m.To) == 0:
		return errors.New("it needs a server, from and to")
	case len(m.To) > maxTo:
		return fmt.Errorf("it goes to more than %d addresses: use a list's address", maxTo)
	case len(m.Kinds) == 0:
		return errors.New("its kinds are empty: it would be told nothing")
	case m.User != "" && m.TLS == NoTLS && !loopback(host):
		return errors.New("its password would go over the network as anybody can read it: tls must be \"starttls\" " +
			"or \"tls\"")
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// section is a table of a file that is being read.
type section struct {
	name  string
	line  int
	table []Setting
	whole func() error
}

// open begins the table that an expression names.
func (n *Notify) open(p *unstable.Parser, e *unstable.Node) (*section, error) {
	name, line := keyOf(p, e)
	array := e.Kind == unstable.ArrayTable
	switch {
	case name == webhookTable && array:
		if len(n.Webhooks) == maxWebhooks {
			return &section{}, fmt.Errorf("%d: there are more than %d [[%s]]", line, maxWebhooks, name)
		}
		h := newWebhook()
		n.Webhooks = append(n.Webhooks, h)
		return &section{name: "[[" + name + "]]", line: line, table: h.table(), whole: h.whole}, nil
	case name == mailTable && !array:
		m := newMail()
		n.Mail = m
		return &section{name: "[" + name + "]", line: line, table: m.table(), whole: m.whole}, nil
	case name == webhookTable:
		return &section{}, fmt.Errorf("%d: [%s] is written [[%s]]: there may be several", line, name, name)
	case name == mailTable:
		return &section{}, fmt.Errorf("%d: [[%s]] is written [%s]: there is one", line, name, name)
	}
	return &section{}, fmt.Errorf("%d: there is no table [%s]: all but [[%s]] and [%s] are `key = value` lines", line,
		name, webhookTable, mailTable)
}

// take reads a key of the section.
func (s *section) take(p *unstable.Parser, e *unstable.Node) error {
	if s.table == nil {
		return nil // of a table that there is not, which was said
	}
	v, err := valueOf(p, e, s.table)
	if err != nil {
		return err
	}
	assign(v.at(nil), v.Words)
	return nil
}

// end says what the section lacks.
func (s *section) end() error {
	if s == nil || s.whole == nil {
		return nil
	}
	if err := s.whole(); err != nil {
		return fmt.Errorf("%d: %s: %w", s.line, s.name, err)
	}
	return nil
}

// twice names a receiver that has the name of another.
func (n *Notify) twice() error {
	seen := map[string]bool{}
	for _, h := range n.Webhooks {
		if seen[h.Name] {
			return fmt.Errorf("two [[%s]] are called %s", webhookTable, h.Name)
		}
		seen[h.Name] = true
	}
	return nil
}
