package personal

import (
	"fmt"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/internal/rx"
)

// maxWords bounds the words for the kernel.
const maxWords = 32

// A word that means the same to GRUB, to a shell and to the kernel.
var kernelWord = rx.New(`^[A-Za-z0-9_][A-Za-z0-9_.,:=/+@%-]{0,255}$`)

// checkKernel judges the words for the kernel.
func (s *Settings) checkKernel(resolved bool) error {
	if len(s.KernelWords) > maxWords {
		return fmt.Errorf("kernel_words: more than %d", maxWords)
	}
	for i, w := range s.KernelWords {
		if !resolved && isTemplate(w) {
			continue
		}
		if !kernelWord().MatchString(w) {
			return fmt.Errorf("kernel_words: %.80q is not one word of letters, digits and _.,:=/+@%%- "+
				"(console=ttyS0,115200)", w)
		}
		if slices.Contains(s.KernelWords[:i], w) {
			return fmt.Errorf("kernel_words: %s is given twice", w)
		}
	}
	return nil
}

// filled leaves out what came out empty.
func filled(list []string) []string {
	return slices.DeleteFunc(list, func(s string) bool { return strings.TrimSpace(s) == "" })
}
