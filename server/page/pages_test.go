package page

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/access"
	"github.com/diskcast/diskcast/server/doc"
)

// TestPages: what there is can be read by a viewer; tokens are listed to administrators.
func TestPages(t *testing.T) {
	r := newRig(t, options{})
	r.store(t, "debian", 2)
	r.store(t, "debian-old", 3)
	h := r.hello(t, 1, session.Inventory{Vendor: "ACME", Product: "Anvil 9", Serial: "SN-77", Firmware: "BIOS",
		Crashed: "Panic of the kernel", Disks: []session.Disk{{Path: "/dev/vda", Size: 32 << 30, Model: "QEMU"},
			{Path: "/dev/pmem0", Size: 1 << 30, Unfit: "persistent memory"}}})
	name, room := "lab-07", "210"
	m, err := r.e.EditMachine(t.Context(), h.Node, doc.MachineChange{V: 1, Name: &name,
		Labels: map[string]*string{"room": &room}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := r.e.Create(t.Context(), doc.Spec{V: 1, Image: "debian", Nodes: []string{name}, MinNodes: 1})
	if err != nil {
		t.Fatal(err)
	}
	viewer, operator, admin := r.logged(t, access.Viewer), r.logged(t, access.Operator), r.logged(t, access.Admin)
	for path, want := range map[string][]string{
		"/":                               {"1</b> <span>machine", s.ID, "restore debian"},
		"/machines":                       {"lab-07", "room=210", s.ID},
		"/machines?q=lab":                 {"lab-07"},
		"/machines?q=room%3D210":          {"lab-07"},
		"/machines?q=room%3D211":          {"room=211"},
		"/machines?q=sn-77":               {"lab-07"},
		"/machines?q=sn-78":               {"No machine fits"},
		"/machines?show=agent":            {"lab-07"},
		"/machines?show=approve":          {"No machine fits"},
		"/machines/" + m.ID:               {"lab-07", s.ID, "Boot and restore"},
		"/machines/lab-07":                {m.ID},
		"/sessions":                       {s.ID, "restore debian"},
		"/sessions/" + s.ID:               {"lab-07", "debian", "1000 B"},
		"/images":                         {"debian-old", "debian", "16.0 MiB"},
		"/images/debian":                  {"debian-old", "shared with other images", "<svg"},
		"/casts":                          {s.ID},
		"/settings":                       {"every machine", "--dhcp off"},
		"/sessions/" + s.ID + "/receipts": {"There is no receipt"},
	} {
		for who, b := range map[string]*visitor{"viewer": viewer, "operator": operator, "admin": admin} {
			body := b.get(path)
			for _, w := range want {
				if !strings.Contains(body, w) {
					t.Errorf("%s of the %s lacks %q:\n%s", path, who, w, body)
				}
			}
			harmlessPage(t, path, body)
			live := b.fragment(path)
			if strings.Contains(live, "<html") || !strings.Contains(body, "id=\"live\"") != (live == "") {
				t.Errorf("%s: the part that changes is\n%s", path, live)
			}
		}
	}
	one := viewer.get("/machines/lab-07")
	for _, want := range []string{"Anvil 9", "/dev/vda", "it is <bdi>persistent memory",
		"(<bdi>Panic of the kernel</bdi>)"} {
		if !strings.Contains(one, want) {
			t.Errorf("the page of a machine lacks %q:\n%s", want, one)
		}
	}
	settings := operator.get("/settings")
	if strings.Contains(settings, "a-viewer") || !strings.Contains(admin.get("/settings"), "a-viewer") {
		t.Error("tokens are listed to administrators, and to them only")
	}
}

// fragment is what a script is given of a page.
func (b *visitor) fragment(path string) string {
	b.t.Helper()
	code, body, _ := b.do("GET", path, nil, "HX-Request", "true")
	if code != http.StatusOK {
		b.t.Fatalf("fragment of %s: %d", path, code)
	}
	return strings.TrimSpace(body)
}

// TestNoSuchPage: what is not there is said with a status, whatever the name is made of; no file is served but ours.
func TestNoSuchPage(t *testing.T) {
	r := newRig(t, options{})
	b := r.logged(t, access.Admin)
	for path, want := range map[string]int{
		"/nothing": 404, "/machines/none": 404, "/sessions/none": 404, "/images/none": 404,
		"/machines/..%2f..%2fv1%2ftokens": 404, "/sessions/%2e%2e": 404, "/machines/a%2fpower": 404,
		"/images/..%2f..%2f..%2fetc%2fpasswd": 404, "/sessions/x%3fy%23z": 404, "/machines/%00": 404,
		"/static/" + version() + "/..%2fpage.go": 404, "/static/" + version() + "/style.css": 200,
		"/static/other/style.css": 404, "/static/" + version() + "/": 404,
		"/machines?q=" + strings.Repeat("x", maxQuery+1): http.StatusRequestURITooLong,
		"/sessions?page=99999999999999999999":            200, "/sessions?page=-3": 200,
	} {
		code, body, _ := b.do("GET", path, nil)
		if code != want {
			t.Errorf("GET %s: %d, want %d\n%s", path, code, want, body)
		}
	}
	for _, method := range []string{"PUT", "DELETE", "PATCH", "OPTIONS"} {
		if code, _, _ := b.do(method, "/machines", nil); code != 404 {
			t.Errorf("%s /machines: %d", method, code)
		}
	}
	code, _, _ := b.do("POST", "/logout", url.Values{"csrf": {b.csrf("/")}, "x": {strings.Repeat("x", formBody)}})
	if code != http.StatusRequestEntityTooLarge {
		t.Errorf("a form that is too large: %d", code)
	}
	if code, _, _ := b.do("GET", "/", url.Values{"x": {"y"}}); code != http.StatusRequestEntityTooLarge {
		t.Errorf("a GET with a body: %d", code)
	}
}

// TestHeldToMachines: who is held to machines sees and does no more on the page than in the API.
func TestHeldToMachines(t *testing.T) {
	r := newRig(t, options{})
	for n, room := range []string{"210", "211"} {
		h := r.hello(t, n+1, session.Inventory{})
		name := "pc-" + room
		if _, err := r.e.EditMachine(t.Context(), h.Node, doc.MachineChange{V: 1, Name: &name,
			Labels: map[string]*string{"room": &room}}); err != nil {
			t.Fatal(err)
		}
	}
	other, err := r.e.Create(t.Context(), doc.Spec{V: 1, Image: "debian", Nodes: []string{"pc-211"}})
	if err != nil {
		t.Fatal(err)
	}
	made, err := r.book.Create(t.Context(), doc.TokenSpec{V: 1, Name: "teacher", Role: access.Operator, On: "room=210"})
	if err != nil {
		t.Fatal(err)
	}
	b := r.visitor(t)
	if code, _ := b.login(made.Secret); code != http.StatusSeeOther {
		t.Fatal(code)
	}
	for _, path := range []string{"/", "/machines", "/machines?q=pc", "/machines?q=room%3D21*", "/sessions", "/casts"} {
		if body := b.get(path); strings.Contains(body, "pc-211") || strings.Contains(body, other.ID+"<") {
			t.Errorf("%s shows what is another's:\n%s", path, body)
		}
	}
	if body := b.get("/machines"); !strings.Contains(body, "pc-210") {
		t.Errorf("the machines lack their own:\n%s", body)
	}
	csrf := url.Values{"csrf": {b.csrf("/")}}
	for _, ask := range [][2]string{{"GET", "/machines/pc-211"}, {"GET", "/sessions/" + other.ID},
		{"POST", "/sessions/" + other.ID + "/cancel"}, {"POST", "/machines/m2/power/off"}} {
		form := csrf
		if ask[0] == "GET" {
			form = nil
		}
		if code, _, _ := b.do(ask[0], ask[1], form); code != http.StatusNotFound {
			t.Errorf("%s %s: %d, want %d", ask[0], ask[1], code, http.StatusNotFound)
		}
	}
	code, _, _ := b.do("POST", "/start", url.Values{"csrf": csrf["csrf"], "what": {"image:debian"}, "on": {"pc-211"}})
	if n := len(r.e.Sessions()); code/100 != 4 || n != 1 {
		t.Errorf("a session on another's machine: %d, %d sessions", code, n)
	}
}

// TestSlowForm: a form that trickles in is not waited for, and holds nothing up.
func TestSlowForm(t *testing.T) {
	r := newRig(t, options{})
	r.page.patience = 300 * time.Millisecond
	conf := r.srv.Client().Transport.(*http.Transport).TLSClientConfig
	conn, err := tls.Dial("tcp", r.srv.Listener.Addr().String(), conf)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"+
		"Content-Length: 1000\r\n\r\ntoken=")
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn) // until the server closes the connection
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 400 ") {
		t.Errorf("%v, %.300q", err, answer)
	}
}

