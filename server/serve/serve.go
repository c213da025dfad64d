// Package serve puts the server together: DHCP, TFTP, HTTP for boot files, the API, and the engine behind them.
package serve

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/bootdir"
	"github.com/diskcast/diskcast/internal/cast/querier"
	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/sealed"
	"github.com/diskcast/diskcast/server/access"
	"github.com/diskcast/diskcast/server/audit"
	"github.com/diskcast/diskcast/server/caster"
	"github.com/diskcast/diskcast/server/config"
	"github.com/diskcast/diskcast/server/engine"
	"github.com/diskcast/diskcast/server/herald"
	"github.com/diskcast/diskcast/server/hooks"
	"github.com/diskcast/diskcast/server/identity"
	"github.com/diskcast/diskcast/server/library"
	"github.com/diskcast/diskcast/server/library/captures"
	"github.com/diskcast/diskcast/server/library/images"
	"github.com/diskcast/diskcast/server/library/optimizer"
	"github.com/diskcast/diskcast/server/metrics"
	"github.com/diskcast/diskcast/server/netboot"
	"github.com/diskcast/diskcast/server/netboot/boot"
	"github.com/diskcast/diskcast/server/netboot/bootca"
	"github.com/diskcast/diskcast/server/netboot/dhcp"
	"github.com/diskcast/diskcast/server/netboot/solicit"
	"github.com/diskcast/diskcast/server/netboot/udpport"
	"github.com/diskcast/diskcast/server/page"
	"github.com/diskcast/diskcast/server/power/console"
	"github.com/diskcast/diskcast/server/serve/notify"
	"github.com/diskcast/diskcast/server/serve/task"
	"github.com/diskcast/diskcast/server/store"
	"github.com/diskcast/diskcast/server/traces"
	"github.com/diskcast/diskcast/server/web"
)

// Config is what `diskcast serve` was told.
type Config struct {
	State     string // directory
	MaxCasts  int    // at once; 0: any number
	Store     string // directory of images; empty: images in State
	BootDir   string // empty: boot in State
	Interface string
	Address   netip.Addr // one of the interface's; invalid: its first
	DHCP      dhcp.Mode
	UEFI      dhcp.Loader
	// FirmwareStarts has no GRUB start a UEFI machine's own disk.
	FirmwareStarts bool
	Range          string // of the full mode
	Router         netip.Addr
	Advertise      bool // tell hosts what is on the link, on a LAN with IPv6 alone (router advertisements)
	DNS            []netip.Addr
	LeaseTime      time.Duration
	// AllowOtherDHCP gives addresses although another server does (full).
	AllowOtherDHCP bool
	TFTP           bool
	HTTP           string       // TCP address of the boot files
	BootHTTPS      string       // TCP address of the boot files by HTTPS, for UEFI HTTP boot; empty: none
	Listen         string       // TCP address of the API
	Groups         netip.Prefix // of multicast, for casts
	Querier        bool         // ask hosts for their groups, when nobody else does
	RateCap        int64        // bits a second of each cast, 0: none
	Optimize       bool         // images, while no session runs
	Hooks          []hooks.Hook // that sessions may name
	HookTime       time.Duration
	Approve        string // which machines sessions may take: doc.ApproveAll or another
	Traces         string // endpoint of an OpenTelemetry collector; empty: none
	Version        string // of the program
	Notify         config.Notify
	People         *config.People // who log in by a provider; nil: nobody
	Log            *slog.Logger
	Casts          engine.Casts // nil: the network's
	// Started is called when everything is ready.
	Started func(Info)
}

// Info is where a started server is found.
type Info struct {
	Interface string     `json:"interface"`
	Address   netip.Addr `json:"address"`
	Server    string     `json:"server"` // URL of the API, for nodes
	Boot      string     `json:"boot"`   // URL of the boot files
	// BootHTTPS is the URL that UEFI HTTP boot is sent to; empty where that is Boot.
	BootHTTPS string         `json:"boot_https,omitempty"`
	Pin       string         `json:"pin"`
	TokenFile string         `json:"token_file"`
	DHCP      dhcp.Mode      `json:"dhcp"`
	HTTP      netip.AddrPort `json:"-"`
	HTTPS     netip.AddrPort `json:"-"` // invalid: none
	API       netip.AddrPort `json:"-"`
	BootDir   string         `json:"boot_dir"`
	Store     string         `json:"store"`
}

