package engine_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/engine"
	"github.com/diskcast/diskcast/server/jobs"
	"github.com/diskcast/diskcast/server/jobs/kinds"
)

// probe is a kind that no other file knows: a node looks for something, which its job names, and says what it found.
type probe struct{}

type probeJob struct {
	For string `json:"for"`
}

func (probe) Traits() jobs.Traits { return jobs.Traits{Action: "probe", State: "probing", Sure: true} }

func (probe) Is(spec *doc.Spec) bool { return spec.Kind == "probe" }

func (probe) Check(spec *doc.Spec) error {
	var job probeJob
	if err := json.Unmarshal(spec.Job, &job); err != nil || job.For == "" {
		return errors.New("say what is looked for")
	}
	if spec.Boot == nil {
		spec.Boot = &session.Boot{Method: session.BootStay}
	}
	return nil
}

func (probe) Upload(string, *doc.Spec) *session.Upload          { return nil }
func (probe) Refuse(f *jobs.Facts) string                       { return f.Doubt }
func (probe) Tell(*jobs.Record, *doc.Part, *session.Descriptor) {}
func (probe) Complete(*jobs.Session, *doc.Part) bool            { return false }
func (probe) Reason(_ *jobs.Session, bad []string) string       { return jobs.Few(bad) }

func (probe) Report(_ *jobs.Session, p *doc.Part, x *jobs.Reported) jobs.Outcome {
	if x.Event.Result != nil {
		p.Result = x.Event.Result
	}
	return jobs.Outcome{Done: x.Event.Step == "found", Free: true}
}

// TestNewKind has a third kind of session, with a folder and a line of its own and nothing else, go its way through
// restarts.
func TestNewKind(t *testing.T) {
	h := newHouse(t)
	h.crash()
	h.kinds = append(kinds.All(), probe{})
	h.start()
	a, b := h.machine(1), h.machine(2)
	spec := doc.Spec{V: 1, Kind: "probe", Nodes: []string{a.mac, b.mac}, MinNodes: 2}
	if _, err := h.e.Create(t.Context(), spec); !errors.Is(err, engine.ErrSpec) ||
		!strings.Contains(err.Error(), "looked for") {
		t.Errorf("without what its kind needs: %v", err)
	}
	spec.Job = json.RawMessage(`{"for":"gold"}`)
	s, err := h.e.Create(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	a.powerOn()
	h.restart()
	b.powerOn()
	h.expect(s.ID, "probing offered offered")
	if d := a.descriptor(0); d.Action != "probe" || string(d.Job) != `{"for":"gold"}` || d.Image != nil ||
		d.Cast != nil || d.Upload != nil {
		t.Errorf("told: %+v", d)
	}
	a.say(s.ID, session.StepPlan)
	a.report(session.Event{Session: s.ID, Step: "found", Result: json.RawMessage(`{"grams":3}`)})
	h.restart()
	h.expect(s.ID, "probing done offered")
	b.report(session.Event{Session: s.ID, Step: "found",
		Result: json.RawMessage(`"` + strings.Repeat("x", session.MaxResult) + `"`)})
	h.expect(s.ID, "done done done")
	v, err := h.e.Session(s.ID)
	if err != nil || string(v.Parts[0].Result) != `{"grams":3}` || v.Parts[1].Result != nil {
		t.Errorf("parts: %+v, %v", v.Parts, err)
	}
	if lines, err := h.e.Log(t.Context(), b.mac, 1, false); err != nil || len(lines) != 1 ||
		!strings.Contains(lines[0].Event.Message, "larger than 16384 and was dropped") {
		t.Errorf("the log of a result that is too large: %+v, %v", lines, err)
	}
	if got := len(h.casts.Started()); got != 0 {
		t.Errorf("%d casts", got)
	}
	if a.told() != "idle" {
		t.Errorf("told: %s", a.told())
	}
}

// TestResultOfAFailure keeps what a node says of a job that it could not do; another try begins without it.
func TestResultOfAFailure(t *testing.T) {
	h := newHouse(t)
	h.crash()
	h.kinds = append(kinds.All(), probe{})
	h.start()
	a := h.machine(1)
	s, err := h.e.Create(t.Context(), doc.Spec{V: 1, Kind: "probe", Count: 2, Job: json.RawMessage(`{"for":"gold"}`)})
	if err != nil {
		t.Fatal(err)
	}
	a.powerOn()
	a.report(session.Event{Session: s.ID, Step: session.StepFailed, Message: "the spade broke",
		Result: json.RawMessage(`{"grams":1}`)})
	h.restart()
	h.expect(s.ID, "probing failed")
	if p := h.part(s.ID); string(p.Result) != `{"grams":1}` || p.Reason != "the spade broke" {
		t.Errorf("the part: %+v", p)
	}
	a.powerOn()
	h.expect(s.ID, "probing offered")
	if p := h.part(s.ID); p.Result != nil {
		t.Errorf("the part of another try: %+v", p)
	}
}

// TestKindThatIsNotThere has a server that does not know the kind of a session, as one of an older version: it does not
// start as if all were well.
func TestKindThatIsNotThere(t *testing.T) {
	h := newHouse(t)
	if _, err := h.e.Create(t.Context(), doc.Spec{V: 1, Kind: "probe", Count: 1}); !errors.Is(err, engine.ErrSpec) ||
		!strings.Contains(err.Error(), `kind "probe"`) {
		t.Errorf("create: %v", err)
	}
	h.crash()
	h.kinds = append(kinds.All(), probe{})
	h.start()
	if _, err := h.e.Create(t.Context(),
		doc.Spec{V: 1, Kind: "probe", Job: json.RawMessage(`{"for":"gold"}`), Count: 1}); err != nil {
		t.Fatal(err)
	}
	h.crash()
	_, err := engine.New(t.Context(), engine.Config{Store: h.store, Images: h.images, Casts: h.casts, Addr: h.addr})
	if err == nil || !strings.Contains(err.Error(), `session s1 is of the kind "probe"`) {
		t.Errorf("a server that does not know the kind: %v", err)
	}
}