// TestRoleOfEveryRoute: a viewer is refused what the table says is an operator's, whoever wrote the request.
func TestRoleOfEveryRoute(t *testing.T) {
	r := newRig(t, options{})
	viewer := r.logged(t, access.Viewer)
	csrf := viewer.csrf("/")
	for _, rt := range Routes() {
		method, path, _ := strings.Cut(rt.Pattern, " ")
		if access.Covers(access.Viewer, rt.Role) || rt.Role == Anyone {
			continue
		}
		path = strings.NewReplacer("{machine}", "m1", "{id}", "s1", "{image}", "x", "{op}", "off").Replace(path)
		var form url.Values
		if method == "POST" {
			form = url.Values{"csrf": {csrf}}
		}
		if code, body, _ := viewer.do(method, path, form); code != http.StatusForbidden {
			t.Errorf("%s of a viewer: %d\n%s", rt.Pattern, code, body)
		}
	}
}

// The page has what it asks of the API checked there once more: a page that forgot a role would be refused by the table
// of the API.
func TestAskKeepsRoles(t *testing.T) {
	r := newRig(t, options{})
	req := httptest.NewRequest("GET", "/", nil)
	v := &visit{page: r.page, w: httptest.NewRecorder(), r: req, ctx: t.Context(),
		holder: access.Holder{Name: "a-viewer", Role: access.Viewer}}
	if _, err := ask[*doc.Session](v, "POST", "/v1/sessions/s1/cancel", nil); !is(err, http.StatusForbidden) {
		t.Errorf("a viewer cancels: %v", err)
	}
	if _, err := get[[]doc.Token](v, "/v1/tokens"); !is(err, http.StatusForbidden) {
		t.Errorf("a viewer lists tokens: %v", err)
	}
	v.holder = access.Holder{}
	if _, err := get[[]doc.Machine](v, "/v1/machines"); !is(err, http.StatusForbidden) {
		t.Errorf("nobody lists machines: %v", err)
	}
}

