package convert

import (
	"errors"
	"fmt"
	"io"
)

// readNtfsclone reads the special image of ntfsclone(8): a header of 50 bytes (magic, u8 major and minor version, u32
// cluster size, u64 device size, clusters and clusters in use, u32 offset of the data), then commands: 0 and a u64
// count skips clusters, 1 is followed by a cluster. All little-endian.
func readNtfsclone(r io.Reader, d sink) error {
	var head [50]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return fmt.Errorf("ntfsclone header: %w", short(err))
	}
	if major := head[16]; major != 10 {
		return fmt.Errorf("%w: ntfsclone image version %d.%d (10 is)", ErrFormat, major, head[17])
	}
	cluster, size, clusters := int64(le.Uint32(head[18:])), int64(le.Uint64(head[22:])), int64(le.Uint64(head[30:]))
	offset := int64(le.Uint32(head[46:]))
	if cluster < 256 || cluster > maxBlock || cluster&(cluster-1) != 0 || size < 1 || clusters < 1 ||
		clusters > size/cluster+1 {
		return fmt.Errorf("ntfsclone header: %d clusters of %d bytes on a device of %d", clusters, cluster, size)
	}
	if offset < int64(len(head)) || offset > 1<<20 {
		return fmt.Errorf("ntfsclone header: its data begins at %d", offset)
	}
	if err := d.setSize(size); err != nil {
		return err
	}
	if _, err := io.CopyN(io.Discard, r, offset-int64(len(head))); err != nil {
		return fmt.Errorf("ntfsclone header: %w", short(err))
	}
	buf := make([]byte, cluster)
	var gap [8]byte
	for at := int64(0); at <= clusters; {
		var command [1]byte
		if _, err := io.ReadFull(r, command[:]); err == io.EOF && at >= clusters {
			break // older versions keep no backup boot sector
		} else if err != nil {
			return fmt.Errorf("ntfsclone data: cluster %d: %w", at, short(err))
		}
		switch command[0] {
		case 0:
			if _, err := io.ReadFull(r, gap[:]); err != nil {
				return fmt.Errorf("ntfsclone data: cluster %d: %w", at, short(err))
			}
			n := int64(le.Uint64(gap[:]))
			if n < 1 || n > clusters+1-at {
				return fmt.Errorf("ntfsclone data: a gap of %d clusters at %d of %d", n, at, clusters)
			}
			at += n
		case 1:
			n, err := io.ReadFull(r, buf)
			if err != nil && (at < clusters || err != io.ErrUnexpectedEOF) {
				return fmt.Errorf("ntfsclone data: cluster %d: %w", at, short(err))
			}
			// Behind the last cluster comes the backup boot sector, alone.
			p := buf[:max(0, min(int64(n), size-at*cluster))]
			if err := d.write(p, min(size, at*cluster)); err != nil {
				return err
			}
			at++
		default:
			return errors.New("ntfsclone data: an unknown command; the image is damaged")
		}
	}
	d.note("ntfsclone image of an NTFS volume.")
	return bootSector(d, size)
}
