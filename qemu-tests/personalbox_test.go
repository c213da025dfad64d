package qemutests

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/diskcast/diskcast/agent/bootos"
	"github.com/diskcast/diskcast/agent/personalize"
	"github.com/diskcast/diskcast/internal/personal"
	"github.com/diskcast/diskcast/internal/sparse"
	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/testenv/proc"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
	"github.com/diskcast/diskcast/qemu-tests/box"
	"github.com/diskcast/diskcast/qemu-tests/lab"
	"github.com/diskcast/diskcast/qemu-tests/oracle"
	"github.com/diskcast/diskcast/qemu-tests/osimage"
	"github.com/diskcast/diskcast/qemu-tests/site"
)

// TestPersonalBox personalizes a copy of the same Debian here, and has its own systemd, ifup and sshd start in a box,
// on this machine's kernel: what TestPersonal asks, without an emulated processor, and so without firmware, boot loader
// and words for a kernel.
func TestPersonalBox(t *testing.T) {
	if os.Getenv("DISKCAST_PERSONAL") == "" {
		t.Skip("make test-personal runs this (DISKCAST_PERSONAL=1)")
	}
	type maker func(ctx context.Context, cache string, log io.Writer) (*osimage.Image, error)
	for _, c := range []struct {
		name, where string
		image       maker
		rootAt      int64 // from the start of the last partition
	}{
		{"partition", "partition 2 (ext4)", osimage.Personal, 0},
		{"LVM", "logical volume lab-vg/root (ext4)", osimage.PersonalLVM, 1 << 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			ready(t)
			need.Tools(t, "ssh", "ssh-keygen", "ssh-keyscan", "lvm", "unshare", "nsenter", "setpriv")
			ctx, dir := begin(t, 10*time.Minute)
			im, err := c.image(ctx, osimage.Cache(), nil)
			if err != nil {
				t.Fatal(err)
			}
			s, err := site.Bare(site.Options{Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			b := &bench{T: t, Site: s, ctx: ctx, dir: dir}
			t.Cleanup(func() {
				s.Close()
				b.tidy()
			})
			key, disk := filepath.Join(dir, "id"), filepath.Join(dir, "disk.raw")
			if err := proc.Run(ctx, nil, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key); err != nil {
				t.Fatal(err)
			}
			if err := sparse.Copy(ctx, im.Disk, disk); err != nil {
				t.Fatal(err)
			}
			parts, err := oracle.Table(ctx, disk)
			if err != nil {
				t.Fatal(err)
			}
			n := &site.Node{MAC: "52:54:00:dc:00:01"}
			x := &itself{said: b.makeOwn(disk, parts, key+".pub", n.MAC), values: map[string]string{}}
			if !strings.HasPrefix(x.said, "in "+c.where) {
				t.Errorf("it says %q, want %q", x.said, c.where)
			}
			at := parts[len(parts)-1].Start + c.rootAt
			if err := oracle.CheckExt(ctx, disk, at); err != nil {
				t.Fatal(err)
			}
			b.inBox(disk, at, n.MAC, func() {
				b.bySSH(x, key, "10.77.0.51")
			})
			x.values["cmdline"] = "lab.seat=1" // of this machine's kernel, which was started by nobody
			b.isItself(x, n, "pc-1", "10.77.0.51")
		})
	}
}

// makeOwn does here what the agent does on a node, and returns what it says.
func (b *bench) makeOwn(disk string, parts []oracle.Partition, public, mac string) string {
	b.Helper()
	key, err := os.ReadFile(public)
	if err != nil {
		b.Fatal(err)
	}
	var devices []bootos.Device
	for i, p := range parts {
		loop, detach := volumetest.Loop(b.T, disk, 512, "--offset", fmt.Sprint(p.Start), "--sizelimit",
			fmt.Sprint(p.Size))
		defer detach()
		devices = append(devices, bootos.Device{Number: i + 1, Path: loop})
	}
	p := &personalize.Personalizer{Dir: filepath.Join(b.dir, "personal"), Log: slog.New(slog.DiscardHandler)}
	said, err := p.Apply(b.ctx, devices, &personal.Document{V: 1, Things: personal.Settings{
		Hostname: "pc-1", MachineID: personal.New, SSHHostKeys: personal.New, TimeZone: "Europe/Berlin",
		AuthorizedKeys: map[string]string{"root": string(key)}, Passwords: map[string]string{"root": newHash},
		Network: []personal.NIC{{MAC: mac, Addresses: []string{"10.77.0.51/24"}, Gateways: []string{"10.77.0.1"},
			DNS: []string{"10.77.0.1"}, Search: []string{"lab.example"}}},
		Files: []personal.File{{Path: "/etc/lab.conf", Mode: "0640", Content: "seat=1 mac=" + mac}},
		Script: &personal.Script{
			Run: "echo by $(cat /etc/hostname) >/opt/by-script; systemctl mask apt-daily.service"},
	}})
	if err != nil {
		b.Fatal(err)
	}
	return said
}

// inBox starts the system on the disk for f, with a network card of the machine's address.
func (b *bench) inBox(disk string, at int64, mac string, f func()) {
	b.Helper()
	if err := os.MkdirAll(filepath.Join(b.dir, "home"), 0o700); err != nil {
		b.Fatal(err)
	}
	// The gateway is a neighbour, as it is for a machine, and no address of this network's own.
	if err := b.Lab.Do(func() error {
		bridge, err := netlink.LinkByName(lab.Bridge)
		if err != nil {
			return err
		}
		addr, err := netlink.ParseAddr(lab.Server.String() + "/24")
		if err == nil {
			err = netlink.AddrDel(bridge, addr)
		}
		if err != nil {
			return err
		}
		hardware, err := net.ParseMAC(mac)
		if err != nil {
			return err
		}
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "nic0", HardwareAddr: hardware},
			PeerName: "cable0"})
	}); err != nil {
		b.Fatal(err)
	}
	log, err := os.Create(filepath.Join(b.dir, "box.log"))
	if err != nil {
		b.Fatal(err)
	}
	defer log.Close()
	m, err := box.Start(b.ctx, b.Lab, b.dir, disk, at, log)
	if err != nil {
		b.Fatal(err)
	}
	f()
	if err := m.Stop(); err != nil {
		b.Error(err)
	}
}
