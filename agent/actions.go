package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/diskcast/diskcast/agent/bootos"
	"github.com/diskcast/diskcast/agent/capturing"
	"github.com/diskcast/diskcast/agent/efiboot"
	"github.com/diskcast/diskcast/agent/erase"
	"github.com/diskcast/diskcast/agent/erase/drive"
	"github.com/diskcast/diskcast/agent/imaging"
	"github.com/diskcast/diskcast/agent/node"
	"github.com/diskcast/diskcast/agent/personalize"
	rescuing "github.com/diskcast/diskcast/agent/rescue"
	"github.com/diskcast/diskcast/agent/restoring"
	"github.com/diskcast/diskcast/internal/erasure"
	"github.com/diskcast/diskcast/internal/rescue"
	"github.com/diskcast/diskcast/internal/session"
)

// actions is what this agent can do: a new action is one folder, and one line here.
func (a *agent) actions(m machine, memory budget, nic string) map[string]node.Action {
	restores := restoring.Action(restoring.Options{Restore: a.restore(memory, nic),
		Personal: a.personalize, Entry: a.entry, Once: a.once, Boot: m, Shell: rescuing.Restored{Options: a.shells()},
		Report: a.events})
	captures := capturing.Action(a.capture(memory))
	actions := map[string]node.Action{
		session.Restore: restores, session.RestorePartition: restores, session.RestoreDisks: restores,
		session.Capture: captures, session.CapturePartition: captures,
		erasure.Action: erase.Action(a.erase),
		rescue.Action:  rescuing.Action(a.shells()),
	}
	for name, action := range actions {
		if words := doing[name]; words != "" { // a rescue has the consoles itself
			action = a.screen.Around(action, func(d *session.Descriptor) string { return work(words, d) })
		}
		actions[name] = a.contents.Around(action)
	}
	return actions
}

// machine is what an action may do with the machine once it is done.
type machine interface {
	node.Machine
	restoring.Booter
}

func (a *agent) machine() machine {
	if a.o.noBoot {
		return bootos.Stay{}
	}
	return watched{&bootos.Machine{Root: "/", Dir: "/run/diskcast/os", Log: a.log}, a}
}

// restore writes the image of a descriptor to a disk of this node.
func (a *agent) restore(memory budget, nic string) restoring.Restorer {
	return func(ctx context.Context, d *session.Descriptor, casts []<-chan *session.Cast) (*imaging.Result, error) {
		return imaging.Restore(ctx, d, casts[0], imaging.Options{
			MoreCasts: casts[1:],
			Server:    a.client, Report: a.events, Disks: a.disks, Interface: nic, Label: a.client.Node(),
			Firmware: a.inventory.Glance().Firmware, DiskWait: a.patience(),
			Workers: memory.workers, WriterMemory: memory.writer, CastMemory: memory.cast, Log: a.log,
		})
	}
}

// personalize makes the restored system this machine's own. The server hands out what that is when it knows how far the
// node is, so it is told first.
func (a *agent) personalize(ctx context.Context, d *session.Descriptor, r *imaging.Result) (string, error) {
	devices, detach, err := personalize.Devices(r)
	if err != nil {
		return "", err
	}
	defer detach()
	if err := a.events.Flush(ctx); err != nil {
		return "", err
	}
	own, err := a.client.Personalization(ctx, d.Session, a.boot)
	if err != nil {
		return "", err
	}
	passphrase, more := own.TakePassphrase()
	if r.Passphrase = passphrase; !more {
		return "nothing is written; " + forLoader, nil
	}
	dir := "/run/diskcast"
	if a.o.noBoot { // the machine is somebody else's
		if dir, err = os.MkdirTemp("", "diskcast-"); err != nil {
			return "", err
		}
		defer func() {
			if err := removeEmpty(dir); err != nil {
				a.log.Warn("a folder for the restored system stays", "error", err)
			}
		}()
	}
	m := &bootos.Machine{Root: "/", Dir: filepath.Join(dir, "os"), Log: a.log}
	p := &personalize.Personalizer{Dir: filepath.Join(dir, "personal"), Log: a.log,
		Boots: func() (*bootos.System, error) { return m.Boots(ctx, r, devices) }}
	words, err := p.Apply(ctx, devices, own)
	if err == nil && passphrase != "" {
		words += "; " + forLoader
	}
	return words, err
}

const forLoader = "a passphrase for the disk's boot loader was given"

