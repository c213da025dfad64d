package osimage

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"
)

// smallLayout of a given number: GUIDs differ between variants, so that two small disks are never mixed up.
func smallLayout(n int) layout {
	return layout{
		esp: 34 * mib, root: 64 * mib, swap: 8 * mib,
		diskGUID: fmt.Sprintf("5A11D15C-0000-4000-8000-%012d", n),
		espGUID:  fmt.Sprintf("5A11D15C-0001-4000-8000-%012d", n),
		rootGUID: fmt.Sprintf("5A11D15C-0002-4000-8000-%012d", n),
		swapGUID: fmt.Sprintf("5a11d15c-0003-4000-8000-%012d", n),
		rootUUID: fmt.Sprintf("5a11d15c-0004-4000-8000-%012d", n),
		espID:    fmt.Sprintf("5a11%04d", n),
	}
}

// Marker is a text that every small image's root holds many times, so that a capture of the wire can be searched for
// it.
const Marker = "diskcast plaintext marker: whoever reads this on the wire holds the image"

// Small returns a disk of 108 MiB (ESP, ext4, swap), with some 45 MiB of files in it that do not compress, and some
// that do. Variants have different contents.
func Small(ctx context.Context, cache string, variant int, log logWriter) (*Image, error) {
	l := smallLayout(variant)
	name := "small-" + key("3", l.script(), Marker)
	return cached(ctx, cache, name, func(ctx context.Context, dir string) (meta, error) {
		if err := plant(filepath.Join(dir, "root"), filepath.Join(dir, "esp"), variant); err != nil {
			return meta{}, err
		}
		return meta{RootUUID: l.rootUUID}, finish(ctx, dir, l, log)
	})
}

// plant grows a tree with what file systems treat differently: big and tiny files, sparse files, deep and wide
// directories, long names, links, files that compress and files that do not.
func plant(root, esp string, variant int) error {
	src := rand.NewChaCha8([32]byte{byte(variant), 'd', 'c'})
	rng := rand.New(src)
	g := &gardener{src: src, at: time.Date(2024, 5, 17, 12, 0, 0, 0, time.UTC)}

	for i := range 8 { // 36 MiB that no compressor shortens
		g.random(filepath.Join(root, "big", fmt.Sprintf("random-%d", i)), 4608<<10)
	}
	for i := range 600 {
		g.random(filepath.Join(root, "tiny", fmt.Sprintf("%02d", i%20), fmt.Sprintf("file-%d", i)), rng.IntN(9000))
	}
	deep := filepath.Join(root, "deep")
	for i := range 20 {
		deep = filepath.Join(deep, fmt.Sprintf("level-%d", i))
	}
	g.random(filepath.Join(deep, "bottom"), 5000)
	long := make([]byte, 0, 250)
	for len(long) < 250 {
		long = append(long, "long-name-"...)
	}
	g.random(filepath.Join(root, string(long)), 1)
	g.repeat(filepath.Join(root, "text", "marker.txt"), Marker+"\n", 4<<20)
	g.random(filepath.Join(root, "empty"), 0)
	g.sparse(filepath.Join(root, "sparse"), 20<<20, 3)
	g.link(filepath.Join(root, "link"), "text/marker.txt")
	g.hard(filepath.Join(root, "text", "marker.txt"), filepath.Join(root, "hard"))

	g.repeat(filepath.Join(esp, "EFI", "BOOT", "README.TXT"), fmt.Sprintf("small image %d\n", variant), 64<<10)
	g.random(filepath.Join(esp, "EFI", "BOOT", "random.bin"), 300<<10)
	g.random(filepath.Join(esp, "a name that needs VFAT entries.bin"), 12345)
	return g.err
}

// gardener writes files and keeps the first error.
type gardener struct {
	src *rand.ChaCha8
	at  time.Time
	err error
}

func (g *gardener) write(path string, data []byte) {
	if g.err != nil {
		return
	}
	if g.err = os.MkdirAll(filepath.Dir(path), 0o755); g.err != nil {
		return
	}
	if g.err = os.WriteFile(path, data, 0o644); g.err != nil {
		return
	}
	g.err = os.Chtimes(path, g.at, g.at)
}

func (g *gardener) random(path string, n int) {
	b := make([]byte, n)
	_, _ = g.src.Read(b) // never fails
	g.write(path, b)
}

func (g *gardener) repeat(path, text string, n int) {
	b := make([]byte, 0, n+len(text))
	for len(b) < n {
		b = append(b, text...)
	}
	g.write(path, b)
}

// sparse writes a file of holes with a few islands of data.
func (g *gardener) sparse(path string, size int64, islands int) {
	g.write(path, nil)
	if g.err != nil {
		return
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		g.err = err
		return
	}
	defer f.Close()
	b := make([]byte, 8192)
	for i := range islands {
		_, _ = g.src.Read(b)
		if _, err := f.WriteAt(b, size/int64(islands)*int64(i)); err != nil {
			g.err = err
			return
		}
	}
	g.err = f.Truncate(size)
}

func (g *gardener) link(path, target string) {
	if g.err == nil {
		g.err = os.Symlink(target, path)
	}
}

func (g *gardener) hard(old, path string) {
	if g.err == nil {
		g.err = os.Link(old, path)
	}
}
