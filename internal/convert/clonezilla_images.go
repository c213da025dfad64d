package convert

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/diskcast/diskcast/internal/rx"
)

var errNoImage = errors.New("no image")

// imageName is what follows the device in the name of its image: .ext4-ptcl-img.gz, .ntfs-img, .dd-img.zst, or
// partimage's .000. If it was split, .aa or .aaa and on follow. Others (.torrent, .info, checksums) are leftovers.
var imageName = rx.New(`^(?:\.(?:(dd)|[A-Za-z0-9_+-]+)-(ptcl)-img|\.(ntfs|dd)-img|())` +
	`((?:\.(?:gz|bz2|lzo|lzma|xz|lzip|lz|lrz|lz4|zst|uncomp))?)(\.[a-z]{2,3}|\.000)?$`)

// pieceOf tells what a file of the directory is to a device: the name of the image without the suffix of the piece, and
// what program's it is.
func pieceOf(name string) (image, program string, ok bool) {
	m := imageName().FindStringSubmatch(name)
	if m == nil {
		return "", "", false
	}
	suffix := m[len(m)-1]
	if program = m[1] + m[2] + m[3]; program == "" {
		program = "partimage"
		if s := suffix; s != ".aa" && s != ".aaa" && s != ".000" {
			return "", "", false
		}
	}
	return strings.TrimSuffix(name, suffix), program, true
}

// place finds a device's image and unpacks it into w.
func (c *clonezilla) place(name string, w sink) error {
	c.placed[name] = true
	if info, err := c.small("swappt-" + name + ".info"); err == nil {
		return writeSwap(string(info), w)
	}
	found, err := filepath.Glob(filepath.Join(globQuote(c.dir), globQuote(name)+".*"))
	if err != nil {
		return err
	}
	images := map[string]string{} // program by name of the image
	for _, path := range found {
		if image, program, ok := pieceOf(strings.TrimPrefix(filepath.Base(path), name)); ok {
			images[image] = program
		}
	}
	if len(images) > 1 {
		return fmt.Errorf("there are several images of it: %s; move away those that are not to be taken",
			strings.Join(found, ", "))
	}
	for image, program := range images {
		path := filepath.Join(c.dir, name+image)
		if program == "partimage" {
			return fmt.Errorf("%w: its image is of partimage; %s", ErrFormat, byClonezilla)
		}
		if err := c.unpackImage(path, program, w); err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(path), err)
		}
		return nil
	}
	return errNoImage
}

// unpackImage unpacks one image. What its name says must be in it: a later piece of an image that lacks its first one,
// or an encrypted image, would pass for raw data.
func (c *clonezilla) unpackImage(path, program string, w sink) error {
	pieces, err := splitPieces(path)
	if err != nil {
		return err
	}
	s, err := openStream(pieces)
	if err != nil {
		return err
	}
	defer s.Close()
	sized := &sized{sink: w}
	format, err := unpackTo(&cancelReader{c.ctx, s}, sized)
	if err != nil {
		return err
	}
	format, _, _ = strings.Cut(format, "+")
	// partclone.dd writes plain data; partclone.imager does not.
	want := map[string]string{"ptcl": "partclone", "ddptcl": "raw", "ntfs": "ntfsclone", "dd": "raw"}[program]
	switch {
	case want != format && (program != "ddptcl" || format != "partclone"):
		return fmt.Errorf("by its name it is of %s, and what is in it is %s: its beginning is missing, or it is "+
			"damaged or encrypted", want, format)
	case format == "raw" && sized.n != w.limit():
		return fmt.Errorf("it has %d bytes of a partition of %d: it was cut", sized.n, w.limit())
	}
	return nil
}

// sized remembers the size of the image that was unpacked.
type sized struct {
	sink
	n int64
}

func (s *sized) setSize(n int64) error {
	s.n = n
	return s.sink.setSize(n)
}

func globQuote(name string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(name)
}

// writeSwap makes a swap area with the UUID and label that the image keeps of it.
func writeSwap(info string, w sink) error {
	const page = 4096
	p := make([]byte, page)
	pages := w.limit()/page - 1
	if pages < 9 {
		return errors.New("it is too small for swap")
	}
	le.PutUint32(p[1024:], 1)
	le.PutUint32(p[1028:], uint32(min(pages, 1<<32-1)))
	for _, line := range strings.Fields(info) {
		key, value, _ := strings.Cut(line, "=")
		value = strings.Trim(value, `"`)
		switch key {
		case "UUID":
			digits := strings.ReplaceAll(value, "-", "")
			if len(digits) != 32 {
				continue
			}
			for i := range 16 {
				v, err := strconv.ParseUint(digits[2*i:2*i+2], 16, 8)
				if err != nil {
					return fmt.Errorf("its UUID is %q", value)
				}
				p[1036+i] = byte(v)
			}
		case "LABEL":
			copy(p[1052:1067], value)
		}
	}
	copy(p[page-10:], "SWAPSPACE2")
	return w.write(p, 0)
}
