package convert

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

// swapped lays the images of a new directory beside another's disk.
func (z *zilla) copyTo(t *testing.T) *zilla {
	t.Helper()
	dir := volumetest.Dir(t)
	volumetest.Run(t, "cp", "-r", z.dir+"/.", dir)
	return &zilla{t: t, dir: dir, disk: z.disk}
}

func (z *zilla) remove(names ...string) {
	z.t.Helper()
	for _, name := range names {
		if err := os.Remove(filepath.Join(z.dir, name)); err != nil {
			z.t.Fatal(err)
		}
	}
}

// sameDisk imports the directory and compares the whole disk.
func (z *zilla) sameDisk() Disk {
	z.t.Helper()
	want, err := os.ReadFile(z.disk)
	if err != nil {
		z.t.Fatal(err)
	}
	d := openDisk(z.t, z.dir)
	same(z.t, want, content(z.t, d))
	return d
}

func (z *zilla) refused(want string) {
	z.t.Helper()
	if _, err := OpenContext(z.t.Context(), z.dir, Options{Scratch: volumetest.Dir(z.t)}); err == nil ||
		!strings.Contains(err.Error(), want) {
		z.t.Errorf("%v, want %q", err, want)
	}
}

func noted(t *testing.T, d Disk, want string) {
	t.Helper()
	if notes := strings.Join(d.Notes(), "\n"); !strings.Contains(notes, want) {
		t.Errorf("no %q in the notes %s", want, notes)
	}
}

// TestClonezillaGPTCopies takes the copies of the table away in turn. Clonezilla's own copy of the backup lacks its
// first sector, as here.
func TestClonezillaGPTCopies(t *testing.T) {
	t.Parallel()
	need.Tools(t, "sgdisk")
	const size = 24 * mib
	z := newZilla(t, size, "label: gpt\nstart=2048, size=16384, name=root\nstart=20480, size=8192, type=uefi\n")
	z.ext4("sda1", 2048, 8, "gz")
	z.file("parts", "sda1\n")
	z.cut("sda-mbr", 0, 1)
	z.cut("sda-gpt-1st", 0, 34)
	z.cut("sda-gpt-2nd", size/512-32, 32)
	volumetest.Run(t, "sgdisk", "-b", filepath.Join(z.dir, "sda-gpt.gdisk"), z.disk)

	d := z.sameDisk()
	noted(t, d, "nothing for partition sda2")
	noted(t, d, "what lay between them")

	second := z.copyTo(t)
	second.remove("sda-gpt-2nd")
	noted(t, second.sameDisk(), "sda-gpt-2nd is not in the image")

	first := z.copyTo(t)
	first.remove("sda-gpt-1st", "sda-mbr")
	noted(t, first.sameDisk(), "sda-gpt-1st is not in the image")

	first.remove("sda-gpt.gdisk")
	first.refused("no first sector")
	first.cut("sda-mbr", 0, 1)
	first.refused("its GPT is not whole: sda-gpt-1st is not in the image")
	first.cut("sda-gpt-2nd", size/512-33, 33)
	noted(t, first.sameDisk(), "made from its backup")

	damaged := z.copyTo(t)
	damaged.cut("sda-gpt-1st", 0, 20)
	noted(t, damaged.sameDisk(), "sda-gpt-1st is damaged")

	// A table of another disk is not that of the dump.
	other := z.copyTo(t)
	other.file("sda-pt.sf", strings.Replace(other.text("sda-pt.sf"), "16384", "16000", 1))
	other.refused("is not in the partition table")

	sized := z.copyTo(t)
	sized.remove("sda-pt.parted")
	sized.sameDisk()
}

func (z *zilla) text(name string) string {
	z.t.Helper()
	p, err := os.ReadFile(filepath.Join(z.dir, name))
	if err != nil {
		z.t.Fatal(err)
	}
	return string(p)
}

