package page

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
)

// consoleKeys are keys that a line of text has not, by the value of their button.
var consoleKeys = []struct{ Op, Label, keys string }{
	{"enter", "Enter", "\r"}, {"interrupt", "Ctrl-C", "\x03"}, {"end", "Ctrl-D", "\x04"}, {"escape", "Esc", "\x1b"},
	{"tab", "Tab", "\t"}, {"up", "Up", "\x1b[A"}, {"down", "Down", "\x1b[B"}, {"left", "Left", "\x1b[D"},
	{"right", "Right", "\x1b[C"}, {"delete", "Del", "\x1b[3~"}, {"f2", "F2", "\x1bOQ"}, {"f10", "F10", "\x1b[21~"},
	{"f12", "F12", "\x1b[24~"},
}

// consoleView is a machine's serial console.
type consoleView struct {
	Machine, Call string
	Console       *doc.Console // nil: it is not open, or somebody else's
	Other         string       // whose it is, in words
	None          string       // why there is none
}

// Keys are the buttons.
func (d *consoleView) Keys() any { return consoleKeys }

// Goes reports whether the console is open, or being opened.
func (d *consoleView) Goes() bool { return d.Console != nil && d.Console.State != doc.ConsoleClosed }

func (v *visit) console() error {
	m, err := get[*doc.Machine](v, "/v1/machines/%s", v.r.PathValue("machine"))
	if err != nil {
		return err
	}
	d := &consoleView{Machine: m.ID, Call: call(m)}
	p, err := get[*doc.Power](v, "/v1/machines/%s/power", m.ID)
	switch {
	case is(err, http.StatusNotFound):
		d.None = err.Error()
	case err != nil:
		return err
	case !p.Console:
		d.None = "By the driver " + p.Driver + " no console is reached: that is done by ipmi and redfish."
	}
	d.Console, err = get[*doc.Console](v, "/v1/machines/%s/console?text=true", m.ID)
	switch {
	case is(err, http.StatusConflict):
		d.Console, d.Other = nil, err.Error()
	case is(err, http.StatusNotFound):
		d.Console = nil
	case err != nil:
		return err
	default:
		for i := 0; i < 8; i++ { // all that is kept; it goes on for who prints for ever
			more, err := get[*doc.Console](v, "/v1/machines/%s/console?text=true&after="+strconv.FormatUint(
				d.Console.Next, 10), m.ID)
			if err != nil || more.Text == "" {
				break
			}
			more.Text = d.Console.Text + more.Text
			d.Console = more
		}
	}
	return v.show(http.StatusOK, "console", "Console of "+d.Call, d)
}

// consoleText answers the page's script with what came since, as JSON.
func (v *visit) consoleText() error {
	q := v.r.URL.Query()
	c, err := get[*doc.Console](v, "/v1/machines/%s/console?text=true&wait=20s&after=%s&state=%s",
		v.r.PathValue("machine"), q.Get("after"), q.Get("state"))
	if err != nil {
		return err
	}
	out := *c
	plain.Strings(&out, 0)
	out.Text = plain.Text(c.Text) // which keeps its line feeds
	b, err := json.Marshal(out)
	if err != nil {
		return err
	}
	v.w.Header().Set("Content-Type", "application/json")
	return v.send(http.StatusOK, b)
}

func (v *visit) doConsole() error {
	m := v.r.PathValue("machine")
	at := path("/machines/%s/console", m)
	switch op := v.r.PathValue("op"); op {
	case "open", "take":
		return v.once(func() (string, string, error) {
			_, err := ask[*doc.Console](v, http.MethodPost, path("/v1/machines/%s/console", m),
				doc.ConsoleOpen{V: session.Version, Take: op == "take"})
			if err != nil {
				return "", "", err
			}
			v.did("console", "machine", m)
			return at, "The console is being opened.", nil
		})
	case "close":
		if _, err := ask[any](v, http.MethodDelete, path("/v1/machines/%s/console", m), nil); err != nil &&
			!is(err, http.StatusNotFound) { // it has ended by itself
			return err
		}
		return v.back(path("/machines/%s", m), "The console is closed.")
	case "keys":
		return v.typeKeys(m, at)
	}
	return &refused{http.StatusNotFound, "there is no such page"}
}

// typeKeys types a line or a key. A script is answered with nothing.
func (v *visit) typeKeys(machine, at string) error {
	keys := ""
	if op := v.r.PostForm.Get("key"); op != "" {
		for _, k := range consoleKeys {
			if k.Op == op {
				keys = k.keys
			}
		}
	} else {
		keys = v.r.PostForm.Get("line") + "\r"
	}
	if keys == "" {
		return &refused{http.StatusBadRequest, "there is no such key"}
	}
	if _, err := ask[any](v, http.MethodPost, path("/v1/machines/%s/console/keys", machine),
		doc.ConsoleKeys{V: session.Version, Keys: []byte(keys)}); err != nil {
		return err
	}
	if v.fragment() {
		v.w.WriteHeader(http.StatusNoContent)
		return nil
	}
	http.Redirect(v.w, v.r, at, http.StatusSeeOther)
	return nil
}
