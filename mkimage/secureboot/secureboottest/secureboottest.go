// Package secureboottest makes signed UEFI programs for tests: headers, sections and certificates, and nothing that
// runs.
package secureboottest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"debug/elf"
	"encoding/asn1"
	"encoding/binary"
	"math/big"
	"testing"
	"time"
)

// Vendor is a distribution with a key of its own.
type Vendor struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewVendor makes the key.
func NewVendor(t testing.TB, name string) *Vendor {
	t.Helper()
	v := &Vendor{}
	v.cert, v.key = certificate(t, name, nil)
	return v
}

func certificate(t testing.TB, name string, by *Vendor) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotAfter: time.Now().Add(time.Hour)}
	parent, signer := c, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return c, key
}

// Shim is a shim that trusts the vendor, with a signature of somebody else's.
func Shim(t testing.TB, v *Vendor) []byte {
	t.Helper()
	table := le32(uint32(len(v.cert.Raw)), 0, 16, uint32(16+len(v.cert.Raw)))
	return Program(t, NewVendor(t, "Firmware CA"), "Firmware Signer",
		Section{".vendor_cert", append(table, v.cert.Raw...)})
}

// GRUB is a GRUB 2.06 with modules of these names.
func GRUB(t testing.TB, v *Vendor, modules ...string) []byte {
	t.Helper()
	return GRUBVersion(t, v, "2.06", modules...)
}

// GRUBVersion is another GRUB.
func GRUBVersion(t testing.TB, v *Vendor, version string, modules ...string) []byte {
	t.Helper()
	var objects []byte
	for _, name := range modules {
		m := module(name)
		objects = append(append(objects, le32(0, uint32(8+len(m)))...), m...)
	}
	objects = append(objects, append(le32(3, 16), "/grub\x00\x00\x00"...)...)
	head := append([]byte("mimg\x00\x00\x00\x00"), make([]byte, 16)...)
	binary.LittleEndian.PutUint64(head[8:], 24)
	binary.LittleEndian.PutUint64(head[16:], uint64(24+len(objects)))
	return Program(t, v, v.cert.Subject.CommonName+" Signer", Section{"mods", append(head, objects...)},
		Section{".sbat", []byte("sbat,1,SBAT Version,sbat,1,https://example.com\ngrub,5,FSF,grub," + version +
			",https://example.com\ngrub.debian,5,Debian,grub2,9-1,https://example.com\n")})
}

// Section of a program.
type Section struct {
	Name string
	Data []byte
}

// PE is a program without signature for a machine by its number in the header.
func PE(t testing.TB, machine uint16) []byte {
	t.Helper()
	b := Program(t, nil, "")
	binary.LittleEndian.PutUint16(b[0x44:], machine)
	return b
}

// Program is signed with a certificate that the vendor gave to the signer; without a vendor it is not signed.
func Program(t testing.TB, v *Vendor, signer string, sections ...Section) []byte {
	t.Helper()
	const headers = 0x400
	b := make([]byte, headers)
	copy(b, "MZ")
	binary.LittleEndian.PutUint32(b[0x3c:], 0x40)
	copy(b[0x40:], "PE\x00\x00")
	coff := b[0x44:]
	binary.LittleEndian.PutUint16(coff, 0x8664)
	binary.LittleEndian.PutUint16(coff[2:], uint16(len(sections)))
	binary.LittleEndian.PutUint16(coff[16:], 240)
	optional := coff[20:]
	binary.LittleEndian.PutUint16(optional, 0x20b)
	binary.LittleEndian.PutUint32(optional[108:], 16)
	end := headers
	for i, s := range sections {
		h := optional[240+40*i:]
		copy(h[:8], s.Name)
		if len(s.Name) > 8 { // in the string table, which has only this one
			copy(h[:8], "/4\x00\x00\x00\x00\x00\x00")
		}
		binary.LittleEndian.PutUint32(h[16:], uint32(len(s.Data)))
		binary.LittleEndian.PutUint32(h[20:], uint32(end))
		end += len(s.Data)
	}
	for _, s := range sections {
		b = append(b, s.Data...)
	}
	for _, s := range sections {
		if len(s.Name) > 8 {
			binary.LittleEndian.PutUint32(b[0x44+8:], uint32(len(b)))
			b = append(append(b, le32(uint32(4+len(s.Name)+1))...), s.Name+"\x00"...)
		}
	}
	if v == nil {
		return b
	}
	b = append(b, make([]byte, -len(b)&7)...)
	cert, _ := certificate(t, signer, v)
	der := pkcs7(t, cert)
	entry := append(le32(uint32(8+len(der))), 0, 2, 2, 0)
	entry = append(entry, der...)
	entry = append(entry, make([]byte, -len(entry)&7)...)
	security := b[0x44+20+112+8*4:]
	binary.LittleEndian.PutUint32(security, uint32(len(b)))
	binary.LittleEndian.PutUint32(security[4:], uint32(len(entry)))
	return append(b, entry...)
}

// pkcs7 is a signature without a signature: only the certificate is in it.
func pkcs7(t testing.TB, cert *x509.Certificate) []byte {
	t.Helper()
	raw := func(class, tag int, content []byte) asn1.RawValue {
		return asn1.RawValue{Class: class, Tag: tag, IsCompound: true, Bytes: content}
	}
	inner, err := asn1.Marshal([]any{1, raw(0, asn1.TagSet, nil), raw(0, asn1.TagSequence, nil), raw(2, 0, cert.Raw),
		raw(0, asn1.TagSet, nil)})
	if err == nil {
		inner, err = asn1.Marshal(struct {
			Type    asn1.ObjectIdentifier
			Content asn1.RawValue
		}{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}, raw(2, 0, inner)})
	}
	if err != nil {
		t.Fatal(err)
	}
	return inner
}

// module is an ELF file with a name in .modname.
func module(name string) []byte {
	const names = "\x00.modname\x00.shstrtab\x00"
	data := name + "\x00"
	var b bytes.Buffer
	h := elf.Header64{Type: 1, Machine: 62, Version: 1, Ehsize: 64, Shentsize: 64, Shnum: 3, Shstrndx: 2,
		Shoff: uint64(64 + len(names) + len(data))}
	copy(h.Ident[:], "\x7fELF\x02\x01\x01")
	sections := []elf.Section64{{}, {Name: 1, Type: 1, Off: uint64(64 + len(names)), Size: uint64(len(data))},
		{Name: 10, Type: 3, Off: 64, Size: uint64(len(names))}}
	for _, v := range []any{h, []byte(names), []byte(data), sections} {
		_ = binary.Write(&b, binary.LittleEndian, v) // a bytes.Buffer takes all
	}
	return b.Bytes()
}

func le32(v ...uint32) []byte {
	var b []byte
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, x)
	}
	return b
}
