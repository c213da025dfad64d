package page

import (
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/performance"
	"github.com/chromedp/chromedp"

	"github.com/diskcast/diskcast/internal/image/imagetest"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/internal/testenv/browser"
	"github.com/diskcast/diskcast/server/access"
	"github.com/diskcast/diskcast/server/doc"
)

// tab is a browser before the rig's page.
func (r *rig) tab(t *testing.T) *browser.Tab { t.Helper(); return browser.New(t, r.srv.URL) }

// worker is a machine of software that works for sessions.
type worker struct {
	r   *rig
	id  string
	seq uint64
}

func (w *worker) say(t *testing.T, id string, evs ...session.Event) {
	t.Helper()
	for i := range evs {
		w.seq++
		evs[i].Seq, evs[i].Session, evs[i].Since = w.seq, id, float64(w.seq)
		if evs[i].Level == "" {
			evs[i].Level = session.Info
		}
	}
	if err := w.r.e.Events(t.Context(), w.id, &session.Events{V: 1, Boot: "b", Events: evs}); err != nil {
		t.Fatal(err)
	}
}

func (w *worker) begin(t *testing.T, id string, disk session.Disk) {
	t.Helper()
	choice := session.DiskChoice{V: 1, Session: id, Disk: disk.ID()}
	if _, err := w.r.e.ChooseDisk(t.Context(), w.id, &choice); err != nil {
		t.Fatal(err)
	}
	w.say(t, id, session.Event{Step: session.StepPlan}, session.Event{Step: session.StepTable},
		session.Event{Step: session.StepFirstByte})
}

func (w *worker) progress(t *testing.T, id string, share float64) {
	t.Helper()
	n := int64(share * 4e9)
	w.say(t, id, session.Event{Step: session.StepProgress, Progress: &session.Progress{Received: n / 2, Needed: 2e9,
		Multicast: n / 2, Written: n, ToWrite: 4e9, Loss: 0.001}})
}

