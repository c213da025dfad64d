package luks

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
)

// metadata is what is read of LUKS2's JSON (the specification's chapter 3). Large numbers are words there.
type metadata struct {
	Keyslots map[string]struct {
		Type     string `json:"type"`
		KeySize  int    `json:"key_size"`
		Priority *int   `json:"priority"` // 0: only who asks for this slot tries it
		AF       struct {
			Type    string `json:"type"`
			Stripes int    `json:"stripes"`
			Hash    string `json:"hash"`
		} `json:"af"`
		Area struct {
			Type       string `json:"type"`
			Offset     string `json:"offset"`
			Size       string `json:"size"`
			Encryption string `json:"encryption"`
			KeySize    int    `json:"key_size"`
		} `json:"area"`
		KDF struct {
			Type       string `json:"type"`
			Hash       string `json:"hash"`
			Iterations uint32 `json:"iterations"`
			Time       uint32 `json:"time"`
			Memory     uint32 `json:"memory"`
			CPUs       uint8  `json:"cpus"`
			Salt       string `json:"salt"`
		} `json:"kdf"`
	} `json:"keyslots"`
	Segments map[string]struct {
		Type       string          `json:"type"`
		Offset     string          `json:"offset"`
		Size       string          `json:"size"`
		Tweak      string          `json:"iv_tweak"`
		Encryption string          `json:"encryption"`
		SectorSize int             `json:"sector_size"`
		Integrity  json.RawMessage `json:"integrity"`
	} `json:"segments"`
	Digests map[string]struct {
		Type       string   `json:"type"`
		Keyslots   []string `json:"keyslots"`
		Segments   []string `json:"segments"`
		Hash       string   `json:"hash"`
		Iterations uint32   `json:"iterations"`
		Salt       string   `json:"salt"`
		Digest     string   `json:"digest"`
	} `json:"digests"`
	Config struct {
		Requirements struct {
			Mandatory []string `json:"mandatory"`
		} `json:"requirements"`
	} `json:"config"`
}

// readTwo reads a header of LUKS2 by its first copy. That copy must be whole, and the second one not newer: which of
// two that differ is taken, cryptsetup and GRUB decide when they see them.
func readTwo(r io.ReaderAt, size int64) (*Header, error) {
	be := binary.BigEndian
	const binaryPart, sumAt, sumSize = 4096, 448, 64 // bytes
	b := make([]byte, binaryPart)
	if _, err := r.ReadAt(b, 0); err != nil {
		return nil, err
	}
	length := be.Uint64(b[8:])
	if length <= binaryPart || length > maxMetadata || length > uint64(size) || length%binaryPart != 0 {
		return nil, fmt.Errorf("its metadata have %d bytes", length)
	}
	if at := be.Uint64(b[256:]); at != 0 {
		return nil, fmt.Errorf("it says that it begins at byte %d", at)
	}
	all := make([]byte, length)
	if _, err := r.ReadAt(all, 0); err != nil {
		return nil, err
	}
	sum := bytes.Clone(all[sumAt : sumAt+sumSize])
	clear(all[sumAt : sumAt+sumSize])
	newHash, err := hashOf(text(b[72:104]))
	if err != nil {
		return nil, err
	}
	hash := newHash()
	hash.Write(all)
	if got := hash.Sum(nil); !bytes.Equal(got, sum[:len(got)]) {
		return nil, errors.New("the checksum of its first copy is wrong: cryptsetup repair mends it from the second")
	}
	second := make([]byte, 32)
	if n, _ := r.ReadAt(second, int64(length)); n == len(second) && string(second[:6]) == magicSecond &&
		be.Uint64(second[16:]) > be.Uint64(b[16:]) {
		return nil, errors.New("its second copy is newer than its first")
	}
	words, _, _ := bytes.Cut(all[binaryPart:], []byte{0})
	return readMetadata(words, text(b[168:208]), size)
}

func readMetadata(b []byte, uuid string, size int64) (*Header, error) {
	var m metadata
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("its metadata are not understood: %w", err)
	}
	return m.header(uuid, size)
}