// Run serves until ctx ends.
func Run(ctx context.Context, cfg Config) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ready := collecting(ctx)
	defer ready()
	iface, prefix, err := interfacePrefix(cfg.Interface, cfg.Address)
	if err != nil {
		return err
	}
	if err := cfg.byIPv6(prefix); err != nil {
		return err
	}
	info, err := where(cfg, prefix)
	if err != nil {
		return err
	}
	log := cfg.Log
	id, err := identity.Load(cfg.State)
	if err != nil {
		return err
	}
	info.Pin = id.Pin
	seal, err := sealed.Load(cfg.State)
	if err != nil {
		return err
	}
	db, err := openState(ctx, filepath.Join(cfg.State, store.File), log)
	if err != nil {
		return err
	}
	defer db.Close()
	st, err := image.OpenStore(info.Store)
	if err != nil {
		return fmt.Errorf("open image store: %w", err)
	}
	if err := store.SayImages(cfg.State, info.Store); err != nil {
		// Only commands beside the server want it.
		log.Warn("where the images are could not be noted in the state directory", "err", err)
	}
	ims := images.New(st)
	defer ims.Close()
	caps := captures.New(st, log.With("task", "captures"))
	defer caps.Close()

	if cfg.Casts == nil {
		if cfg.Casts, err = caster.New(cfg.Interface, cfg.Groups, cfg.RateCap); err != nil {
			return err
		}
	}
	switches, err := newPower(cfg.State, prefix, db, seal)
	if err != nil {
		return err
	}
	closed, err := switches.Closed(ctx)
	if err != nil {
		return err
	}
	if len(closed) > 0 {
		log.Error("the power of machines cannot be switched: their passwords do not open with "+sealed.KeyFile+
			", which is another one since", "machines", len(closed), "first", closed[0],
			"try", "diskcast machine power set")
	}
	server := ownName(prefix.Addr())
	words, err := herald.New(ctx, herald.Config{Store: db, Key: seal, Notify: cfg.Notify, Server: server,
		Log: log.With("task", "notify")})
	if err != nil {
		return err
	}
	prober, _ := cfg.Casts.(engine.Prober) // tests' casts send nothing
	if prefix.Addr().Is6() {
		prober = nil // agents look for packets by IPv4 alone, and say then that none were sent
	}
	hooked := hooks.New(cfg.Hooks, cfg.HookTime, log.With("task", "hooks"))
	dir := boot.NewDir(info.BootDir)
	eng, err := engine.New(ctx,
		engine.Config{Store: db, Images: ims, Casts: cfg.Casts, MaxCasts: cfg.MaxCasts, Captures: caps,
			Addr: prefix.Addr(), Dynamic: cfg.dynamic(prefix),
			Power: switches, Hooks: hooked, Prober: prober, Server: server, Words: words,
			Version: cfg.Version, Approve: cfg.Approve, Tests: dir.Memtest, Sign: id.Sign, Seal: seal,
			Log: log.With("task", "engine")})
	if err != nil {
		return err
	}
	if err := comparePin(ctx, db, info.Pin, cfg.State, func() int { return len(eng.Nodes()) }, log); err != nil {
		return err
	}
	dir.Choices = eng.Choices
	if _, err := os.Stat(dir.Path()); errors.Is(err, fs.ErrNotExist) {
		log.Warn("there is no boot directory yet: machines cannot boot until mkimage has laid it out", "dir",
			dir.Path())
	}
	if cfg.DHCP == dhcp.Proxy && cfg.UEFI == dhcp.WithShim && !dir.GRUBCan(bootdir.AMD64, dhcp.GRUBProxy) {
		log.Warn("the boot directory's GRUB does not know proxy DHCP: it finds its configuration only if the site's "+
			"DHCP server names this server as next-server", "address", prefix.Addr())
	}
	routers := solicit.New(cfg.Interface, log.With("task", "router solicitations"))
	self := boot.Self{Addr: info.API, Pin: info.Pin}
	watch := newBootWatch(dir, self, eng.Nodes, log.With("task", "boot directory"))
	watchARM64 := newBootWatch(dir.Of(bootdir.ARM64), self, eng.Nodes,
		log.With("task", "boot directory of arm64"))
	see := &observer{engine: eng, booting: routers.Booting, astray: watch.problem, iface: iface.Index, log: log}

	tlsConfig := &tls.Config{
		Certificates: []tls.Certificate{id.Cert},
		MinVersion:   tls.VersionTLS13,
		// Not HTTP/2: one stream of it moves a fraction of what a plain TLS connection does, and stragglers fetch whole
		// images.
		NextProtos: []string{"http/1.1"},
	}
	// What nobody reads any more is closed first: a garbage collection spares what is open.
	lib := library.NewLocal(st).BeforeGC(ims.Close)
	jobs := library.NewJobs(lib, log.With("task", "jobs"))
	jobs.Uses(caps.Uses)
	tokens, err := access.New(ctx, db, id.Token)
	if err != nil {
		return err
	}
	key, err := id.Signer()
	if err != nil {
		return err
	}
	record, err := audit.New(ctx, db, key)
	if err != nil {
		return err
	}
	record.WithSpare(filepath.Join(cfg.State, audit.SpareFile), log.With("task", record.Name()))
	handler := web.New(eng, ims, caps, id.Token, log.With("task", "api")).WithLibrary(lib, jobs).WithPower(switches).
		WithNotify(words).WithPin(id.Pin).WithAccess(tokens).WithVersion(cfg.Version).WithAudit(record).
		WithUploads(library.NewUploads(lib, jobs))
	people, err := cfg.people(eng)
	if err != nil {
		return err
	}
	pages := page.New(page.Config{API: handler, Tokens: tokens, People: people, Log: log.With("task", "page"),
		About: page.About{Name: server, Version: cfg.Version, Server: info.Server, Interface: cfg.Interface,
			Store: info.Store, Pin: id.Pin}})
	figures := metrics.Sources{Version: cfg.Version, Figures: eng.Figures, Room: roomOf(info.Store), Words: words.List,
		Jobs: jobs.List, Power: switches.Counts,
		Record: func() (int, int) { w := record.Waits(); return w.Entries, w.Lost }}
	looked := &inside{engine: eng, words: words, record: record}
	rounds := newRounds(cfg, id.Pin, looked)
	consoles := console.New(log.With("task", "consoles"))
	handler.WithDoctor(rounds).WithConsoles(consoles)
	files := boot.Handler{Dir: dir, Decide: eng.Boots, Starts: cfg.starts(eng), Observe: see.fetch, Via: "http",
		Log: log.With("task", "http")}
	plain := newHTTP("boot files", cfg.HTTP, &files, nil, log)
	plain.segment = bootSegment
	tasks := []task.Task{
		eng,
		rounds,
		consoles,
		watch,
		watchARM64,
		jobs,
		switches,
		hooked,
		words,
		record,
		newLifeWatch(prefix, eng, see.neighbour, log.With("task", "signs of life")),
		store.NewKeeper(db, log.With("task", "state")),
		newHTTP("api", cfg.Listen, newToldWhole(&front{handler, pages}), tlsConfig, log),
		plain,
	}
	if info.HTTPS.IsValid() {
		secure, err := cfg.bootHTTPS(info, files, eng, see)
		if err != nil {
			return err
		}
		tasks = append(tasks, secure...)
	}
	six := prefix.Addr().Is6()
	if six && cfg.DHCP != dhcp.Off {
		d, err := newDHCP6(cfg, info, iface, prefix, dir, see)
		if err != nil {
			return err
		}
		tasks = append(tasks, d)
	}
	if cfg.Advertise {
		routers.Advertise(solicit.Advertisement{Prefix: prefix, Managed: cfg.DHCP == dhcp.Full, DNS: cfg.DNS,
			MAC: iface.HardwareAddr})
		tasks = append(tasks, routers)
	}
	if !six && cfg.DHCP != dhcp.Off {
		d, err := newDHCP(ctx, cfg, info, prefix, db, dir, see)
		if err != nil {
			return err
		}
		handler.WithDHCP(d)
		figures.DHCP, looked.dhcp = d.View, d.View
		tasks = append(tasks, d, routers)
	}
	if cfg.Querier {
		q, err := querier.New(cfg.Interface, querier.Options{NoIGMP: six, Log: log.With("task", "querier")})
		if err != nil {
			return err
		}
		tasks = append(tasks, newQuerier(q, log))
	}
	if cfg.Traces != "" {
		tasks = append(tasks, traces.New(traces.Config{Endpoint: cfg.Traces, Server: server, Pin: id.Pin,
			Version: cfg.Version, Figures: eng.Figures, Log: log.With("task", "traces")}))
	}
	if cfg.Optimize {
		tasks = append(tasks, optimizer.New(optimizer.Config{Store: st, Sessions: eng,
			Log: log.With("task", "optimizer")}))
	}
	if cfg.TFTP {
		listen := func() (*net.UDPConn, error) {
			open := udpport.Listen
			if six {
				open = udpport.Listen6
			}
			c, err := open(cfg.Interface, 69)
			if inUse := (*udpport.InUseError)(nil); errors.As(err, &inUse) {
				return nil, fmt.Errorf("%w: stop that TFTP server, or leave TFTP to it with --tftp=false", err)
			}
			return c, err
		}
		tasks = append(tasks,
			boot.NewTFTP(dir, listen, iface.MTU, eng.Boots, cfg.starts(eng), see.fetch, log.With("task", "tftp")))
	}
	handler.WithMetrics(metrics.New(figures))
	// Nodes waits for the engine's lock: an engine that hangs does not answer.
	manager := notify.New(func() { eng.Nodes() }, log.With("task", "service manager"))
	tasks = append(tasks, manager)
	// Requests end after the tasks are asked to: what they did is recorded last.
	defer record.Close(context.WithoutCancel(ctx))
	return task.Run(ctx, log, func() {
		ready()
		manager.Started(fmt.Sprintf("serves on %s, API at %s", info.Interface, info.Server))
		if cfg.Started != nil {
			cfg.Started(*info)
		}
	}, tasks...)
}

