package erase

import (
	"fmt"
	"strings"
)

// judge gives the term of NIST SP 800-88 Rev. 1 (December 2014), Appendix A, for what was done. It never says more than
// the tables do: a method that they do not list for this sort of disk is at most clear, and where something that users
// do not see is known to have been left, no term is given.
func judge(m *method, f *facts, r *Result) (term, reason string) {
	if !r.OK {
		return None, "the erase failed: " + r.Failure
	}
	term, reason = f.term(m)
	for _, a := range r.Unreached {
		switch a.Kind {
		case AreaHPA, AreaDCO:
			return None, fmt.Sprintf("%s, which %s does not reach; it would be %s without that", a.Words, m.name, term)
		case AreaUnknown:
			return None, fmt.Sprintf("it is not known %s; it would be %s if nothing does", a.Words, term)
		case AreaNamespaces, AreaUnallocated:
			if term == Purge {
				term, reason = Clear, reason+"; not purge for the drive, because "+a.Words+", which was not erased"
			}
		}
	}
	if r.ReadBack.Scope == ReadNone {
		reason += "; nothing was read back, which section 4.7 asks for"
	}
	return term, reason
}

// term is what the tables say of a method on this sort of disk.
func (f *facts) term(m *method) (term, reason string) {
	flash := !f.rotates()
	crypto := "the disk has thrown away the key of all that it had encrypted; this holds for what was written while it " +
		"encrypted, which its maker answers for"
	switch m.name {
	case Discard, SecureDiscard:
		return None, "no table lists discard: it tells a disk what it may forget, and the disk need not"
	case Zero, Overwrite:
		reason = "all that can be addressed was overwritten (Tables A-5 and A-8, at least one pass of a fixed value)"
		if flash {
			reason += "; flash may still hold older copies in its reserve"
		}
		return Clear, reason
	case ATAErase:
		return Clear, "SECURITY ERASE UNIT in normal mode (Table A-8: clear; Table A-5 asks for the enhanced mode for purge)"
	case ATAEnhanced:
		if flash {
			return Clear, "SECURITY ERASE UNIT in enhanced mode, which Table A-8 does not list as purge for flash"
		}
		return Purge, "SECURITY ERASE UNIT in enhanced mode (Table A-5)"
	case ATAOverwrite:
		if flash {
			return Clear, "OVERWRITE EXT, which Table A-8 does not list as purge for flash"
		}
		return Purge, "OVERWRITE EXT (Table A-5)"
	case ATABlockErase:
		if !flash {
			return Clear, "BLOCK ERASE EXT, which Table A-5 does not list for disks that rotate"
		}
		return Purge, "BLOCK ERASE EXT (Table A-8)"
	case ATACryptoScramble:
		return Purge, "CRYPTO SCRAMBLE EXT (Tables A-5 and A-8): " + crypto
	case NVMeFormat:
		return Purge, "Format NVM with user data erase (Table A-8)"
	case NVMeFormatCrypto:
		return Purge, "Format NVM with cryptographic erase (Table A-8): " + crypto
	}
	reason = "NVMe Sanitize, which is younger than the tables; the NVM Express Base Specification has all user data " +
		"purged by it, as IEEE 2883 defines that"
	if strings.HasSuffix(m.name, "crypto") {
		reason += ": " + crypto
	}
	return Purge, reason
}
