package qemutests

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/qemu-tests/lab"
	"github.com/diskcast/diskcast/qemu-tests/osimage"
	"github.com/diskcast/diskcast/qemu-tests/site"
)

// TestBootEncrypted images a machine whose GRUB asks for the passphrase of /boot. The agent types it, which the site
// gave, and starts what GRUB starts when somebody types it at the start without the network.
func TestBootEncrypted(t *testing.T) {
	bootOnly(t)
	b := setup(t, 15*time.Minute, lab.Options{})
	image, _ := b.variant("luks")
	n := b.node("a", site.Hardware{Memory: 768})
	file := filepath.Join(b.dir, "personal.toml")
	if err := os.WriteFile(file, []byte("loader_passphrase = \""+osimage.LoaderPassphrase+"\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	se := b.create(image, []*site.Node{n}, "--personalize", file)
	b.on(n)
	p := b.done(se).Parts[n.ID]
	boot := p.Steps[session.StepBoot].Message
	t.Logf("personalized: %s", p.Steps[session.StepPersonalized].Message)
	t.Logf("boot: %s", boot)
	if p.Warning != "" || p.Unbootable != "" || !strings.Contains(boot, "kexec: ") ||
		!strings.Contains(boot, "GRUB would wait for the passphrase of partition 1") {
		t.Errorf("the part has the warning %q, unbootable %q, and says %q", p.Warning, p.Unbootable, boot)
	}
	b.started(n, "luks", "", "")

	b.on(n)
	if err := n.Cable(b.ctx, false); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Expect(b.ctx, `Enter passphrase for `); err != nil {
		t.Fatal(err)
	}
	if err := n.Console().Send(osimage.LoaderPassphrase + "\r"); err != nil {
		t.Fatal(err)
	}
	b.started(n, "luks", "", "")
}
