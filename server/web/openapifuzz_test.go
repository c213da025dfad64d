package web

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/herald"
	"github.com/diskcast/diskcast/server/library/captures"
	"github.com/diskcast/diskcast/server/store"
)

// chance makes requests from the description.
type chance struct {
	*rand.Rand
	words map[string][]string // values that something of the name has, beside arbitrary ones
}

var odd = []string{"", "x", "m1", "s1", "p1", "lab", "debian", "52:54:00:00:00:01", "../..", "\x00", "é\u202e", "-1",
	"%", "*",
	"room=210", "2026-11-29T08:00:00Z", strings.Repeat("a", 5000)}

func (c *chance) word(name string) string {
	if own := c.words[name]; len(own) > 0 && c.IntN(4) > 0 {
		return own[c.IntN(len(own))]
	}
	return odd[c.IntN(len(odd))]
}

// value is one that the schema allows.
func (c *chance) value(name string, s *openapi3.Schema, depth int) any {
	kinds := s.Type.Slice()
	if len(kinds) == 0 {
		return c.anything(depth)
	}
	switch kinds[0] {
	case "string":
		if s.Format == "date-time" {
			return time.Unix(c.Int64N(1<<33), 0).UTC().Format(time.RFC3339)
		}
		return c.word(name)
	case "integer", "number":
		if name == "v" && c.IntN(8) > 0 {
			return 1
		}
		n := []int64{0, 1, 2, 10, 4096, 1 << 31}[c.IntN(6)]
		if s.Min == nil && c.IntN(4) == 0 {
			n = -n
		}
		return n
	case "boolean":
		return c.IntN(2) == 0
	case "array":
		out := []any{}
		for range c.IntN(3) {
			if depth < 6 {
				out = append(out, c.value(name, s.Items.Value, depth+1))
			}
		}
		return out
	}
	out := map[string]any{}
	for _, n := range sorted(s.Properties) {
		if slices.Contains(s.Required, n) || depth < 6 && c.IntN(4) == 0 {
			out[n] = c.value(n, s.Properties[n].Value, depth+1)
		}
	}
	if more := s.AdditionalProperties.Schema; more != nil {
		for range c.IntN(3) {
			out[c.word("key")] = c.value("value", more.Value, depth+1)
		}
	}
	return out
}

func (c *chance) anything(depth int) any {
	switch c.IntN(6) {
	case 0:
		return nil
	case 1:
		return c.word("")
	case 2:
		return c.IntN(1000)
	case 3:
		return c.IntN(2) == 0
	case 4:
		if depth < 4 {
			return []any{c.anything(depth + 1)}
		}
	}
	if depth < 4 {
		return map[string]any{c.word("key"): c.anything(depth + 1)}
	}
	return "end"
}

