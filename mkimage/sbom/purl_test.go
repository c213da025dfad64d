package sbom

import (
	"testing"

	contract "github.com/diskcast/diskcast/internal/bootdir"
)

func TestPackageURL(t *testing.T) {
	for want, s := range map[string]contract.Source{
		"pkg:deb/debian/linux-image-6.1@6.1.192-2?arch=amd64": {Format: "deb", Name: "linux-image-6.1",
			Version: "6.1.192-2", Arch: "amd64"},
		"pkg:deb/ubuntu/shim-signed@1.58%2B15.8-0ubuntu1": {Format: "deb", Name: "shim-signed",
			Version: "1.58+15.8-0ubuntu1"},
		"pkg:alpm/arch/linux@6.9.arch1-1?arch=x86_64": {Format: "arch", Name: "linux", Version: "6.9.arch1-1",
			Arch: "x86_64"},
		"pkg:apk/alpine/linux-lts@6.6-r0": {Format: "apk", Name: "linux-lts", Version: "6.6-r0"},
		"":                                {Format: "rpm", Name: "kernel-core", Version: "6.9-1"},
	} {
		if got := packageURL(s); got != want {
			t.Errorf("%+v: %q, want %q", s, got, want)
		}
	}
}
