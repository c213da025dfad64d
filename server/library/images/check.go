package images

import (
	"fmt"

	"github.com/diskcast/diskcast/internal/image"
)

// checkChunk looks at the frame of one chunk just as a node does before it writes: length, CRC-32C, zstd, size, BLAKE3.
// Were one of these left out here, a node could refuse what the server calls sound, and be failed for it.
func checkChunk(im *image.Image, chunk int) error {
	index := im.Index()
	frame := index.Chunks[chunk].Frame
	if frame < 0 {
		return nil // only zeros: nothing is stored
	}
	f := &index.Frames[frame]
	stored := make([]byte, f.Length)
	if _, err := im.Object().ReadAt(stored, f.Object); err != nil {
		return im.Damage(int(frame), fmt.Sprintf("it cannot be read: %v", err))
	}
	dec, err := image.NewDecoder()
	if err != nil {
		return err
	}
	defer dec.Close()
	if _, err := dec.Decode(f, stored, make([]byte, 0, f.Size+image.Slack)); err != nil {
		return im.Damage(int(frame), err.Error())
	}
	return nil
}
