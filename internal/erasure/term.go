package erasure

// Most is the highest term of NIST SP 800-88 Rev. 1, Appendix A, that the tables list for the method on a disk of this
// sort. A method that they list for the other sort of disk only is at most clear.
func Most(method string, rotates bool) string {
	switch method {
	case Discard, SecureDiscard:
		return None
	case Zero, Overwrite, ATAErase:
		return Clear
	case ATAEnhanced, ATAOverwrite:
		if !rotates {
			return Clear
		}
	case ATABlockErase:
		if rotates {
			return Clear
		}
	}
	return Purge
}

// Reached is what is left of a term where a method did not get at the areas.
func Reached(term string, unreached []Area) string {
	for _, a := range unreached {
		switch a.Kind {
		case AreaHPA, AreaDCO, AreaUnknown, AreaRefused:
			return None
		case AreaNamespaces, AreaUnallocated:
			if term == Purge {
				term = Clear
			}
		}
	}
	return term
}

// rank orders terms.
func rank(term string) int {
	switch term {
	case Clear:
		return 1
	case Purge:
		return 2
	}
	return 0
}
