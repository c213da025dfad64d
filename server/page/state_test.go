package page

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/server/access"
)

// TestOverviewOfFullState: an idle server that can store nothing says so, to everybody, until it can.
func TestOverviewOfFullState(t *testing.T) {
	r := newRig(t, options{})
	const words = "takes no change: the state could not be written"
	b := r.logged(t, access.Viewer)
	if body := b.get("/"); strings.Contains(body, words) {
		t.Fatalf("all is well, and it says\n%s", body)
	}
	r.db.SetFail(unix.ENOSPC)
	r.e.StateFailed(fmt.Errorf("write state.db: %w", unix.ENOSPC))
	if body := b.get("/"); !strings.Contains(body, words) {
		t.Errorf("the state is full, and it says\n%s", body)
	}
	r.db.SetFail(nil)
	for deadline := time.Now().Add(time.Minute); strings.Contains(b.get("/"), words); {
		if time.Now().After(deadline) {
			t.Fatal("there is room again, and it does not say so")
		}
	}
}
