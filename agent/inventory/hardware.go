package inventory

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/session"
)

// notAsked are buses whose devices are not listed: processors, whose aliases name each of their features (what matches
// is checksums and ciphers, which come along with what needs them), and the plugs of old keyboards and mice. Their
// drivers may come after the hello, and those of keyboards are in every archive.
var notAsked = []string{"cpu", "serio"}

// maxDevices bounds how many devices are looked at; a large server has some 1,500.
const maxDevices = 1 << 14

// Hardware lists the devices of all buses, with the driver that has each, and the firmware that was asked for; nil
// where there is nothing of it.
func (r *Reader) Hardware() *session.Hardware {
	h := &session.Hardware{Firmware: firmwareAsked(r.kernelLog())}
	looked := 0
	for _, bus := range r.names("sys/bus") {
		if slices.Contains(notAsked, bus) {
			continue
		}
		for _, name := range r.names("sys/bus/" + bus + "/devices") {
			if looked++; looked > maxDevices {
				h.More++
				continue
			}
			at := "sys/bus/" + bus + "/devices/" + name
			d := session.Device{Alias: r.line(at, "modalias"), Driver: r.link(at, "driver")}
			if d.Driver != "" {
				d.Module = r.link(at, "driver/module")
			}
			// Where a bus has no aliases, only a driver that came as a module tells something.
			if d.Alias != "" || d.Module != "" {
				h.Devices = append(h.Devices, d)
			}
		}
	}
	if len(h.Devices) == 0 {
		return nil
	}
	return h
}

// link is the last part of where a link leads; empty when there is none.
func (r *Reader) link(elem ...string) string {
	to, err := os.Readlink(r.path(elem...))
	if err != nil {
		return ""
	}
	return filepath.Base(to)
}

// maxKernelLog bounds the records of the kernel's log that are looked at; its buffer holds some 10,000.
const maxKernelLog = 1 << 15

// kernelLog reads the records that the kernel's log still has (Documentation/ABI/testing/dev-kmsg).
func (r *Reader) kernelLog() []string {
	fd, err := unix.Open(r.path("dev/kmsg"), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	var records []string
	buf := make([]byte, 8<<10) // a record that is longer is EINVAL, and passed over
	for range maxKernelLog {
		n, err := unix.Read(fd, buf)
		switch {
		case errors.Is(err, unix.EPIPE), errors.Is(err, unix.EINTR), errors.Is(err, unix.EINVAL):
			continue // records were overwritten meanwhile; the next read goes on behind them
		case err != nil || n <= 0:
			return records // EAGAIN: that was all
		}
		records = append(records, string(buf[:n]))
	}
	return records
}

// How kernels say what firmware a driver asked for: drivers/base/firmware_loader/main.c, and Debian's patch to it. One
// that loads without a word is not known by this.
var firmwareWords = []struct{ before, after string }{
	{": Direct firmware load for ", " failed with error "},
	{": firmware: failed to load ", " ("},
	{": firmware: direct-loading firmware ", "\n"},
}

// firmwareAsked finds the names of firmware in records of the kernel's log.
func firmwareAsked(records []string) []string {
	var names []string
	for _, record := range records {
		head, message, ok := strings.Cut(record, ";")
		// The facility is above three bits of priority, and the kernel's own is 0: programs write to this log too.
		if priority, _, _ := strings.Cut(head, ","); !ok || len(priority) != 1 || priority[0] > '7' {
			continue
		}
		for _, w := range firmwareWords {
			_, rest, said := strings.Cut(message, w.before)
			if !said {
				continue
			}
			name, _, ended := strings.Cut(rest, w.after)
			if ended && name != "" && !strings.ContainsAny(name, " \t\n") {
				names = append(names, name)
			}
		}
	}
	return names
}