// TestBidi: strings of a machine that run from right to left stand by themselves, so that their neighbours keep their
// order.
func TestBidi(t *testing.T) {
	r := newRig(t, options{})
	r.hello(t, 1, session.Inventory{Vendor: "אבג", Product: "דהו", Disks: []session.Disk{{Path: "/dev/sda",
		Size: 1 << 30, Model: "זחט", Serial: "123"}}})
	body := r.logged(t, access.Viewer).get("/machines/m1")
	for _, want := range []string{"<bdi>אבג</bdi> <bdi>דהו</bdi>", "<bdi>זחט</bdi> <bdi>123</bdi>"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page of a machine lacks %q:\n%s", want, body)
		}
	}
}

// TestUploadHeld: who is held to machines is not shown a form that would be refused.
func TestUploadHeld(t *testing.T) {
	r := newRig(t, options{})
	made, err := r.book.Create(t.Context(), doc.TokenSpec{V: 1, Name: "held", Role: access.Operator, On: "m1"})
	if err != nil {
		t.Fatal(err)
	}
	r.tokens["held"] = made.Secret
	if code, body, _ := r.logged(t, "held").do("GET", "/upload", nil); code != http.StatusForbidden ||
		!strings.Contains(body, "is held to the machines m1") {
		t.Errorf("%d\n%s", code, body)
	}
}
