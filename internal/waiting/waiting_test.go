package waiting

import (
	"strings"
	"testing"
	"time"
)

// TestWords: every cause names its thing and, by a command or by what a hand does, its end.
func TestWords(t *testing.T) {
	at := time.Date(2026, 5, 1, 21, 30, 0, 0, time.UTC)
	seen := map[Cause]bool{}
	for _, c := range []struct {
		wait        For
		thing, ends string
	}{
		{For{Cause: StartTime, Session: "s1", At: at, There: 2}, "its start time, 2026-05-01T21:30:00Z",
			"diskcast session go s1"},
		{For{Cause: StartTime, Session: "s1", At: at}, "its start time", "diskcast session edit s1 --at TIME"},
		{For{Cause: Hook, Session: "s2", Why: "dns"}, "hook dns, which runs before it",
			"diskcast session cancel s2"},
		{For{Cause: Turn, Session: "s2", Place: 3, Names: "s1, s4", AtOnce: 2}, "its turn, at place 3: s1, s4 cast",
			"diskcast session edit s2 --priority N"},
		{For{Cause: FirstNodes, Session: "s1", Need: 4}, "4 must come, and none is there",
			"diskcast session cancel s1"},
		{For{Cause: BusyNodes, Session: "s2", State: "casting", Need: 1, Names: "n1 (lab-01) works"},
			"none is free: n1 (lab-01) works for session s2 (casting)", "diskcast session cancel s2"},
		{For{Cause: BusyNodes, Session: "s2", State: "casting", Need: 1, Names: "n1, n2 work", Away: 3},
			"n1, n2 work for session s2", "3 more of its nodes are not there: switch them on"},
		{
			For{Cause: FirstNodes, Session: "s1", Need: 4, Switching: 3}, "3 machines are being switched on",
			"diskcast session show s1",
		},
		{
			For{Cause: Switching, Machine: "lab-07"}, "to be switched on", "diskcast machine power state lab-07",
		},
		{
			For{Cause: Switched, Machine: "lab-07", Why: "power on reads back"}, "power on reads back",
			"diskcast machine " +
				"power state lab-07",
		},
		{For{Cause: MoreNodes, Session: "s1", There: 1, Need: 2, Names: "n2"},
			"1 of the 2 that it starts with are there, " +
				"and not n2", "diskcast session go s1"},
		{For{Cause: Stragglers, Session: "s1", There: 1, Need: 2, Names: "n2"}, "1 of its 2 nodes did not come (n2)",
			"diskcast session go s1"},
		{For{Cause: Approval, Machine: "m1", Why: "no rule fits it"}, "its approval: no rule fits it",
			"diskcast machine " +
				"approve m1"},
		{For{Cause: Start, Session: "s1"}, "session s1 to start", "diskcast session go s1"},
		{For{Cause: Unknown}, "never saw", "switch it on"},
		{For{Cause: Power, Machine: "lab-07"}, "was not seen", "diskcast machine power on lab-07"},
		{For{Cause: Never, Machine: "lab-07", Why: "by the rule spares"}, "never (by the rule spares)",
			"diskcast machine set lab-07 --when-idle wait"},
		{For{Cause: OtherSession, Session: "s3", State: "casting"}, "session s3 (casting)",
			"diskcast session cancel s3"},
		{For{Cause: BootFiles, Machine: "lab-07"}, "fetches its boot files", "diskcast node show lab-07"},
		{For{Cause: Stuck, Machine: "lab-07", Why: "no driver"}, "cannot boot: no driver", "diskcast node show lab-07"},
		{For{Cause: OwnDisk, Machine: "lab-07"}, "started its own disk", "diskcast machine power cycle lab-07"},
		{For{Cause: Silence, Machine: "lab-07"}, "agent is silent", "diskcast machine power cycle lab-07"},
		{For{Cause: NextWord, Machine: "lab-07"}, "next word", "diskcast node log lab-07"},
		{For{Cause: Again, Machine: "lab-07", Session: "s3", Why: "failed: no disk fits the rule serial=X"},
			"failed: no disk fits the rule", "diskcast session retry s3"},
		{For{Cause: Work, Machine: "lab-07"}, "a session", "diskcast session create --image IMAGE --nodes lab-07"},
		{For{Cause: Work}, "a session", "--nodes MACHINE"},
	} {
		seen[c.wait.Cause] = true
		if got := c.wait.Words(); !strings.Contains(got, c.thing) || !strings.Contains(got, c.ends) ||
			strings.Count(got, "`")%2 != 0 {
			t.Errorf("%s: %q; want %q and %q", c.wait.Cause, got, c.thing, c.ends)
		}
	}
	for _, c := range Causes {
		if !seen[c] {
			t.Errorf("no case for %s", c)
		}
	}
	if len(seen) != len(Causes) {
		t.Errorf("%d causes have a case, there are %d", len(seen), len(Causes))
	}
}
