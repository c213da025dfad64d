package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestWhoHasGone is no warning: a machine that is switched off while it waits is nobody's fault.
func TestWhoHasGone(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("the peer has gone: %w", context.Canceled), "DEBUG"},
		{errors.New("too many ask"), "WARN"},
	} {
		var out bytes.Buffer
		a := &API{log: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))}
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/v1/node/a/descriptor", nil)
		a.fail(w, r, http.StatusServiceUnavailable, c.err)
		if w.Code != http.StatusServiceUnavailable || !strings.Contains(out.String(), "level="+c.want) {
			t.Errorf("%v: %d, %s", c.err, w.Code, out.String())
		}
	}
}
