package uki

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"debug/pe"
	"encoding/asn1"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// Signer signs UEFI programs.
type Signer struct {
	key  *rsa.PrivateKey
	cert *x509.Certificate
}

// leastBits is what firmware must take (UEFI 2.10, 32.4.1: EFI_CERT_RSA2048).
const leastBits = 2048

// Dated says why somebody may not take the certificate at a time; empty when nobody has reason not to.
func (s *Signer) Dated(now time.Time) string {
	const day = "2006-01-02"
	switch {
	case now.After(s.cert.NotAfter):
		return fmt.Sprintf("the certificate of %q ended on %s", s.cert.Subject.CommonName, s.cert.NotAfter.Format(day))
	case now.Before(s.cert.NotBefore):
		return fmt.Sprintf("the certificate of %q begins on %s only", s.cert.Subject.CommonName,
			s.cert.NotBefore.Format(day))
	}
	return ""
}

// NewSigner takes a key (PKCS #8 or PKCS #1) and its certificate, both in PEM; the certificate may be in DER. Only RSA:
// firmware need not know any other (UEFI 2.10, 32.2.4), and RSA's signatures are the same at each run.
func NewSigner(key, cert []byte) (*Signer, error) {
	block, _ := pem.Decode(key)
	if block == nil {
		return nil, errors.New("the key is not in PEM")
	}
	private, err := parseKey(block)
	if err != nil {
		return nil, err
	}
	der := cert
	if block, _ := pem.Decode(cert); block != nil {
		der = block.Bytes
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("the certificate: %w", err)
	}
	if bits := private.N.BitLen(); bits < leastBits {
		return nil, fmt.Errorf("the key has %d bits; firmware may take none below %d", bits, leastBits)
	}
	if !private.PublicKey.Equal(c.PublicKey) {
		return nil, fmt.Errorf("the certificate of %q is for another key", c.Subject.CommonName)
	}
	return &Signer{private, c}, nil
}

func parseKey(block *pem.Block) (*rsa.PrivateKey, error) {
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("the key, a PEM of type %q: it must be a private key without a password", block.Type)
	}
	private, ok := key.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("the key is a %T; firmware checks RSA alone", key)
	}
	return private, nil
}

// Object identifiers: PKCS #7 (RFC 2315), PKCS #9 (RFC 2985), and Microsoft's "Windows Authenticode Portable Executable
// Signature Format".
var (
	oidSignedData    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidContentType   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidMessageDigest = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidRSA           = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidSHA256        = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidIndirectData  = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 1, 4}
	oidPEImage       = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 1, 15}
)

type algorithm struct {
	ID   asn1.ObjectIdentifier
	Null asn1.RawValue
}

func newAlgorithm(id asn1.ObjectIdentifier) algorithm { return algorithm{id, asn1.NullRawValue} }

// indirectData is SpcIndirectDataContent: the digest of the program, and that it is of a program.
type indirectData struct {
	Data struct {
		Type  asn1.ObjectIdentifier
		Value struct {
			Flags asn1.BitString
			// File is SpcLink [0] with SpcString [2] with a BMPString [0]: "<<<Obsolete>>>", which all signers write.
			File asn1.RawValue
		}
	}
	Digest struct {
		Algorithm algorithm
		Digest    []byte
	}
}

type attribute struct {
	Type   asn1.ObjectIdentifier
	Values asn1.RawValue
}

type issuerAndSerial struct {
	Issuer asn1.RawValue
	Serial *big.Int
}

type signerInfo struct {
	Version    int
	Signer     issuerAndSerial
	Digest     algorithm
	Attributes asn1.RawValue
	Encryption algorithm
	Signature  []byte
}

type contentInfo struct {
	Type    asn1.ObjectIdentifier
	Content asn1.RawValue
}

type signedData struct {
	Version      int
	Digests      []algorithm `asn1:"set"`
	Content      contentInfo
	Certificates asn1.RawValue
	Signers      []signerInfo `asn1:"set"`
}

// Sign returns the program with a signature behind it. A program that is signed already is refused. There is no time in
// the signature: firmware does not look at it, and the same program gives the same bytes.
func (s *Signer) Sign(program []byte) ([]byte, error) {
	program = pad(bytes.Clone(program), 8)
	digest, directory, err := authenticode(program)
	if err != nil {
		return nil, err
	}
	der, err := s.pkcs7(digest)
	if err != nil {
		return nil, err
	}
	// WIN_CERTIFICATE: length with this header, revision 2.0, type 2 for PKCS #7; entries have lengths of eight bytes.
	entry := pad(append(make([]byte, 8), der...), 8)
	binary.LittleEndian.PutUint32(entry, uint32(len(entry)))
	binary.LittleEndian.PutUint16(entry[4:], 0x0200)
	binary.LittleEndian.PutUint16(entry[6:], 2)
	if len(program)+len(entry) > maxImage {
		return nil, errors.New("too large to be signed")
	}
	binary.LittleEndian.PutUint32(program[directory:], uint32(len(program)))
	binary.LittleEndian.PutUint32(program[directory+4:], uint32(len(entry)))
	return append(program, entry...), nil
}

