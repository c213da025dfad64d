package events

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/diskcast/diskcast/internal/session"
)

// Logger returns a logger whose lines become events, and so reach the server and the console.
func (r *Reporter) Logger(level slog.Leveler) *slog.Logger {
	return slog.New(&handler{r: r, level: level})
}

// handler writes "message key=value ..." lines.
type handler struct {
	r      *Reporter
	level  slog.Leveler
	prefix string // of keys, from WithGroup
	attrs  string
}

func (h *handler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level.Level() }

func (h *handler) Handle(_ context.Context, rec slog.Record) error {
	var b strings.Builder
	b.WriteString(rec.Message)
	b.WriteString(h.attrs)
	rec.Attrs(func(a slog.Attr) bool {
		appendAttr(&b, h.prefix, a)
		return true
	})
	level := session.Info
	switch {
	case rec.Level >= slog.LevelError:
		level = session.Error
	case rec.Level >= slog.LevelWarn:
		level = session.Warn
	}
	h.r.Log(level, b.String())
	return nil
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	var b strings.Builder
	b.WriteString(h.attrs)
	for _, a := range attrs {
		appendAttr(&b, h.prefix, a)
	}
	n := *h
	n.attrs = b.String()
	return &n
}

func (h *handler) WithGroup(name string) slog.Handler {
	n := *h
	n.prefix += name + "."
	return &n
}

func appendAttr(b *strings.Builder, prefix string, a slog.Attr) {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		for _, g := range v.Group() {
			appendAttr(b, prefix+a.Key+".", g)
		}
		return
	}
	if a.Key == "" {
		return
	}
	text := v.String()
	if text == "" || strings.ContainsAny(text, " \t\n\"=") {
		text = fmt.Sprintf("%q", text)
	}
	fmt.Fprintf(b, " %s%s=%s", prefix, a.Key, text)
}
