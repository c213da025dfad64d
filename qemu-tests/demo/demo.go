package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/diskcast/diskcast/qemu-tests/lab"
	"github.com/diskcast/diskcast/qemu-tests/oracle"
	"github.com/diskcast/diskcast/qemu-tests/osimage"
	"github.com/diskcast/diskcast/qemu-tests/site"
	"github.com/diskcast/diskcast/server/doc"
)

type demo struct {
	out   *screen
	start time.Time
	dir   string
	rate  string

	site  *site.Site
	image *osimage.Image
	nodes []*site.Node
}

// say prints one line with the time since the start.
func (d *demo) say(format string, args ...any) {
	d.out.line(fmt.Sprintf("[%6.1f s] ", time.Since(d.start).Seconds()) + fmt.Sprintf(format, args...))
}

func (d *demo) run(ctx context.Context, count int) error {
	how, err := accelerator(ctx)
	if err != nil {
		return err
	}
	d.say("machines run by %s", how)
	if err := d.prepare(ctx); err != nil {
		return err
	}
	defer d.site.Close()
	if err := d.switchOn(ctx, count); err != nil {
		return err
	}
	se, err := d.create(ctx)
	if err != nil {
		return err
	}
	defer se.Stop()
	view, err := d.follow(ctx, se)
	if err != nil {
		return err
	}
	logins, err := d.logins(ctx)
	if err != nil {
		return err
	}
	d.timeline(view, logins)
	if err := d.check(ctx); err != nil {
		return err
	}
	d.say("done: %d blank machines run Debian from one cast", count)
	return nil
}

// prepare makes the image and starts the server.
func (d *demo) prepare(ctx context.Context) error {
	d.say("a small real Debian disk: GPT, EFI system partition, ext4, GRUB (made once, with mmdebstrap; kept in %s)",
		short(osimage.Cache()))
	log, err := os.Create(filepath.Join(d.dir, "mmdebstrap.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	if d.image, err = osimage.Debian(ctx, osimage.Cache(), "", log); err != nil {
		return err
	}
	d.say("the disk is there: %s, %d files and directories", size(d.image.Size), len(d.image.Root)+len(d.image.ESP))

	serverLog, err := os.Create(filepath.Join(d.dir, "server.log"))
	if err != nil {
		return err
	}
	d.site, err = site.New(ctx, site.Options{
		Dir: d.dir, Kernel: d.image.Kernel, Modules: d.image.Modules, Append: "quiet", ServerLog: serverLog,
		// A bridge that forwards a group only to its members, like a managed switch.
		Lab: lab.Options{Snooping: true},
	})
	if err != nil {
		return err
	}
	d.say("mkimage made the boot directory; diskcast serve runs on %s in a network namespace of its own", lab.Server)
	before := time.Now()
	if err := d.site.Import(ctx, "debian", d.image.Disk); err != nil {
		d.site.Close()
		return err
	}
	d.say("diskcast image import: %.1f s", time.Since(before).Seconds())
	return nil
}

func (d *demo) switchOn(ctx context.Context, count int) error {
	for i := range count {
		n, err := d.site.Node("node-"+strconv.Itoa(i+1), site.Hardware{})
		if err != nil {
			return err
		}
		d.nodes = append(d.nodes, n)
		if err := n.PowerOn(ctx); err != nil {
			return err
		}
		d.say("%s (%s): power on; 512 MiB of memory, a blank disk of 2 GiB, booting from its PXE ROM", n.Name(), n.MAC)
	}
	return nil
}

func (d *demo) create(ctx context.Context) (*site.Session, error) {
	count := strconv.Itoa(len(d.nodes))
	args := []string{"--image", "debian", "--nodes", count, "--min-nodes", count}
	if d.rate != "" {
		args = append(args, "--rate", d.rate)
	}
	se, err := d.site.Create(ctx, args...)
	if err != nil {
		return nil, err
	}
	d.say("diskcast session create %s  ->  session %s", strings.Join(args, " "), se.ID)
	return se, nil
}

// follow shows the session live until every node has booted what it received.
func (d *demo) follow(ctx context.Context, se *site.Session) (site.View, error) {
	told := map[string]bool{}
	view, err := se.Until(ctx, "its end", func(v site.View) bool {
		d.tellSteps(v, told)
		d.out.live(d.progress(v))
		return v.Session.Over()
	})
	d.out.stopLive()
	if err != nil {
		return view, err
	}
	if view.Session.State != doc.Done {
		return view, fmt.Errorf("the session is not done: %s", site.Describe(view))
	}
	return view, nil
}

// logins waits for the restored system's prompt on every console, and logs in to see that it is alive.
func (d *demo) logins(ctx context.Context) (map[string]time.Time, error) {
	at := map[string]time.Time{}
	for _, n := range d.nodes {
		m, err := n.Expect(ctx, osimage.LoginPrompt)
		if err != nil {
			return nil, err
		}
		at[n.ID] = m.At
		d.say("%s: %s", n.Name(), strings.TrimSpace(m.Groups[0]))
	}
	for _, n := range d.nodes {
		if err := osimage.Login(ctx, n.VM); err != nil {
			return nil, err
		}
	}
	d.say("logged in on each console: the root file system is the restored one")
	return at, nil
}

// check switches the machines off and holds their disks against the source.
func (d *demo) check(ctx context.Context) error {
	for _, n := range d.nodes {
		if err := n.Console().Send(osimage.PowerOff); err != nil {
			return err
		}
	}
	for _, n := range d.nodes {
		if err := n.WaitOff(ctx); err != nil {
			return err
		}
		done, err := oracle.Check(ctx, oracle.Disk{
			Path: n.Disk, Like: d.image.Disk, Root: d.image.Root, ESP: d.image.ESP, Ignore: osimage.BootWrites,
		}, d.dir)
		if err != nil {
			return fmt.Errorf("disk of %s: %w", n.Name(), err)
		}
		d.say("%s: switched off; its disk:", n.Name())
		for _, line := range done {
			d.out.line("             " + line)
		}
	}
	d.out.line("             (left out of the comparison, because Debian writes there when it boots: " +
		strings.Join(osimage.BootWrites, ", ") + ")")
	return nil
}

func short(path string) string {
	if rel, err := filepath.Rel(osimage.ModuleRoot(), path); err == nil && !strings.HasPrefix(rel, "..") {
		return rel
	}
	return path
}
