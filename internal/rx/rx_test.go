package rx_test

import (
	"testing"

	"github.com/diskcast/diskcast/internal/rx"
)

func TestNew(t *testing.T) {
	digits := rx.New(`^[0-9]+$`)
	if first := digits(); !first.MatchString("42") || first.MatchString("x") || digits() != first {
		t.Error("not the expression, or made twice")
	}
	defer func() {
		if recover() == nil {
			t.Error("a wrong expression was taken")
		}
	}()
	rx.New(`(`)()
}
