package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/internal/nearest"
)

// suggestion names the key that was meant, where one is near: no more than half of the word is changed.
func suggestion(name string) string {
	name = strings.ToLower(strings.ReplaceAll(name, "_", "-"))
	if slices.Contains(Names(), name) { // but for its dashes
		return fmt.Sprintf("did you mean %s?", name)
	}
	near := nearest.Within(name, Names(), len(name)/2, 1)
	if len(near) == 0 {
		return "`diskcast config example` lists the keys"
	}
	return fmt.Sprintf("did you mean %s?", near[0])
}
