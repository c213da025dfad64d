package qemutests

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/internal/sparse"
	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/testenv/proc"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
	"github.com/diskcast/diskcast/qemu-tests/osimage"
	"github.com/diskcast/diskcast/qemu-tests/site"
)

// answerFile is what setup is to find, a template.
const answerFile = `<unattend xmlns="urn:schemas-microsoft-com:unattend"><settings pass="specialize">` +
	`<component name="Microsoft-Windows-Shell-Setup"><ComputerName>{{html .Name}}</ComputerName></component>` +
	`</settings></unattend>`

// TestPersonalWindows restores an NTFS with Windows' folders by a kernel that has ntfs3, which writes the answer file
// into it. ntfs-3g's tools judge the disk's file on the host: the structure, what is allocated against what is used,
// the answer file, and every other file. There is no Windows here that would read it.
func TestPersonalWindows(t *testing.T) {
	if os.Getenv("DISKCAST_PERSONAL") == "" {
		t.Skip("make test-personal runs this (DISKCAST_PERSONAL=1)")
	}
	kernel := os.Getenv("DISKCAST_NTFS3_KERNEL")
	if kernel == "" {
		need.Skip(t, "DISKCAST_NTFS3_KERNEL names no kernel package with ntfs3: .ci/deb13 fetches one")
	}
	need.Tools(t, "mkfs.ntfs", "ntfs-3g", "ntfsfix", "ntfsresize", "ntfscat", "ntfsls", "sfdisk")
	b := setupBy(t, 20*time.Minute, func(context.Context, *testing.T) *osimage.Image { return nil },
		func(*osimage.Image) site.Options { return site.Options{Kernel: kernel} })
	lists := map[string]string{}
	for name, more := range map[string]map[string]string{
		"generalized": {},
		// What is there is replaced, whatever the case of its name, and whether its bytes lie in the MFT or not.
		"answered": {"Panther/Unattend.XML": strings.Repeat("<old/>", 2000), "Panther/setupact.log": "old"},
	} {
		disk, list := b.windows(name, more)
		lists[name] = list
		if err := b.Import(b.ctx, name, disk); err != nil {
			t.Fatal(err)
		}
	}
	n := b.node("a", site.Hardware{Memory: 768})
	lab := filepath.Join(b.dir, "lab.yaml")
	if err := os.WriteFile(lab, []byte("machines:\n  - {name: desk, mac: \""+n.MAC+"\"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Operate(b.ctx, "apply", "-f", lab); err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct{ image, name, file string }{
		{"generalized", "desk-1", "Panther/unattend.xml"},
		{"answered", "desk-2", "Panther/Unattend.XML"},
		{"answered", "desk-3", "Panther/Unattend.XML"},
	} {
		if _, err := b.Operate(b.ctx, "machine", "name", n.MAC, c.name); err != nil {
			t.Fatal(err)
		}
		settings := filepath.Join(b.dir, "windows.toml")
		if err := os.WriteFile(settings, []byte("[windows]\nunattend = '''"+answerFile+"'''\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		se := b.create(c.image, []*site.Node{n}, "--personalize", settings, "--verify", "--then", "poweroff")
		b.on(n)
		v := b.done(se)
		b.off(n)
		p := v.Parts[n.ID]
		want := strings.ReplaceAll(answerFile, "{{html .Name}}", c.name)
		said := p.Steps[session.StepPersonalized].Message
		t.Logf("%s: %s; received %d of %d bytes", c.name, said, p.Progress.Received, v.Session.Image.ObjectSize)
		words := fmt.Sprintf("in partition 1 (ntfs): windows: WINDOWS/%s of %d bytes", c.file, len(want))
		if said != words {
			t.Errorf("%s: it says %q, want %q", c.name, said, words)
		}
		if i == 2 && p.Progress.Received > v.Session.Image.ObjectSize/2 {
			t.Errorf("%s: %d of %d bytes were received, and little differs", c.name, p.Progress.Received,
				v.Session.Image.ObjectSize)
		}
		b.judgeWindows(n.Disk, c.file, want, lists[c.image])
	}
}

// Of the one partition.
const windowsAt, windowsSize = 1 << 20, 160 << 20

// windows makes a disk with Windows' folders and files, and lists these.
func (b *bench) windows(name string, more map[string]string) (disk, list string) {
	b.Helper()
	part := volumetest.Sparse(b.T, windowsSize)
	volumetest.Run(b.T, "mkfs.ntfs", "-q", "-F", "-f", "-p", fmt.Sprint(windowsAt/512), part)
	dir, unmount := volumetest.FUSE(b.T, part, "ntfs-3g")
	files := map[string]string{"system32/config/SYSTEM": "regf", "explorer.exe": "MZ"}
	for name, text := range more {
		files[name] = text
	}
	for name, text := range files {
		full := filepath.Join(dir, "WINDOWS", name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	volumetest.Fill(b.T, dir, 24)
	list = withoutPanther(volumetest.List(b.T, dir))
	unmount()
	disk = filepath.Join(b.dir, name+".raw")
	if err := sparse.Create(disk, windowsAt+windowsSize+1<<20); err != nil {
		b.Fatal(err)
	}
	table := fmt.Sprintf("label: gpt\nstart=%d, size=%d, type=EBD0A0A2-B9E5-4433-87C0-68B6B72699C7\n", windowsAt/512,
		windowsSize/512)
	if err := proc.Input(b.ctx, nil, strings.NewReader(table), "sfdisk", "--quiet", disk); err != nil {
		b.Fatal(err)
	}
	if err := sparse.Insert(b.ctx, part, disk, windowsAt); err != nil {
		b.Fatal(err)
	}
	return disk, list
}

// withoutPanther leaves out the folder of the answer file, and what changes with it: the folder that it is in.
func withoutPanther(list string) string {
	var out strings.Builder
	for line := range strings.Lines(list) {
		if !strings.Contains(line, "WINDOWS/Panther") && strings.TrimSuffix(line, "\n") != "WINDOWS" {
			out.WriteString(line)
		}
	}
	return out.String()
}

// judgeWindows has ntfs-3g's tools look at what ntfs3 left.
func (b *bench) judgeWindows(disk, file, want, list string) {
	b.Helper()
	part := filepath.Join(b.dir, "judged.ntfs")
	if err := sparse.Extract(b.ctx, disk, windowsAt, windowsSize, part); err != nil {
		b.Fatal(err)
	}
	b.Logf("ntfsfix -n: %s", strings.Join(strings.Fields(volumetest.Run(b.T, "ntfsfix", "-n", part)), " "))
	// It compares the bitmap with the runs of all files, and refuses a volume that is marked dirty.
	b.Logf("ntfsresize -i: %s", strings.Join(strings.Fields(volumetest.Run(b.T, "ntfsresize", "-P", "-i", part)), " "))
	name := "WINDOWS/" + file
	if got := volumetest.Run(b.T, "ntfscat", part, name); got != want {
		b.Errorf("ntfscat reads %q, want %q", got, want)
	}
	if names := volumetest.Run(b.T, "ntfsls", "-p", filepath.Dir(name), part); strings.Contains(names, "diskcast") ||
		!strings.Contains(names, filepath.Base(file)) {
		b.Errorf("the folder has %q", names)
	}
	dir, unmount := volumetest.FUSE(b.T, part, "ntfs-3g", "-o", "ro")
	if got := withoutPanther(volumetest.List(b.T, dir)); got != list {
		b.Errorf("the other files are not what they were:\n%s\nwant\n%s", got, list)
	}
	unmount()
}
