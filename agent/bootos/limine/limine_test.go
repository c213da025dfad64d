package limine

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/agent/bootos/grub"
)

// oneFile is a disk whose only partition has a configuration, and every other file there is.
type oneFile string

var _ Files = oneFile("")

func (f oneFile) ReadFile(_ int, _ string, max int64) ([]byte, error) {
	if int64(len(f)) > max {
		return nil, fmt.Errorf("it is larger than %d bytes", max)
	}
	return []byte(f), nil
}
func (oneFile) Exists(int, string, bool) bool { return true }
func (oneFile) PartUUID(int) string           { return "" }
func (oneFile) Numbers() []int                { return []int{1} }
func (oneFile) Sum(grub.File) ([]byte, error) { return nil, fs.ErrNotExist }
func (oneFile) Facts(n int) (grub.Facts, bool) {
	return grub.Facts{FS: "vfat", UUID: "AAAA-0001"}, n == 1
}

// TestLimits has configurations that are larger than any menu: they are a restart, and the reason names the limit.
func TestLimits(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{strings.Repeat("#", maxConfig+1), "larger than"},
		{strings.Repeat("/a\n", maxEntries+1), "more than 1024 entries"},
		{strings.Repeat("/", maxDepth+1) + "a\n", "deeper than the folder"},
	} {
		_, err := Default(oneFile(tt.text), grub.File{Device: 1, Path: "/limine.conf"})
		var restart *grub.Restart
		if !errors.As(err, &restart) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v, want %q", err, tt.want)
		}
	}
}

// FuzzDefault wants an entry or a restart, and nothing else.
func FuzzDefault(f *testing.F) {
	f.Add("timeout: 3\ndefault_entry: 2\n/+A\n//B\nprotocol: linux\npath: boot():/a\nmodule_path: boot(1):/b\n", false)
	f.Add("/A\nprotocol: efi\npath: guid(AAAA-0001):/a#00\n", false)
	f.Add(":A\nPROTOCOL=linux\nKERNEL_PATH=boot:///a\nCMDLINE=a b=c\n", true)
	f.Fuzz(func(t *testing.T, text string, old bool) {
		name := "/limine.conf"
		if old {
			name = "/limine.cfg"
		}
		e, err := Default(oneFile(text), grub.File{Device: 1, Path: name})
		var restart *grub.Restart
		switch {
		case err != nil && !errors.As(err, &restart):
			t.Errorf("%q: %v", text, err)
		case err == nil && (e.Kernel.Device != 1 || !strings.HasPrefix(e.Kernel.Path, "/") ||
			strings.Contains(e.Args, "\n")):
			t.Errorf("%q: %+v", text, e)
		}
	})
}
