// Package up brings a Debian or Ubuntu machine from nothing to serving: it chooses the interface and the way of DHCP,
// and makes identity, boot directory and settings file. What is there already stays as it is.
//
// All that can refuse is looked at before the first file is written. Each step says what it did, or that there was
// nothing to do.
package up

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"

	"github.com/diskcast/diskcast/server/config"
	"github.com/diskcast/diskcast/server/identity"
)

// Options is what `diskcast up` was told.
type Options struct {
	Interface string // empty: the only one that fits
	DHCP      string // proxy or full; empty: proxy where a DHCP server answers
	Range     string // of full; empty: half of the LAN
	Kernel    string // file, package, folder or name of a package; empty: the running kernel, else one that apt fetches
	Console   string // serial console of the nodes
	// KernelARM64 is what machines of 64-bit ARM run, for which there is a second boot directory then: auto, or as
	// Kernel.
	KernelARM64  string
	ConsoleARM64 string // their serial console
	Memtest      string // Memtest86+ for menus: auto, or a package or file for mkimage
	State        string // directory
	File         string // settings file
	People       People
	DryRun       bool
	Alone        bool   // in the foreground, without the service manager
	Version      string // of this program
	Log          *slog.Logger
	// After is the flag that asks something of the server when it serves; empty: none does.
	After string

	// Host is the machine's programs and files; Real is this machine's.
	Host Host
	// Say is told of each step.
	Say func(Step)
}

// Step is one thing that up did, would do, or found done.
type Step struct {
	What string `json:"what"`
	Done Done   `json:"done"`
}

// Done is what became of a step.
type Done string

// What becomes of a step.
const (
	Chosen Done = "chosen" // a decision, with its reason
	Kept   Done = "kept"   // it was there, and is as it was
	Made   Done = "made"
	Would  Done = "would" // a dry run
)

// Result is what up ends with.
type Result struct {
	Settings *config.Settings `json:"-"`
	File     *config.File     `json:"-"`
	URL      string           `json:"url"`
	Pin      string           `json:"pin,omitempty"`
	Token    string           `json:"token_file"`
	Changed  bool             `json:"changed"` // a step made something
	// Serving is true when the server runs; otherwise the caller is to serve.
	Serving bool   `json:"serving"`
	Steps   []Step `json:"steps"`
}

// work is one run.
type work struct {
	Options
	*Result
	set    *config.Settings
	lan    netip.Prefix // the server's address on the interface
	unit   bool         // the service manager is to serve
	owner  *owner       // of the state directory; nil: root
	kernel *kernel      // of machines of amd64; nil: their boot directory stays
	arm64  *kernel      // of those of 64-bit ARM; nil: nothing is made for them
	ours   bool         // this state's server answers already
	// was is the URL that the boot directory leads to, where that is not the present one.
	was string
}

// Run does what is to be done.
func Run(ctx context.Context, o Options) (*Result, error) {
	w := &work{Options: o, Result: &Result{}}
	if w.Host.UID() != 0 {
		return nil, errors.New("diskcast up makes files of the system and opens ports of the network: run it as root " +
			"(sudo diskcast up)")
	}
	if !o.DryRun {
		unlock, err := w.alone()
		if err != nil {
			return nil, err
		}
		defer unlock()
	}
	for _, look := range []func(context.Context) error{
		w.readFile, w.chooseInterface, w.service, w.people, w.state, w.server, w.chooseDHCP, w.ports, w.chooseKernel,
		w.chooseARM64,
	} {
		if err := look(ctx); err != nil {
			return nil, err
		}
	}
	for _, make := range []func(context.Context) error{w.makeIdentity, w.makeBoot, w.makeARM64, w.makeFile,
		w.start} {
		if err := make(ctx); err != nil {
			return nil, err
		}
	}
	w.Result.Settings = w.set
	w.Token = filepath.Join(w.set.State, identity.TokenFile)
	return w.Result, nil
}

// step says what was done; a dry run says that it would be.
func (w *work) step(d Done, format string, args ...any) {
	if d == Made {
		if w.DryRun {
			d = Would
		} else {
			w.Changed = true
		}
	}
	s := Step{What: fmt.Sprintf(format, args...), Done: d}
	w.Steps = append(w.Steps, s)
	if w.Say != nil {
		w.Say(s)
	}
}

// readFile takes the settings of a file that is there: it is the operator's, and stays. What the command line says
// otherwise is refused.
func (w *work) readFile(context.Context) error {
	w.set = config.Defaults()
	w.set.State = w.State
	f, err := config.Read(w.Options.File)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	w.Result.File, w.set = f, f.Settings()
	lines := map[string]int{}
	for _, v := range f.Values {
		lines[v.Name] = v.Line
	}
	if lines["state"] == 0 {
		w.set.State = w.State
	}
	differs := func(name, is, told string) error {
		where := f.Name
		if n := lines[name]; n > 0 {
			where = fmt.Sprintf("%s:%d", f.Name, n)
		}
		return fmt.Errorf("%s says %s = %s, and --%s says %s: change the file, or move it away and run this again",
			where, name, is, name, told)
	}
	for _, x := range []struct{ name, told, is string }{
		{"interface", w.Interface, w.set.Interface}, {"dhcp", w.Options.DHCP, w.set.DHCP},
		{"dhcp-range", w.Range, w.set.Range}, {"state", w.State, w.set.State},
	} {
		if x.told != "" && x.told != x.is && (x.name != "state" || x.told != config.Defaults().State) {
			return differs(x.name, strconv.Quote(x.is), strconv.Quote(x.told))
		}
	}
	for _, name := range w.People.Names {
		if is, told := w.set.Text(name), w.People.Settings.Text(name); is != told {
			return differs(name, is, told)
		}
	}
	if w.Interface == "" {
		w.Interface = w.set.Interface
	}
	return nil
}

func (w *work) chooseInterface(context.Context) error {
	all, err := Interfaces()
	if err != nil {
		return err
	}
	c, why, err := Choose(all, w.Interface)
	if err != nil {
		return err
	}
	w.set.Interface, w.lan = c.Name, c.Addr
	if a, err := netip.ParseAddr(w.set.Address); err == nil { // the file's
		p, err := c.has(a)
		if err != nil {
			return err
		}
		w.lan = p
	}
	_, port, err := net.SplitHostPort(w.set.Listen)
	if err != nil {
		return fmt.Errorf("listen %q: %w", w.set.Listen, err)
	}
	w.URL = "https://" + net.JoinHostPort(w.lan.Addr().String(), port)
	if w.Result.File != nil && w.Options.Interface == w.set.Interface {
		why = "as it was told"
	}
	w.step(Chosen, "interface %s, %v: %s", c.Name, w.lan, why)
	return nil
}
