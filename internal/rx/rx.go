// Package rx makes regular expressions when they are asked for the first time. A node's program starts more than once
// on the way to its first word, each time with the start of all that is in it, and uses few of its expressions there.
package rx

import (
	"regexp"
	"sync"
)

// New is [regexp.MustCompile] at the first call of what it returns; the others return the same.
func New(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}
