// Package fec makes and uses the parity packets of a cast: a systematic Reed-Solomon code over GF(2^8), K source
// packets and up to 127 parity packets a block. Any K of them give back the block.
//
// The code and the arithmetic on packets are those of klauspost/reedsolomon. What else it does with them is not used
// here: it inverts a K by K matrix for each call that does not want all rows, which costs more than the packets do. The
// few rows that a cast wants at a time are summed up directly, and e lost packets cost the inversion of an e by e
// matrix.
package fec

import (
	"errors"
	"fmt"
	"sync"

	"github.com/klauspost/reedsolomon"
)

// MaxParity is the number of parity packets that a block has room for.
const MaxParity = 127

// Codec codes blocks of one K and payload. It may be used by several goroutines.
type Codec struct {
	k, payload int
	// of the code's matrix, K coefficients each: parity row r is the sum of rows[r][i] times source packet i
	rows    [][]byte
	scratch sync.Pool
}

var field reedsolomon.LowLevel

// New makes a codec for blocks of k packets of payload bytes.
func New(k, payload int) (*Codec, error) {
	if k < 1 || k+MaxParity > 256 {
		return nil, fmt.Errorf("cast: Reed-Solomon code for %d packets a block: it has from 1 to %d", k, 256-MaxParity)
	}
	c := &Codec{k: k, payload: payload, rows: matrix(k)}
	c.scratch.New = func() any { return new(scratch) }
	return c, nil
}

// matrix makes the parity rows of the code. Packet i of a block is the value at i of a polynomial of degree below k,
// and parity row r its value at k+r, which Lagrange's formula gives as a sum over the packets: that of i with the
// product of (k+r-j)/(i-j) over all other packets j. It is the matrix of reedsolomon.New, which inverts one of k by k
// and takes 25 ms for 128 packets.
func matrix(k int) [][]byte {
	// Logarithms, in which products are sums modulo 255. Differences are exclusive or.
	from := make([]int, k) // of the product of i-j
	for i := range k {
		for j := range k {
			if j != i {
				from[i] += logs[i^j]
			}
		}
	}
	rows := make([][]byte, MaxParity)
	for r := range rows {
		x, all := k+r, 0
		for j := range k {
			all += logs[x^j]
		}
		rows[r] = make([]byte, k)
		for i := range k {
			rows[r][i] = powers[((all-logs[x^i]-from[i])%255+255)%255]
		}
	}
	return rows
}

// powers of 2 in GF(2^8) modulo x^8+x^4+x^3+x^2+1, and the logarithm of each power; 0 has none.
var powers, logs = func() (powers [255]byte, logs [256]int) {
	x := 1
	for i := range powers {
		powers[i], logs[x] = byte(x), i
		if x <<= 1; x > 255 {
			x ^= 0x11D
		}
	}
	return powers, logs
}()

// Parity computes parity rows first, first+1, ... of a block into dst, whose slices are of payload bytes. data is the
// block, a whole number of packets; packets that it lacks to K count as zeroes.
func (c *Codec) Parity(data []byte, first int, dst [][]byte) error {
	n := len(data) / c.payload
	if len(data)%c.payload != 0 || n > c.k || first < 0 || first+len(dst) > MaxParity {
		return fmt.Errorf("cast: parity rows %d to %d of a block of %d bytes", first, first+len(dst), len(data))
	}
	for _, d := range dst {
		clear(d)
	}
	for i := range n {
		packet := data[i*c.payload : (i+1)*c.payload]
		for j, d := range dst {
			field.GalMulSliceXor(c.rows[first+j][i], packet, d)
		}
	}
	return nil
}

// Packet is a parity packet of a block: its row, and its bytes.
type Packet struct {
	Row  int
	Data []byte
}

// scratch is what one call of Decode needs.
type scratch struct {
	lost []int
	sums [][]byte
	rows [][]byte // coefficients of the lost packets, and beside them the unit matrix that becomes their inverse
}

// Decode fills in the source packets of data that are not held. data is the block, a whole number of packets; held says
// which of them are there. There must be at least as many parity packets as are lacking.
func (c *Codec) Decode(data []byte, held func(i int) bool, parity []Packet) error {
	s := c.scratch.Get().(*scratch)
	defer c.scratch.Put(s)
	n := len(data) / c.payload
	if n > c.k {
		return fmt.Errorf("cast: repairing a block of %d bytes", len(data))
	}
	s.lost = s.lost[:0]
	for i := range n {
		if !held(i) {
			s.lost = append(s.lost, i)
		}
	}
	e := len(s.lost)
	if e == 0 {
		return nil
	}
	if len(parity) < e {
		return fmt.Errorf("cast: repairing a block: %d packets are lost and %d parity packets are here", e, len(parity))
	}
	parity = parity[:e]
	s.room(e, c.payload)
	for j, p := range parity {
		if p.Row < 0 || p.Row >= MaxParity || len(p.Data) != c.payload {
			return fmt.Errorf("cast: repairing a block: parity packet of row %d with %d bytes", p.Row, len(p.Data))
		}
		copy(s.sums[j], p.Data)
		for l, i := range s.lost {
			s.rows[j][l] = c.rows[p.Row][i]
		}
		s.rows[j][e+j] = 1
	}
	// What the packets that are here contribute goes out of the sums; what stays is the lost ones'.
	for i, l := 0, 0; i < n; i++ {
		if l < e && s.lost[l] == i {
			l++
			continue
		}
		packet := data[i*c.payload : (i+1)*c.payload]
		for j, p := range parity {
			field.GalMulSliceXor(c.rows[p.Row][i], packet, s.sums[j])
		}
	}
	if err := invert(s.rows); err != nil {
		return err
	}
	for l, i := range s.lost {
		packet := data[i*c.payload : (i+1)*c.payload]
		clear(packet)
		for j := range parity {
			field.GalMulSliceXor(s.rows[l][e+j], s.sums[j], packet)
		}
	}
	return nil
}

// room makes e sums of payload bytes, and e cleared rows of 2e.
func (s *scratch) room(e, payload int) {
	for len(s.sums) < e {
		s.sums = append(s.sums, make([]byte, payload))
	}
	flat := make([]byte, e*2*e)
	s.rows = s.rows[:0]
	for j := range e {
		s.rows = append(s.rows, flat[j*2*e:(j+1)*2*e])
	}
}

// invert turns rows (A | 1) into (1 | A^-1), by Gauss and Jordan.
func invert(rows [][]byte) error {
	for i := range rows {
		at := i
		for at < len(rows) && rows[at][i] == 0 {
			at++
		}
		if at == len(rows) {
			return errors.New("cast: repairing a block: the same parity packet twice")
		}
		rows[i], rows[at] = rows[at], rows[i]
		if v := rows[i][i]; v != 1 {
			field.GalMulSlice(reedsolomon.Inv(v), rows[i], rows[i])
		}
		for j := range rows {
			if v := rows[j][i]; j != i && v != 0 {
				field.GalMulSliceXor(v, rows[i], rows[j])
			}
		}
	}
	return nil
}
