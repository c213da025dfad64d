package client

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestOutageIsSaidOnce: of a server that is away it is said at once, every 30 s, and when it answers again, however
// many ask and however often.
func TestOutageIsSaidOnce(t *testing.T) {
	away := errors.New("server does not answer")
	gone := &StatusError{Code: http.StatusNotFound, Message: "no such image"}
	for name, c := range map[string]struct {
		away   time.Duration
		then   error
		asks   int // one after another, each given up after a minute
		want   []string
		fails  int // of asks
		nobody bool
	}{
		"it answers": {0, nil, 3, nil, 0, false},
		"a moment": {time.Second, nil, 2,
			[]string{"server does not answer; asking again", "the server answers again, after 1s"}, 0, false},
		"three quarters of a minute": {45 * time.Second, nil, 1, []string{"server does not answer; asking again",
			"server does not answer; asking again, for 30s now", "the server answers again, after 45s"}, 0, false},
		"longer than one asks": {100 * time.Second, nil, 3, []string{"server does not answer; asking again",
			"server does not answer; asking again, for 30s now", "server does not answer; asking again, for 1m0s now",
			"server does not answer; asking again, for 1m30s now", "the server answers again, after 1m40s"}, 1, false},
		"it refuses": {2 * time.Second, gone, 1,
			[]string{"server does not answer; asking again", "the server answers again, after 2s"}, 1, false},
		"nobody listens": {45 * time.Second, nil, 1, nil, 0, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			var said []string
			o := &outage{note: func(words string) { said = append(said, words) }}
			if c.nobody {
				o.note = nil
			}
			back, fails := time.Now().Add(c.away), 0
			for range c.asks {
				if again(t.Context(), o, func() error {
					if time.Now().Before(back) {
						return away
					}
					return c.then
				}) != nil {
					fails++
				}
			}
			if !slices.Equal(said, c.want) || fails != c.fails {
				t.Errorf("%s: said %q, %d failed\nwant %q, %d", name, said, fails, c.want, c.fails)
			}
		})
	}
}

// TestOutageEndsWithItsAsker: who is ended while the server is away is not told that it answers.
func TestOutageEndsWithItsAsker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said []string
		ctx, cancel := context.WithTimeout(t.Context(), 10500*time.Millisecond)
		defer cancel()
		err := again(ctx, &outage{note: func(words string) { said = append(said, words) }},
			func() error { return errors.New("away") })
		if !errors.Is(err, context.DeadlineExceeded) || !slices.Equal(said, []string{"away; asking again"}) {
			t.Errorf("said %q, %v", said, err)
		}
	})
}

// TestOutageOfOneThatHangs: a server that takes connections and says nothing is given up, as one that is away is, and
// one that breaks off after a long answer is not.
func TestOutageOfOneThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs, broken := errors.New("no answer"), errors.New("broken off")
		began := time.Now()
		if err := again(t.Context(), &outage{}, func() error {
			time.Sleep(10 * time.Second)
			return hangs
		}); err != hangs || time.Since(began) > 2*patience {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		tries := 0
		if err := again(t.Context(), &outage{}, func() error {
			if tries++; tries == 5 {
				return nil
			}
			time.Sleep(time.Hour)
			return broken
		}); err != nil {
			t.Errorf("after %d tries: %v", tries, err)
		}
	})
}
