package kernel

import (
	"bytes"
	"compress/gzip"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/diskcast/diskcast/mkimage/kernel/kerneltest"
)

func packed(t testing.TB, image []byte) (gz, zst []byte) {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(image); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	e, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), e.EncodeAll(image, nil)
}

func TestPlainImage(t *testing.T) {
	image := kerneltest.ARM64("6.12")
	gz, zst := packed(t, image)
	size := []byte{1, 2, 3, 4}
	for name, data := range map[string][]byte{
		"plain": image, "Image.gz": gz, "its size behind it": append(bytes.Clone(gz), size...),
		"zboot, gzip": kerneltest.Zboot("gzip", gz), "zboot, zstd": kerneltest.Zboot("zstd22", zst),
		"zboot, more behind it": append(kerneltest.Zboot("zstd", zst), size...),
	} {
		if got, err := plainImage(data); err != nil || !bytes.Equal(got, image) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	if got, err := plainImage(kerneltest.Image("6.1")); err != nil || !bytes.Equal(got, kerneltest.Image("6.1")) {
		t.Errorf("a kernel for x86 was changed: %v", err)
	}
	far := kerneltest.Zboot("gzip", gz)
	far[15] = 0xff
	for want, data := range map[string][]byte{
		"cut off": far, `"lz4"`: kerneltest.Zboot("lz4", gz), "gzip: invalid": gz[:3],
		"compressed kernel": kerneltest.Zboot("zstd", gz), "unexpected EOF": gz[:len(gz)-9],
	} {
		if _, err := plainImage(data); err == nil || !strings.Contains(err.Error(), want) &&
			!strings.Contains(err.Error(), "EOF") {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}

func FuzzPlainImage(f *testing.F) {
	gz, zst := packed(f, kerneltest.ARM64("6.12"))
	f.Add(gz)
	f.Add(kerneltest.Zboot("gzip", gz))
	f.Add(kerneltest.Zboot("zstd", zst))
	f.Fuzz(func(t *testing.T, data []byte) {
		if got, err := plainImage(data); err == nil && got == nil && len(data) > 0 && isARM64(data) {
			t.Error("an Image was lost")
		}
	})
}