// authenticode hashes a program without what a signature changes: checksum, and place and size of the signatures.
// directory is where the last two stand. Sections that follow one another, as ours do, are hashed as the file has them.
func authenticode(program []byte) (digest []byte, directory int, err error) {
	f, err := open(program)
	if err != nil {
		return nil, 0, err
	}
	h, ok := f.OptionalHeader.(*pe.OptionalHeader64)
	if !ok || h.NumberOfRvaAndSizes <= pe.IMAGE_DIRECTORY_ENTRY_SECURITY {
		return nil, 0, errors.New("not a UEFI program of 64 bits")
	}
	if h.DataDirectory[pe.IMAGE_DIRECTORY_ENTRY_SECURITY].Size != 0 {
		return nil, 0, errors.New("it is signed already")
	}
	end := int64(h.SizeOfHeaders)
	for _, s := range f.Sections {
		if s.Size == 0 {
			continue
		}
		if int64(s.Offset) != end {
			return nil, 0, fmt.Errorf("section %s does not follow the one before it", s.Name)
		}
		end += int64(s.Size)
	}
	if end > int64(len(program)) {
		return nil, 0, errors.New("it ends before its sections do")
	}
	opt := int(binary.LittleEndian.Uint32(program[0x3c:])) + 4 + coffSize
	directory = opt + optDirectories + 8*pe.IMAGE_DIRECTORY_ENTRY_SECURITY
	sum := sha256.New()
	sum.Write(program[:opt+optChecksum])
	sum.Write(program[opt+optChecksum+4 : directory])
	sum.Write(program[directory+8:])
	return sum.Sum(nil), directory, nil
}

func tagged(tag int, content []byte) asn1.RawValue {
	return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tag, IsCompound: true, Bytes: content}
}

// encoder keeps the first error of several encodings.
type encoder struct{ err error }

func (e *encoder) marshal(v any) []byte {
	der, err := asn1.Marshal(v)
	e.err = errors.Join(e.err, err)
	return der
}

func (s *Signer) pkcs7(digest []byte) ([]byte, error) {
	var e encoder
	var data indirectData
	data.Data.Type = oidPEImage
	var name []byte
	for _, r := range "<<<Obsolete>>>" {
		name = append(name, 0, byte(r))
	}
	text := e.marshal(asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, Bytes: name})
	data.Data.Value.File = tagged(0, e.marshal(tagged(2, text)))
	data.Digest.Algorithm, data.Digest.Digest = newAlgorithm(oidSHA256), digest
	content := e.marshal(data)
	// What is signed is the content of the sequence, without its tag and length (RFC 2315, 9.3).
	var inner asn1.RawValue
	if _, err := asn1.Unmarshal(content, &inner); err != nil {
		return nil, errors.Join(e.err, err)
	}
	sum := sha256.Sum256(inner.Bytes)
	set := func(v any) asn1.RawValue {
		return asn1.RawValue{Tag: asn1.TagSet, IsCompound: true, Bytes: e.marshal(v)}
	}
	attributes := append(e.marshal(attribute{oidContentType, set(oidIndirectData)}),
		e.marshal(attribute{oidMessageDigest, set(sum[:])})...)
	// They are signed as a SET, and stored with another tag.
	signed := sha256.Sum256(e.marshal(asn1.RawValue{Tag: asn1.TagSet, IsCompound: true, Bytes: attributes}))
	signature, err := rsa.SignPKCS1v15(nil, s.key, crypto.SHA256, signed[:])
	if err != nil {
		return nil, err
	}
	all := signedData{Version: 1, Digests: []algorithm{newAlgorithm(oidSHA256)},
		Content: contentInfo{oidIndirectData, tagged(0, content)}, Certificates: tagged(0, s.cert.Raw),
		Signers: []signerInfo{{Version: 1, Digest: newAlgorithm(oidSHA256), Attributes: tagged(0, attributes),
			Encryption: newAlgorithm(oidRSA), Signature: signature,
			Signer: issuerAndSerial{asn1.RawValue{FullBytes: s.cert.RawIssuer}, s.cert.SerialNumber}}}}
	der := e.marshal(contentInfo{oidSignedData, tagged(0, e.marshal(all))})
	return der, e.err
}
