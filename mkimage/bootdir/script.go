package bootdir

import (
	"errors"
	"fmt"
	"strings"

	contract "github.com/diskcast/diskcast/internal/bootdir"
)

// Cmdline is the part of the kernel's command line that all nodes share.
func Cmdline(c *Content) string {
	// The last console is /dev/console, where the kernel's own panic text must be seen: the serial line if there is
	// one.
	words := []string{"console=tty0"}
	if c.Site.Console != "" {
		words = append(words, "console="+c.Site.Console)
	}
	// A kernel that panics restarts the node instead of leaving it dead until somebody walks there. The kernel's
	// messages on a serial line of 11 KB/s would take longer than all the rest of the boot; they are in dmesg. There is
	// nobody on a node to be protected from its other programs, and the protection costs every packet.
	words = append(words, contract.Words)
	if c.Append != "" {
		words = append(words, c.Append)
	}
	return strings.Join(words, " ")
}

// nodeWords is room, in bytes, for what the boot loaders add for each node: the kernel's own name (GRUB), initrd= and
// BOOTIF=.
const nodeWords = 160

// CheckCmdline tells whether the kernel takes the whole command line of a node. A longer one is cut off without a word,
// by the boot loader or the kernel, and what is cut is what the operator added. max is the kernel's limit in bytes.
func CheckCmdline(c *Content, max int) error {
	if over := len(Cmdline(c)) + nodeWords - max; over > 0 {
		return fmt.Errorf("the kernel's command line would have %d characters, and with %d for what each node adds "+
			"the kernel takes %d: shorten --append by %d",
			len(Cmdline(c)), nodeWords, max, over)
	}
	return nil
}

// Blanks are what iPXE cuts a line at.
const Blanks = " \t\n\v\f\r"

// CheckIPXE tells whether iPXE hands a kernel command line on as it is. It knows no quotes: these words have a meaning
// to it wherever they stand, and between two words there is one blank when the kernel gets them (iPXE, core/exec.c).
// Quotes, backslashes and the same signs inside of words are nothing to it.
func CheckIPXE(cmdline string) error {
	if strings.ContainsAny(cmdline, "\n\r") {
		return errors.New("it holds the end of a line, which is the end of a command to iPXE")
	}
	for _, word := range strings.FieldsFunc(cmdline, func(r rune) bool { return strings.ContainsRune(Blanks, r) }) {
		why := ""
		switch {
		case strings.HasPrefix(word, "#"):
			why = "begins a comment to iPXE, which would leave out the rest of the line"
		case word == ";" || word == "&&" || word == "||":
			why = "ends the command to iPXE, also inside of quotes, and what follows would be run as another"
		case strings.Contains(word, "${"):
			why = "holds ${, in whose place iPXE would put a setting of its own; GRUB and sticks would not"
		}
		if why != "" {
			return fmt.Errorf("the word %q %s", word, why)
		}
	}
	quoted := false
	for part := range strings.SplitSeq(cmdline, `"`) {
		if quoted && (strings.Contains(part, "  ") || strings.ContainsAny(part, "\t\v\f")) {
			return fmt.Errorf("%q has more than one blank, or a tab, inside of quotes, and iPXE makes one blank of it",
				part)
		}
		quoted = !quoted
	}
	return nil
}

// Script is boot.ipxe.
func Script(c *Content) string {
	base := c.BaseURL
	if base != "" {
		base = strings.TrimSuffix(base, "/") + "/"
	}
	var b strings.Builder
	fmt.Fprintf(&b, scriptHead, c.Release)
	// The EFI stub of the kernel finds its archive by this name; BIOS ignores it. The node learns from BOOTIF which
	// card it booted from: iPXE calls that card netX, whatever its number.
	fmt.Fprintf(&b, "kernel %s%s initrd=%s BOOTIF=01-${netX/mac:hexhyp} %s || goto failed\n", base, KernelFile,
		ArchiveFile, Cmdline(c))
	fmt.Fprintf(&b, "initrd %s%s || goto failed\n", base, ArchiveFile)
	if c.SignedIPXE != nil {
		fmt.Fprintf(&b, scriptShim, base+c.Arch.OrDefault().Shim())
	}
	b.WriteString(scriptTail)
	return b.String()
}

// Names without a host are resolved against the address that the script itself was loaded from.
const scriptHead = `#!ipxe
# Made by mkimage.
echo
echo diskcast: ${netX/mac} with address ${netX/ip} starts Linux %s
set tries:int8 0

:start
inc tries
`

// scriptShim has an iPXE that Secure Boot started hand the kernel to the distribution's shim, which knows who signed
// it. iPXE fetches it only where firmware would refuse the kernel without.
const scriptShim = `iseq ${platform} efi || goto ready
shim %s || echo diskcast: no shim for the kernel: with Secure Boot on, the firmware refuses it now
:ready
`

// Autoexec is autoexec.ipxe. DHCP names boot.ipxe to every iPXE, so that it has nothing else to do than to say what is
// wrong where that does not happen.
const Autoexec = `#!ipxe
# Made by mkimage.
autoboot ||
echo diskcast: the DHCP server named no script to iPXE, or it did not come (error ${errno}).
echo diskcast: does it send iPXE (its user class, option 77) to http://SERVER:8080/boot/boot.ipxe?
sleep 5
exit 1
`

const scriptTail = `echo diskcast: starting the kernel
boot || goto failed

:failed
set problem ${errno}
imgfree
echo
echo diskcast: the node could not be started (attempt ${tries} of 20, error ${problem}).
echo diskcast: https://ipxe.org/err/${problem} explains the number.
echo diskcast: is the server up, does it serve its boot directory, and can ${netX/ip} reach ${netX/next-server}?
iseq ${tries} 20 && goto giveup ||
echo diskcast: next attempt in 5 seconds
sleep 5
goto start

:giveup
echo diskcast: giving up; the firmware goes on with its next boot device.
sleep 5
exit 1
`
