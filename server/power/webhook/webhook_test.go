package webhook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/server/power"
)

const key = "correct horse"

// service is a hook that holds each request against its signature.
type service struct {
	state, boot string
	lie         string // answer in place of the true one
	status      int
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(r.Header.Get("X-Diskcast-Time") + "." + string(b)))
	var in struct{ Op, Machine, Device string }
	switch {
	case r.Header.Get("X-Diskcast-Signature") != "sha256="+hex.EncodeToString(mac.Sum(nil)):
		w.WriteHeader(http.StatusUnauthorized)
		return
	case s.status != 0:
		w.Header().Set("Location", "http://203.0.113.7/")
		w.WriteHeader(s.status)
		return
	case json.Unmarshal(b, &in) != nil || in.Machine != "m1":
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if s.lie != "" {
		fmt.Fprint(w, s.lie)
		return
	}
	switch in.Op {
	case "on", "off":
		s.state = in.Op
	case "bootonce":
		s.boot = in.Device
	}
	fmt.Fprintf(w, `{"state":%q,"boot":%q}`, s.state, s.boot)
}

func machine(t *testing.T, s *service, password string) *power.Machine {
	t.Helper()
	web := httptest.NewTLSServer(s)
	t.Cleanup(web.Close)
	h := &power.Host{Gate: power.NewGate(0), Keep: func(context.Context, string) error { return nil }}
	dev, err := Driver.Open(&power.Config{Machine: "m1", Address: web.URL, Password: password}, h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dev.Close)
	return power.NewMachine(Driver, dev, power.Timing{Request: 20 * time.Second, Limit: 100 * time.Millisecond,
		Poll: time.Millisecond, Hold: time.Millisecond, Tries: 2})
}

func TestHook(t *testing.T) {
	m := machine(t, &service{state: "off"}, key)
	if o, err := m.On(t.Context()); err != nil || o.State != power.On {
		t.Errorf("on: %v, %v", o, err)
	}
	if o, err := m.BootOnce(t.Context(), power.Network); err != nil || o.Boot != power.Network {
		t.Errorf("boot: %v, %v", o, err)
	}
	for name, c := range map[string]struct {
		s    service
		key  string
		want power.Word
	}{
		"another key":        {service{}, "wrong", power.Password},
		"says off for ever":  {service{lie: `{"state":"off"}`}, key, power.Nothing},
		"no state":           {service{lie: `{"ok":true}`}, key, power.Odd},
		"a page":             {service{lie: `<html>`}, key, power.Odd},
		"a state of its own": {service{lie: `{"state":"\u001b[31mup"}`}, key, power.Odd},
		"forbidden":          {service{status: 403}, key, power.Refused},
		"sent elsewhere":     {service{status: 307}, key, power.Odd},
		"busy":               {service{status: 503}, key, power.Frozen},
	} {
		o, err := machine(t, &c.s, c.key).On(t.Context())
		if power.WordOf(err) != c.want || strings.ContainsAny(err.Error(), "\x1b") {
			t.Errorf("%s: %v, %v; want the word %q", name, o, err, c.want)
		}
	}
}

func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		conf power.Config
		ok   bool
	}{
		"no template": {power.Config{Address: "https://pdu/x", Password: key}, true},
		"a template": {power.Config{Address: "https://pdu/x", Password: key,
			Template: `{"o":{{json .Op}}}`}, true},
		"a template of no JSON": {power.Config{Address: "https://pdu/x", Password: key, Template: `{{.Op}}`}, false},
		"a template of no field": {power.Config{Address: "https://pdu/x", Password: key, Template: `{{.Password}}`},
			false},
		"no key":                  {power.Config{Address: "https://pdu/x"}, false},
		"a password in the URL":   {power.Config{Address: "https://a:b@pdu/x", Password: key}, false},
		"an address of no scheme": {power.Config{Address: "file:///etc/passwd", Password: key}, false},
	} {
		if err := Driver.Check(&c.conf); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
