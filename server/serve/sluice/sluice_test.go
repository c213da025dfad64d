package sluice

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestHandler(t *testing.T) {
	var out bytes.Buffer
	h := New(slog.NewTextHandler(&out, nil))
	now := time.Unix(0, 0)
	h.now = func() time.Time { return now }
	log := slog.New(h).With("task", "api")
	for range 1000 {
		log.Info("request refused")
	}
	log.Info("hello")
	log.Error("disk full")
	for range 100 {
		log.Error("disk full")
	}
	said := func() (string, int) { s := out.String(); out.Reset(); return s, strings.Count(s, "\n") }
	got, n := said()
	if n != burst+1+101 || !strings.Contains(got, "hello") {
		t.Errorf("%d lines", n)
	}
	// The next line of any kind tells of those that were left out.
	now = now.Add(quiet)
	log.Info("hello")
	if got, n = said(); n != 2 || !strings.Contains(got, `message="request refused" lines=950`) {
		t.Errorf("%s", got)
	}
	// Errors have more room, and an end.
	for range 1000 {
		log.Error("request refused")
	}
	if _, n = said(); n != errorBurst {
		t.Errorf("%d errors", n)
	}
	// A second lets some pass again.
	now = now.Add(time.Second)
	for range 200 {
		log.Info("request refused")
	}
	if _, n = said(); n != burst {
		t.Errorf("%d lines after 11 s", n)
	}
}
