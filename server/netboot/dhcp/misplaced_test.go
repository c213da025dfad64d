package dhcp

import (
	"testing"

	"github.com/insomniacslk/dhcp/iana"

	"github.com/diskcast/diskcast/server/netboot"
)

// TestMisplaced: where the boot files are of another architecture nobody is sent to them, and the words say why; iPXE
// that is to start the machine's own disk needs none of them.
func TestMisplaced(t *testing.T) {
	const why = "the boot directory of arm64 is of another"
	cfg := testConfig(t, Proxy)
	cfg.UEFILoader = Auto
	cfg.Files = append(files{"arm64/snponly.efi", "arm64/misplaced"}, allFiles...)
	for _, c := range []struct {
		name   string
		client Client
		what   netboot.What
		want   string // the error
	}{
		{"PXE", Client{Kind: PXE, Arch: iana.EFI_ARM64}, netboot.Agent, why},
		{"HTTP", Client{Kind: HTTP, Arch: iana.EFI_ARM64_HTTP}, netboot.Agent, why},
		{"iPXE", Client{Kind: IPXE, Arch: iana.EFI_ARM64}, netboot.Agent, why},
		{"iPXE, a menu", Client{Kind: IPXE, Arch: iana.EFI_ARM64}, netboot.Menu, why},
		{"iPXE, its own disk", Client{Kind: IPXE, Arch: iana.EFI_ARM64}, netboot.OwnDisk, ""},
		{"amd64", Client{Kind: PXE, Arch: iana.EFI_X86_64}, netboot.Agent, ""},
	} {
		cfg.Decide = func(string) netboot.What { return c.what }
		file, err := BootFile(c.client, &cfg)
		if (err == nil) != (c.want == "") || err != nil && err.Error() != c.want {
			t.Errorf("%s: %q, %v; want %q", c.name, file, err, c.want)
		}
	}
}
