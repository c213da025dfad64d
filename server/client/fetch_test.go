package client

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/capture"
	"github.com/diskcast/diskcast/internal/image/imagetest"
	"github.com/diskcast/diskcast/server/library"
)

// TestFetch asks again for what breaks off, and not for what came whole and is damaged.
func TestFetch(t *testing.T) {
	from, err := image.OpenStore(filepath.Join(t.TempDir(), "from"))
	if err != nil {
		t.Fatal(err)
	}
	disk := make([]byte, 4<<20)
	imagetest.Random(disk, 1)
	r, err := capture.Capture(t.Context(), bytes.NewReader(disk), int64(len(disk)), 512,
		capture.Options{Store: from, Name: "x"})
	if err != nil {
		t.Fatal(err)
	}
	im, err := from.Open("x")
	if err != nil {
		t.Fatal(err)
	}
	data, size := im.DataBlob(0)
	if err := im.Close(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		breaks int                 // the first answers end in the middle
		wrong  func([]byte) []byte // what the server has of the data blob
		asked  int
		says   string // empty: it succeeds
	}{
		"whole":            {0, nil, 1, ""},
		"breaks off":       {1, nil, 2, ""},
		"other bytes":      {0, func(b []byte) []byte { b[size-9] ^= 1; return b }, 1, "its bytes have the digest"},
		"broken, other":    {1, func(b []byte) []byte { b[size-9] ^= 1; return b }, 3, "its bytes have the digest"},
		"cut short":        {0, func(b []byte) []byte { return b[:size-9] }, 1, "it has 4194"},
		"longer":           {0, func(b []byte) []byte { return append(b, 1) }, 1, "it has more than its"},
		"broken, too long": {1, func(b []byte) []byte { return append(b, 1) }, 3, "it has more than its"},
	} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				digest := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
				f, size, err := from.BlobReader(digest)
				if err != nil {
					t.Error(err)
					return
				}
				defer f.Close()
				b := make([]byte, size)
				if _, err := f.ReadAt(b, 0); err != nil {
					t.Error(err)
				}
				if digest == data && c.wrong != nil {
					b = c.wrong(b)
				}
				if digest == data {
					if asked++; asked <= c.breaks {
						w.Header().Set("Content-Length", "4194304")
						_, _ = w.Write(b[:len(b)/2]) // and ends, which breaks the connection
						return
					}
				}
				http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
			}))
			defer srv.Close()
			pin, err := PinAt(t.Context(), srv.URL)
			if err != nil {
				t.Fatal(err)
			}
			far, err := New(srv.URL, Credentials{Token: "x", Pin: pin})
			if err != nil {
				t.Fatal(err)
			}
			to, err := image.OpenStore(filepath.Join(t.TempDir(), "to"))
			if err != nil {
				t.Fatal(err)
			}
			var done, total int64
			err = far.Library().Fetch(t.Context(), "x", r.Digest, to, "x",
				library.Watch{Progress: func(d, n int64) { done, total = d, n }})
			var damage *image.DamageError
			switch {
			case asked != c.asked:
				t.Errorf("asked %d times, want %d: %v", asked, c.asked, err)
			case c.says == "" && (err != nil || done != total):
				t.Errorf("%v, %d bytes of %d", err, done, total)
			case c.says != "" && (!errors.As(err, &damage) || damage.Blob != data || damage.Server != srv.URL ||
				!strings.Contains(err.Error(), c.says)):
				t.Errorf("%v, want %q", err, c.says)
			}
		})
	}
}