func sorted[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// spoil makes a document one that its schema does not allow; false: this one cannot be spoilt.
func (c *chance) spoil(doc any, s *openapi3.Schema) bool {
	fields, ok := doc.(map[string]any)
	if !ok || len(s.Properties) == 0 {
		return false
	}
	if c.IntN(3) == 0 {
		fields["nobody_knows_this"] = c.anything(3)
		return true
	}
	names := sorted(s.Properties)
	n := names[c.IntN(len(names))]
	switch kinds := s.Properties[n].Value.Type.Slice(); {
	case len(kinds) == 0:
		return false
	case kinds[0] == "string":
		fields[n] = []any{1}
	default:
		fields[n] = "not of this type"
	}
	return true
}

// request is one for a route; spoilt says that it must be refused, and a length over the route's that it is too large.
func (c *chance) request(op *openapi3.Operation, rt *Route) (target string, body []byte, length int64, spoilt bool) {
	target, body, spoilt = c.usual(op, rt)
	if length = int64(len(body)); c.IntN(16) == 0 {
		return target, body, rt.Body + 1 + c.Int64N(1<<40), true
	}
	return target, body, length, spoilt
}

func (c *chance) usual(op *openapi3.Operation, rt *Route) (target string, body []byte, spoilt bool) {
	q := url.Values{}
	target = strings.TrimSuffix(rt.Path, "{$}")
	for _, p := range op.Parameters {
		name, kind := p.Value.Name, p.Value.Schema.Value.Type.Slice()[0]
		switch v := c.word(name); {
		case p.Value.In == "header": // TestOnce has it
		case p.Value.In == "path" && (v == "" || v == "../.."):
			target = strings.Replace(target, "{"+name+"}", "none", 1)
		case p.Value.In == "path":
			target = strings.Replace(target, "{"+name+"}", url.PathEscape(v), 1)
		case !p.Value.Required && c.IntN(2) == 0:
		case kind == "string" || c.IntN(4) == 0:
			q.Set(name, v)
		case kind == "boolean":
			q.Set(name, "true")
		default:
			q.Set(name, fmt.Sprint(c.IntN(3)*4096))
		}
	}
	if len(q) > 0 {
		target += "?" + q.Encode()
	}
	if op.RequestBody == nil {
		return target, nil, false
	}
	media := op.RequestBody.Value.Content["application/json"]
	if media == nil {
		body = make([]byte, c.IntN(100))
		return target, body, false
	}
	document := c.value("", media.Schema.Value, 0)
	if c.IntN(2) == 0 {
		spoilt = c.spoil(document, media.Schema.Value) && rt.Role != Anyone && rt.Role != Node
	}
	body, _ = json.Marshal(document)
	switch c.IntN(12) {
	case 0:
		body = body[:c.IntN(len(body))]
		spoilt = true
	case 1:
		body, spoilt = append(body, "{}"...), rt.Role != Anyone && rt.Role != Node
	case 2:
		body, spoilt = []byte(strings.Repeat(`{"v":`, 20000)), true
	}
	return target, body, spoilt
}

// fits compares an answer with the description.
func fits(d *openapi3.T, op *openapi3.Operation, w *httptest.ResponseRecorder) error {
	said := op.Responses.Value(fmt.Sprint(w.Code))
	if said == nil {
		return fmt.Errorf("the status %d is not in its description", w.Code)
	}
	body := bytes.TrimSpace(w.Body.Bytes())
	if len(said.Value.Content) == 0 {
		if len(body) > 0 {
			return fmt.Errorf("the status %d has no body, and there are %d bytes", w.Code, len(body))
		}
		return nil
	}
	got, _, _ := mime.ParseMediaType(w.Header().Get("Content-Type"))
	known := false
	for want, media := range said.Value.Content {
		if plain, _, _ := mime.ParseMediaType(want); got != plain {
			continue
		}
		known = true
		docs := [][]byte{body}
		switch want {
		case ndjson:
			docs = bytes.Split(body, []byte("\n"))
		case "application/json", "application/problem+json":
		default:
			docs = nil
		}
		for _, b := range docs {
			if len(b) == 0 {
				continue
			}
			var v any
			if err := json.Unmarshal(b, &v); err != nil {
				return err
			}
			if err := d.ValidateSchemaJSON(media.Schema.Value, v); err != nil {
				return fmt.Errorf("%w in %.300s", err, b)
			}
		}
	}
	if !known {
		return fmt.Errorf("the body is %q, which is not in its description", got)
	}
	return nil
}

// closed has a document allow no field that it does not name, also where the description leaves room for later ones.
func closed(d *openapi3.T) *openapi3.T {
	no := false
	for _, s := range d.Components.Schemas {
		if len(s.Value.Properties) > 0 && s.Value.AdditionalProperties.Schema == nil {
			s.Value.AdditionalProperties = openapi3.AdditionalProperties{Has: &no}
		}
	}
	return d
}

// kept is what a request that is refused must leave as it is.
func (r *rig) kept() string {
	var sessions []string
	for _, s := range r.e.Sessions() {
		sessions = append(sessions, fmt.Sprint(s.ID, s.State == doc.Cancelled, s.Spec.Notes, s.Spec.Priority,
			s.Spec.MinNodes, s.Go))
	}
	var machines []any
	for _, m := range r.e.Machines() {
		machines = append(machines, m.ID, m.Name, m.Notes, m.Labels, m.Profile, m.WhenIdle, m.ByHand,
			m.Boots, m.Revision)
	}
	var nodes []string
	for _, n := range r.e.Nodes() {
		nodes = append(nodes, n.ID)
	}
	b, err := json.Marshal([]any{sessions, machines, nodes, r.e.Lab(), r.book.List(), len(r.e.Repeats())})
	if err != nil {
		r.t.Fatal(err)
	}
	return string(b)
}

// TestDescriptionHolds makes requests from the description, good ones and spoilt ones, and compares every answer with
// it. What is refused changes nothing, what is spoilt is refused, and the server fails at none.
func TestDescriptionHolds(t *testing.T) {
	d := closed(describedBy(t))
	r := newRoom(t)
	n := r.hello("52:54:00:00:00:03", "b1")
	words, err := herald.New(t.Context(), herald.Config{Store: store.NewMemory(), Server: "lab"})
	if err != nil {
		t.Fatal(err)
	}
	a := r.srv.Config.Handler.(*API).WithDHCP(&fakeDHCP{}).WithNotify(words)
	a.captures = captures.New(r.lib.Store(), nil)
	small := make([]byte, 1<<20)
	digest := r.store("debian", small)
	work := []string{"s1", "s2", "r1", "r2", "j1", "imported", r.ids(1)(&Route{Scope: ItsPower})}
	rounds := uint64(24)
	if testing.Short() {
		rounds = 2
	}
	asked := map[int]int{}
	for seed := range rounds {
		c := &chance{rand.New(rand.NewPCG(seed, 17)), map[string][]string{
			"node": {n.Node, "52:54:00:00:00:01"}, "machine": {"m1", "in-1", "m3"}, "id": work, "image": {"debian"},
			"token": {"viewer"}, "name": {"in-1", "front", "goroutine", "debian"}, "wait": {"1ms"}, "from": {"debian"},
			"level": {"fast"}, "select": {"@front", "room=210"}, "on": {"@front", "in-1"}, "role": {"viewer", "admin"},
			"kind": {"gc", "group", "erase"}, "nodes": {n.Node}, "key": {"room"}, "lease": {"10.0.0.100"},
			"frame": {strings.Repeat("0", 64) + "-4096"}, "digest": {digest, "sha256:" + strings.Repeat("0", 64)},
			"op": {"on", "state"}, "driver": {"wol"}, "every": {"0 3 * * *"}, "when_idle": {"wait", "own-disk"},
			"approve": {"all"}, "machines": {"in-1", "out-1"}, "profile": {"lab"},
		}}
		for _, rt := range Routes() {
			op := d.Paths.Value(strings.TrimSuffix(rt.Path, "{$}")).GetOperation(rt.Method)
			target, body, length, spoilt := c.request(op, &rt)
			token := r.id.Token
			if rt.Role == Node && c.IntN(4) > 0 {
				token = n.Token
			}
			in := io.Reader(http.NoBody)
			if len(body) > 0 {
				in = bytes.NewReader(body)
			}
			before := r.kept()
			patience := time.Minute
			if slices.Contains([]string{"/v1/events", "/v1/sessions/{id}/watch", "/v1/nodes/{node}/look"}, rt.Path) {
				patience = 50 * time.Millisecond // they end with their reader
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			w := r.askWith(ctx, rt.Method, target, token, in, length)
			cancel()
			asked[w.Code]++
			said := fmt.Sprintf("seed %d: %s %.200s with %.300s", seed, rt.Method, target, body)
			if w.Code == http.StatusInternalServerError {
				t.Errorf("%s: the server fails: %s", said, w.Body)
			}
			if err := fits(d, op, w); err != nil {
				t.Errorf("%s: %d: %v", said, w.Code, err)
			}
			if length > rt.Body && w.Code != http.StatusRequestEntityTooLarge {
				t.Errorf("%s: %d bytes were announced, and answered with %d", said, length, w.Code)
			}
			if spoilt && w.Code < 400 {
				t.Errorf("%s: it is not what its schema allows, and was answered with %d %.300s", said, w.Code, w.Body)
			}
			if after := r.kept(); w.Code >= 400 && after != before && rt.Role != Node && rt.Role != Anyone {
				t.Errorf("%s: %d, and something changed: %s, before: %s", said, w.Code, after, before)
			}
		}
	}
	t.Logf("answers by status: %v", asked)
	if testing.Short() {
		return // two rounds need not come to each
	}
	for _, code := range []int{200, 201, 204, 400, 401, 404, 413, 422} {
		if asked[code] == 0 {
			t.Errorf("no request was answered with %d: %v", code, asked)
		}
	}
}
