// Package bootca is the certificate authority by which firmware knows this server when it boots by HTTPS: firmware has
// no pin, only certificates that somebody enrolled in its setup. The authority stays as long as the state directory
// does; what it signs is made anew at each start, for the address that the server has then.
package bootca

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/diskcast/diskcast/internal/private"
)

// File is the file of the state directory with the authority's key and certificate.
const File = "boot-ca.pem"

// Sizes of the keys in bits. They are RSA's: EDK II knew no other before 2023 (OpensslLib without elliptic curves).
const (
	authorityBits = 3072
	serverBits    = 2048
)

// Dates of all certificates: firmware's clocks are wrong, and what ends in 2049 at the latest is written in a form that
// every parser knows (RFC 5280, 4.1.2.5).
var (
	begins = time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
	ends   = time.Date(2049, 12, 31, 23, 59, 59, 0, time.UTC)
)

// Authority signs this server's certificate for HTTPS boot.
type Authority struct {
	cert *x509.Certificate
	key  *rsa.PrivateKey
}

// Load reads the authority from the state directory, and makes it where there is none.
func Load(state string) (*Authority, error) {
	path := filepath.Join(state, File)
	b, err := private.Once(path, create)
	if err != nil {
		return nil, fmt.Errorf("boot CA: %w", err)
	}
	return read(path, b)
}

// Read reads the authority from the state directory, where there must be one.
func Read(state string) (*Authority, error) {
	path := filepath.Join(state, File)
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("boot CA: %w", err)
	}
	return read(path, b)
}

func read(path string, b []byte) (*Authority, error) {
	a, err := parse(b)
	if err != nil {
		return nil, fmt.Errorf("boot CA %s is damaged: %w (moved away, a new one is made, which must be enrolled in "+
			"the firmware of each machine that boots by HTTPS)", path, err)
	}
	return a, nil
}

// parse takes a file with key and certificate.
func parse(b []byte) (*Authority, error) {
	pair, err := tls.X509KeyPair(b, b)
	if err != nil {
		return nil, err
	}
	key, ok := pair.PrivateKey.(*rsa.PrivateKey)
	if !ok || !pair.Leaf.IsCA {
		return nil, errors.New("it is no RSA key of an authority")
	}
	return &Authority{cert: pair.Leaf, key: key}, nil
}

// create makes key and certificate of an authority.
func create() ([]byte, error) {
	key, err := rsa.GenerateKey(rand.Reader, authorityBits)
	if err != nil {
		return nil, err
	}
	template, err := blank("diskcast boot CA")
	if err != nil {
		return nil, err
	}
	template.IsCA, template.BasicConstraintsValid, template.MaxPathLenZero = true, true, true
	template.KeyUsage = x509.KeyUsageCertSign
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	for _, block := range []*pem.Block{{Type: "PRIVATE KEY", Bytes: secret}, {Type: "CERTIFICATE", Bytes: cert}} {
		if err := pem.Encode(&out, block); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}

// blank is what all certificates have.
func blank(name string) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 126))
	if err != nil {
		return nil, err
	}
	return &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: begins,
		NotAfter: ends}, nil
}

// PEM is the authority's certificate as text.
func (a *Authority) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// DER is the authority's certificate as firmware's setup reads it from a file.
func (a *Authority) DER() []byte { return bytes.Clone(a.cert.Raw) }

// Pool has the authority and no other.
func (a *Authority) Pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// Types of UEFI 2.10, 32.4.1, in the byte order of an EFI_GUID; owner is who put a certificate there: this project.
var (
	certX509 = []byte{0xa1, 0x59, 0xc0, 0xa5, 0xe4, 0x94, 0xa7, 0x4a, 0x87, 0xb5, 0xab, 0x15, 0x5c, 0x2b, 0xf0, 0x72}
	owner    = []byte{0x3f, 0x1c, 0x7d, 0x5e, 0x0b, 0x92, 0x4e, 0x4d, 0x9a, 0x61, 0x64, 0x69, 0x73, 0x6b, 0x63, 0x61}
)

// SignatureList is the certificate as an EFI_SIGNATURE_LIST: what EDK II's variable TlsCaCertificate holds, and QEMU's
// etc/edk2/https/cacerts.
func (a *Authority) SignatureList() []byte {
	le := binary.LittleEndian
	b := bytes.Clone(certX509)
	b = le.AppendUint32(b, uint32(28+len(owner)+len(a.cert.Raw)))
	b = le.AppendUint32(b, 0) // no header of its own
	b = le.AppendUint32(b, uint32(len(owner)+len(a.cert.Raw)))
	return append(append(b, owner...), a.cert.Raw...)
}

// TLS is the configuration of a listener on the address. Firmware compares the address in the URL with the
// certificate's.
func (a *Authority) TLS(addr netip.Addr) (*tls.Config, error) {
	key, err := rsa.GenerateKey(rand.Reader, serverBits)
	if err != nil {
		return nil, err
	}
	template, err := blank("diskcast boot files")
	if err != nil {
		return nil, err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	template.IPAddresses = []net.IP{addr.AsSlice()}
	cert, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return nil, fmt.Errorf("certificate for HTTPS boot: %w", err)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{cert, a.cert.Raw}, PrivateKey: key}},
		MinVersion:   tls.VersionTLS12,
		CipherSuites: suites,
		NextProtos:   []string{"http/1.1"},
	}, nil
}

// suites are those of TLS 1.2. The last two have no forward secrecy, and are all that EDK II before 2023 has in common
// with Go: boot files are no secret, and who sent them is proved as well.
var suites = []uint16{
	tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_RSA_WITH_AES_256_GCM_SHA384, tls.TLS_RSA_WITH_AES_128_GCM_SHA256,
}
