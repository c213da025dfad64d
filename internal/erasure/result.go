package erasure

import (
	"fmt"
	"strings"
	"time"
)

// Terms of NIST SP 800-88 Rev. 1.
const (
	Clear = "clear" // nothing can be read any more through the disk's ordinary interface
	Purge = "purge" // nor with a laboratory's means
	None  = ""      // neither can be said; Reason has why
)

// Result is what was done to a disk, for the receipt. A failed erase has one too.
type Result struct {
	V      int    `json:"v"`
	Disk   Disk   `json:"disk"`
	Method string `json:"method"`
	Passes int    `json:"passes,omitempty"`
	// Seed makes again, in hex, what overwrite has written and where the sample was.
	Seed string `json:"seed"`
	// OK says that the method came to its end and that nothing was found afterwards that should not be there; Failure
	// says what was wrong.
	OK      bool   `json:"ok"`
	Failure string `json:"failure,omitempty"`
	Term    string `json:"term"` // clear, purge or empty
	Reason  string `json:"reason"`
	// Began and Ended are by the node's clock, which may be wrong; Seconds, between them, are not.
	Began    time.Time `json:"began"`
	Ended    time.Time `json:"ended"`
	Seconds  float64   `json:"seconds"`
	ReadBack ReadBack  `json:"read_back"`
	// Unreached is what the method did not get at; Unseen is what only the disk can say was erased.
	Unreached []Area   `json:"unreached"`
	Unseen    []Area   `json:"unseen"`
	Notes     []string `json:"notes,omitempty"`
}

// Version of Result.
const Version = 1

// Disk is which disk it was.
type Disk struct {
	Path       string `json:"path"` // what it was called then
	Model      string `json:"model"`
	Serial     string `json:"serial"`
	WWN        string `json:"wwn"`
	Firmware   string `json:"firmware,omitempty"`
	BusPath    string `json:"bus_path,omitempty"`
	Size       int64  `json:"size"` // bytes
	SectorSize int    `json:"sector_size"`
	Rotates    bool   `json:"rotates"`
	Namespace  uint32 `json:"namespace,omitempty"` // of an NVMe disk
}

// Kinds of Area.
const (
	AreaHPA         = "hpa"         // host protected area, or accessible max address
	AreaDCO         = "dco"         // device configuration overlay
	AreaReserve     = "reserve"     // sectors that were replaced, and the reserve of flash
	AreaNamespaces  = "namespaces"  // other namespaces of the controller
	AreaUnallocated = "unallocated" // capacity of the controller that is in no namespace
	AreaRefused     = "refused"     // places where the disk took nothing
	AreaUnknown     = "unknown"     // it could not be found out whether there is something
)

// Area is a part of a disk that its users do not see, or that refused.
type Area struct {
	Kind  string `json:"kind"`
	Bytes int64  `json:"bytes"` // 0: not known
	Words string `json:"words"`
}

// Words say to an operator what was done.
func (r *Result) Words() string {
	if !r.OK {
		return r.Failure
	}
	w := []string{fmt.Sprintf("%s %s, serial %s, erased by %s in %v: %s", r.Disk.Path, r.Disk.Model, r.Disk.Serial,
		r.Method,
		time.Duration(r.Seconds*float64(time.Second)).Round(time.Second), r.ReadBack.Words())}
	if r.Term == None {
		w = append(w, "no term of NIST SP 800-88: "+r.Reason)
	} else {
		w = append(w, "NIST SP 800-88 "+r.Term+": "+r.Reason)
	}
	for _, a := range r.Unreached {
		w = append(w, "not reached: "+a.Words)
	}
	return strings.Join(append(w, r.Notes...), ". ")
}