// bootHTTPS are the tasks that hand out the boot files by HTTPS; see tells them which machines come.
func (cfg *Config) bootHTTPS(info *Info, files boot.Handler, eng *engine.Engine, see *observer) ([]task.Task, error) {
	authority, err := bootca.Load(cfg.State)
	if err != nil {
		return nil, err
	}
	secured, err := authority.TLS(info.HTTPS.Addr())
	if err != nil {
		return nil, err
	}
	files.Via, files.Log = "https", cfg.Log.With("task", "https")
	boots := newSecureBoots(eng.Problem, see.neighbour, files.Log)
	see.secure = boots.send
	t := newHTTP("boot files by HTTPS", cfg.BootHTTPS, &files, secured, cfg.Log)
	t.watch, t.segment = boots, bootSegment
	return []task.Task{t, boots}, nil
}

// roomOf says how many bytes are free, and how many there are, where a directory is.
func roomOf(dir string) func() (free, size uint64, err error) {
	return func() (uint64, uint64, error) {
		var st unix.Statfs_t
		if err := unix.Statfs(dir, &st); err != nil {
			return 0, 0, fmt.Errorf("%s: %w", dir, err)
		}
		return st.Bavail * uint64(st.Bsize), st.Blocks * uint64(st.Bsize), nil
	}
}

