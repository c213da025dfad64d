package pack

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/sassoftware/go-rpmutils"
)

// payloadHashes are the digests of an RPM's payload, by their numbers in PAYLOADDIGESTALGO (RFC 9580, 9.5).
var payloadHashes = map[int]struct {
	name string
	make func() hash.Hash
}{8: {"SHA-256", sha256.New}, 9: {"SHA-384", sha512.New384}, 10: {"SHA-512", sha512.New}}

// checkPayload holds the payload, from behind the headers to the file's end, against the header's digest: zstd as
// rpmbuild has it carries no checksum of its own. The reader is left where it was.
func checkPayload(f io.ReadSeeker, at places, h *rpmutils.RpmHeader) error {
	d, err := digestOf(h, at)
	if err != nil {
		return err
	}
	before, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	if _, err := f.Seek(d.from, io.SeekStart); err != nil {
		return err
	}
	if _, err := io.Copy(d.sum, f); err != nil {
		return err
	}
	if got := d.sum.Sum(nil); !bytes.Equal(got, d.want) {
		return fmt.Errorf("the payload is not what the header says (%s %x, the header says %x): the package is "+
			"damaged; fetch it again", d.name, got, d.want)
	}
	_, err = f.Seek(before, io.SeekStart)
	return err
}

// digest is what all bytes of an RPM behind a place are held against.
type digest struct {
	name string
	sum  hash.Hash
	want []byte
	from int64
}

// digestOf is the header's digest of the payload, or in an RPM from before rpm 4.14 the MD5 of header and payload. One
// that has neither, or one of a kind that is not known, is refused, as rpm does.
func digestOf(h *rpmutils.RpmHeader, at places) (d digest, err error) {
	if h.HasTag(rpmutils.PAYLOADDIGEST) {
		kind := 8 // rpm 6 has the number in the tag's name, PAYLOADSHA256
		if h.HasTag(rpmutils.PAYLOADDIGESTALGO) {
			if kind, err = h.GetInt(rpmutils.PAYLOADDIGESTALGO); err != nil {
				return d, fmt.Errorf("the kind of its payload's digest: %w", err)
			}
		}
		text, err := h.GetString(rpmutils.PAYLOADDIGEST)
		if err != nil {
			return d, fmt.Errorf("its payload's digest: %w", err)
		}
		if known, ok := payloadHashes[kind]; ok {
			want, err := hex.DecodeString(text)
			if err != nil {
				return d, fmt.Errorf("its payload's digest: %w", err)
			}
			return digest{known.name, known.make(), want, at.payload}, nil
		}
	}
	if h.HasTag(rpmutils.SIG_MD5) {
		want, err := h.GetBytes(rpmutils.SIG_MD5)
		if err != nil {
			return d, fmt.Errorf("the MD5 of its header and payload: %w", err)
		}
		return digest{"MD5", md5.New(), want, at.header}, nil
	}
	return d, errors.New("nothing in it says what its payload must be (no digest of a kind that mkimage knows), so " +
		"that damage would not be seen: fetch it from its distribution, or build it anew with rpm 4.14 or later")
}
