package page

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/diskcast/diskcast/internal/image/imagetest"
	"github.com/diskcast/diskcast/internal/testenv/browser"
	"github.com/diskcast/diskcast/server/access"
	"github.com/diskcast/diskcast/server/doc"
)

// cut is the body of a file that is sent: behind some bytes of it something happens.
type cut struct {
	io.ReadCloser
	left int
	then func()
}

func (c *cut) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	if was := c.left; was > 0 {
		if c.left -= n; c.left <= 0 {
			c.then()
		}
	}
	return n, err
}

// TestTabUploadBreaks: a file whose way to the server breaks off, in whichever way, is said to have, and to be sent
// again; nothing is left of it, and the same form then brings it.
func TestTabUploadBreaks(t *testing.T) {
	browser.Wanted(t)
	var mu sync.Mutex
	var free int64 = 1 << 40
	var happens func() // after 8 MiB of a file; nil: nothing does
	r := newRig(t, options{room: func() (int64, error) {
		mu.Lock()
		defer mu.Unlock()
		return free, nil
	}})
	set := func(room int64, f func()) {
		mu.Lock()
		defer mu.Unlock()
		free, happens = room, f
	}
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		mu.Lock()
		f := happens
		mu.Unlock()
		if q.Method == http.MethodPost && q.URL.Path == "/upload" && f != nil {
			q.Body = &cut{q.Body, 8 << 20, f}
		}
		r.page.ServeHTTP(w, q)
	}))
	t.Cleanup(srv.Close)
	file := filepath.Join(t.TempDir(), "lab.img")
	disk := make([]byte, 8<<20)
	imagetest.Random(disk, 4)
	if err := os.WriteFile(file, disk, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, 160<<20); err != nil { // the room is asked for each 64 MiB
		t.Fatal(err)
	}
	c := browser.New(t, srv.URL)
	c.Login(r.tokens[access.Operator])
	c.Open("/upload")
	c.Set("#name", "lab")
	c.Do(chromedp.SetUploadFiles("#file", []string{file}))
	refused := func(words string) {
		t.Helper()
		c.See(words)
		if now := c.JS(`[document.querySelector("#sending").hidden, document.querySelector("#stop").hidden,
			document.querySelector("#upload button.main").disabled, location.pathname].join()`); now !=
			"true,true,false,/upload" {
			t.Errorf("%q: the form is %s, want one that can be sent again", words, now)
		}
		if list, err := r.lib.List(t.Context()); err != nil || len(list) != 0 || len(r.jobs.List()) != 0 {
			t.Errorf("%q: %+v, %v, %d jobs", words, list, err, len(r.jobs.List()))
		}
		c.JS(`(document.querySelector("#refusal").textContent = "", "")`)
	}
	const again = "If the server had all of the file by then, it makes the image all the same: look under Images " +
		"whether it came. If it did not, nothing is left of the file; send it again."

	// As of a server that dies. A browser tries once more by itself where it had used the connection before.
	dies := func() { go srv.CloseClientConnections() } // ends with the connections
	set(1<<40, dies)
	c.Click("#upload button.main")
	refused("The connection broke. " + again)

	conditions := func(offline bool) {
		t.Helper()
		if _, err := chromedp.Call(c.Context, network.EmulateNetworkConditionsByRule,
			network.EmulateNetworkConditionsByRuleParams{MatchedNetworkConditions: []*network.Conditions{{
				Offline: offline, DownloadThroughput: -1, UploadThroughput: -1}}}); err != nil {
			t.Error(err)
		}
	}
	// hang has the server take nothing more of the file until it is told to go on.
	hang := func() (goOn func()) {
		t.Helper()
		came, goes := make(chan struct{}), make(chan struct{})
		set(1<<40, func() { close(came); <-goes })
		c.Click("#upload button.main")
		select {
		case <-came:
		case <-time.After(time.Minute):
			t.Fatal("the file does not come")
		}
		goOn = sync.OnceFunc(func() { close(goes) })
		t.Cleanup(goOn) // before the server is closed
		return goOn
	}
	goOn := hang() // as of a network that is gone, of which nobody is told
	c.See("Nothing of the file went out since")
	c.Shoot("upload-still")
	set(1<<40, dies) // as of a system that gives it up
	dies()
	goOn()
	refused(again)

	conditions(true)
	c.Click("#upload button.main")
	refused("The server does not answer. Nothing was sent.")
	conditions(false)

	goOn = hang()
	c.Click("#stop")
	refused("Stopped.")
	goOn()

	set(1<<40, func() { set(1000, nil) })
	c.Click("#upload button.main")
	c.See("make room with") // the server's own words
	c.Shoot("upload-full")
	refused("make room with")

	set(1<<40, nil)
	c.Click("#upload button.main")
	c.Wait("the job", `location.pathname.startsWith("/jobs/")`)
	id := strings.TrimPrefix(c.JS("location.pathname"), "/jobs/")
	if j := r.jobOver(t, id); j.State != doc.Done || j.Spec.Name != "lab" {
		t.Errorf("sent at last: %+v", j)
	}
}