// starts says what machines start from their own disks.
func (cfg *Config) starts(eng *engine.Engine) netboot.Starter {
	if !cfg.FirmwareStarts {
		return eng.Starts
	}
	return func(string) netboot.Start { return netboot.Start{Firmware: "the setting own-disk says so"} }
}

// dynamic reports which addresses this server's DHCP gives; nil: none. A wrong range is refused where it is used.
func (cfg *Config) dynamic(prefix netip.Prefix) func(netip.Addr) bool {
	if cfg.DHCP != dhcp.Full {
		return nil
	}
	r, err := dhcp.ParseRange(cfg.Range, prefix)
	if err != nil {
		return nil
	}
	return r.Contains
}

func newDHCP(ctx context.Context, cfg Config, info *Info, prefix netip.Prefix, db store.Store, dir *boot.Dir,
	see *observer) (*dhcp.Server, error) {
	log := cfg.Log.With("task", "dhcp")
	d := dhcp.Config{Mode: cfg.DHCP, Server: prefix, HTTP: info.HTTP, HTTPS: info.HTTPS, Files: dir,
		UEFILoader: cfg.UEFI, Decide: see.engine.Boots, Starts: cfg.starts(see.engine), TFTP: cfg.TFTP,
		Router: cfg.Router, DNS: cfg.DNS, Log: log, AllowOther: cfg.AllowOtherDHCP, Observe: see.dhcp}
	if cfg.DHCP == dhcp.Full {
		if err := dhcp.CheckRouter(cfg.Router, prefix); err != nil {
			return nil, err
		}
		rng, err := dhcp.ParseRange(cfg.Range, prefix)
		if err != nil {
			return nil, err
		}
		if d.Pool, err = dhcp.NewPool(ctx,
			dhcp.PoolConfig{Store: db, Range: rng, Server: prefix, Term: cfg.LeaseTime, Known: see.engine.Known,
				Log: log}); err != nil {
			return nil, err
		}
	}
	r, err := dhcp.NewResponder(d)
	if err != nil {
		return nil, err
	}
	return dhcp.NewServer(cfg.Interface, r), nil
}

