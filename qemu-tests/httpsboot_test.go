package qemutests

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/qemu-tests/osimage"
	"github.com/diskcast/diskcast/qemu-tests/site"
	"github.com/diskcast/diskcast/server/doc"
)

// TestHTTPSBoot has firmware boot by HTTPS: one that knows the boot CA starts all of the agent by it, one that does not
// is refused by itself, and the operator hears why.
func TestHTTPSBoot(t *testing.T) {
	firmwareOnly(t)
	kernel := os.Getenv("DISKCAST_KERNEL_DEB")
	if kernel == "" {
		need.Skip(t, "DISKCAST_KERNEL_DEB names no package of a kernel: .ci/kernel-deb fetches one")
	}
	b := setupBy(t, 15*time.Minute, func(context.Context, *testing.T) *osimage.Image {
		return &osimage.Image{Kernel: kernel}
	}, func(*osimage.Image) site.Options {
		return site.Options{MkimageArgs: []string{"--boot-uki"},
			ServeArgs: []string{"--uefi-loader", "uki", "--boot-https", ":8444"}}
	})
	enroll := func(name string, state string) []string {
		t.Helper()
		file := filepath.Join(b.dir, name+".esl")
		if _, err := b.Site.Run(b.ctx, "boot-ca", "--state", state, "--make", "--form", "esl", "--out",
			file); err != nil {
			t.Fatal(err)
		}
		return append([]string{"-fw_cfg", "name=etc/edk2/https/cacerts,file=" + file}, onlyHTTP...)
	}
	const sent = "UEFI HTTP on UEFI, sent to https://10.77.0.1:8444/boot/node.efi"
	t.Run("known", func(t *testing.T) {
		n := b.node("known", site.Hardware{Memory: 1024, Firmware: uefi, Extra: enroll("known", b.State)})
		b.on(n)
		defer n.Unplug()
		node := b.came(t, n)
		if got := node.Trace[doc.StepDHCP].Message; got != sent {
			t.Errorf("its firmware was answered %q, want %q", got, sent)
		}
		if got := node.Trace[doc.StepKernel].Message; !strings.Contains(got, "node.efi by https") {
			t.Errorf("node.efi came by %q, want https", got)
		}
	})
	t.Run("another", func(t *testing.T) {
		n := b.node("another", site.Hardware{Memory: 1024, Firmware: uefi,
			Extra: enroll("another", filepath.Join(b.dir, "elsewhere"))})
		b.on(n)
		defer n.Unplug()
		b.refusedHTTPS(t, n)
	})
	t.Run("none", func(t *testing.T) {
		n := b.node("none", site.Hardware{Memory: 1024, Firmware: uefi, Extra: onlyHTTP})
		b.on(n)
		defer n.Unplug()
		b.refusedHTTPS(t, n)
	})
}

// refusedHTTPS waits until the operator hears that a machine's firmware does not take this server for what it is.
func (b *bench) refusedHTTPS(t *testing.T, n *site.Node) {
	t.Helper()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		var node doc.Node
		err := b.Ask(b.ctx, &node, "node", "show", n.MAC)
		if err == nil && strings.Contains(node.Problem, "diskcast boot-ca") {
			t.Logf("%v after power-on: %s", time.Since(n.SwitchedOn()).Round(time.Second), node.Problem)
			return
		}
		select {
		case <-b.ctx.Done():
			t.Fatalf("nobody hears of it: %v, problem %q, %v", err, node.Problem, node.Trace)
		case <-tick.C:
		}
	}
}
