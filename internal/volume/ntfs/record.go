package ntfs

import (
	"errors"
	"fmt"

	"github.com/diskcast/diskcast/internal/volume"
)

// run is some clusters of a file one after another. An lcn of -1 is a hole.
type run struct {
	vcn, lcn, count int64
}

// attribute is one attribute of a FILE record.
type attribute struct {
	kind        uint32
	named       bool
	nonResident bool
	value       []byte // resident
	first       int64  // lowest VCN of the runs
	runs        []byte // mapping pairs
	size        int64  // data size; only in the attribute with first == 0
}

const (
	maxRuns       = 1 << 20 // of one file
	maxAttrList   = 256 << 10
	maxExtensions = 4096
)

// errNoStream says that a file has no such attribute.
var errNoStream = errors.New("it has no data")

// table finds the master file table's runs, beginning with those in its first record.
func (fs *FS) table(lcn int64) error {
	if lcn <= 0 || lcn > fs.size/fs.cluster {
		return fmt.Errorf("it is at cluster %d", lcn)
	}
	// Until its runs are known, its first records are known to lie together.
	fs.mft = []run{{0, lcn, max(1, (16*fs.record+fs.cluster-1)/fs.cluster)}}
	runs, size, err := fs.data(fileMFT)
	if err != nil {
		return err
	}
	if len(runs) == 0 || runs[0].lcn != lcn {
		return errors.New("its first run is not where the boot sector says")
	}
	fs.mft, fs.mftSize = runs, size
	return nil
}

// file reads a FILE record and the attributes in it.
func (fs *FS) file(number int64) ([]attribute, error) {
	p := make([]byte, fs.record)
	if err := fs.readRuns(fs.mft, number*fs.record, p); err != nil {
		return nil, fmt.Errorf("file record %d: %w", number, err)
	}
	attrs, err := fileRecord(p)
	if err != nil {
		return nil, fmt.Errorf("file record %d: %w", number, err)
	}
	return attrs, nil
}

// fileRecord returns the attributes in the bytes of a FILE record, which it changes.
func fileRecord(p []byte) ([]attribute, error) {
	if string(p[:4]) != "FILE" {
		return nil, errors.New("it has no FILE mark")
	}
	if err := fixup(p); err != nil {
		return nil, err
	}
	if le.Uint16(p[22:])&1 == 0 {
		return nil, errors.New("it is not in use")
	}
	return attributes(p)
}

// fixup puts back the last two bytes of every 512, for which a check value was written.
func fixup(p []byte) error {
	at, n := int(le.Uint16(p[4:])), int(le.Uint16(p[6:]))
	if n < 1 || at+2*n > len(p) || (n-1)*512 > len(p) || (n-1)*512 < len(p)-511 {
		return errors.New("its update sequence array is wrong")
	}
	check := le.Uint16(p[at:])
	for i := 1; i < n; i++ {
		end := i*512 - 2
		if le.Uint16(p[end:]) != check {
			return errors.New("it is torn: the write was interrupted")
		}
		copy(p[end:end+2], p[at+2*i:at+2*i+2])
	}
	return nil
}

func attributes(p []byte) ([]attribute, error) {
	at := int(le.Uint16(p[20:]))
	var out []attribute
	for {
		if at+4 > len(p) {
			return nil, errors.New("its attributes run past its end")
		}
		if le.Uint32(p[at:]) == 0xffffffff {
			return out, nil
		}
		if at+24 > len(p) {
			return nil, errors.New("its attributes run past its end")
		}
		n := int(le.Uint32(p[at+4:]))
		if n < 24 || n > len(p)-at {
			return nil, fmt.Errorf("an attribute has %d bytes", n)
		}
		a, err := parse(p[at : at+n])
		if err != nil {
			return nil, err
		}
		out = append(out, a)
		at += n
	}
}

func parse(p []byte) (attribute, error) {
	a := attribute{kind: le.Uint32(p), nonResident: p[8] != 0, named: p[9] != 0}
	if !a.nonResident {
		n, at := int(le.Uint32(p[16:])), int(le.Uint16(p[20:]))
		if n < 0 || at > len(p) || n > len(p)-at {
			return a, errors.New("an attribute's value runs past its end")
		}
		a.value = p[at : at+n]
		return a, nil
	}
	if len(p) < 64 {
		return a, errors.New("an attribute is too short")
	}
	pairs := int(le.Uint16(p[32:]))
	a.first, a.size = int64(le.Uint64(p[16:])), int64(le.Uint64(p[48:]))
	if pairs < 64 || pairs > len(p) || a.first < 0 || a.size < 0 {
		return a, errors.New("an attribute's runs are out of bounds")
	}
	a.runs = p[pairs:]
	return a, nil
}