// Where says where a server with these settings is found, and the network that it is in, without starting one.
func Where(cfg Config) (*Info, netip.Prefix, error) {
	_, prefix, err := interfacePrefix(cfg.Interface, cfg.Address)
	info, werr := where(cfg, prefix)
	return info, prefix, errors.Join(err, werr)
}

// Dirs are the boot directory and that of the image store: in the state directory where the settings name none.
func (c *Config) Dirs() (boot, store string) {
	return cmp.Or(c.BootDir, filepath.Join(c.State, "boot")), cmp.Or(c.Store, filepath.Join(c.State, "images"))
}

// where works out the server's URLs and directories.
func where(cfg Config, prefix netip.Prefix) (*Info, error) {
	info := &Info{Interface: cfg.Interface, Address: prefix.Addr(), DHCP: cfg.DHCP,
		TokenFile: filepath.Join(cfg.State, "operator.token")}
	info.BootDir, info.Store = cfg.Dirs()
	for _, x := range []struct {
		flag, addr, before, after string
		at                        *netip.AddrPort
		url                       *string
	}{
		{"--listen", cfg.Listen, "https://", "", &info.API, &info.Server},
		{"--http", cfg.HTTP, "http://", "/boot/", &info.HTTP, &info.Boot},
		{"--boot-https", cfg.BootHTTPS, "https://", "/boot/", &info.HTTPS, &info.BootHTTPS},
	} {
		if x.addr == "" && x.at == &info.HTTPS {
			continue
		}
		host, port, err := net.SplitHostPort(x.addr)
		if err != nil {
			return nil, fmt.Errorf("%s %q: %w", x.flag, x.addr, err)
		}
		p, err := strconv.ParseUint(port, 10, 16)
		if err != nil || p == 0 {
			return nil, fmt.Errorf("%s %q: the port must be a number from 1 to 65535", x.flag, x.addr)
		}
		addr := prefix.Addr()
		if host != "" {
			if addr, err = netip.ParseAddr(host); err != nil {
				return nil, fmt.Errorf("%s %q: %w", x.flag, x.addr, err)
			}
			if addr.IsUnspecified() {
				addr = prefix.Addr()
			}
		}
		*x.at = netip.AddrPortFrom(addr, uint16(p))
		*x.url = x.before + x.at.String() + x.after
	}
	return info, nil
}

// interfacePrefix finds the interface's address: its first by IPv4, or the one that is wanted, of either kind.
func interfacePrefix(name string, want netip.Addr) (*net.Interface, netip.Prefix, error) {
	iface, err := net.InterfaceByName(name)
	if err != nil {
		return nil, netip.Prefix{}, fmt.Errorf("interface %q: %w (`ip -br address` lists them)", name, err)
	}
	addrs, err := iface.Addrs()
	if err != nil {
		return nil, netip.Prefix{}, fmt.Errorf("addresses of %s: %w", name, err)
	}
	for _, a := range addrs {
		p, err := netip.ParsePrefix(a.String())
		if err == nil && (!want.IsValid() && p.Addr().Is4() || p.Addr() == want) {
			return iface, p, nil
		}
	}
	if want.IsValid() {
		return nil, netip.Prefix{}, fmt.Errorf("interface %s does not have the address %v", name, want)
	}
	return nil, netip.Prefix{},
		fmt.Errorf("interface %s has no IPv4 address: give it one first, such as `ip address add 10.0.0.1/24 dev "+
			"%s`; on "+
			"a LAN with IPv6 alone, name its IPv6 address with --address", name, name)
}
