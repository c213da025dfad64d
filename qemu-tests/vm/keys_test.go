package vm

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
)

// emptyVars has the headers of OVMF's variables and room for a few.
func emptyVars(room int) []byte {
	b := bytes.Repeat([]byte{0xff}, 0x48+28+room)
	copy(b[0x28:], "_FVH")
	binary.LittleEndian.PutUint16(b[0x30:], 0x48)
	copy(b[0x48:], authenticated)
	binary.LittleEndian.PutUint32(b[0x48+16:], uint32(28+room))
	return b
}

// TestEnroll: three variables of one certificate, one behind the other; TestOwnKey has OVMF read them.
func TestEnroll(t *testing.T) {
	vars := emptyVars(4096)
	cert := []byte("certificate")
	out, err := Enroll(vars, cert)
	if err != nil || len(out) != len(vars) || bytes.Count(out, cert) != 3 ||
		!bytes.Contains(out, []byte("P\x00K\x00\x00\x00")) {
		t.Errorf("%v, the certificate is there %d times", err, bytes.Count(out, cert))
	}
	if bytes.Contains(vars, cert) {
		t.Error("what was given is changed")
	}
	for name, c := range map[string]struct {
		vars []byte
		want string
	}{
		"nothing":      {nil, "no firmware volume"},
		"no store":     {append(bytes.Repeat([]byte{0}, 0x28), emptyVars(0)[0x28:0x48]...), "no store"},
		"no room":      {emptyVars(100), "no room for variable 0"},
		"enrolled":     {out, "variables already"},
		"a wrong size": {append([]byte{}, emptyVars(4096)[:300]...), "no room"},
	} {
		if _, err := Enroll(c.vars, cert); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
}
