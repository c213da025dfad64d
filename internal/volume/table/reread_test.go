package table

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

func TestRereadAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		answers []error
		want    error
	}{
		"at once":       {[]error{nil}, nil},
		"no partitions": {[]error{unix.EINVAL}, nil},
		"busy":          {[]error{unix.EBUSY, unix.EBUSY, unix.EBUSY, nil}, nil},
		"gone":          {[]error{unix.EBUSY, unix.ENXIO}, unix.ENXIO},
	} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			err := reread(t.Context(), "disk", time.Millisecond, func() error {
				asked++
				return c.answers[asked-1]
			})
			if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) || asked != len(c.answers) {
				t.Errorf("%v after %d answers", err, asked)
			}
		})
	}
	// It gives up with the context, and says what the matter was.
	ctx, stop := context.WithCancel(t.Context())
	asked := 0
	err := reread(ctx, "disk", time.Millisecond, func() error {
		if asked++; asked == 5 {
			stop()
		}
		return unix.EBUSY
	})
	if !errors.Is(err, unix.EBUSY) || asked < 5 ||
		!strings.Contains(err.Error(),
			"disk: the kernel does not read the partition table again, something holds the disk") {
		t.Errorf("%v after %d times", err, asked)
	}
}

// TestRereadBusy has the kernel itself refuse, because a partition is open, and then not any more.
func TestRereadBusy(t *testing.T) {
	need.Root(t)
	need.Tools(t, "losetup", "addpart", "delpart")
	dev, _ := volumetest.Loop(t, volumetest.Sparse(t, 64<<20), 512, "--partscan")
	volumetest.Run(t, "addpart", dev, "2", "2048", "16384")
	t.Cleanup(func() { exec.Command("delpart", dev, "2").Run() }) // the kernel has forgotten it when all went well
	partition, err := os.Open(dev + "p2")
	if err != nil {
		t.Fatal(err)
	}
	defer partition.Close()
	disk, _ := volumetest.Open(t, dev)
	asked := 0
	err = reread(t.Context(), dev, time.Millisecond, func() error {
		err := unix.IoctlSetInt(int(disk.Fd()), unix.BLKRRPART, 0)
		if asked++; asked == 3 {
			if !errors.Is(err, unix.EBUSY) {
				t.Errorf("while a partition is open: %v", err)
			}
			partition.Close()
		}
		return err
	})
	if err != nil || asked < 4 {
		t.Errorf("%v after %d times", err, asked)
	}
	if _, err := os.Stat("/sys/class/block/" + dev[len("/dev/"):] + "p2"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a disk without a table has a partition: %v", err)
	}
	if err := Reread(t.Context(), disk); err != nil {
		t.Error(err)
	}
}
