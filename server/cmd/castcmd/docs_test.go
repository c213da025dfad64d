package castcmd

import (
	"bytes"
	"errors"
	"flag"
	"net/netip"
	"os"
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/diskcast/diskcast/internal/cast"
	"github.com/diskcast/diskcast/server/cmd/ui"
)

var update = flag.Bool("update", false, "write the golden files")

// What is shown of a cast, as text and as JSON, is what the golden files have; how long it took is not looked at.
func TestGolden(t *testing.T) {
	peer := func(label, state string, need int64) cast.Peer {
		return cast.Peer{ID: 7, Label: label, Addr: netip.MustParseAddrPort("10.0.0.5:4000"), State: state, Need: need,
			Loss: 0.015, Rate: 9e8, Heard: time.Second}
	}
	s := cast.SenderStats{Payload: 3 << 30, Repair: 30 << 20, Streamed: 1 << 20, Pending: 5 << 20, Rate: 9.4e8,
		Sending:   true,
		Receivers: []cast.Peer{peer("one", "active", 5<<20), peer("two", "done", 0), peer("", "unicast", 1<<20)}}
	r := cast.ReceiverStats{Size: 1 << 30, Missing: 256 << 20, Multicast: 700 << 20, Stream: 68 << 20, Loss: 0.0123,
		Memory: 4 << 20}
	odd := r
	odd.Suspicion = "somebody else sends"
	for name, asJSON := range map[string]bool{"testdata/progress.txt": false, "testdata/progress.json": true} {
		var out bytes.Buffer
		p := newProgress(&ui.UI{Err: &out, JSON: asJSON}, 3<<30)
		p.sender(cast.SenderStats{})
		p.event(cast.Event{Kind: "join", Peer: peer("one", "active", 1)})
		p.event(cast.Event{Kind: "unicast", Peer: peer("", "unicast", 1), Why: "it hears no multicast"})
		p.line("resume", "go on with --ticket X")
		p.sender(s)
		p.senderDone(s, nil)
		p.receiver(r)
		p.receiverDone(r, nil)
		p.receiverDone(odd, errors.New("it failed"))
		times := regexp.MustCompile(`"seconds":[0-9.e-]+|in [0-9.]+ s(?:, [0-9.+Inf]+ MB/s)?|` +
			`"bytes_per_second":[0-9.e+]+|[0-9.]+ MB/s|, [0-9hms.-]+( to go|\n)`)
		got := times.ReplaceAllString(out.String(), "(time)$1")
		if *update {
			if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), got); d != "" {
			t.Errorf("%s (-want +got, -update writes it):\n%s", name, d)
		}
	}
}
