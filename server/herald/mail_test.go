package herald

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/diskcast/diskcast/server/config"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/store"
)

// postOffice is a mail server: RFC 5321 with STARTTLS and AUTH PLAIN, as far as a client uses them.
type postOffice struct {
	t      *testing.T
	addr   string
	tls    *tls.Config // nil: it cannot
	hangs  bool        // after its greeting
	first  bool        // TLS from the first byte on
	caFile string

	mu     sync.Mutex
	said   []string // commands
	mails  chan string
	logins chan string
}

func newPostOffice(t *testing.T, can bool, change ...func(*postOffice)) *postOffice {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := &postOffice{t: t, addr: l.Addr().String(), mails: make(chan string, 100), logins: make(chan string, 100)}
	cert, file := selfSigned(t)
	o.caFile = file
	if can {
		o.tls = &tls.Config{Certificates: []tls.Certificate{cert}}
	}
	for _, f := range change {
		f(o)
	}
	var all sync.WaitGroup
	t.Cleanup(func() { l.Close(); all.Wait() })
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { o.serve(c) })
		}
	})
	return o
}

func selfSigned(t *testing.T) (tls.Certificate, string) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	x := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "post"}, IsCA: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, x, x, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: k}, file
}

func (o *postOffice) serve(c net.Conn) {
	defer func() { c.Close() }()
	secure := o.first
	if secure {
		c = tls.Server(c, o.tls)
	}
	in := bufio.NewReader(c)
	say := func(s string) { fmt.Fprint(c, s+"\r\n") }
	say("220 post ESMTP")
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		o.mu.Lock()
		o.said = append(o.said, line)
		o.mu.Unlock()
		if o.hangs {
			_, _ = io.Copy(io.Discard, in) // until the other side has enough
			return
		}
		switch word := strings.ToUpper(strings.Fields(line + " .")[0]); word {
		case "EHLO":
			say("250-post")
			if o.tls != nil && !secure {
				say("250-STARTTLS")
			}
			if secure {
				say("250-AUTH PLAIN")
			}
			say("250 8BITMIME")
		case "STARTTLS":
			say("220 go ahead")
			s := tls.Server(c, o.tls)
			if err := s.Handshake(); err != nil {
				return
			}
			c, in, secure = s, bufio.NewReader(s), true
		case "AUTH":
			b, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(line, "AUTH PLAIN "))
			if err != nil || !secure {
				say("535 no")
				continue
			}
			o.logins <- strings.ReplaceAll(string(b), "\x00", "/")
			say("235 well")
		case "DATA":
			say("354 go on")
			var b strings.Builder
			for {
				l, err := in.ReadString('\n')
				if err != nil {
					return
				}
				if l == ".\r\n" {
					break
				}
				b.WriteString(strings.TrimPrefix(l, "."))
			}
			o.mails <- b.String()
			say("250 taken")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

func mailTo(o *postOffice) *config.Mail {
	return &config.Mail{Server: o.addr, From: "diskcast@example.org", To: []string{"lab@example.org", "me@example.org"},
		User: "lab", TLS: config.StartTLS, CAFile: o.caFile, Kinds: doc.WordKinds, Gather: time.Second,
		GiveUp: time.Hour}
}

// TestDigest: 400 machines that are done within the time that is gathered are one mail, sent over TLS after a log-in.
func TestDigest(t *testing.T) {
	o := newPostOffice(t, true)
	p := newPost(t, store.NewMemory(), config.Notify{Mail: mailTo(o)})
	p.start()
	p.secret(config.MailName)
	var done []string
	for i := range 400 {
		done = append(done, fmt.Sprintf("rack1-%d is done in session s1\r\nBcc: x@example.org", i))
	}
	p.say(doc.WordDone, done...)
	p.say(doc.WordEnded, "session s1 (débian) is done: 400 of 400 machines done")
	text := <-o.mails
	if got := <-o.logins; got != "/lab/"+key {
		t.Errorf("it logged in as %q", got)
	}
	m, err := mail.ReadMessage(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil || subject != "[lab] 1 session ended, 400 machines done" || m.Header.Get("Bcc") != "" ||
		m.Header.Get("Auto-Submitted") != "auto-generated" ||
		!strings.HasPrefix(m.Header.Get("Message-ID"), "<00000001-") {
		t.Errorf("%q, %v: %v", subject, err, m.Header)
	}
	if to, err := m.Header.AddressList("To"); err != nil || len(to) != 2 {
		t.Errorf("%v %v", to, err)
	}
	body := io.Reader(m.Body)
	if strings.EqualFold(m.Header.Get("Content-Transfer-Encoding"), "quoted-printable") {
		body = quotedprintable.NewReader(m.Body)
	}
	b, err := io.ReadAll(body)
	for _, want := range []string{"session s1 (débian) is done", "rack1-0 is done", "and 300 more"} {
		if err != nil || !strings.Contains(string(b), want) {
			t.Errorf("%q is not in it, %v:\n%.2000s", want, err, b)
		}
	}
	if kind := m.Header.Get("Content-Type"); !strings.HasPrefix(kind, "text/plain") {
		t.Error(kind)
	}
	for p.h.List()[0].Told != 401 {
		select {
		case extra := <-o.mails:
			t.Fatalf("a second mail:\n%s", extra)
		case <-time.After(5 * time.Millisecond):
		}
	}
	p.stop()
}

// TestMailServers: what keeps mail from going is said, and the password goes to nobody who cannot keep it.
func TestMailServers(t *testing.T) {
	for name, c := range map[string]struct {
		can, hangs bool
		change     func(m *config.Mail)
		want       string
	}{
		"TLS from the first byte": {true, false, func(m *config.Mail) { m.TLS = config.TLS }, ""},
		"well":                    {true, false, nil, ""},
		"no STARTTLS":             {false, false, nil, "STARTTLS"},
		"another authority":       {true, false, func(m *config.Mail) { m.CAFile = "" }, "certificate"},
		"it hangs":                {true, true, nil, "no answer within"},
		"nobody is there":         {true, false, func(m *config.Mail) { m.Server = "127.0.0.1:1" }, "refused"},
		"TLS where is none":       {false, false, func(m *config.Mail) { m.TLS = config.TLS }, "tls"},
		"off, and no log-in":      {false, false, func(m *config.Mail) { m.TLS, m.User = config.NoTLS, "" }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := newPostOffice(t, c.can, func(o *postOffice) {
				o.hangs, o.first = c.hangs, name == "TLS from the first byte"
			})
			m := mailTo(o)
			if c.change != nil {
				c.change(m)
			}
			p := newPost(t, store.NewMemory(), config.Notify{Mail: m})
			p.cfg.Timing.Send = 2 * time.Second
			p.start()
			p.secret(config.MailName)
			got, err := p.h.Test(t.Context(), doc.NotifyTest{V: 1})
			if err != nil || len(got) != 1 || got[0].OK != (c.want == "") || !strings.Contains(got[0].Answer, c.want) {
				t.Errorf("%+v, %v; want %q", got, err, c.want)
			}
			p.stop()
			if got[0].OK {
				<-o.mails
				return
			}
			o.mu.Lock()
			defer o.mu.Unlock()
			for _, s := range o.said {
				if strings.HasPrefix(s, "AUTH") || strings.HasPrefix(s, "DATA") {
					t.Errorf("it was told %q", s)
				}
			}
		})
	}
}
