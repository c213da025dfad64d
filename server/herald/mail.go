package herald

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"strconv"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"

	"github.com/diskcast/diskcast/server/config"
	"github.com/diskcast/diskcast/server/doc"
)

// mailer tells people: what happens within a while is one mail.
type mailer struct {
	c      *config.Mail
	server string // ours
	host   string
	port   int
	tls    *tls.Config
}

func newMail(c *config.Mail, server string) (*mailer, error) {
	conf, err := tlsConfig(c.CAFile)
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(c.Server)
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return nil, err
	}
	conf.ServerName = host
	return &mailer{c: c, server: server, host: host, port: n, tls: conf}, nil
}

func (m *mailer) by() string                       { return doc.ByMail }
func (m *mailer) to() string                       { return strings.Join(m.c.To, ", ") }
func (m *mailer) wants() (what string, needs bool) { return "password", m.c.User != "" }
func (m *mailer) most() int                        { return maxWords }
func (m *mailer) gather() time.Duration            { return m.c.Gather }

func (m *mailer) send(ctx context.Context, password string, words []doc.Word) (string, error) {
	msg, err := m.message(words)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // which closes the connection
	options := []gomail.Option{gomail.WithPort(m.port), gomail.WithTLSConfig(m.tls), gomail.WithTimeout(mailPatience),
		gomail.WithDialContextFunc(m.dialer(ctx))}
	switch m.c.TLS {
	case config.TLS:
		options = append(options, gomail.WithSSL())
	case config.NoTLS:
		options = append(options, gomail.WithTLSPolicy(gomail.NoTLS))
	default:
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory))
	}
	if m.c.User != "" {
		options = append(options, gomail.WithUsername(m.c.User), gomail.WithPassword(password),
			gomail.WithOpportunisticSMTPAuth(gomail.SMTPAuthSCRAMSHA256, gomail.SMTPAuthPlain, gomail.SMTPAuthLogin))
	}
	c, err := gomail.NewClient(m.host, options...)
	if err != nil {
		return "", err
	}
	sent := make(chan error, 1)
	go func() { // ends with the connection
		err := c.DialAndSendWithContext(ctx, msg)
		if msg.IsDelivered() {
			err = nil // the goodbye may have gone wrong
		}
		sent <- err
	}()
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case err := <-sent:
		if err != nil {
			return "", err
		}
	}
	return "the mail server took it for " + m.to(), nil
}

// mailPatience is longer than a delivery may take: what ends one is its context.
const mailPatience = time.Hour

// dialer connects, and closes when the delivery ends: a server that says a byte now and then holds nobody up for
// longer, and go-mail leaves a connection open that it gives up. The context of the call ends with the greeting.
func (m *mailer) dialer(delivery context.Context) gomail.DialContextFunc {
	return func(ctx context.Context, network, address string) (c net.Conn, err error) {
		if m.c.TLS == config.TLS {
			c, err = (&tls.Dialer{Config: m.tls}).DialContext(ctx, network, address)
		} else {
			c, err = (&net.Dialer{}).DialContext(ctx, network, address)
		}
		if err == nil {
			context.AfterFunc(delivery, func() { c.Close() })
		}
		return c, err
	}
}

func (m *mailer) message(words []doc.Word) (*gomail.Msg, error) {
	msg := gomail.NewMsg()
	from, err := mail.ParseAddress(m.c.From)
	if err == nil {
		err = errors.Join(msg.From(m.c.From), msg.To(m.c.To...))
	}
	if err != nil {
		return nil, fmt.Errorf("addresses: %w", err)
	}
	_, domain, _ := strings.Cut(from.Address, "@")
	subject, body := digest(m.server, words)
	msg.Subject(subject)
	msg.SetDate()
	// A mail that is sent again has the same id, and one that has another word in it has another.
	ids := sha256.New()
	for i := range words {
		fmt.Fprintln(ids, words[i].ID)
	}
	msg.SetMessageIDWithValue(fmt.Sprintf("%s-%x@%s", words[0].ID, ids.Sum(nil)[:8], domain))
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834
	msg.SetBodyString(gomail.TypeTextPlain, body)
	return msg, nil
}
