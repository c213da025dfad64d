package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/testenv/proc"
)

// optimized compresses the default level's image again, in a store of its own, as `diskcast image optimize` does, and
// restores from it. It takes minutes of all processors, so it is measured once, and last, where it disturbs no other
// row.
func (b *suite) optimized() error {
	const step1, step2, who = "optimize", "restore optimized", "diskcast"
	if !b.wants(step1, who) && !b.wants(step2, who) {
		return nil
	}
	if err := b.remove("again", "old", "target", "store-optimized"); err != nil {
		return err
	}
	target, store := b.path("target"), b.path("store-optimized")
	if err := proc.Run(b.ctx, nil, os.Args[0], "child", "capture", store, "disk", "default", b.source); err != nil {
		return err
	}
	if row := b.report.Find("capture", checked); row != nil {
		b.zstdSize = row.Bytes
	} else if err := b.sizeChecked(); err != nil {
		return err
	}
	err := b.measure(step{kind: step1, who: who, child: []string{"optimize", store, "disk"}, once: true, aloud: true,
		note: "one run, at the lowest priority; CPU and memory with those of its zstd programs"})
	if err != nil || b.report.Find(step1, who) == nil {
		return err
	}
	return b.measure(step{kind: step2, who: who, child: []string{"restore", store, "disk", target},
		before: func() error { return b.fresh(target) },
		after: func() error {
			return errFirst(proc.Run(b.ctx, nil, "e2fsck", "-fn", target), b.sameAsSource(target))
		},
		note: "every byte hashed; compared with the disk by partclone"})
}

// sizeChecked finds how large the rival's capture is where -only left it out.
func (b *suite) sizeChecked() error {
	out := b.path(rivals[0].file)
	defer os.Remove(out)
	err := proc.Run(b.ctx, nil, "sh", "-c", rivals[0].capture(b.source, out))
	b.zstdSize = fileSize(out)
	return err
}

// sameAsSource has partclone read the used blocks of the restored and of the captured file system, and compares what it
// says.
func (b *suite) sameAsSource(target string) error {
	read := func(path string) (*exec.Cmd, *bufio.Reader, error) {
		cmd := exec.CommandContext(b.ctx, "partclone.ext4", "-c", "-a0", "-s", path, "-o", "-", "-L", "/dev/null")
		out, err := cmd.StdoutPipe()
		if err != nil {
			return nil, nil, err
		}
		return cmd, bufio.NewReaderSize(out, 1<<20), cmd.Start()
	}
	one, want, err := read(b.source)
	if err != nil {
		return err
	}
	defer func() { _ = one.Process.Kill(); _ = one.Wait() }()
	two, got, err := read(target)
	if err != nil {
		return err
	}
	defer func() { _ = two.Process.Kill(); _ = two.Wait() }()
	n, err := compare(want, got)
	switch {
	case err != nil:
		return fmt.Errorf("%s is not the captured disk: %w", target, err)
	case n < b.used:
		return fmt.Errorf("partclone read only %d of %d bytes of %s", n, b.used, b.source)
	}
	return nil
}

// compare reads both to their ends and returns how many bytes they have in common; the error says where they differ.
func compare(a, b io.Reader) (n int64, err error) {
	p, q := make([]byte, 256<<10), make([]byte, 256<<10)
	for {
		i, err := io.ReadFull(a, p)
		j, err2 := io.ReadFull(b, q)
		if !bytes.Equal(p[:i], q[:j]) {
			return n, fmt.Errorf("the %d bytes from byte %d on differ", max(i, j), n)
		}
		n += int64(i)
		switch {
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return n, nil // b has as many bytes
		case err != nil || err2 != nil:
			return n, errors.Join(err, err2)
		}
	}
}

// tell prints every twentieth of the way.
func tell(out io.Writer) image.Progress {
	start, said := time.Now(), int64(0)
	return func(done, total int64) {
		if share := done * 20 / max(total, 1); share > said {
			said = share
			fmt.Fprintf(out, "%d %% after %v\n", share*5, time.Since(start).Round(time.Second))
		}
	}
}