// TestDay is an operator's day in a browser: log in, see machines come, approve them, plan, start, see 40 bars move,
// see why one fails, retry, look at an image's map; a viewer is refused. It takes screenshots of every page and has
// axe-core judge them. Machines are of software, and their casts send nothing.
func TestDay(t *testing.T) {
	browser.Wanted(t)
	began := time.Now()
	r := newRig(t, options{approve: doc.ApproveHand})
	r.store(t, "debian-12", 2)
	r.store(t, "debian-12-old", 3)
	file := filepath.Join(t.TempDir(), "lab-11.img")
	raw := make([]byte, 8<<20)
	imagetest.Random(raw[:1<<20], 8)
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	c := r.tab(t)
	c.Open("/")
	c.See("Token")
	c.Shoot("login")
	c.Set("#token", "wrong")
	c.Click("form button.main")
	c.See("the token is missing or wrong")
	c.Login(r.tokens[access.Operator])
	c.Open("/machines")
	c.See("No machine has come yet")

	disk := session.Disk{Path: "/dev/nvme0n1", Size: 256 << 30, Model: "Samsung SSD 980", Serial: "S64DNX0R",
		Bus: "nvme"}
	var workers []*worker
	for n := range 40 {
		r.e.Saw(mac(n+1), netip.MustParseAddr("10.0.0.9"), doc.StepDHCP, "test")
		h := r.hello(t, n+1, session.Inventory{Vendor: "Dell Inc.", Product: "OptiPlex 7090", CPUs: 8, Memory: 16 << 30,
			Firmware: "UEFI", Kernel: "6.12.0", Serial: fmt.Sprintf("7XK%03d", n), Disks: []session.Disk{disk},
			Survey: &session.Survey{Disks: []session.Content{{Disk: disk.ID(), Table: "gpt", Partitions: []session.
				PartitionContent{{Number: 1, Size: 512 << 20, FS: "vfat", Name: "EFI"},
				{Number: 2, Size: 255 << 30, FS: "ntfs", Label: "Windows"}}}}}})
		name, room := fmt.Sprintf("pc-%02d", n+1), []string{"210", "211"}[n%2]
		if _, err := r.e.EditMachine(t.Context(), h.Node, doc.MachineChange{V: 1, Name: &name,
			Labels: map[string]*string{"room": &room}}); err != nil {
			t.Fatal(err)
		}
		workers = append(workers, &worker{r: r, id: h.Node})
	}
	c.See("pc-40") // by itself
	c.Open("/machines?show=approve")
	c.Click("#approve")
	c.See("40 machines are approved")
	c.Open("/machines")
	c.Shoot("machines")

	c.Open("/start")
	c.Shoot("start")
	c.Set("#what", "image:debian-12")
	c.Set("#on", "pc-*")
	c.Click("main form button.main")
	c.See("40 goes")
	c.Shoot("plan")
	c.Click("main form button.main")
	c.See("s1 is made")

	s, err := r.e.Session("s1")
	if err != nil || len(s.Parts) != 40 {
		t.Fatalf("%+v, %v", s, err)
	}
	for n, w := range workers {
		w.begin(t, "s1", disk)
		w.progress(t, "s1", 0.1+float64(n%7)/50)
	}
	bars := `[...document.querySelectorAll("table.parts progress")]`
	c.Wait("40 bars", bars+`.length === 40 && `+bars+`.every(b => b.value > 0)`)
	before := c.JS(bars + `.reduce((n, b) => n + b.value, 0)`)
	for n, w := range workers {
		w.progress(t, "s1", 0.3+float64(n%9)/20)
	}
	c.Wait("the bars move", bars+`.every(b => b.value >= 30)`)
	t.Logf("the sum of 40 bars went from %s to %s by itself", before, c.JS(bars+`.reduce((n, b) => n + b.value, 0)`))
	workers[6].say(t, "s1", session.Event{Step: session.StepFailed, Level: session.Error,
		Message: "write /dev/nvme0n1 at 1.2 GiB: input/output error: look at the disk (smartctl -a)"})
	c.See("input/output error")
	if first := c.JS(`document.querySelector("table.parts tbody tr td").innerText`); !strings.Contains(first, "pc-07") {
		t.Errorf("the first line is of %q, want the machine that failed", first)
	}
	c.Shoot("session")
	c.Open("/")
	c.See("restore debian-12")
	c.Shoot("overview")
	c.Open("/casts")
	c.See("s1")
	c.Shoot("casts")
	c.Open("/machines/pc-07")
	c.See("Samsung SSD 980")
	c.Shoot("machine")
	for n, w := range workers {
		if n != 6 {
			w.say(t, "s1", session.Event{Step: session.StepLastByte}, session.Event{Step: session.StepWritten},
				session.Event{Step: session.StepBoot})
		}
	}
	c.Open("/sessions/s1")
	c.Click("#do-retry")
	c.See("Do again what is not done of s1?")
	c.Shoot("confirm")
	c.Click("main form button.main")
	c.See("s2 does again what was not done")
	if s, err = r.e.Session("s2"); err != nil || len(s.Parts) != 1 {
		t.Errorf("the retry: %+v, %v", s, err)
	}
	c.Open("/sessions")
	c.Shoot("sessions")
	c.Open("/machines/pc-07/capture")
	c.See("Name of the image")
	c.Shoot("capture")
	c.Open("/images")
	c.See("debian-12-old")
	c.Shoot("images")
	c.Click("main .actions a.main")
	c.Wait("the form", `document.querySelector("#upload") !== null`)
	c.Set("#name", "debian-12")
	c.Do(chromedp.SetUploadFiles("#file", []string{file}))
	c.Click("#upload button.main")
	c.See("another image has the name debian-12") // before the file is sent
	c.Shoot("upload")
	c.Set("#name", "lab-11")
	c.Click("#upload button.main")
	c.See("A restore sends")
	if at := c.JS("location.pathname"); !strings.HasPrefix(at, "/jobs/") {
		t.Errorf("a file that was sent leads to %s", at)
	}
	c.Shoot("job")
	c.Open("/images/debian-12")
	if n := c.JS(`document.querySelectorAll("svg.map rect.used, svg.map rect.shared").length`); n == "0" {
		t.Error("the map is empty")
	}
	c.Shoot("image")
	c.Open("/sessions/s1/receipts")
	c.See("good")
	c.Shoot("receipts")
	c.Open("/settings")
	c.Shoot("settings")
	r.withConsoles(t)
	c.Open("/machines/m1")
	c.Click(`a[href="/machines/m1/console"]`)
	c.See("Open the console")
	c.Click("main form button.main")
	c.See("login: <b>&") // by itself
	c.Set("#line", "root")
	c.Click("#keys button.main")
	c.See("typed root")
	c.Click(`#key-buttons button[value="up"]`)
	c.See("typed ESC[A")
	c.Shoot("console")
	c.Click("main .actions form button")
	c.See("The console is closed.")
	c.Open("/doctor")
	c.See("has not looked at itself")
	c.Click("main form button.main")
	c.See("another DHCP server gives addresses") // by itself
	c.Shoot("doctor")
	c.Open("/nothing")
	c.Shoot("error")

	c.Login(r.tokens[access.Viewer])
	c.Open("/sessions/s2")
	c.See("pc-07")
	if n := c.JS(`document.querySelectorAll("main .actions a, main form").length`); n != "0" {
		t.Errorf("a viewer has %s buttons", n)
	}
	c.Open("/sessions/s2/cancel")
	c.See("this wants operator")
	c.JS(`(window.code = 0, fetch("/sessions/s2/cancel", {method: "POST", body: new URLSearchParams({csrf:
		document.querySelector("[name=csrf]").value})}).then(r => { window.code = r.status; }), "")`)
	c.Wait("the refusal", `window.code !== 0`)
	if code := c.JS("window.code"); code != strconv.Itoa(http.StatusForbidden) {
		t.Errorf("a viewer's cancel: %s", code)
	}
	t.Logf("an operator's day: %v", time.Since(began).Round(time.Second))
}

