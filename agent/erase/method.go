package erase

import (
	"context"
	"errors"
	"fmt"

	"github.com/diskcast/diskcast/agent/erase/ata"
	"github.com/diskcast/diskcast/agent/erase/nvme"

	"github.com/diskcast/diskcast/internal/erasure"
)

// reach is how far a method goes.
type reach int

const (
	reachUser   reach = iota // what the host can address
	reachNative              // and a host protected area
	reachAll                 // and what the disk keeps to itself
)

// method is one way to erase a disk.
type method struct {
	name  string
	reach reach
	// can says why a disk cannot; nil: it can.
	can func(f *facts) error
	run func(ctx context.Context, r *run) error
	// content is what must be read back; nil: anything but what was there before.
	content func(r *run) filler
}

func zeros(*run) filler { return pattern{0} }

// methods is all there is.
var methods = []method{
	{name: erasure.Discard, can: canDiscard, run: discard},
	{name: erasure.SecureDiscard, can: canSecureDiscard, run: secureDiscard},
	{name: erasure.Zero, can: canWrite, run: zero, content: zeros},
	{name: erasure.Overwrite, can: canWrite, run: overwrite, content: (*run).lastFill},
	{name: erasure.ATAErase, reach: reachNative, can: canATAErase(false), run: ataErase(false)},
	{name: erasure.ATAEnhanced, reach: reachNative, can: canATAErase(true), run: ataErase(true)},
	{name: erasure.ATAOverwrite, reach: reachAll,
		can: canATASanitize(func(s ata.Sanitize) bool { return s.Overwrite }), run: ataSanitize(ata.Overwrite),
		content: zeros},
	{name: erasure.ATABlockErase, reach: reachAll,
		can: canATASanitize(func(s ata.Sanitize) bool { return s.BlockErase }), run: ataSanitize(ata.BlockErase)},
	{name: erasure.ATACryptoScramble, reach: reachAll,
		can: canATASanitize(func(s ata.Sanitize) bool { return s.CryptoScramble }),
		run: ataSanitize(ata.CryptoScramble)},
	{name: erasure.NVMeFormat, reach: reachAll,
		can: canFormat(func(*nvme.Identity) bool { return true }), run: nvmeFormat(nvme.EraseUserData)},
	{name: erasure.NVMeFormatCrypto, reach: reachAll,
		can: canFormat(func(id *nvme.Identity) bool { return id.FormatCrypto }), run: nvmeFormat(nvme.EraseCrypto)},
	{name: erasure.NVMeSanitizeWrite, reach: reachAll,
		can:     canSanitize(func(id *nvme.Identity) bool { return id.SanitizeOverwrite }),
		run:     nvmeSanitize(nvme.Overwrite),
		content: zeros},
	{name: erasure.NVMeSanitizeBlock, reach: reachAll,
		can: canSanitize(func(id *nvme.Identity) bool { return id.SanitizeBlock }), run: nvmeSanitize(nvme.BlockErase)},
	{name: erasure.NVMeSanitizeCrypto, reach: reachAll,
		can: canSanitize(func(id *nvme.Identity) bool { return id.SanitizeCrypto }),
		run: nvmeSanitize(nvme.CryptoErase)},
}

// canWrite refuses a disk that takes no writes just now.
func canWrite(f *facts) error {
	switch {
	case f.ata != nil && f.ata.Security.Locked:
		return fmt.Errorf("it is locked with a password; only an ATA security erase by one who knows it takes that "+
			"away "+
			"(diskcast knows its own, %q)", ata.Password)
	case f.sanitize.Running, f.nvmeLast.State == nvme.Running:
		return errors.New("it is sanitizing itself just now; wait until that is done, or erase it by a sanitize")
	case f.failed != nil, f.nvmeLast.State == nvme.Failed:
		return errors.New("its last sanitize failed, and it takes nothing but another one; erase it by a sanitize, " +
			"or " +
			"destroy it")
	}
	return nil
}

func canDiscard(f *facts) error {
	if !f.dev.CanDiscard() {
		return errors.New("it offers no discard")
	}
	return canWrite(f)
}

func canSecureDiscard(f *facts) error {
	if !f.dev.CanSecureDiscard() {
		return errors.New("it offers no secure discard")
	}
	return canWrite(f)
}

func canATAErase(enhanced bool) func(f *facts) error {
	return func(f *facts) error {
		if f.ata == nil {
			return errors.New(f.noATA)
		}
		switch s := f.ata.Security; {
		case !s.Supported:
			return errors.New("it does not have the ATA security feature set")
		case enhanced && !s.Enhanced:
			return errors.New("it has no enhanced erase")
		case s.Frozen:
			return errors.New("it is frozen: the machine's firmware gave it SECURITY FREEZE LOCK at power-on. " +
				"Suspend the " +
				"machine to RAM and wake it, or pull the disk's power and plug it in again while the machine runs, " +
				"or switch " +
				"that off in the firmware's setup")
		case s.Expired:
			return errors.New("too many wrong passwords were tried: switch its power off and on")
		case f.sanitize.Running:
			return errors.New("it is sanitizing itself just now")
		}
		return nil
	}
}

func canATASanitize(has func(ata.Sanitize) bool) func(f *facts) error {
	return func(f *facts) error {
		switch {
		case f.ata == nil:
			return errors.New(f.noATA)
		case !f.ata.Sanitize.Supported || !has(f.ata.Sanitize):
			return errors.New("it does not have that sanitize operation")
		case f.sanitize.Frozen:
			return errors.New("its sanitize operations are frozen (SANITIZE FREEZE LOCK EXT) until its power is " +
				"switched off " +
				"and on")
		case f.ata.Security.Locked:
			return errors.New("it is locked with a password, and refuses to sanitize until it is unlocked")
		}
		return nil
	}
}

// alone refuses what would erase namespaces that the rule does not name.
func (f *facts) alone(what string) error {
	if len(f.others) > 0 {
		return fmt.Errorf("%s would also erase the controller's other namespaces %s, which the session's rule does "+
			"not name",
			what, some(f.others))
	}
	return nil
}

func canFormat(has func(*nvme.Identity) bool) func(f *facts) error {
	return func(f *facts) error {
		switch {
		case f.nvme == nil:
			return errors.New(f.noNVMe)
		case !f.nvme.Format || !has(f.nvme):
			return errors.New("its controller does not have that format")
		case f.nvmeLast.State == nvme.Running:
			return errors.New("it is sanitizing itself just now; wait until that is done")
		case f.nvmeLast.State == nvme.Failed:
			return errors.New("its last sanitize failed, and it takes nothing but another one")
		case f.nvme.FormatAll || f.nvme.EraseAll:
			return f.alone("a format")
		}
		return nil
	}
}

func canSanitize(has func(*nvme.Identity) bool) func(f *facts) error {
	return func(f *facts) error {
		switch {
		case f.nvme == nil:
			return errors.New(f.noNVMe)
		case !has(f.nvme):
			return errors.New("its controller does not have that sanitize operation")
		}
		return f.alone("a sanitize")
	}
}

func lookUp(name string) *method {
	for i := range methods {
		if methods[i].name == name {
			return &methods[i]
		}
	}
	return nil
}
