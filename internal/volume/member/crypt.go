package member

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/diskcast/diskcast/internal/volume/field"
)

const cipher = "What is used in it cannot be told, and it hardly compresses."

func luks(r io.ReaderAt, size int64) (*Found, error) {
	p, err := peek(r, size, 0, 512)
	if p == nil || err != nil || string(p[:6]) != "LUKS\xba\xbe" {
		return nil, err
	}
	f := &Found{Type: "crypto_LUKS", UUID: field.Text(p[168:208])}
	version := binary.BigEndian.Uint16(p[6:])
	f.What = fmt.Sprintf("encrypted (LUKS%d)", version)
	if version == 2 {
		f.Label = field.Text(p[24:72])
	}
	f.Advice = cipher + " Every machine restored from it has the same key."
	return f, nil
}

// goGUID marks a BitLocker To Go volume, which carries a FAT boot sector for machines that do not know it.
var goGUID = "\x3b\xd6\x67\x49\x29\x2e\xd8\x4a\x83\x99\xf6\xa3\x39\xe3\xd0\x01"

func bitLocker(r io.ReaderAt, size int64) (*Found, error) {
	p, err := peek(r, size, 0, 512)
	if p == nil || err != nil {
		return nil, err
	}
	if string(p[3:11]) != "-FVE-FS-" && (string(p[3:11]) != "MSWIN4.1" || string(p[424:440]) != goGUID) {
		return nil, nil
	}
	return &Found{Type: "BitLocker", What: "encrypted (BitLocker)", Advice: cipher +
		" Suspending BitLocker does not change that; decrypting the drive in Windows does."}, nil
}