// TestClonezillaOrder has partitions that are not in the order of their numbers, and a boot loader before the first on
// the disk. The boot records of the logical partitions come out as sfdisk wrote them.
func TestClonezillaOrder(t *testing.T) {
	t.Parallel()
	const size = 48 * mib
	for name, script := range map[string]string{
		"logical": "label: dos\n1: start=2048, size=16384, type=83, bootable\n4: start=20480, size=73728, type=5\n" +
			"5: start=77824, size=16384, type=83\n6: start=22528, size=16384, type=83\n7: start=40960, size=16384, " +
			"type=83, bootable\n",
		"first behind": "label: dos\n1: start=40960, size=16384, type=83\n2: start=2048, size=16384, type=83, " +
			"bootable\n",
		"logical, behind all": "label: dos\n1: start=63, size=16384, type=83\n2: start=20480, size=73728, type=f\n5: " +
			"start=22528, size=16384, type=83\n6: start=40960, size=16384, type=83\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			z := newZilla(t, size, script)
			var parts []string
			for _, line := range strings.Split(z.text("sda-pt.sf"), "\n") {
				var n, start, count int64
				var kind string
				line = strings.ReplaceAll(line, ",", " ")
				if _, err := fmt.Sscanf(line, "/dev/sda%d : start= %d size= %d type=%s", &n, &start, &count,
					&kind); err != nil || kind == "5" || kind == "f" {
					continue
				}
				parts = append(parts, fmt.Sprintf("sda%d", n))
				z.ext4(parts[len(parts)-1], start, 8, "gz")
			}
			if len(parts) < 2 {
				t.Fatalf("partitions %q", parts)
			}
			z.file("parts", strings.Join(parts, " ")+"\n")
			first := int64(2048)
			if strings.Contains(script, "start=63,") {
				first = 63
			}
			loader := filepath.Join(volumetest.Dir(t), "loader")
			if err := os.WriteFile(loader, []byte(strings.Repeat("boot loader ", 1000)), 0o600); err != nil {
				t.Fatal(err)
			}
			volumetest.Run(t, "dd", "if="+loader, "of="+z.disk, "bs=512", "seek=1", "conv=notrunc", "status=none")
			volumetest.Run(t, "dd", "if="+loader, "of="+z.disk, "bs=1", "count=440", "conv=notrunc", "status=none")
			z.cut("sda-mbr", 0, 1)
			z.cut("sda-hidden-data-after-mbr", 1, first-1)
			if strings.Contains(name, "logical") {
				extended := "sda4-ebr"
				if first == 63 {
					extended = "sda2-ebr"
				}
				z.cut(extended, 20480, 1)
			}
			z.sameDisk()

			without := z.copyTo(t)
			without.remove("sda-hidden-data-after-mbr")
			noted(t, openDisk(t, without.dir), "its core image lay there")
			z.cut("sda-hidden-data-after-mbr", 1, 10)
			noted(t, openDisk(t, z.dir), "ends early")
			without.remove("sda-mbr")
			without.refused("no sda-mbr")
		})
	}
}

