package optimize

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"

	"github.com/diskcast/diskcast/internal/image"
)

// Best is the strongest compressor that this machine has.
func Best() (Compressor, error) {
	c, err := Program(19)
	if errors.Is(err, exec.ErrNotFound) {
		return Go()
	}
	return c, err
}

// Go is the Go encoder at its best level.
func Go() (Compressor, error) {
	e, err := image.NewEncoder(image.Small)
	if err != nil {
		return nil, err
	}
	return func(_ context.Context, dst, p []byte) ([]byte, error) { return e.Encode(dst, p), nil }, nil
}

// Program is the program zstd at a level from 1 to 19. An error that wraps exec.ErrNotFound says that it is not
// installed. One process compresses one frame, which takes it seconds; starting it takes milliseconds, and there is no
// C in our own process.
func Program(level int) (Compressor, error) {
	path, err := exec.LookPath("zstd")
	if err != nil {
		return nil, fmt.Errorf("zstd is not installed: %w", err)
	}
	return func(ctx context.Context, dst, p []byte) ([]byte, error) {
		// The size that is pledged gets into the frame's header.
		cmd := exec.CommandContext(ctx, path, "-"+strconv.Itoa(level), "-q", "-c", "--no-check", "--stream-size="+
			strconv.Itoa(len(p)))
		out := bytes.NewBuffer(dst)
		var errs strings.Builder
		cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(p), out, &errs
		if err := cmd.Run(); err != nil {
			return nil, fmt.Errorf("zstd: %w %s", err, strings.TrimSpace(errs.String()))
		}
		return out.Bytes(), nil
	}, nil
}
