package doctor

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/diskcast/diskcast/internal/testenv/netlab/netlabtest"
	"github.com/diskcast/diskcast/server/netboot/udpport"
)

// TestTFTPAnswers has servers answer that firmware would not take: from another address than was asked, a refusal, and
// one whose packets are none.
func TestTFTPAnswers(t *testing.T) {
	l := netlabtest.New(t, 1)
	const vip = "10.77.0.200"
	if err := l.On(l.Node(0), "ip", "address", "add", vip+"/24", "dev", "eth0"); err != nil {
		t.Fatal(err)
	}
	data := append([]byte{0, tftpDATA, 0, 1}, "whole"...)
	for _, c := range []struct {
		name   string
		from   string
		answer []byte
		judge  func([]byte, error) bool
	}{
		{"from the address that was asked", vip, data, func(b []byte, err error) bool {
			return err == nil && string(b) == "whole"
		}},
		{"from another address", "10.77.0.1", data, func(_ []byte, err error) bool {
			var other *otherAddressError
			return errors.As(err, &other) && other.from.Addr().String() == "10.77.0.1"
		}},
		{"a refusal", vip, []byte("\x00\x05\x00\x01no such \x1bfile\x00"), func(_ []byte, err error) bool {
			var refused *tftpError
			return errors.As(err, &refused) && !bytes.ContainsRune([]byte(refused.words), '\x1b')
		}},
		{"no TFTP", vip, []byte("HTTP/1.0 200"), func(_ []byte, err error) bool { return errors.Is(err, errTFTP) }},
	} {
		err := l.Do(l.Node(0), func() error {
			ask, err := udpport.Listen("eth0", tftpPort)
			if err != nil {
				return err
			}
			defer ask.Close()
			says, err := net.ListenUDP("udp4",
				net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(c.from), 0)))
			if err != nil {
				return err
			}
			defer says.Close()
			// Ends when ask is closed.
			go func() {
				for buf := make([]byte, 1024); ; {
					_, peer, err := ask.ReadFromUDPAddrPort(buf)
					if err != nil {
						return
					}
					if _, err := says.WriteToUDPAddrPort(c.answer, peer); err != nil {
						t.Errorf("%s: %v", c.name, err)
						return
					}
				}
			}()
			b, err := tftpGet(t.Context(), "eth0", netip.MustParseAddrPort(vip+":69"), "undionly.kpxe")
			if !c.judge(b, err) {
				t.Errorf("%s: %q, %v", c.name, b, err)
			}
			return nil
		})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
