package erase

import (
	"fmt"
	"strings"

	"github.com/diskcast/diskcast/internal/erasure"
)

// judge gives the term of NIST SP 800-88 Rev. 1 (December 2014), Appendix A, for what was done. It never says more than
// the tables do: a method that they do not list for this sort of disk is at most clear, and where something that users
// do not see is known to have been left, no term is given.
func judge(m *method, f *facts, r *erasure.Result) (term, reason string) {
	if !r.OK {
		return erasure.None, "the erase failed: " + r.Failure
	}
	term, reason = f.term(m)
	for _, a := range r.Unreached {
		switch a.Kind {
		case erasure.AreaHPA, erasure.AreaDCO:
			return erasure.None, fmt.Sprintf("%s, which %s does not reach; it would be %s without that", a.Words,
				m.name, term)
		case erasure.AreaUnknown:
			return erasure.None, fmt.Sprintf("it is not known %s; it would be %s if nothing does", a.Words, term)
		case erasure.AreaNamespaces, erasure.AreaUnallocated:
			if term == erasure.Purge {
				term, reason = erasure.Clear, reason+"; not purge for the drive, because "+a.Words+
					", which was not erased"
			}
		}
	}
	if r.ReadBack.Scope == erasure.ReadNone {
		reason += "; nothing was read back, which section 4.7 asks for"
	}
	return term, reason
}

// term is what the tables say of a method on this sort of disk.
func (f *facts) term(m *method) (term, reason string) {
	flash := !f.rotates()
	term = erasure.Most(m.name, f.rotates())
	crypto := "the disk has thrown away the key of all that it had encrypted; this holds for what was written while " +
		"it " +
		"encrypted, which its maker answers for"
	switch m.name {
	case erasure.Discard, erasure.SecureDiscard:
		return term, "no table lists discard: it tells a disk what it may forget, and the disk need not"
	case erasure.Zero, erasure.Overwrite:
		reason = "all that can be addressed was overwritten (Tables A-5 and A-8, at least one pass of a fixed value)"
		if flash {
			reason += "; flash may still hold older copies in its reserve"
		}
		return term, reason
	case erasure.ATAErase:
		return term, "SECURITY ERASE UNIT in normal mode (Table A-8: clear; Table A-5 asks for the enhanced " +
			"mode " +
			"for purge)"
	case erasure.ATAEnhanced:
		if flash {
			return term, "SECURITY ERASE UNIT in enhanced mode, which Table A-8 does not list as purge for " +
				"flash"
		}
		return term, "SECURITY ERASE UNIT in enhanced mode (Table A-5)"
	case erasure.ATAOverwrite:
		if flash {
			return term, "OVERWRITE EXT, which Table A-8 does not list as purge for flash"
		}
		return term, "OVERWRITE EXT (Table A-5)"
	case erasure.ATABlockErase:
		if !flash {
			return term, "BLOCK ERASE EXT, which Table A-5 does not list for disks that rotate"
		}
		return term, "BLOCK ERASE EXT (Table A-8)"
	case erasure.ATACryptoScramble:
		return term, "CRYPTO SCRAMBLE EXT (Tables A-5 and A-8): " + crypto
	case erasure.NVMeFormat:
		return term, "Format NVM with user data erase (Table A-8)"
	case erasure.NVMeFormatCrypto:
		return term, "Format NVM with cryptographic erase (Table A-8): " + crypto
	}
	reason = "NVMe Sanitize, which is younger than the tables; the NVM Express Base Specification has all user data " +
		"purged by it, as IEEE 2883 defines that"
	if strings.HasSuffix(m.name, "crypto") {
		reason += ": " + crypto
	}
	return term, reason
}
