package kernellog

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/plain"
)

// StoreDir is where the kernel shows what firmware or memory kept for it.
const StoreDir = "/sys/fs/pstore"

// Bounds of what is read there: records are of one to a hundred KiB, and firmware has room for some dozens.
const (
	maxPart  = 1 << 20
	maxFiles = 4096
)

// MountStore mounts pstore, where the kernel has it.
func MountStore() error {
	if _, err := os.Stat(StoreDir); err != nil {
		return nil // a kernel without it
	}
	err := unix.Mount("pstore", StoreDir, "pstore", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	if err != nil && !errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("mounting pstore: %w", err)
	}
	return nil
}

// Crash is the last words of a kernel that died.
type Crash struct {
	Why   string    // Panic, Oops, ...: the kernel's word
	When  time.Time // by the machine's clock of then
	Text  string    // harmless, the end of it at most
	files []string
	parts []part
}

// Panicked reports whether it was a crash, and no orderly end that somebody had recorded.
func (c *Crash) Panicked() bool { return c.Why == "Panic" || c.Why == "Oops" || c.Why == "Emergency" }

type part struct {
	number int
	text   string
}

// Crashes reads the records of dir, the newest crash first, and of each the last max bytes. unread are files that
// cannot be read, in words.
func Crashes(dir string, max int) (crashes []*Crash, unread []string) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, []string{err.Error()}
	}
	byName := map[string]*Crash{}
	for _, e := range entries[:min(len(entries), maxFiles)] {
		name := e.Name()
		if !strings.HasPrefix(name, "dmesg-") {
			continue
		}
		if strings.HasSuffix(name, ".enc.z") {
			unread = append(unread, name+": it is compressed in a way that this kernel cannot read")
			continue
		}
		path := filepath.Join(dir, name)
		text, when, err := readPart(path)
		if err != nil {
			unread = append(unread, err.Error())
			continue
		}
		why, count, number, body := split(text)
		backend := strings.TrimRight(strings.TrimPrefix(name, "dmesg-"), "0123456789")
		key := fmt.Sprint(backend, why, count, when.Unix())
		c := byName[key]
		if c == nil {
			c = &Crash{Why: why, When: when}
			byName[key] = c
			crashes = append(crashes, c)
		}
		c.files = append(c.files, path)
		c.parts = append(c.parts, part{number, body})
	}
	for _, c := range crashes {
		c.join(max)
	}
	slices.SortStableFunc(crashes, func(a, b *Crash) int { return b.When.Compare(a.When) })
	return crashes, unread
}

func readPart(path string) (text string, when time.Time, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", when, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return "", when, err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxPart))
	if err != nil {
		return "", when, err
	}
	return string(b), st.ModTime(), nil
}

// split reads a record's first line, "Panic#1 Part3" (pstore_dump of fs/pstore/platform.c). Part 1 is the log's end.
func split(text string) (why string, count, number int, body string) {
	head, body, ok := strings.Cut(text, "\n")
	why, rest, ok2 := strings.Cut(head, "#")
	n, p, ok3 := strings.Cut(rest, " Part")
	count, err := strconv.Atoi(n)
	number, err2 := strconv.Atoi(p)
	if !ok || !ok2 || !ok3 || err != nil || err2 != nil {
		return "unknown", 0, 0, text
	}
	return plain.Line(why, 40), count, number, body
}

// join puts the parts together, the oldest words first, and keeps the end.
func (c *Crash) join(max int) {
	slices.SortStableFunc(c.parts, func(a, b part) int { return cmp.Compare(b.number, a.number) })
	var all strings.Builder
	for _, p := range c.parts {
		all.WriteString(p.text)
		if !strings.HasSuffix(p.text, "\n") {
			all.WriteByte('\n')
		}
	}
	c.parts = nil
	text := plain.Text(strings.TrimSpace(all.String()))
	if len(text) > max {
		text = text[len(text)-max:]
		if _, whole, ok := strings.Cut(text, "\n"); ok { // it begins in the middle of a line
			text = whole
		}
		text = strings.ToValidUTF8(text, "")
	}
	c.Text = text
}

// Remove takes the crash out of the store: firmware has room for few, and an EFI variable store that is full keeps some
// machines from starting.
func (c *Crash) Remove() error {
	var errs []error
	for _, f := range c.files {
		if err := os.Remove(f); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
