package records

import (
	"archive/tar"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"hash"
	"io"
)

// Again is behind what is wrong with a package's bytes.
const Again = "the package is damaged; fetch it again"

// Whole is Tar to the end of r, where the checksum of a compression is: an archive's own end is before it.
func Whole(r io.Reader, do Do) error {
	in := &noting{r: r}
	err := Tar(in, do)
	if err == nil {
		_, err = io.Copy(io.Discard, in)
	}
	if in.err != nil {
		return fmt.Errorf("%w: %s", cmp.Or(err, in.err), Again)
	}
	return err
}

// noting notes what is wrong with what it reads.
type noting struct {
	r   io.Reader
	err error
}

func (n *noting) Read(p []byte) (int, error) {
	got, err := n.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		n.err = err
	}
	return got, err
}

// Sums are what a package's list says of its files.
type Sums struct {
	Name string // of the list
	New  func() hash.Hash
	want map[string][]byte
}

// Add adds a line of the list; of a name that leads out of the package there is no file.
func (s *Sums) Add(name string, sum []byte) {
	if s.want == nil {
		s.want = map[string][]byte{}
	}
	if name, err := clean(name); err == nil {
		s.want[name] = sum
	}
}

// Hold is do, and then compares each file that do has read of with the list, as far as that is read by then.
func (s *Sums) Hold(do Do) Do {
	return func(h *tar.Header, content io.Reader) error {
		want, ok := s.want[h.Name]
		if !ok || h.Typeflag != tar.TypeReg {
			return do(h, content)
		}
		sum := s.New()
		in := &counting{r: io.TeeReader(content, sum)}
		if err := do(h, in); err != nil || in.n == 0 {
			return err
		}
		if _, err := io.Copy(io.Discard, in); err != nil {
			return err
		}
		if !bytes.Equal(sum.Sum(nil), want) {
			return fmt.Errorf("it is not the file of the package's %s (%x, which says %x): %s", s.Name, sum.Sum(nil),
				want, Again)
		}
		return nil
	}
}

// counting counts what is read.
type counting struct {
	r io.Reader
	n int64
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