func (m *metadata) header(uuid string, size int64) (*Header, error) {
	h := &Header{Version: 2, UUID: uuid}
	if len(m.Keyslots) > maxSlots || len(m.Digests) > maxSlots {
		return nil, fmt.Errorf("it has %d key slots and %d digests", len(m.Keyslots), len(m.Digests))
	}
	if must := m.Config.Requirements.Mandatory; len(must) > 0 {
		return nil, fmt.Errorf("it wants more than is known here: %.60q", must[0])
	}
	if err := m.segment(h, size); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(m.Keyslots)) {
		k := m.Keyslots[name]
		if k.Priority != nil && *k.Priority == 0 {
			continue
		}
		n, err := strconv.Atoi(name)
		if err != nil || k.Type != "luks2" || k.AF.Type != "luks1" || k.Area.Type != "raw" {
			return nil, fmt.Errorf("key slot %.20q is of a kind that is not known, or it is being encrypted anew", name)
		}
		at, err1 := strconv.ParseInt(k.Area.Offset, 10, 64)
		length, err2 := strconv.ParseInt(k.Area.Size, 10, 64)
		salt, err3 := decode(k.KDF.Salt)
		if err := errors.Join(err1, err2, err3); err != nil {
			return nil, fmt.Errorf("key slot %d is not understood: %w", n, err)
		}
		s := slot{number: n, cipher: k.Area.Encryption, areaKey: k.Area.KeySize, key: k.KeySize, stripes: k.AF.Stripes,
			hash: k.AF.Hash, area: span{at, length}, kdf: kdf{kind: k.KDF.Type, hash: k.KDF.Hash,
				iterations: k.KDF.Iterations, memory: k.KDF.Memory, lanes: k.KDF.CPUs, salt: salt}}
		if s.kdf.kind != pbkdf2Kind {
			s.kdf.iterations = k.KDF.Time
		}
		h.slots = append(h.slots, s)
	}
	slices.SortFunc(h.slots, func(a, b slot) int { return a.number - b.number })
	for _, name := range slices.Sorted(maps.Keys(m.Digests)) {
		d := m.Digests[name]
		if !slices.Contains(d.Segments, h.data.name) {
			continue // a key that is no longer used, or of something else
		}
		salt, err1 := decode(d.Salt)
		sum, err2 := decode(d.Digest)
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("digest %.20q is not understood: %w", name, err)
		}
		of := map[int]bool{}
		for _, s := range d.Keyslots {
			if n, err := strconv.Atoi(s); err == nil {
				of[n] = true
			}
		}
		h.digests = append(h.digests, digest{slots: of, sum: sum,
			kdf: kdf{kind: d.Type, hash: d.Hash, iterations: d.Iterations, salt: salt}})
	}
	return h, nil
}

// segment reads where the data are, which must be one run of one cipher.
func (m *metadata) segment(h *Header, size int64) error {
	if len(m.Segments) != 1 {
		return fmt.Errorf("its data are in %d parts: it is being encrypted anew, or is something new", len(m.Segments))
	}
	for name, s := range m.Segments {
		if s.Type != "crypt" || len(s.Integrity) > 0 {
			return fmt.Errorf("its data are of the kind %.20q, or have integrity, which is not read here", s.Type)
		}
		at, err1 := strconv.ParseInt(s.Offset, 10, 64)
		tweak, err2 := strconv.ParseUint(s.Tweak, 10, 64)
		if err := errors.Join(err1, err2); err != nil {
			return fmt.Errorf("where its data are is not understood: %w", err)
		}
		if at == 0 {
			return errors.New("its header is detached from its data")
		}
		length := size - at
		if s.Size != "dynamic" {
			var err error
			if length, err = strconv.ParseInt(s.Size, 10, 64); err != nil {
				return fmt.Errorf("where its data are is not understood: %w", err)
			}
		}
		if s.SectorSize > 0 {
			length -= length % int64(s.SectorSize)
		}
		h.data = segment{span: span{at, length}, cipher: s.Encryption, sector: s.SectorSize, tweak: tweak, name: name}
	}
	return nil
}

func decode(word string) ([]byte, error) {
	if len(word) > 2*maxSalt {
		return nil, errors.New("a salt or digest is too long")
	}
	return base64.StdEncoding.DecodeString(word)
}