// removeEmpty removes a folder and the empty ones in it. In one that is not empty a disk may still be mounted, whose
// files must not be deleted.
func removeEmpty(dir string) error {
	inside, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range inside {
		errs = append(errs, os.Remove(filepath.Join(dir, e.Name())))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return os.Remove(dir)
}

// entry makes the firmware start the restored disk. With -no-boot the machine is somebody else's, and so is its
// firmware.
func (a *agent) entry(ctx context.Context, r *imaging.Result) (string, error) {
	if a.o.noBoot {
		return "the firmware's boot entries were left alone (-no-boot)", nil
	}
	m := &efiboot.Machine{Root: "/", Disks: a.inventory.Disks}
	a.firmware = m
	words, err := m.Enter(r.Disk)
	// Without the server's hearing of it the firmware's own way, or a search, comes to the disk.
	a.starts.Store(m.Next())
	ctx, cancel := context.WithTimeout(ctx, tellPatience)
	defer cancel()
	if err := a.client.Refresh(ctx); err != nil {
		a.log.Warn("the server was not told what this machine's firmware starts", "err", err)
	}
	return words, err
}

// once has the firmware start the disk at the next restart that entry made an entry for.
func (a *agent) once() string {
	if a.firmware == nil {
		return ""
	}
	return a.firmware.Once()
}

// tellPatience is how long a node that leaves waits for the server to hear what its firmware starts.
const tellPatience = 5 * time.Second

// tellDisks tells the server what was seen on the disks, and what the firmware starts of them.
func (a *agent) tellDisks(ctx context.Context) error {
	if s := a.contents.Latest(); s != nil && !a.o.noBoot {
		a.starts.Store(a.next(s))
	}
	return a.client.Refresh(ctx)
}

// next says what the firmware starts of the disks that were seen. One that did not answer is not asked again.
func (a *agent) next(s *session.Survey) *session.Starts {
	for i := range s.Disks {
		if c := &s.Disks[i]; c.Problem != "" {
			return &session.Starts{Firmware: "what is on one of its disks is not known: " + c.Problem}
		}
	}
	return (&efiboot.Machine{Root: "/", Disks: a.inventory.Disks}).Next()
}

// capture sends a disk of this node to the server. The memory that a restore would use holds what is compressed.
func (a *agent) capture(memory budget) capturing.Capturer {
	return func(ctx context.Context, d *session.Descriptor) error {
		_, err := capturing.Capture(ctx, d, capturing.Options{
			Server: a.client, Report: a.events, Disks: a.disks, DiskWait: a.patience(),
			Memory: memory.writer + memory.cast,
			Log:    a.log,
		})
		return err
	}
}

// sshPort is where a rescue's shell is served.
const sshPort = 22

// shells are how shells are given on this node. With -no-boot the consoles are somebody else's, and so is the port.
func (a *agent) shells() rescuing.Options {
	o := rescuing.Options{Report: a.events, Shell: "/bbin/gosh", Home: "/root", Dev: "/dev", Log: a.log,
		Consoles: rescuing.Consoles("/sys/class/tty/console/active"), Addr: a.address}
	port := sshPort
	if a.o.noBoot {
		o.Shell, o.Home, o.Consoles, port = "/bin/sh", "/", nil, 0
	}
	o.Listen = func() (net.Listener, error) { return net.Listen("tcp", fmt.Sprintf(":%d", port)) }
	return o
}

// address is the node's on the NIC that it booted from, not valid when there is none: by IPv4, else by IPv6.
func (a *agent) address() netip.Addr {
	var six netip.Addr
	for _, n := range a.inventory.Glance().NICs {
		for _, text := range n.Addrs {
			if p, err := netip.ParsePrefix(text); err == nil && n.Boot && p.Addr().Is4() {
				return p.Addr()
			} else if err == nil && n.Boot && !six.IsValid() && p.Addr().IsGlobalUnicast() {
				six = p.Addr()
			}
		}
	}
	return six
}

// erase erases a disk of this node, and has the server know the result.
func (a *agent) erase(ctx context.Context, d *session.Descriptor, spec erasure.Spec) error {
	_, err := erase.Erase(ctx, d, spec, erase.Options{
		Server: a.client, Report: a.events, Disks: a.disks, DiskWait: a.patience(), Log: a.log,
		Open: func(d session.Disk) (erase.Device, error) { return drive.Open(d) },
		Done: func(level, message string, r *erasure.Result) {
			result, err := json.Marshal(r)
			if err != nil {
				a.log.Error("the result of the erase cannot be told", "error", err)
			}
			a.events.Result(erasure.StepErased, level, message, result)
		},
	})
	return err
}
