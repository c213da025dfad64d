package doctor

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/diskcast/diskcast/internal/bootdir"
	"github.com/diskcast/diskcast/server/netboot/boot"
	"github.com/diskcast/diskcast/server/netboot/bootca"
)

const (
	tftpPort  = 69
	maxFetch  = 4 << 20 // bytes of the file that is fetched
	fetchTime = 15 * time.Second
)

// lookFetch fetches a boot file from the server's own address, as firmware does: also where that is a second address of
// the interface.
func lookFetch(ctx context.Context, s *Subject, l *Look) {
	if s.Server == nil {
		l.not("whether boot files come by TFTP and HTTP: the server does not run")
		return
	}
	m, err := boot.NewDir(s.BootDir).Manifest()
	if err != nil {
		l.not("whether boot files come by TFTP and HTTP: %v", err)
		return
	}
	name := smallBootFile(m)
	if name == "" {
		l.not("whether boot files come by TFTP and HTTP: the boot directory has no file of less than %d MiB",
			maxFetch>>20)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	byTFTP(ctx, s, m, name, l)
	byHTTP(ctx, s, m, name, l)
	if s.HTTPS.IsValid() {
		byHTTPS(ctx, s, m, name, l)
	}
}

// smallBootFile is a file that firmware starts with, or else the smallest.
func smallBootFile(m *bootdir.Manifest) string {
	name := ""
	for n, f := range m.Files {
		switch {
		case f.Size > maxFetch || f.Size <= 0:
		case name == "" || rank(n) > rank(name):
			name = n
		case rank(n) == rank(name) && (f.Size < m.Files[name].Size || f.Size == m.Files[name].Size && n < name):
			name = n
		}
	}
	return name
}

// rank is 1 for what firmware starts.
func rank(name string) int {
	if slices.Contains([]string{"undionly.kpxe", "snponly.efi", "ipxe.efi", "shimx64.efi"}, name) {
		return 1
	}
	return 0
}

func byTFTP(ctx context.Context, s *Subject, m *bootdir.Manifest, name string, l *Look) {
	if !s.TFTP {
		l.well("TFTP is off (tftp = false)")
		return
	}
	at := netip.AddrPortFrom(s.LAN.Addr(), tftpPort)
	b, err := tftpGet(ctx, s.Interface, at, name)
	var other *otherAddressError
	var refused *tftpError
	switch {
	case errors.As(err, &other):
		l.find(TFTPAddress, fmt.Sprintf("asked at %v for %s by TFTP, %v answered", at, name, other.from),
			"firmware takes an answer only from the address that it asked",
			fmt.Sprintf("diskcast serve --address %v (address = in the settings file)", other.from.Addr()))
	case errors.As(err, &refused):
		l.find(TFTPFile, fmt.Sprintf("%v refuses to give %s by TFTP: %v", at, name, refused),
			"the server's boot directory is another one, or not readable to it", "ls -l "+s.BootDir)
	case errors.Is(err, errNoSocket):
		l.not("TFTP: %v", err)
	case err != nil:
		l.find(TFTPSilent, fmt.Sprintf("%v does not give %s by TFTP: %v", at, name, err),
			"machines whose firmware starts by TFTP do not boot", "ss -lunp 'sport = 69'")
	case !same(b, m.Files[name]):
		l.find(TFTPFile, fmt.Sprintf("%v gives another %s by TFTP than is in %s", at, name, s.BootDir),
			"another TFTP server has the address, or the server has another boot directory", "ss -lunp 'sport = 69'")
	default:
		l.well("%s comes by TFTP from %v", name, at.Addr())
	}
}

func byHTTP(ctx context.Context, s *Subject, m *bootdir.Manifest, name string, l *Look) {
	url := fmt.Sprintf("http://%v/boot/%s", s.HTTP, name)
	b, status, err := httpGet(ctx, url, nil)
	const cause = "the kernel and the archive come by HTTP"
	switch {
	case err != nil:
		l.find(HTTPSilent, fmt.Sprintf("%s does not come: %v", url, err), cause,
			fmt.Sprintf("ss -ltnp 'sport = %d'", s.HTTP.Port()))
	case status != http.StatusOK || !same(b, m.Files[name]):
		l.find(HTTPFile, fmt.Sprintf("%s is not the file of %s (status %d)", url, s.BootDir, status), cause,
			fmt.Sprintf("ss -ltnp 'sport = %d'", s.HTTP.Port()))
	default:
		l.well("%s comes by HTTP from %v", name, s.HTTP)
	}
}

// byHTTPS fetches as firmware that knows the boot CA.
func byHTTPS(ctx context.Context, s *Subject, m *bootdir.Manifest, name string, l *Look) {
	ca, err := bootca.Read(s.State)
	if err != nil {
		l.not("whether boot files come by HTTPS: %v", err)
		return
	}
	url := fmt.Sprintf("https://%v/boot/%s", s.HTTPS, name)
	b, status, err := httpGet(ctx, url, &tls.Config{RootCAs: ca.Pool()})
	mend := fmt.Sprintf("ss -ltnp 'sport = %d'", s.HTTPS.Port())
	var foreign *tls.CertificateVerificationError
	switch {
	case errors.As(err, &foreign):
		l.find(HTTPSCert, fmt.Sprintf("%s has another certificate than %s: %v", url, bootca.File, err),
			"firmware that knows the boot CA refuses it", "systemctl restart diskcast; "+mend)
	case err != nil:
		l.find(HTTPSilent, fmt.Sprintf("%s does not come: %v", url, err), "UEFI HTTP boot is sent there", mend)
	case status != http.StatusOK || !same(b, m.Files[name]):
		l.find(HTTPFile, fmt.Sprintf("%s is not the file of %s (status %d)", url, s.BootDir, status),
			"UEFI HTTP boot is sent there", mend)
	default:
		l.well("%s comes by HTTPS from %v, by the boot CA; whether firmware knows it cannot be seen from here", name,
			s.HTTPS)
	}
}

func httpGet(ctx context.Context, url string, secure *tls.Config) ([]byte, int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, 0, err
	}
	t := &http.Transport{TLSClientConfig: secure} // no proxy: nodes have none
	defer t.CloseIdleConnections()
	resp, err := t.RoundTrip(req)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxFetch+1))
	return b, resp.StatusCode, err
}

func same(b []byte, f bootdir.File) bool {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]) == f.SHA256
}
