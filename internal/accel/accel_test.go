package accel

import "testing"

// TestVirtualizes: a /dev/kvm of a module that emulates is not used, whatever a boot sector says.
func TestVirtualizes(t *testing.T) {
	for text, want := range map[string]bool{
		"processor\t: 0\nflags\t\t: fpu vme vmx est tm2\nbugs\t: spectre\n": true,
		"flags\t\t: fpu svm\n":                        true,
		"flags\t\t: fpu vme est\nvmx flags\t: vnmi\n": false,
		"flags\t\t: fpu svm_lock vmxx\n":              false,
		"":                                            false,
	} {
		if got := virtualizes([]byte(text)); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
