package vm

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"
)

// GUIDs as they are stored, their first three fields with the low byte first: of UEFI 2.10 (8.2 and 32.4) and of EDK II
// (VariableFormat.h).
var (
	globalVariable = guid("61dfe48bca93d211aa0d00e098032b8c")
	imageSecurity  = guid("cbb219d73a3d9645a3bcdad00e67656f")
	certX509       = guid("a159c0a5e494a74a87b5ab155c2bf072")
	authenticated  = guid("782cf3aa7b949a43a1802e144ec37792")
	siteOwner      = guid("d15cca57000000408000000000000001") // whoever enrolled the key
)

func guid(digits string) []byte {
	b, err := hex.DecodeString(digits)
	if err != nil {
		panic(err)
	}
	return b
}

// keyAttributes: kept, seen by boot and run time, written with a time and a signature.
const keyAttributes = 0x27

// Enroll returns OVMF's variables with a certificate (DER) as platform key, key exchange key and the only key of db, in
// Microsoft's place: Secure Boot is on, and only what the certificate's key signed starts. vars is a file without
// variables, as OVMF_VARS_4M.fd.
func Enroll(vars, certificate []byte) ([]byte, error) {
	le := binary.LittleEndian
	// One list with one certificate (UEFI 2.10, 32.4.1).
	list := append(slices.Clip(certX509), le.AppendUint32(nil, uint32(28+16+len(certificate)))...)
	list = le.AppendUint32(append(list, 0, 0, 0, 0), uint32(16+len(certificate)))
	list = append(append(list, siteOwner...), certificate...)
	return fill(vars, variable("db", imageSecurity, keyAttributes, list),
		variable("KEK", globalVariable, keyAttributes, list), variable("PK", globalVariable, keyAttributes, list))
}

// vlanConfig is the vendor of the variables of UEFI 2.10, 27.1 in EDK II (MnpDxe), plainAttributes what they have:
// kept, and seen by boot services.
var vlanConfig = guid("68d7239ef3d26643" + "9fc33a7aba864374")

const plainAttributes = 0x03

// Tag returns OVMF's variables as the setup leaves them that has the NICs send and take a VLAN's packets alone. vars is
// a file without variables.
func Tag(vars []byte, id int, macs ...string) ([]byte, error) {
	var records [][]byte
	for _, mac := range macs {
		name := strings.ToUpper(strings.ReplaceAll(mac, ":", ""))
		records = append(records, variable(name, vlanConfig, plainAttributes,
			binary.LittleEndian.AppendUint16(nil, uint16(id))))
	}
	return fill(vars, records...)
}

// fill writes variables into a store that has none.
func fill(vars []byte, records ...[]byte) ([]byte, error) {
	out := bytes.Clone(vars)
	le := binary.LittleEndian
	if len(out) < 0x48 || string(out[0x28:0x2c]) != "_FVH" {
		return nil, errors.New("these are no variables of OVMF: no firmware volume")
	}
	at := int(le.Uint16(out[0x30:]))
	const header = 28
	if len(out) < at+header || !bytes.Equal(out[at:at+16], authenticated) {
		return nil, errors.New("these are no variables of OVMF: no store of authenticated variables")
	}
	end := at + int(le.Uint32(out[at+16:]))
	at += header
	for i, record := range records {
		if end > len(out) || at+len(record) > end {
			return nil, fmt.Errorf("no room for variable %d", i)
		}
		if !bytes.Equal(out[at:at+2], []byte{0xff, 0xff}) {
			return nil, errors.New("there are variables already")
		}
		copy(out[at:], record)
		at += (len(record) + 3) / 4 * 4
	}
	return out, nil
}

// variable is one variable as EDK II stores it (AUTHENTICATED_VARIABLE_HEADER), written and not deleted.
func variable(name string, vendor []byte, attributes uint32, data []byte) []byte {
	le := binary.LittleEndian
	text := []byte{}
	for _, c := range utf16.Encode([]rune(name + "\x00")) {
		text = le.AppendUint16(text, c)
	}
	b := []byte{0xaa, 0x55, 0x3f, 0}
	b = le.AppendUint32(b, attributes)
	b = le.AppendUint64(b, 0)                                                      // count
	b = append(le.AppendUint16(b, 2026), 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0) // EFI_TIME
	b = le.AppendUint32(b, 0)                                                      // index of a public key
	b = le.AppendUint32(b, uint32(len(text)))
	b = le.AppendUint32(b, uint32(len(data)))
	return append(append(append(b, vendor...), text...), data...)
}
