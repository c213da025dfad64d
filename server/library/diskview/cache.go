package diskview

import (
	"container/list"
	"io"
	"sync"
)

// Cache is a disk that is read here and there, as a running system does: it keeps what was read last. Several may read
// at once.
type Cache struct {
	d    *Disk
	cell int64
	most int // cells

	mu    sync.Mutex
	cells map[int64]*list.Element
	last  *list.List // of cached, the latest in front
}

type cached struct {
	number int64
	data   []byte
}

var _ io.ReaderAt = (*Cache)(nil)

// NewCache returns a cache of at most so many bytes, and of two grid cells at the least.
func NewCache(d *Disk, bytes int64) *Cache {
	cell := d.im.Index().Grid
	return &Cache{d: d, cell: cell, most: int(max(2, bytes/cell)), cells: map[int64]*list.Element{}, last: list.New()}
}

// ReadAt implements io.ReaderAt.
func (c *Cache) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		at := off + int64(n)
		if at < 0 || at >= c.d.Size() {
			return n, io.EOF
		}
		data, err := c.get(at / c.cell)
		if err != nil {
			return n, err
		}
		n += copy(p[n:], data[at%c.cell:])
	}
	return n, nil
}

// get returns a cell's bytes, which nobody changes.
func (c *Cache) get(number int64) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.cells[number]; ok {
		c.last.MoveToFront(e)
		return e.Value.(*cached).data, nil
	}
	data := make([]byte, min(c.cell, c.d.Size()-number*c.cell))
	if _, err := c.d.ReadAt(data, number*c.cell); err != nil {
		return nil, err
	}
	c.cells[number] = c.last.PushFront(&cached{number, data})
	if c.last.Len() > c.most {
		oldest := c.last.Back()
		c.last.Remove(oldest)
		delete(c.cells, oldest.Value.(*cached).number)
	}
	return data, nil
}
