package wire

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"testing"

	"github.com/zeebo/blake3"
)

// BenchmarkAuthentication is what ways to tell the sender's packets from those of another who has the key would cost:
// docs/adr/0028. A packet has 1408 bytes, a block 128 packets, a burst 44.
func BenchmarkAuthentication(b *testing.B) {
	packet, block := make([]byte, 1408), make([]byte, 128*1408)
	public, private, _ := ed25519.GenerateKey(rand.Reader)
	signature := ed25519.Sign(private, packet)
	one, _ := ecdh.X25519().GenerateKey(rand.Reader)
	two, _ := ecdh.X25519().GenerateKey(rand.Reader)
	mac := hmac.New(sha256.New, packet[:32])
	group, _ := GroupKey([32]byte{1}, 1)
	sealed := make([]byte, len(packet)+Overhead)
	size := group.Seal(sealed, &Header{Type: Data}, packet)
	var sum [64]byte
	for _, c := range []struct {
		name  string
		bytes int
		f     func()
	}{
		{"as it is/seal a packet", len(packet), func() { group.Seal(sealed, &Header{Type: Data}, packet) }},
		{"as it is/open a packet", len(packet), func() { group.Open(packet[:0], sealed[:size]) }},
		{"a signature a packet/sign", len(packet), func() { ed25519.Sign(private, packet) }},
		{"a signature a packet/verify", len(packet), func() { ed25519.Verify(public, packet, signature) }},
		{"a signature a burst of hashes/hash a packet", len(packet), func() { blake3.Sum256(packet) }},
		{"delayed keys/a second tag of a packet, HMAC", len(packet),
			func() { mac.Reset(); mac.Write(packet); mac.Sum(sum[:0]) }},
		{"delayed keys/a second tag of a packet, GMAC", len(packet),
			func() { group.aead.Seal(sum[:0], sum[:12], nil, packet) }},
		{"a hash a block/BLAKE3", len(block), func() { blake3.Sum256(block) }},
		{"a hash a block/SHA-256", len(block), func() { sha256.Sum256(block) }},
		{"a secret a receiver/X25519", 0, func() { one.ECDH(two.PublicKey()) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(c.bytes))
			for b.Loop() {
				c.f()
			}
		})
	}
}
