package luks

import (
	"encoding/binary"
	"errors"
)

// readOne reads a header of LUKS1 (the specification's figures 2 and 4); its numbers have the high byte first.
func readOne(b []byte, size int64) (*Header, error) {
	be := binary.BigEndian
	const slots, active = 8, 0x00ac71f3
	cipher, hash := text(b[8:40])+"-"+text(b[40:72]), text(b[72:104])
	payload, key := int64(be.Uint32(b[104:]))*sector, be.Uint32(b[108:])
	if payload == 0 {
		return nil, errors.New("its header is detached from its data")
	}
	h := &Header{Version: 1, UUID: text(b[168:208]),
		data: segment{span: span{payload, (size - payload) &^ (sector - 1)}, cipher: cipher, sector: sector},
		digests: []digest{{sum: b[112:132],
			kdf: kdf{kind: pbkdf2Kind, hash: hash, salt: b[132:164], iterations: be.Uint32(b[164:])}}},
	}
	for i := range slots {
		s := b[208+48*i : 208+48*(i+1)]
		if be.Uint32(s) != active {
			continue
		}
		stripes := be.Uint32(s[44:])
		if key > maxKey || stripes > maxStripes {
			return nil, errors.New("its keys are too large")
		}
		h.slots = append(h.slots, slot{number: i, cipher: cipher, areaKey: int(key), key: int(key),
			stripes: int(stripes), hash: hash,
			area: span{int64(be.Uint32(s[40:])) * sector, (int64(key*stripes) + sector - 1) &^ (sector - 1)},
			kdf:  kdf{kind: pbkdf2Kind, hash: hash, iterations: be.Uint32(s[4:]), salt: s[8:40]}})
	}
	return h, nil
}
