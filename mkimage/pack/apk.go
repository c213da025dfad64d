package pack

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/diskcast/diskcast/mkimage/records"
)

// checkData holds an Alpine package's data, which is the file from behind the gzip stream with .PKGINFO on, against the
// SHA-256 that is in there (datahash). A package without it, or whose beginning cannot be read, is not looked at here.
// The reader is left at the file's beginning.
func checkData(f io.ReadSeeker) error {
	in := &byByte{r: bufio.NewReaderSize(f, 1<<16)}
	sum, err := dataHash(in)
	if err == nil && sum != nil {
		err = hold(f, in.at, sum)
	}
	if err != nil {
		return err
	}
	_, err = f.Seek(0, io.SeekStart)
	return err
}

func hold(f io.ReadSeeker, from int64, want []byte) error {
	if _, err := f.Seek(from, io.SeekStart); err != nil {
		return err
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return err
	}
	if got := sum.Sum(nil); !bytes.Equal(got, want) {
		return fmt.Errorf("the data is not what .PKGINFO says (SHA-256 %x, which says %x): %s", got, want,
			records.Again)
	}
	return nil
}

// dataHash reads the streams up to the end of that with .PKGINFO.
func dataHash(in *byByte) ([]byte, error) {
	z, err := gzip.NewReader(in)
	for ; err == nil; err = z.Reset(in) {
		z.Multistream(false)
		stream := io.LimitReader(z, maxControl)
		t := tar.NewReader(stream)
		var h *tar.Header
		for h, err = t.Next(); err == nil && h.Name != ".PKGINFO"; {
			h, err = t.Next()
		}
		if errors.Is(err, io.EOF) { // a signature's archive
			if n, err := io.Copy(io.Discard, stream); err != nil || n == maxControl {
				return nil, nil
			}
			continue
		}
		if err != nil {
			return nil, nil
		}
		text, err := io.ReadAll(io.LimitReader(t, maxPkgInfo))
		if err != nil {
			return nil, fmt.Errorf(".PKGINFO: %w: %s", err, records.Again)
		}
		_, value, ok := strings.Cut("\n"+string(text), "\ndatahash = ")
		if !ok {
			return nil, nil
		}
		value, _, _ = strings.Cut(value, "\n")
		sum, err := hex.DecodeString(strings.TrimSpace(value))
		if err != nil {
			return nil, fmt.Errorf(".PKGINFO: datahash: %w: %s", err, records.Again)
		}
		if _, err := io.Copy(io.Discard, z); err != nil {
			return nil, fmt.Errorf("control: %w: %s", err, records.Again)
		}
		return sum, nil
	}
	return nil, nil
}

// maxControl bounds the stream with .PKGINFO and those before it, in bytes.
const maxControl = 64 << 20

// byByte has gzip read no further than its stream goes, and says where that is.
type byByte struct {
	r  *bufio.Reader
	at int64
}

func (b *byByte) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	b.at += int64(n)
	return n, err
}

func (b *byByte) ReadByte() (byte, error) {
	c, err := b.r.ReadByte()
	if err == nil {
		b.at++
	}
	return c, err
}