// TestClonezillaPieces damages the images of one partition: nothing else may be taken for its content.
func TestClonezillaPieces(t *testing.T) {
	t.Parallel()
	z := newZilla(t, 24*mib, "label: dos\n2048,16384,83,*\n20480,16384,83\n")
	z.ext4("sda1", 2048, 8, "gz")
	z.ext4("sda2", 20480, 8, "uncomp")
	z.cut("sda-mbr", 0, 1)
	z.cut("sda-hidden-data-after-mbr", 1, 2047)
	z.file("parts", "sda1 sda2\n")
	volumetest.Run(t, "sh", "-ec", "cd "+z.dir+
		"; cat sda1.*.gz.* >all; rm sda1.*.gz.*; split -b 2k all sda1.ext4-ptcl-img.gz.; rm all; split -b 300k -a 3 "+
		"sda2.ext4-ptcl-img.uncomp sda2.ext4-ptcl-img.uncomp.; rm sda2.ext4-ptcl-img.uncomp")
	z.sameDisk()

	// Leftovers are no images.
	for _, name := range []string{"MD5SUMS", "SHA1SUMS", "sda1.files-md5sum.list.gz", "sda1.torrent", "sda1.info",
		"sda1.dd-img.info", "sda2.txt", "sda1.ext4-ptcl-img.gz.md5", "Info-packages.txt"} {
		z.file(name, "leftover\n")
	}
	z.sameDisk()

	for away, want := range map[string]string{
		"sda1.ext4-ptcl-img.gz.aa":       "is missing",
		"sda1.ext4-ptcl-img.gz.ab":       "is missing",
		"sda2.ext4-ptcl-img.uncomp.aaa":  "is missing",
		"sda2.ext4-ptcl-img.uncomp.aac":  "aac is missing",
		"sda2.ext4-ptcl-img.uncomp.last": "truncated",
		"sda1.ext4-ptcl-img.gz.last":     "truncated",
	} {
		c := z.copyTo(t)
		if base, last := strings.CutSuffix(away, "last"); last {
			found, err := filepath.Glob(filepath.Join(c.dir, base+"a[a-z]*"))
			if err != nil || len(found) < 3 {
				t.Fatalf("%q, %v", found, err)
			}
			away = filepath.Base(found[len(found)-1])
		}
		c.remove(away)
		c.refused(want)
	}

	// All pieces of one, while `parts` names it.
	c := z.copyTo(t)
	volumetest.Run(t, "sh", "-ec", "rm "+c.dir+"/sda1.ext4*")
	c.refused("there is no image of that")
	c.file("parts", "sda2\n")
	noted(t, openDisk(t, c.dir), "nothing for partition sda1")

	// Single partitions, without a file `disk`.
	c.remove("disk")
	d := openDisk(t, c.dir)
	noted(t, d, "single partitions (sda2)")
	noted(t, d, "nothing for partition sda1")

	// What is in it is not what the name says: an image that was encrypted, or damaged at its beginning.
	c = z.copyTo(t)
	volumetest.Run(t, "sh", "-ec", "cd "+c.dir+
		"; dd if=/dev/urandom of=sda2.ext4-ptcl-img.uncomp.aaa bs=1k count=1 conv=notrunc status=none")
	c.refused("damaged or encrypted")

	// Images by dd are as long as their partition.
	c = z.copyTo(t)
	volumetest.Run(t, "sh", "-ec", "rm "+c.dir+"/sda1.ext4*")
	c.cut("sda1.dd-img.aa", 2048, 16384)
	c.sameDisk()
	c.cut("sda1.dd-img.aa", 2048, 16000)
	c.refused("it was cut")
	c.file("sda1.ntfs-img", "x")
	c.refused("several images")

	for name, want := range map[string]string{"luks-dev.list": "LUKS volumes", "mdadm.conf": "md sets",
		"ecryptfs.info": "encrypted"} {
		c := z.copyTo(t)
		c.file(name, "/dev/sda1 x y\n")
		c.refused(want)
	}
	c = z.copyTo(t)
	c.file("disk", "sda sdb\n")
	c.refused("it holds the disks sda sdb")
	c.file("disk", "sda\n")
	c.file("parts", "sda1 sda2 sdb1\n")
	c.refused("names sdb1")
	c.file(brokenMark, "no space left\n")
	c.refused("no space left")
	c.remove(brokenMark, "disk", "parts")
	c.refused("did not finish it")
	if _, err := Open(filepath.Dir(z.dir)); !errors.Is(err, ErrFormat) ||
		!strings.Contains(err.Error(), "give one of them") {
		t.Errorf("the directory above: %v", err)
	}
}

// TestClonezillaDD reads what partclone.dd saves, which is plain data in spite of its name.
func TestClonezillaDD(t *testing.T) {
	t.Parallel()
	need.Tools(t, "partclone.dd")
	z := newZilla(t, 12*mib, "label: dos\n2048,16384,83,*\n")
	z.ext4("sda1", 2048, 8, "none")
	z.cut("sda-mbr", 0, 1)
	z.cut("sda-hidden-data-after-mbr", 1, 2047)
	z.file("parts", "sda1\n")
	part := filepath.Join(volumetest.Dir(t), "part")
	volumetest.Run(t, "dd", "if="+z.disk, "of="+part, "bs=512", "skip=2048", "count=16384", "status=none")
	volumetest.Run(t, "partclone.dd", "-s", part, "-o", filepath.Join(z.dir, "sda1.dd-ptcl-img.uncomp"), "-L", part+
		".log")
	z.sameDisk()
}

func FuzzGPTCopy(f *testing.F) {
	f.Add(make([]byte, 2048), int64(512), int64(-1))
	f.Fuzz(func(t *testing.T, p []byte, header, entries int64) {
		g, ok := gptAt(p, header, entries, 512)
		if !ok {
			return
		}
		if g.twin(5); len(g.entries) > gptMaxEntries {
			t.Fatal(len(g.entries))
		}
	})
}
