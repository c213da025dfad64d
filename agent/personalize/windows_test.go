package personalize

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/agent/bootos"
	"github.com/diskcast/diskcast/internal/personal"
	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

const unattend = `<unattend xmlns="urn:schemas-microsoft-com:unattend"><!-- SECRET --></unattend>`

// ntfs is a disk with Windows' folders, made by ntfs-3g.
func ntfs(t *testing.T, folders ...string) string {
	t.Helper()
	need.Tools(t, "mkntfs", "ntfs-3g", "ntfsfix", "ntfscat")
	disk := volumetest.Sparse(t, 64<<20)
	volumetest.Run(t, "mkntfs", "-q", "-F", "-f", disk)
	dir, unmount := volumetest.FUSE(t, disk, "ntfs-3g")
	for _, f := range folders {
		must(t, os.MkdirAll(filepath.Join(dir, filepath.Dir(f)), 0o755))
		must(t, os.WriteFile(filepath.Join(dir, f), []byte("hibr old"), 0o644))
	}
	unmount()
	return disk
}

// byFUSE mounts as ntfs3 does, for hosts whose kernel has none.
func byFUSE(device, dir string) (func() error, error) {
	if out, err := exec.Command("ntfs-3g", device, dir).CombinedOutput(); err != nil {
		return nil, errors.New(string(out))
	}
	return func() error {
		out, err := exec.Command("umount", dir).CombinedOutput()
		if err != nil {
			return errors.New(string(out))
		}
		return nil
	}, nil
}

// answered gives an answer file to the Windows on the second partition of a disk, and returns what was logged and said.
func answered(t *testing.T, disk string, mount func(device, dir string) (func() error, error)) (string, error) {
	t.Helper()
	loop, detach := volumetest.Loop(t, disk, 512)
	defer detach()
	empty, detachEmpty := volumetest.Loop(t, volumetest.Sparse(t, 1<<20), 512)
	defer detachEmpty()
	var log bytes.Buffer
	p := &Personalizer{Dir: filepath.Join(t.TempDir(), "os"), Log: slog.New(slog.NewTextHandler(&log, nil)),
		mountNTFS: mount}
	said, err := p.Apply(t.Context(), []bootos.Device{{Number: 1, Path: empty}, {Number: 2, Path: loop}},
		&personal.Document{V: 1, Things: personal.Settings{Windows: &personal.Windows{Unattend: unattend}}})
	return log.String() + said, err
}

// TestWindows puts an answer file where setup looks, and has ntfs-3g's tools judge; what must not be written to is not.
func TestWindows(t *testing.T) {
	const system = "WINDOWS/system32/config/SYSTEM"
	for _, tt := range []struct {
		name    string
		folders []string
		dirty   bool
		kernel  bool // ntfs3 itself, which this test's host may lack
		want    string
	}{
		{name: "good", folders: []string{system, "WINDOWS/Panther/setupact.log"},
			want: "in partition 2 (ntfs): windows: WINDOWS/Panther/unattend.xml of 79 bytes"},
		{name: "no Panther", folders: []string{system}, want: "WINDOWS/Panther/unattend.xml of 79 bytes"},
		{name: "one is there", folders: []string{system, "WINDOWS/Panther/Unattend.XML"},
			want: "WINDOWS/Panther/Unattend.XML of 79 bytes"},
		{name: "one comes first", folders: []string{system, "WINDOWS/Panther/unattend/Unattend.xml"},
			want: "which setup would take instead"},
		{name: "no Windows", folders: []string{"Users/me/x"}, want: "no NTFS of the disk has a Windows"},
		{name: "hibernated", folders: []string{system, "hiberfil.sys"}, want: "Windows is hibernated in it or was not"},
		{name: "dirty", folders: []string{system}, dirty: true, want: "or was not shut down cleanly"},
		{name: "no driver", folders: []string{system}, kernel: true, want: "no ntfs3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			disk := ntfs(t, tt.folders...)
			if tt.dirty {
				volumetest.Run(t, "ntfsfix", disk) // marks it for chkdsk
			}
			if list, err := os.ReadFile("/proc/filesystems"); tt.kernel && err == nil &&
				bytes.Contains(list, []byte("\tntfs3\n")) {
				t.Skip("this kernel has ntfs3")
			}
			before, err := os.ReadFile(disk)
			must(t, err)
			mount := byFUSE
			if tt.kernel {
				mount = nil
			}
			said, err := answered(t, disk, mount)
			if err != nil {
				said = err.Error()
			}
			if !strings.Contains(said, tt.want) || strings.Contains(said, "SECRET") {
				t.Fatalf("%s, want %q", said, tt.want)
			}
			if strings.Contains(tt.want, "bytes") {
				volumetest.Run(t, "ntfsfix", "-n", disk)
				name := strings.Fields(said[strings.LastIndex(said, "WINDOWS"):])[0]
				if got := volumetest.Run(t, "ntfscat", disk, name); got != unattend {
					t.Errorf("ntfscat reads %q", got)
				}
				if names := volumetest.Run(t, "ntfsls", "-p", filepath.Dir(name), disk); strings.Contains(names,
					"diskcast") {
					t.Errorf("it has %s", names)
				}
				return
			}
			if after, err := os.ReadFile(disk); (tt.dirty || tt.kernel || tt.name == "hibernated") &&
				(err != nil || !bytes.Equal(before, after)) {
				t.Errorf("refused, and written to (%v)", err)
			}
		})
	}
}
