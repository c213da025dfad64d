// Package webhook switches machines by a service of the operator's: each request is a POST of a JSON document, made
// from a template, to one address. It is signed with the hook's key (internal/hook). Op is state, on, off, bootonce or
// boot. The answer of each is a JSON document: its field state is on or off, its field boot network, disk, setup or
// default.
package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"text/template"
	"time"

	"github.com/diskcast/diskcast/internal/hook"
	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/server/power"
)

// Driver is a web hook.
var Driver = &power.Driver{Name: "webhook", Needs: "--address https://..., its key by --password-file",
	Check: check, Open: open}

// Default is the body of a hook that has no template.
const Default = `{"op":{{json .Op}},"machine":{{json .Machine}},"device":{{json .Device}},"user":{{json .User}}}`

const maxAnswer = 64 << 10

// Request is what a template is made from.
type Request struct{ Op, Machine, Device, User string }

func parse(text string) (*template.Template, error) {
	if text == "" {
		text = Default
	}
	return template.New("hook").Option("missingkey=error").Funcs(template.FuncMap{"json": func(v any) (string, error) {
		b, err := json.Marshal(v)
		return string(b), err
	}}).Parse(text)
}

func body(t *template.Template, r Request) ([]byte, error) {
	var b bytes.Buffer
	if err := t.Execute(&b, r); err != nil {
		return nil, err
	}
	if !json.Valid(b.Bytes()) {
		return nil, errors.New("the template makes no JSON document (words go in by {{json .Op}}, with no quotes)")
	}
	return b.Bytes(), nil
}

func check(c *power.Config) error {
	u, err := url.Parse(c.Address)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil {
		return errors.New("the address of a hook is https://HOST/PATH, without a user or password in it")
	}
	if c.Password == "" {
		return errors.New("a hook has a key, which its requests are signed with: --password-file")
	}
	t, err := parse(c.Template)
	if err != nil {
		return fmt.Errorf("template: %w", err)
	}
	if _, err := body(t, Request{Op: "state", Machine: "m1"}); err != nil {
		return fmt.Errorf("template: %w", err)
	}
	return nil
}

type device struct {
	c    *power.Config
	h    *power.Host
	t    *template.Template
	http http.Client
}

func open(c *power.Config, h *power.Host) (power.Device, error) {
	t, err := parse(c.Template)
	if err != nil {
		return nil, power.Fail(power.Fault, "template: %w", err)
	}
	// Where a redirect leads to nobody entered.
	none := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &device{c: c, h: h, t: t, http: http.Client{Transport: power.Transport(c, h), CheckRedirect: none}}, check(c)
}

type answer struct {
	State power.State `json:"state"`
	Boot  power.Boot  `json:"boot"`
}

func (k *device) post(ctx context.Context, op string, device power.Boot) (*answer, error) {
	b, err := body(k.t, Request{Op: op, Machine: k.c.Machine, Device: string(device), User: k.c.User})
	if err != nil {
		return nil, power.Fail(power.Fault, "%w", err)
	}
	if err := k.h.Next(ctx); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, k.c.Address, bytes.NewReader(b))
	if err != nil {
		return nil, power.Fail(power.Fault, "%w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	hook.Sign(req.Header, k.c.Password, time.Now(), b)
	resp, err := k.http.Do(req)
	if err != nil {
		return nil, power.HTTPError(ctx, err)
	}
	defer resp.Body.Close()
	if err := power.StatusError(resp.StatusCode, resp.Status); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, power.HTTPError(ctx, err)
	}
	a := &answer{}
	if err := json.Unmarshal(text, a); err != nil {
		return nil, power.Fail(power.Odd, "the hook answers %q, which is no JSON document with a state",
			plain.Line(string(text), 80))
	}
	a.State, a.Boot = power.State(plain.Line(string(a.State), 40)), power.Boot(plain.Line(string(a.Boot), 40))
	return a, nil
}

func (k *device) State(ctx context.Context) (power.State, error) {
	a, err := k.post(ctx, "state", "")
	if err != nil {
		return power.Unknown, err
	}
	return a.State, nil
}

func (k *device) On(ctx context.Context) error {
	_, err := k.post(ctx, "on", "")
	return err
}

func (k *device) Off(ctx context.Context) error {
	_, err := k.post(ctx, "off", "")
	return err
}

func (k *device) BootOnce(ctx context.Context, b power.Boot) error {
	_, err := k.post(ctx, "bootonce", b)
	return err
}

func (k *device) Boot(ctx context.Context) (power.Boot, error) {
	a, err := k.post(ctx, "boot", "")
	if err != nil {
		return "", err
	}
	return a.Boot, nil
}

func (k *device) Close() { k.http.CloseIdleConnections() }