// decode reads mapping pairs: a byte that says how long the count (low half) and the cluster difference are, and the
// two.
func (fs *FS) decode(a attribute, out []run) ([]run, error) {
	vcn, lcn := a.first, int64(0)
	limit := fs.sectors * fs.sector / fs.cluster
	for p := a.runs; len(p) > 0 && p[0] != 0; {
		n, m := int(p[0]&15), int(p[0]>>4)
		if n == 0 || n > 8 || m > 8 || 1+n+m > len(p) {
			return nil, errors.New("a run is malformed")
		}
		count := signed(p[1 : 1+n])
		r := run{vcn: vcn, lcn: -1, count: count}
		if m > 0 {
			lcn += signed(p[1+n : 1+n+m])
			r.lcn = lcn
			if lcn < 0 || lcn >= limit || count > limit-lcn {
				return nil, fmt.Errorf("a run of %d clusters at %d is outside the volume", count, lcn)
			}
		}
		if count <= 0 || count > limit {
			return nil, fmt.Errorf("a run has %d clusters", count)
		}
		if vcn += count; vcn > 2*limit || len(out) >= maxRuns {
			return nil, errors.New("a file has too many runs")
		}
		out = append(out, r)
		p = p[1+n+m:]
	}
	return out, nil
}

func signed(p []byte) int64 {
	v := int64(int8(p[len(p)-1]))
	for i := len(p) - 2; i >= 0; i-- {
		v = v<<8 | int64(p[i])
	}
	return v
}

// readRuns reads from the clusters of a file.
func (fs *FS) readRuns(runs []run, at int64, p []byte) error {
	for _, r := range runs {
		if len(p) == 0 {
			break
		}
		start, end := r.vcn*fs.cluster, (r.vcn+r.count)*fs.cluster
		if at < start || at >= end {
			continue
		}
		if r.lcn < 0 {
			return errors.New("it lies in a hole")
		}
		n := min(int64(len(p)), end-at)
		if err := volume.ReadAt(fs.r, fs.size, r.lcn*fs.cluster+at-start, p[:n]); err != nil {
			return err
		}
		p, at = p[n:], at+n
	}
	if len(p) > 0 {
		return fmt.Errorf("byte %d is behind its end", at)
	}
	return nil
}

// data returns the runs and the size of a file's unnamed data.
func (fs *FS) data(number int64) ([]run, int64, error) { return fs.stream(number, attrData, false) }

// stream returns the runs and the size of a file's attribute of a kind, which is the one without or the one with a
// name. A file with many runs has some of them in further records, of which its attribute list tells. The records of
// the master file table itself are found by the runs read so far.
func (fs *FS) stream(number int64, kind uint32, named bool) ([]run, int64, error) {
	attrs, err := fs.file(number)
	if err != nil {
		return nil, 0, err
	}
	runs, size := []run(nil), int64(-1)
	take := func(attrs []attribute) error {
		for _, a := range attrs {
			if a.kind != kind || a.named != named {
				continue
			}
			if !a.nonResident {
				return errors.New("its data is resident")
			}
			if next := end(runs); a.first != next {
				return fmt.Errorf("its runs continue at %d instead of %d", a.first, next)
			}
			if a.first == 0 {
				size = a.size
			}
			if runs, err = fs.decode(a, runs); err != nil {
				return err
			}
		}
		return nil
	}
	if err := take(attrs); err != nil {
		return nil, 0, err
	}
	for _, a := range attrs {
		if a.kind != attrList {
			continue
		}
		list, err := fs.list(a, kind, named)
		if err != nil {
			return nil, 0, fmt.Errorf("its attribute list: %w", err)
		}
		if len(list) > maxExtensions {
			return nil, 0, errors.New("its attribute list is too long")
		}
		done := map[int64]bool{number: true}
		for _, extension := range list {
			if done[extension] {
				continue
			}
			done[extension] = true
			if number == fileMFT && len(runs) > 0 {
				fs.mft = runs
			}
			more, err := fs.file(extension)
			if err != nil {
				return nil, 0, err
			}
			if err := take(more); err != nil {
				return nil, 0, err
			}
		}
	}
	if size < 0 && len(runs) == 0 {
		return nil, 0, errNoStream
	}
	if size < 0 || size > end(runs)*fs.cluster {
		return nil, 0, fmt.Errorf("it has %d bytes in %d clusters", size, end(runs))
	}
	return runs, size, nil
}

func end(runs []run) int64 {
	if len(runs) == 0 {
		return 0
	}
	last := runs[len(runs)-1]
	return last.vcn + last.count
}

// list returns the records that hold pieces of such an attribute, in the order of the pieces.
func (fs *FS) list(a attribute, kind uint32, named bool) ([]int64, error) {
	p := a.value
	if a.nonResident {
		runs, err := fs.decode(a, nil)
		if err != nil {
			return nil, err
		}
		if a.size > maxAttrList {
			return nil, fmt.Errorf("it has %d bytes", a.size)
		}
		p = make([]byte, a.size)
		if err := fs.readRuns(runs, 0, p); err != nil {
			return nil, err
		}
	}
	var out []int64
	for len(p) >= 26 {
		n := int(le.Uint16(p[4:]))
		if n < 26 || n > len(p) {
			return nil, fmt.Errorf("an entry has %d bytes", n)
		}
		if le.Uint32(p) == kind && (p[6] != 0) == named {
			number := int64(le.Uint64(p[16:]) & 0xffffffffffff)
			if number > fs.size/fs.record {
				return nil, fmt.Errorf("it names file record %d", number)
			}
			out = append(out, number)
		}
		p = p[n:]
	}
	return out, nil
}
