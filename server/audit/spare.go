package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/diskcast/diskcast/internal/private"
	"github.com/diskcast/diskcast/server/doc"
)

// SpareFile is its name in the state directory.
const SpareFile = "audit.spare"

// Sizes of the spare file in bytes.
const (
	spareSize = 1 << 20
	lostSize  = 512 // at its end: how many entries are lost
)

var errSpareFull = errors.New("the spare file is full")

// spare is a file whose room was taken while there was some: entries that the store does not take because the disk is
// full are written over its zeros. It has a line of JSON for each, behind the SHA-256 of it, and ends with the first
// zero byte. A file system that writes nothing in place (btrfs, ZFS) may refuse that, as a broken disk does.
//
// A nil one has no room.
type spare struct {
	f  *os.File
	at int64
}

// spareLine is one line of the file.
type spareLine struct {
	Seq   uint64          `json:"seq"`
	Of    uint64          `json:"of,omitempty"`
	Lost  int             `json:"lost,omitempty"`
	Entry *doc.AuditEntry `json:"entry,omitempty"`
}

// openSpare opens or makes the file, and returns the lines that are in it. Lines that were damaged are counted as lost.
func openSpare(path string) (s *spare, lines []spareLine, lost int, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, private.FileMode)
	if err != nil {
		return nil, nil, 0, err
	}
	text, err := io.ReadAll(io.LimitReader(f, spareSize))
	if err == nil {
		lines, lost = readSpare(text)
		if len(text) < spareSize {
			// Zeros are written, and not only asked for: what is only set aside is written anew when it is used.
			_, err = f.WriteAt(make([]byte, spareSize-len(text)), int64(len(text)))
		}
	}
	s = &spare{f: f, at: int64(endOfSpare(text))}
	if err == nil && s.at > 0 && text[s.at-1] != '\n' { // one that was cut short; the next has its own line
		err = s.write([]byte("\n\x00"), s.at)
		s.at++
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return nil, lines, lost, errors.Join(err, f.Close())
	}
	return s, lines, lost, nil
}

func endOfSpare(text []byte) int {
	text = text[:min(len(text), spareSize-lostSize)]
	if i := bytes.IndexByte(text, 0); i >= 0 {
		return i
	}
	return len(text)
}

// readSpare reads the lines; of one that is damaged it is known that something was lost.
func readSpare(text []byte) (lines []spareLine, lost int) {
	body := text[:endOfSpare(text)]
	for len(body) > 0 {
		line, rest, _ := bytes.Cut(body, []byte("\n"))
		if x, ok := readSpareLine(line); ok && x.Entry != nil {
			lines = append(lines, x)
		} else {
			lost++
		}
		body = rest
	}
	if len(text) == spareSize {
		line, _, _ := bytes.Cut(text[spareSize-lostSize:], []byte("\n"))
		if x, ok := readSpareLine(line); ok && x.Lost > 0 {
			lines = append(lines, x)
		}
	}
	return lines, lost
}

func readSpareLine(line []byte) (x spareLine, ok bool) {
	sum, text, _ := bytes.Cut(line, []byte(" "))
	return x, string(sum) == sumOf(text) && json.Unmarshal(text, &x) == nil
}

func sumOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

func (x *spareLine) text() ([]byte, error) {
	text, err := json.Marshal(x)
	return fmt.Appendf(nil, "%s %s\n", sumOf(text), text), err
}

// add keeps an entry, durably.
func (s *spare) add(o *Owed) error {
	if s == nil {
		return errors.New("there is no spare file")
	}
	text, err := (&spareLine{Seq: o.seq, Of: o.of, Entry: &o.entry}).text()
	if err != nil {
		return err
	}
	if s.at+int64(len(text)) > spareSize-lostSize {
		return errSpareFull
	}
	if err := s.write(append(text, 0), s.at); err != nil {
		return err
	}
	s.at += int64(len(text))
	return nil
}

// lose keeps how many entries are lost, up to the one with the number.
func (s *spare) lose(seq uint64, n int) error {
	if s == nil {
		return errors.New("there is no spare file")
	}
	text, err := (&spareLine{Seq: seq, Lost: n}).text()
	if err != nil {
		return err
	}
	return s.write(text, spareSize-lostSize)
}

// clear lets go of what is stored elsewhere now.
func (s *spare) clear() error {
	if s == nil || s.at == 0 {
		return nil
	}
	s.at = 0
	return errors.Join(s.write([]byte{0}, 0), s.write([]byte{0}, spareSize-lostSize))
}

func (s *spare) close() {
	if s != nil {
		s.f.Close() // each write was made durable
	}
}

func (s *spare) write(b []byte, at int64) error {
	// A zero that ends what is there already must not be written behind the room for lines.
	if at < spareSize-lostSize {
		b = b[:min(int64(len(b)), spareSize-lostSize-at)]
	}
	if _, err := s.f.WriteAt(b, at); err != nil {
		return err
	}
	return s.f.Sync()
}
