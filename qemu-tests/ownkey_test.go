package qemutests

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/qemu-tests/osimage"
	"github.com/diskcast/diskcast/qemu-tests/site"
	"github.com/diskcast/diskcast/qemu-tests/vm"
	"github.com/diskcast/diskcast/server/doc"
)

// siteKey makes a site's key and its certificate, as openssl req -x509 does.
func siteKey(t *testing.T, dir string) (keyFile, certFile string, cert []byte) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a site's own key"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<32, 0)}
	if cert, err = x509.CreateCertificate(rand.Reader, template, template, key.Public(), key); err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	keyFile, certFile = filepath.Join(dir, "site.key"), filepath.Join(dir, "site.crt")
	for name, block := range map[string]*pem.Block{keyFile: {Type: "PRIVATE KEY", Bytes: der},
		certFile: {Type: "CERTIFICATE", Bytes: cert}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return keyFile, certFile, cert
}

// TestOwnKey has the site's own key in the firmware in Microsoft's place: what mkimage signs with it starts by PXE, by
// UEFI HTTP boot and from a stick, with Secure Boot on, and what nobody signed does not.
func TestOwnKey(t *testing.T) {
	firmwareOnly(t)
	kernel := os.Getenv("DISKCAST_KERNEL_DEB")
	if kernel == "" {
		need.Skip(t, "DISKCAST_KERNEL_DEB names no package of a kernel: .ci/kernel-deb fetches one")
	}
	keyFile, certFile, cert := siteKey(t, t.TempDir())
	b := setupBy(t, 20*time.Minute, func(context.Context, *testing.T) *osimage.Image {
		return &osimage.Image{Kernel: kernel}
	}, func(*osimage.Image) site.Options {
		return site.Options{MkimageArgs: []string{"--boot-uki", "--sign", keyFile, "--cert", certFile},
			ServeArgs: []string{"--uefi-loader", "uki"}}
	})
	firmware := b.enrolled(cert)
	signed, unsigned := filepath.Join(b.dir, "signed.img"), filepath.Join(b.dir, "unsigned.img")
	b.stick(kernel, signed, "--sign", keyFile, "--cert", certFile)
	b.stick(kernel, unsigned)
	usb := func(file string) []string {
		return []string{"-drive", "if=none,id=medium,format=raw,readonly=on,file=" + file, "-device",
			"qemu-xhci,id=xhci", "-device", "usb-storage,bus=xhci.0,drive=medium,removable=on,bootindex=0"}
	}
	for _, c := range []struct {
		name  string
		extra []string
		first string // what its DHCP request is answered with
	}{
		{"usb", usb(signed), ""},
		{"pxe", nil, "PXE on UEFI, sent to node.efi"},
		{"http", onlyHTTP, "UEFI HTTP on UEFI, sent to http://10.77.0.1:8080/boot/node.efi"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := b.node(c.name, site.Hardware{Memory: 1024, Firmware: firmware, Extra: c.extra})
			b.on(n)
			defer n.Unplug()
			node := b.came(t, n)
			b.firmware(n, firmware)
			if got := node.Trace[doc.StepDHCP].Message; c.first != "" && !strings.HasPrefix(got, c.first) {
				t.Errorf("its firmware was answered %q, want %q", got, c.first)
			}
		})
	}
	t.Run("unsigned", func(t *testing.T) {
		n := b.node("unsigned", site.Hardware{Memory: 1024, Firmware: firmware, Extra: usb(unsigned), DiskFirst: true})
		b.on(n)
		defer n.Unplug()
		if _, err := n.Expect(b.ctx, `(Access Denied|Security Violation)`); err != nil {
			t.Fatal(err)
		}
		var node doc.Node
		if err := b.Ask(b.ctx, &node, "node", "show", n.MAC); err == nil && node.Agent != "" {
			t.Errorf("what nobody signed was started: %+v", node)
		}
	})
}

// enrolled is firmware with Secure Boot on that has the site's certificate and no other.
func (b *bench) enrolled(cert []byte) vm.Firmware {
	b.Helper()
	empty, err := os.ReadFile(ovmf + "OVMF_VARS_4M.fd")
	if err != nil {
		b.Fatal(err)
	}
	vars, err := vm.Enroll(empty, cert)
	if err != nil {
		b.Fatal(err)
	}
	firmware := vm.Firmware{Code: secureBoot.Code, Vars: filepath.Join(b.dir, "site.vars"), SecureBoot: true}
	if err := os.WriteFile(firmware.Vars, vars, 0o600); err != nil {
		b.Fatal(err)
	}
	return firmware
}

// stick makes the image of a stick for the site.
func (b *bench) stick(kernel, file string, more ...string) {
	b.Helper()
	b.medium(kernel, "ttyS0,115200", append([]string{"--usb", file, "--isolinux", "none"}, more...)...)
}
