package lvm

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/internal/volume"
)

// group takes the volume group out of its metadata. id is this physical volume's, without its dashes.
func (fs *FS) group(root *section, id string) error {
	name, vg := root.only()
	if vg == nil {
		return errors.New("it describes no volume group")
	}
	fs.info.Label = name
	extent := vg.number("extent_size") * sector
	if extent <= 0 || extent > fs.size {
		return fmt.Errorf("extents have %d bytes", extent)
	}
	fs.info.BlockSize = extent
	self := ""
	for _, pv := range vg.child("physical_volumes").sections() {
		fs.members++
		if strings.ReplaceAll(pv.text("id"), "-", "") != id {
			continue
		}
		self = pv.name
		count := pv.number("pe_count")
		fs.start = pv.number("pe_start") * sector
		if fs.start < 0 || fs.start > fs.size || count < 0 || count > (fs.size-fs.start)/extent {
			return fmt.Errorf("%d extents of %d bytes at %d do not fit", count, extent, fs.start)
		}
		fs.end = fs.start + count*extent
	}
	if self == "" {
		return errors.New("it does not name this physical volume")
	}
	lvs := vg.child("logical_volumes").sections()
	if len(lvs) > maxVolumes {
		return fmt.Errorf("it has %d logical volumes", len(lvs))
	}
	// Whatever one logical volume's segments mention of another, be it as origin, pool, log or cache.
	mentioned := map[string]bool{}
	for _, lv := range lvs {
		for _, segment := range lv.sections() {
			segment.strings(func(s string) { mentioned[s] = true })
		}
	}
	total := 0
	for _, lv := range lvs {
		v, err := fs.logical(lv, self, extent)
		if err != nil {
			return fmt.Errorf("logical volume %s: %w", lv.name, err)
		}
		if total += len(v.Segments); total > maxSegments {
			return errors.New("it has too many segments")
		}
		if v.Linear && mentioned[lv.name] {
			v.Linear, v.Why = false, "it is part of another one (a snapshot, pool, cache or RAID)"
		}
		v.UUID = strings.ReplaceAll(vg.text("id")+lv.text("id"), "-", "")
		v.Writable = vg.flag("WRITE") && !vg.flag("EXPORTED") && lv.flag("WRITE")
		fs.volumes = append(fs.volumes, v)
	}
	return nil
}

// logical reads one logical volume. Every reference to an extent of this physical volume counts, whatever the segment's
// type.
func (fs *FS) logical(lv *section, self string, extent int64) (Volume, error) {
	v := Volume{Name: lv.name, Linear: true}
	limit := (fs.end - fs.start) / extent
	for _, s := range lv.sections() {
		from, count := s.number("start_extent"), s.number("extent_count")
		kind, stripes := s.text("type"), s.number("stripe_count")
		if from < 0 || count <= 0 || from > 1<<40 || count > 1<<40 {
			return v, fmt.Errorf("segment %s has %d extents at %d", s.name, count, from)
		}
		v.Size = max(v.Size, (from+count)*extent)
		if kind != "striped" || stripes != 1 {
			v.Linear, v.Why = false, fmt.Sprintf("it has a segment of type %s over %d places", kind, max(1, stripes))
			if kind == "striped" {
				count = (count + max(1, stripes) - 1) / max(1, stripes)
			}
		}
		here := 0
		for _, list := range []string{"stripes", "mirrors", "raids"} {
			values := s.list(list)
			for i := 0; i+1 < len(values); i += 2 {
				name, ok := values[i].(string)
				at, ok2 := values[i+1].(int64)
				if !ok || !ok2 || name != self {
					continue
				}
				if at < 0 || count > limit || at > limit-count {
					return v, fmt.Errorf("segment %s uses %d extents at %d of %d", s.name, count, at, limit)
				}
				v.Segments = append(v.Segments, Segment{from * extent, fs.start + at*extent, count * extent})
				here++
			}
		}
		if here == 0 && v.Linear {
			v.Linear, v.Why = false, "part of it is on another physical volume"
		}
	}
	slices.SortFunc(v.Segments, func(a, b Segment) int { return cmp.Compare(a.Offset, b.Offset) })
	if v.Linear {
		at := int64(0)
		for _, s := range v.Segments {
			if s.Offset != at {
				v.Linear, v.Why = false, "its segments have a gap"
				break
			}
			at += s.Length
		}
	}
	if v.Linear && (v.Size == 0 || v.Size >= fs.size) {
		return v, errors.New("it is empty, or larger than the physical volume")
	}
	return v, nil
}

// translate calls add for every piece of e on the physical volume.
func (v *Volume) translate(e volume.Extent, add func(off, n int64)) {
	i, exact := slices.BinarySearchFunc(v.Segments, e.Offset,
		func(s Segment, off int64) int { return cmp.Compare(s.Offset, off) })
	if !exact {
		i--
	}
	for at := e.Offset; i >= 0 && i < len(v.Segments) && at < e.End(); i++ {
		s := v.Segments[i]
		n := min(e.End(), s.Offset+s.Length) - at
		add(s.Physical+at-s.Offset, n)
		at += n
	}
}

// reader reads the logical volume through its segments.
func (v *Volume) reader(r io.ReaderAt) io.ReaderAt { return logicalReader{v, r} }

type logicalReader struct {
	v *Volume
	r io.ReaderAt
}

func (l logicalReader) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= l.v.Size {
		return 0, io.EOF
	}
	var tail error
	if int64(len(p)) > l.v.Size-off {
		p, tail = p[:l.v.Size-off], io.EOF
	}
	done, err := 0, error(nil)
	l.v.translate(volume.Extent{Offset: off, Length: int64(len(p))}, func(at, n int64) {
		if err != nil {
			return
		}
		var got int
		got, err = l.r.ReadAt(p[done:done+int(n)], at)
		if done += got; int64(got) == n {
			err = nil
		}
	})
	if err != nil {
		return done, err
	}
	return done, tail
}
