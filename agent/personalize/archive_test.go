package personalize

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/personal"
	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

// TestArchive unpacks what GNU tar made.
func TestArchive(t *testing.T) {
	need.Root(t)
	need.Tools(t, "tar", "gzip")
	src := t.TempDir()
	(&system{files: map[string]string{"etc/motd": "from the archive", "opt/lab/bin/run": "#!/bin/sh\n",
		"opt/lab/current": "-> bin/run", "etc/out/in": "x", "empty/": "", "home/ops/": "", "etc/shadow": ""}}).put(t,
		src)
	must(t, os.Remove(filepath.Join(src, "etc/shadow")))
	must(t, os.Chown(filepath.Join(src, "opt/lab/bin/run"), 1000, 1000))
	must(t, unix.Chmod(filepath.Join(src, "opt/lab/bin/run"), 0o4750))
	must(t, os.Chmod(filepath.Join(src, "etc"), 0o700))
	file := filepath.Join(t.TempDir(), "a.tar.gz")
	volumetest.Run(t, "tar", "-C", src, "--numeric-owner", "-czf", file, ".")
	b, err := os.ReadFile(file)
	must(t, err)
	a := &personal.Archive{Content: base64.StdEncoding.EncodeToString(b)}
	s := systems["alpine"]
	s.files = with(s.files, map[string]string{"tmp/": ""}) // etc/out leads to /tmp
	disk := image(t, "ext4", s, "")
	log, err := apply(t, disk, personal.Settings{Archive: a})
	if err != nil || !strings.Contains(log, "4 files of") {
		t.Fatalf("%s, %v", log, err)
	}
	volumetest.Run(t, "e2fsck", "-fn", disk)
	dir, _ := volumetest.Mount(t, disk, "ext4", "ro")
	for name, want := range map[string]string{"etc": "755 0 0 directory", "etc/motd": "644 0 0 regular file",
		"opt/lab/bin/run": "4750 1000 1000 regular file", "opt/lab/current": "777 0 0 symbolic link",
		"tmp/in": "644 0 0 regular file", "empty": "755 0 0 directory"} {
		if got := strings.TrimSpace(volumetest.Run(t, "stat", "-c", "%a %u %g %F",
			filepath.Join(dir, name))); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	if b, err := os.ReadFile(filepath.Join(dir, "opt/lab/current")); err != nil || string(b) != "#!/bin/sh\n" {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := os.Lstat("/tmp/in"); err == nil {
		t.Error("a link led out of the restored system")
	}

	s.files = with(s.files, map[string]string{"etc/motd": "-> /etc/ssh"})
	disk = image(t, "ext4", s, "")
	if _, err := apply(t, disk, personal.Settings{Hostname: "a", Archive: a}); err == nil ||
		!strings.Contains(err.Error(), "/etc/motd is there, and is of another kind") {
		t.Errorf("a folder in the place of a file: %v", err)
	}
	if got := volumetest.Run(t, "debugfs", "-R", "cat /etc/hostname", disk); got != "old\n" {
		t.Errorf("it was refused, and the hostname is %q", got)
	}
}