// TestManyMachines: 5,000 machines are listed and searched, and each key costs the browser less than 100 ms of script.
func TestManyMachines(t *testing.T) {
	browser.Wanted(t)
	r := newRig(t, options{})
	change := doc.LabChange{V: 1}
	for n := range 5000 {
		room := strconv.Itoa(100 + n/20)
		change.Machines = append(change.Machines, doc.MachineEntry{Name: fmt.Sprintf("lab%04d", n),
			MACs: []string{mac(n + 1)}, Labels: map[string]*string{"room": &room}})
	}
	if _, err := r.e.ChangeLab(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	c := r.tab(t)
	if _, err := chromedp.Call(c.Context, performance.Enable, performance.EnableParams{
		TimeDomain: performance.EnableTimeDomainThreadTicks}); err != nil {
		t.Fatal(err)
	}
	c.Login(r.tokens[access.Viewer])
	began := time.Now()
	c.Open("/machines")
	c.See("1–100 of 5000")
	t.Logf("5,000 machines: the first 100 are shown after %v", time.Since(began).Round(time.Millisecond))
	c.Shoot("many")
	// What looks again by itself comes between a search and its answer.
	for _, q := range []string{"lab0001", "lab0002", "lab0003"} {
		c.Set("#q", q)
		c.JS(`(htmx.ajax("GET", "/machines", {source: "#live", target: "#live", swap: "outerHTML"}),
			document.querySelector("#q").dispatchEvent(new Event("search", {bubbles: true})), "")`)
		c.Wait("the list of "+q+" beside a look", `document.querySelector("#live").getAttribute("hx-get").endsWith("`+
			q+`")`)
	}
	c.Open("/machines")
	c.JS(`document.querySelector("#q").focus()`)
	const word = "lab4321"
	var worst, all time.Duration
	for i, key := range word {
		was, at := c.Script(), time.Now()
		c.Do(chromedp.KeyEvent(string(key)))
		q := word[:i+1]
		c.Wait("the list of "+q, `document.querySelector("#live").getAttribute("hx-get").endsWith("q=`+q+`")`)
		took := c.Script() - was
		worst, all = max(worst, took), all+time.Since(at)
	}
	c.See("lab4321")
	if n := c.JS(`document.querySelectorAll("table.machines tbody tr").length`); n != "1" {
		t.Errorf("%s machines are found, want 1", n)
	}
	t.Logf("search: at most %v of script a key, %v from key to list on average", worst.Round(time.Millisecond/10),
		(all / time.Duration(len(word))).Round(time.Millisecond))
	if worst > 100*time.Millisecond {
		t.Errorf("a key takes %v of script, want at most 100 ms", worst)
	}
	c.Set("#q", "room=240,!spare")
	c.JS(`document.querySelector("#q").dispatchEvent(new Event("input", {bubbles: true}))`)
	c.See("lab2805")
}
