package convert

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/diskcast/diskcast/internal/volume"
)

// ExportRaw writes a disk into a new file of its size, in which all zeros are holes.
func ExportRaw(ctx context.Context, r io.ReaderAt, size int64, extents []volume.Extent, f *os.File) error {
	if err := f.Truncate(size); err != nil {
		return err
	}
	return eachPiece(ctx, r, size, extents, 1<<20, func(p []byte, at int64) error {
		for len(p) > 0 {
			n := min(len(p), len(zeros))
			if !bytes.Equal(p[:n], zeros[:n]) {
				if _, err := f.WriteAt(p[:n], at); err != nil {
					return err
				}
			}
			p, at = p[n:], at+int64(n)
		}
		return nil
	})
}

// eachPiece reads the extents, in pieces that do not cross a multiple of grid.
func eachPiece(ctx context.Context, r io.ReaderAt, size int64, extents []volume.Extent, grid int64,
	use func(p []byte, at int64) error) error {
	buf := make([]byte, grid)
	for _, e := range volume.Merge(size, extents) {
		for at := e.Offset; at < e.End(); {
			if err := ctx.Err(); err != nil {
				return err
			}
			p := buf[:min(e.End(), (at/grid+1)*grid)-at]
			if n, err := r.ReadAt(p, at); n < len(p) {
				return fmt.Errorf("read %d bytes at %d: %w", len(p), at, err)
			}
			if err := use(p, at); err != nil {
				return err
			}
			at += int64(len(p))
		}
	}
	return nil
}

const (
	outBits    = 16
	outCluster = 1 << outBits
	outPerL2   = outCluster / 8
	outPerRef  = outCluster / 2 // 16-bit reference counts
)

// ExportQcow2 writes a disk as qcow2 version 3, with clusters of 64 KiB, uncompressed, into a new file. Clusters of
// zeros are left out. The tables are laid out before the data, so the file needs a second pass over nothing but its
// head.
func ExportQcow2(ctx context.Context, r io.ReaderAt, size int64, extents []volume.Extent, f *os.File) error {
	if size < 1 {
		return errors.New("qcow2: the disk is empty")
	}
	clusters := (size-1)/outCluster + 1
	tables := (clusters-1)/outPerL2 + 1
	l1Clusters := (tables*8-1)/outCluster + 1
	// The most that the file can have: header, all tables, all data. The reference counts must cover themselves too.
	most := 1 + l1Clusters + tables + clusters
	blocks := int64(0)
	for refClusters := int64(0); ; {
		need := (most+refClusters+blocks-1)/outPerRef + 1
		table := (need*8-1)/outCluster + 1
		if need == blocks && table == refClusters {
			break
		}
		blocks, refClusters = need, table
	}
	refClusters := (blocks*8-1)/outCluster + 1
	refTable, l1At := int64(1), 1+refClusters
	next := l1At + l1Clusters // first free cluster
	l1 := make([]uint64, l1Clusters*outCluster/8)
	var l2 []uint64
	current := int64(-1)
	flush := func() error {
		if current < 0 {
			return nil
		}
		return putTable(f, l2, int64(l1[current]&l1Offset))
	}
	cell := make([]byte, outCluster)
	last := int64(-1)
	put := func() error {
		if last < 0 || bytes.Equal(cell, zeros[:outCluster]) {
			return nil
		}
		if i := last / outPerL2; i != current {
			if err := flush(); err != nil {
				return err
			}
			current, l2 = i, make([]uint64, outPerL2)
			l1[i] = uint64(next)<<outBits | 1<<63
			next++
		}
		l2[last%outPerL2] = uint64(next)<<outBits | 1<<63
		_, err := f.WriteAt(cell, next<<outBits)
		next++
		return err
	}
	err := eachPiece(ctx, r, size, extents, outCluster, func(p []byte, at int64) error {
		if number := at >> outBits; number != last {
			if err := put(); err != nil {
				return err
			}
			clear(cell)
			last = number
		}
		copy(cell[at&(outCluster-1):], p)
		return nil
	})
	if err == nil {
		err = put()
	}
	if err == nil {
		err = flush()
	}
	if err == nil {
		err = putTable(f, l1, l1At<<outBits)
	}
	if err != nil {
		return fmt.Errorf("qcow2: %w", err)
	}
	return finishQcow2(f, size, refTable, refClusters, l1At, tables, next)
}

func putTable(f io.WriterAt, table []uint64, at int64) error {
	p := make([]byte, 0, 8*len(table))
	for _, e := range table {
		p = be.AppendUint64(p, e)
	}
	_, err := f.WriteAt(p, at)
	return err
}

// finishQcow2 writes the reference counts, all of them one, behind the data, and then the header.
func finishQcow2(f *os.File, size, refTable, refClusters, l1At, tables, next int64) error {
	blocks := int64(0)
	for (next + blocks) > blocks*outPerRef {
		blocks++
	}
	table := make([]uint64, refClusters*outCluster/8)
	p := make([]byte, outCluster)
	for b := range blocks {
		table[b] = uint64(next+b) << outBits
		clear(p)
		for i := range min(outPerRef, next+blocks-b*outPerRef) {
			p[2*i+1] = 1
		}
		if _, err := f.WriteAt(p, (next+b)<<outBits); err != nil {
			return fmt.Errorf("qcow2: %w", err)
		}
	}
	if err := putTable(f, table, refTable<<outBits); err != nil {
		return fmt.Errorf("qcow2: %w", err)
	}
	head := make([]byte, 112)
	copy(head, "QFI\xfb")
	be.PutUint32(head[4:], 3)
	be.PutUint32(head[20:], outBits)
	be.PutUint64(head[24:], uint64(size))
	be.PutUint32(head[36:], uint32(tables))
	be.PutUint64(head[40:], uint64(l1At<<outBits))
	be.PutUint64(head[48:], uint64(refTable<<outBits))
	be.PutUint32(head[56:], uint32(refClusters))
	be.PutUint32(head[96:], 4) // reference counts of 2^4 bits
	be.PutUint32(head[100:], 104)
	if _, err := f.WriteAt(head, 0); err != nil {
		return fmt.Errorf("qcow2: %w", err)
	}
	return nil
}
