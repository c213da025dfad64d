package web

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"testing"

	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/doctor"
)

// TestDoctor: the server is asked to look, and who waits is answered when it has; one without a doctor says who has.
func TestDoctor(t *testing.T) {
	r := newRig(t)
	if code, body, _ := r.call("POST", "/v1/doctor", r.id.Token, ""); code != http.StatusNotFound {
		t.Errorf("a server without: %d %s", code, body)
	}
	rounds := doctor.NewRounds(func(context.Context) *doctor.Report {
		return &doctor.Report{V: 1, Looks: []doc.DoctorLook{{Check: "clock", Well: []string{"right"}}}}
	}, slog.New(slog.DiscardHandler))
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- rounds.Run(ctx) }() // ends with the test
	defer func() { stop(); <-done }()
	<-rounds.Ready()
	r.srv.Config.Handler.(*API).WithDoctor(rounds)
	read := func(method, path string) (v doc.Doctor) {
		t.Helper()
		code, body, _ := r.call(method, path, r.id.Token, "")
		if err := json.Unmarshal([]byte(body), &v); code != http.StatusOK || err != nil {
			t.Fatalf("%s %s: %d %s", method, path, code, body)
		}
		return v
	}
	if v := read("GET", "/v1/doctor"); v.State != doc.DoctorNever {
		t.Errorf("before any look: %+v", v)
	}
	asked := read("POST", "/v1/doctor")
	if asked.By == "" {
		t.Errorf("nobody asked: %+v", asked)
	}
	v := read("GET", "/v1/doctor?after=1&wait=30s")
	if v.State != doc.DoctorLooked || v.Report == nil || v.Report.Looks[0].Well[0] != "right" {
		t.Errorf("after it: %+v", v)
	}
	for _, query := range []string{"?after=x", "?wait=x", "?after=-1"} {
		if code, _, _ := r.call("GET", "/v1/doctor"+query, r.id.Token, ""); code != http.StatusBadRequest {
			t.Errorf("%s: %d", query, code)
		}
	}
}
