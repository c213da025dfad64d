package session

import (
	"net/http"
	"testing"
	"time"
)

func TestReportEvery(t *testing.T) {
	for said, want := range map[time.Duration]time.Duration{0: time.Second, time.Second: time.Second,
		1100 * time.Millisecond: 2 * time.Second, 5 * time.Second: 5 * time.Second, time.Hour: ReportMost} {
		h := http.Header{}
		SetReportEvery(h, said)
		if got := ReportEveryOf(h); got != want {
			t.Errorf("%v is read as %v, want %v", said, got, want)
		}
	}
	for _, odd := range []string{"x", "-5", "0", "9999999999999999999"} {
		if got := ReportEveryOf(http.Header{everyHeader: {odd}}); got != ReportEvery {
			t.Errorf("%q is read as %v", odd, got)
		}
	}
}
