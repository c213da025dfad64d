package config

import (
	"fmt"
	"strings"

	"github.com/diskcast/diskcast/internal/nearest"
)

// suggestion names the key that was meant, where one is near: no more than half of the word is changed.
func suggestion(name string, settings []Setting) string {
	name = strings.ToLower(strings.ReplaceAll(name, "_", "-"))
	if find(settings, name) != nil { // but for its dashes
		return fmt.Sprintf("did you mean %s?", name)
	}
	near := nearest.Within(name, names(settings), len(name)/2, 1)
	if len(near) == 0 {
		return "`diskcast config example` lists the keys"
	}
	return fmt.Sprintf("did you mean %s?", near[0])
}
