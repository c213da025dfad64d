package boot

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/pin/tftp/v3"

	"github.com/diskcast/diskcast/internal/bootdir"
	"github.com/diskcast/diskcast/server/netboot"
	"github.com/diskcast/diskcast/server/serve/task"
)

// tree lays out a boot directory with a secret beside it and the usual ways to reach for one.
func tree(t testing.TB) *Dir {
	base := t.TempDir()
	dir := filepath.Join(base, "boot")
	for _, d := range []string{dir, filepath.Join(dir, "grub")} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range map[string]string{
		"secret":             "secret",
		"boot/boot.ipxe":     "#!ipxe\nkernel vmlinuz\n",
		"boot/undionly.kpxe": strings.Repeat("kpxe ", 20000),
		"boot/grub/grub.cfg": "menu",
		"boot/empty":         "",
	} {
		if err := os.WriteFile(filepath.Join(base, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"out": "../secret", "abs": filepath.Join(base, "secret"),
		"in": "undionly.kpxe"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	return NewDir(dir)
}

func TestOpenStaysInside(t *testing.T) {
	d := tree(t)
	for name, want := range map[string]bool{
		"boot.ipxe": true, "/boot.ipxe": true, "boot.ipxe\xff": true, "boot.ipxe\x00": true, `\grub\grub.cfg`: true,
		"grub/grub.cfg": true, "grub//grub.cfg": true, "grub//..//../secret": false, "in": true, "empty": true,
		"": false, "/": false, ".": false, "..": false, "../secret": false, "grub/../../secret": false, "out": false,
		"abs":  false,
		"grub": false, "fifo": false, "nothing": false, "//../secret": false, "boot.ipxe/": false, "a\x00b": false,
		strings.Repeat("a", 300): false, `..\secret`: false,
	} {
		if got := d.Has(name); got != want {
			t.Errorf("Has(%q) = %v", name, got)
		}
	}
}

func FuzzOpen(f *testing.F) {
	for _, s := range []string{"boot.ipxe", "../secret", "/grub/../../secret", "out", `..\..\secret`, "boot.ipxe\xff"} {
		f.Add(s)
	}
	d := tree(f)
	f.Fuzz(func(t *testing.T, name string) {
		file, _, err := d.Open(name)
		if err != nil {
			return
		}
		defer file.Close()
		b, err := io.ReadAll(file)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(b, []byte("secret")) {
			t.Fatalf("%q leads out of the boot directory", name)
		}
	})
}

func TestTFTP(t *testing.T) {
	d := tree(t)
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	fetches := make(chan Fetch, 100)
	srv := NewTFTP(d, func() (*net.UDPConn, error) { return conn, nil }, 0, decide, nil, func(f Fetch) { fetches <- f },
		slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- task.Run(ctx, slog.New(slog.DiscardHandler), nil, srv) }()
	<-srv.Ready()

	want, err := os.ReadFile(filepath.Join(d.Path(), "undionly.kpxe"))
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range []int{0, 512, 1408, 1468, 8192} {
		c, err := tftp.NewClient(conn.LocalAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		if block != 0 {
			c.SetBlockSize(block)
		}
		c.RequestTSize(true)
		wt, err := c.Receive("/undionly.kpxe", "octet")
		if err != nil {
			t.Fatal(err)
		}
		if n, ok := wt.(tftp.IncomingTransfer).Size(); block != 0 && (!ok || n != int64(len(want))) {
			t.Errorf("block %d: tsize %d, %v", block, n, ok)
		}
		var got bytes.Buffer
		if _, err := wt.WriteTo(&got); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), want) {
			t.Errorf("block %d: %d bytes of %d, or others", block, got.Len(), len(want))
		}
		// The server hears of the end a little later than the client knows it.
		for _, f := range []Fetch{{Start: true}, {Bytes: int64(len(want))}} {
			f.Addr, f.File, f.Via = netip.MustParseAddr("127.0.0.1"), "undionly.kpxe", "tftp"
			if got := <-fetches; got != f {
				t.Errorf("block %d: %+v seen, not %+v", block, got, f)
			}
		}
	}
	c, err := tftp.NewClient(conn.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	const own = "52:54:00:00:00:01"
	for _, ask := range []struct{ what, mac, want, shown string }{
		{askNode, own, NewDir("").grubDisk(own, netboot.Start{}) + grubLocal, LocalDisk},
		{askNode, "52:54:00:00:00:02", grubNetwork, "node-52:54:00:00:00:02.cfg"},
		{lostFailed, own, grubRestart, "failed-" + own + ".cfg"},
	} {
		mac, want := ask.mac, ask.want
		wt, err := c.Receive("/grub/"+ask.what+"-"+mac+".cfg", "octet")
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		if _, err := wt.WriteTo(&got); err != nil || got.String() != want {
			t.Errorf("GRUB of %s: %q, %v", mac, &got, err)
		}
		for _, start := range []bool{true, false} {
			f := <-fetches
			if f.MAC != mac || f.Start != start || f.File != ask.shown || f.Lost != lostWords[ask.what] {
				t.Errorf("%+v seen", f)
			}
		}
	}
	if _, err := c.Receive("/grub/node-52:54:00:00:00:03.cfg", "octet"); err == nil ||
		!strings.Contains(err.Error(), `boot "rescue"`) {
		t.Errorf("GRUB of a machine that boots what nobody knows: %v", err)
	}
	if _, err := c.Receive("../secret", "octet"); err == nil || strings.Contains(err.Error(), d.Path()) {
		t.Errorf("read of ../secret: %v", err)
	}
	if rf, err := c.Send("new", "octet"); err == nil {
		if _, err = rf.ReadFrom(strings.NewReader("x")); err == nil {
			t.Error("write was taken")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if len(fetches) > 0 {
		t.Errorf("seen without a file: %+v", <-fetches)
	}
}

// decide has one machine boot its own disk, and one what nobody knows.
func decide(mac string) netboot.What {
	switch mac {
	case "52:54:00:00:00:01":
		return netboot.OwnDisk
	case "52:54:00:00:00:03":
		return "rescue"
	case "52:54:00:00:00:04":
		return netboot.Menu
	case "52:54:00:00:00:05":
		return netboot.Nothing
	}
	return netboot.Agent
}

const unknown = "the machine is to boot \"rescue\", of which this server's boot files know nothing: nothing is sent " +
	"to it\n"

func TestHTTP(t *testing.T) {
	var seen []Fetch
	h := &Handler{Dir: tree(t), Log: slog.New(slog.DiscardHandler),
		Decide:  decide,
		Observe: func(f Fetch) { seen = append(seen, f) }}
	get := func(method, path, rng string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, nil)
		if rng != "" {
			r.Header.Set("Range", rng)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	for _, c := range []struct {
		name, method, path, rng string
		code                    int
		body                    string
	}{
		{"script", "GET", "/boot/boot.ipxe", "", 200, "#!ipxe\nkernel vmlinuz\n"},
		{"script of an unknown machine", "GET", "/boot/boot.ipxe?mac=52:54:00:00:00:02", "", 200,
			"#!ipxe\nkernel vmlinuz\n"},
		{"script of a finished machine", "GET", "/boot/boot.ipxe?mac=52-54-00-00-00-01", "", 200, Localboot},
		{"the agent chosen in a menu", "GET", "/boot/boot.ipxe?mac=52-54-00-00-00-04&pick=agent", "", 200,
			"#!ipxe\nkernel vmlinuz\n"},
		{"the own disk chosen in a menu", "GET", "/boot/boot.ipxe?mac=52-54-00-00-00-04&pick=own", "", 200,
			chosen + ownDisk},
		{"a choice of a machine without a menu", "GET", "/boot/boot.ipxe?mac=52-54-00-00-00-01&pick=agent", "", 200,
			Localboot},
		{"a machine that is not booted", "GET", "/boot/boot.ipxe?mac=52-54-00-00-00-05", "", 200, notHere + ownDisk},
		{"GRUB of a machine that is not booted", "GET", "/boot/grub/node-52:54:00:00:00:05.cfg", "", 200, grubNotHere},
		{"GRUB's own disk", "GET", "/boot/grub/own-52:54:00:00:00:04.cfg", "", 200,
			NewDir("").grubDisk("52:54:00:00:00:04", netboot.Start{}) + grubChosen},
		{"GRUB that did not start it", "GET", "/boot/grub/several-52:54:00:00:00:01.cfg", "", 200, grubRestart},
		{"GRUB's menu when a session came", "GET", "/boot/grub/menu-52:54:00:00:00:02.cfg", "", 200, grubToAgent},
		{"nonsense MAC", "GET", "/boot/boot.ipxe?mac=x", "", 200, "#!ipxe\nkernel vmlinuz\n"},
		{"range", "GET", "/boot/boot.ipxe", "bytes=2-5", 206, "ipxe"},
		{"head", "HEAD", "/boot/boot.ipxe", "", 200, ""},
		{"GRUB of a finished machine", "GET", "/boot/grub/node-52:54:00:00:00:01.cfg", "", 200,
			NewDir("").grubDisk("52:54:00:00:00:01", netboot.Start{}) + grubLocal},
		{"GRUB of another machine", "GET", "/boot/grub/node-52:54:00:00:00:02.cfg", "", 200, grubNetwork},
		{"script of a machine that boots what nobody knows", "GET", "/boot/boot.ipxe?mac=52:54:00:00:00:03", "", 500,
			unknown},
		{"GRUB of a machine that boots what nobody knows", "GET", "/boot/grub/node-52:54:00:00:00:03.cfg", "", 500,
			unknown},
		{"GRUB's configuration", "GET", "/boot/grub/grub.cfg", "", 200, "menu"},
		{"GRUB's configuration at its own place", "GET", "/grub/grub.cfg", "", 200, "menu"},
		{"GRUB's list of modules", "GET", "/grub/x86_64-efi/command.lst", "", 404, "Not Found\n"},
		{"GRUB's way out", "GET", "/grub/../../secret", "", 404, "Not Found\n"},
		{"out", "GET", "/boot/../secret", "", 404, "Not Found\n"},
		{"link out", "GET", "/boot/out", "", 500, "Internal Server Error\n"},
		{"directory", "GET", "/boot/grub", "", 404, "Not Found\n"},
		{"a range of it", "GET", "/grub/grub.cfg", "bytes=1-2", 206, "en"},
		{"elsewhere", "GET", "/etc/passwd", "", 404, "Not Found\n"},
		{"script at the root", "GET", "/boot.ipxe?mac=52-54-00-00-00-01", "", 200, Localboot},
		{"nothing", "GET", "/", "", 404, "Not Found\n"},
		{"write", "PUT", "/boot/new", "", 405, "boot files are read-only\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := get(c.method, c.path, c.rng)
			if w.Code != c.code || w.Body.String() != c.body {
				t.Errorf("%d %q", w.Code, w.Body)
			}
		})
	}
	if i := slices.IndexFunc(seen, func(f Fetch) bool { return f.Lost != "" }); i < 0 ||
		seen[i].MAC != "52:54:00:00:00:01" || seen[i].Lost != lostWords[lostSeveral] {
		t.Errorf("GRUB's word that it did not start a disk was not seen: %+v", seen)
	}
	if len(seen) == 0 || seen[1].Start || seen[1].Bytes != 22 {
		t.Errorf("seen: %+v", seen)
	}
	if w := get("GET", "/boot/boot.ipxe", ""); w.Result().StatusCode != http.StatusOK {
		t.Error(w.Code)
	}
}

// What boot loaders ask for as a matter of course is not worth a line in the log.
func TestOptional(t *testing.T) {
	for name, want := range map[string]bool{
		"revocations.efi": true, "revocations_sbat.efi": true, "/shim_certificate_0.efi": true,
		"shim_certificate.efi":         true,
		"/grub/x86_64-efi/command.lst": true, "grub/grub.cfg-01-52-54-00-00-00-01": true,
		"boot/grub/x86_64-efi/fs.lst": true,
		"own-disk":                    true, "grub/grub.cfg": false, "grubx64.efi": false, "vmlinuz": false, "": false,
		"../grub/x": false,
	} {
		if got := optional(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}

func TestGRUBNode(t *testing.T) {
	for name, want := range map[string]string{
		"grub/node-52:54:00:00:00:01.cfg": "52:54:00:00:00:01", "/grub/node-52-54-00-00-00-0A.cfg": "52:54:00:00:00:0a",
		"grub/node-.cfg": "", "grub/node-52:54:00:00:00:01": "", "node-52:54:00:00:00:01.cfg": "",
		"grub/node-x.cfg": "", "": "", "grub/none-52:54:00:00:00:01.cfg": "52:54:00:00:00:01",
		"grub/menu-52:54:00:00:00:01.cfg": "52:54:00:00:00:01",
		"grub/own-52:54:00:00:00:01.cfg":  "52:54:00:00:00:01", "grub/other-52:54:00:00:00:01.cfg": "",
	} {
		if got, ok := grubNode(name); got.mac != want || ok != (want != "") {
			t.Errorf("%q: %q, %v", name, got, ok)
		}
	}
}

func TestGRUBCan(t *testing.T) {
	for text, want := range map[string]bool{`{"v":1,"grub":{"http":true}}`: true,
		`{"v":1,"grub":{"http":false}}`:      false,
		`{"v":1,"grub":{"proxy_dhcp":true}}`: false, `{"v":1}`: false, `{"v":2,"grub":{"http":true}}`: false,
		`{`: false} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "manifest.json"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := NewDir(dir).GRUBCan(bootdir.AMD64, "http"); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	if NewDir("/nowhere").GRUBCan(bootdir.AMD64, "http") {
		t.Error("no directory, but HTTP")
	}
}
