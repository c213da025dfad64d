package serve

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"

	"github.com/diskcast/diskcast/internal/bootdir"
	"github.com/diskcast/diskcast/server/netboot/dhcp"
)

// Check says what would keep a server with these settings from starting, or from reading what it needs, as far as that
// can be seen without starting one. Where the interface is not there, skipped says what was not looked at: the settings
// may be another machine's.
func Check(cfg Config) (skipped string, err error) {
	var errs []error
	_, prefix, ierr := interfacePrefix(cfg.Interface, cfg.Address)
	there := ierr == nil
	if _, err := net.InterfaceByName(cfg.Interface); err == nil && ierr != nil {
		errs = append(errs, ierr) // it is there, and does not do
	} else if ierr != nil {
		skipped = fmt.Sprintf("%v: whether addresses and ranges fit it was not looked at", ierr)
		prefix = netip.PrefixFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 8)
	}
	if there {
		errs = append(errs, cfg.byIPv6(prefix))
	}
	info, err := where(cfg, prefix)
	if err != nil {
		errs = append(errs, err)
	} else {
		errs = append(errs, onePort("listen", cfg.Listen, info.API, "http", cfg.HTTP, info.HTTP),
			onePort("listen", cfg.Listen, info.API, "boot-https", cfg.BootHTTPS, info.HTTPS),
			onePort("http", cfg.HTTP, info.HTTP, "boot-https", cfg.BootHTTPS, info.HTTPS))
	}
	for _, x := range [][2]string{{"listen", cfg.Listen}, {"http", cfg.HTTP}, {"boot-https", cfg.BootHTTPS}} {
		errs = append(errs, ours(x[0], x[1], there))
	}
	if there && cfg.DHCP == dhcp.Full && prefix.Addr().Is4() {
		_, rerr := dhcp.ParseRange(cfg.Range, prefix)
		errs = append(errs, rerr, dhcp.CheckRouter(cfg.Router, prefix))
	}
	return skipped, errors.Join(append(errs, checkFiles(cfg))...)
}

// onePort refuses two listeners on one port; one that is invalid listens nowhere.
func onePort(a, aText string, at netip.AddrPort, b, bText string, bt netip.AddrPort) error {
	if !bt.IsValid() || at.Port() != bt.Port() || !sameHost(at.Addr(), bt.Addr()) {
		return nil
	}
	return fmt.Errorf("%s %q and %s %q are one port: give one of them another", a, aText, b, bText)
}

func sameHost(a, b netip.Addr) bool { return a == b || a.IsUnspecified() || b.IsUnspecified() }

// ours refuses an address to listen on that this machine does not have.
func ours(what, address string, there bool) error {
	host, _, err := net.SplitHostPort(address)
	addr, aerr := netip.ParseAddr(host)
	if err != nil || aerr != nil || addr.IsUnspecified() || !there {
		return nil // what is no address is said elsewhere
	}
	all, err := net.InterfaceAddrs()
	if err != nil {
		return fmt.Errorf("addresses of this machine: %w", err)
	}
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr() == addr.Unmap() {
			return nil
		}
	}
	return fmt.Errorf("%s %q: this machine has no address %v (`ip -br address` lists them)", what, address, addr)
}

// checkFiles looks at the directories that are there: whoever owns the state directory is who serves, and must be able
// to read the others.
func checkFiles(cfg Config) error {
	boot, images := cfg.Dirs()
	who, err := folder("state", cfg.State)
	errs := []error{err}
	for _, x := range [][2]string{{"boot-dir", boot}, {"store", images}} {
		st, err := folder(x[0], x[1])
		errs = append(errs, err)
		if st == nil || who == nil {
			continue
		}
		errs = append(errs, readable(x[0], x[1], st, who))
		if x[0] != "boot-dir" {
			continue
		}
		manifest := filepath.Join(boot, bootdir.ManifestFile)
		if st, err := os.Stat(manifest); err == nil {
			errs = append(errs, readable(x[0], manifest, st, who))
		}
	}
	return errors.Join(errs...)
}

// folder looks at a directory; nil where it is not there, which a server makes.
func folder(what, dir string) (fs.FileInfo, error) {
	st, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case errors.Is(err, syscall.ENOTDIR):
		return nil, fmt.Errorf("%s %s: a part of the path is a file", what, dir)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", what, err)
	case !st.IsDir():
		return nil, fmt.Errorf("%s %s is a file, and not a directory", what, dir)
	}
	d, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: run this as the user who serves, or as root", what, err)
	}
	return st, d.Close()
}

// readable refuses what the owner of the state directory could not read, unless that is root.
func readable(what, path string, st, who fs.FileInfo) error {
	file, ok := st.Sys().(*syscall.Stat_t)
	owner, ok2 := who.Sys().(*syscall.Stat_t)
	need := fs.FileMode(0o4)
	if st.IsDir() {
		need = 0o5
	}
	mode := st.Mode().Perm()
	switch {
	case !ok || !ok2 || owner.Uid == 0:
		return nil
	case file.Uid == owner.Uid:
		mode >>= 6
	case file.Gid == owner.Gid:
		mode >>= 3
	}
	if mode&need == need {
		return nil
	}
	return fmt.Errorf("%s: %s belongs to user %d with mode %04o, and the state directory to user %d, who serves and "+
		"could "+
		"not read it: `chown -R %d:%d %s`", what, path, file.Uid, st.Mode().Perm(), owner.Uid, owner.Uid, owner.Gid,
		path)
}
