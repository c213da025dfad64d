package boot

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"github.com/diskcast/diskcast/server/netboot"
)

// Script is the name of the iPXE script in the boot directory.
const Script = "boot.ipxe"

// Localboot is what a machine gets that is to boot its own disk.
//
// On BIOS, iPXE starts the first disk's boot sector itself: returning to the ROM restarts the boot order from the
// network on some machines. On UEFI it must leave with an error: for a boot option that returns success, the
// firmware stops its boot order and shows its menu (UEFI 2.10, 3.1.1).
const Localboot = "#!ipxe\necho diskcast: it boots its own disk\n" + ownDisk

// ownDisk is what starts the disk, and what is said before it where the disk was chosen, or where this server is not
// to boot the machine.
const (
	ownDisk = "iseq ${platform} efi && exit 1 ||\nsanboot --no-describe --drive 0x80 || exit 1\n"
	chosen  = "#!ipxe\necho diskcast: its own disk\n"
	notHere = "#!ipxe\necho diskcast: this server does not boot this machine; it boots its own disk\n"
)

// Handler serves GET and HEAD of /boot/<file>, with ranges, and the same without /boot. For the machine named by ?mac=,
// /boot/boot.ipxe is the script of the boot directory if it is to boot the agent, and Localboot if its own disk; a menu
// comes back with &pick=. GRUB's node-MAC.cfg says the same to GRUB.
type Handler struct {
	Dir     *Dir
	Decide  netboot.Decider
	Starts  netboot.Starter
	Observe func(Fetch)
	Via     string // "http" or "https"; empty is "http"
	Log     *slog.Logger
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "boot files are read-only", http.StatusMethodNotAllowed)
		return
	}
	// A GRUB that came by HTTP knows the server that it came from, and not the folder.
	name, ok := strings.CutPrefix(r.URL.Path, "/boot/")
	if !ok {
		name = strings.TrimPrefix(r.URL.Path, "/")
	}
	dir, name := h.Dir.find(name)
	mac := ""
	if hw, err := net.ParseMAC(r.URL.Query().Get("mac")); err == nil && len(hw) == 6 {
		mac = hw.String()
	}
	fetch := Fetch{Addr: peer(r), MAC: mac, File: name, Via: cmp.Or(h.Via, "http"), Start: true}
	if name == Script && mac != "" {
		text, shown, err := dir.scriptSays(h.Decide.Of(mac), mac, r.URL.Query().Get("pick"))
		if err != nil {
			h.refuse(w, r, err)
			return
		}
		if text != "" {
			fetch.File = shown
			h.text(w, fetch, text)
			return
		}
	}
	if ask, ok := grubNode(name); ok {
		text, shown, err := dir.grubSays(h.Decide.Of(ask.mac), h.Starts.Of(ask.mac), ask, name)
		if err != nil {
			h.refuse(w, r, err)
			return
		}
		fetch.MAC, fetch.File, fetch.Lost = ask.mac, shown, lostWords[ask.what]
		h.text(w, fetch, text)
		return
	}
	if text, ok, err := dir.grubConfig(name); ok || err != nil {
		if err != nil {
			h.refuse(w, r, err)
			return
		}
		h.text(w, fetch, text)
		return
	}
	f, info, err := dir.Open(name)
	if err != nil {
		level := slog.LevelInfo
		if optional(name) {
			level = slog.LevelDebug
		}
		h.Log.Log(r.Context(), level, "boot file not served", "peer", r.RemoteAddr, "err", err)
		code := http.StatusNotFound
		if !errors.Is(err, fs.ErrNotExist) {
			code = http.StatusInternalServerError
		}
		http.Error(w, http.StatusText(code), code)
		return
	}
	defer f.Close()
	if name == Script || strings.HasSuffix(name, ".cfg") {
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Cache-Control", "no-store")
	} else {
		w.Header().Set("Content-Type", "application/octet-stream")
	}
	if r.Method == http.MethodGet {
		h.observe(fetch)
	}
	cw := &counter{ResponseWriter: w}
	http.ServeContent(cw, r, "", info.ModTime(), f)
	if r.Method == http.MethodGet && cw.n == info.Size() {
		fetch.Start, fetch.Bytes = false, cw.n
		h.observe(fetch)
	}
}

// text answers with a text that is in no file.
// refuse answers a machine that is to boot what this server cannot send it.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, err error) {
	h.Log.Error("boot file not served", "peer", r.RemoteAddr, "err", err)
	http.Error(w, err.Error(), http.StatusInternalServerError)
}

func (h *Handler) text(w http.ResponseWriter, fetch Fetch, text string) {
	h.observe(fetch)
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Length", strconv.Itoa(len(text))) // GRUB wants to know
	if _, err := io.WriteString(w, text); err != nil {
		return
	}
	fetch.Start, fetch.Bytes = false, int64(len(text))
	h.observe(fetch)
}

func (h *Handler) observe(f Fetch) {
	if h.Observe != nil {
		h.Observe(f)
	}
}

// counter counts the bytes of a body.
type counter struct {
	http.ResponseWriter
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.n += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController find the real writer.
func (c *counter) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func peer(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("") // of the link that all machines are on
}
