// Package machines reads what machines said of their hardware, as `diskcast machine inventory` prints it, and picks
// the modules of a kernel that they need.
package machines

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/internal/bootdir"
	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/internal/session"
)

// Machine is what is known of one.
type Machine struct {
	Name     string           `json:"name"`
	Product  string           `json:"product,omitempty"`
	Memory   int64            `json:"memory"` // bytes, by its kernel's word
	Hardware session.Hardware `json:"-"`

	kernel string // release of the kernel that it ran when it was seen
}

// Bounds of an inventory.
const (
	maxInventory = 256 << 20 // bytes
	maxMachines  = 20000
	maxName      = 128 // bytes
)

// document is a node as the server shows it.
type document struct {
	ID        string            `json:"id"`
	Machine   string            `json:"machine"`
	Name      string            `json:"name"`
	Inventory session.Inventory `json:"inventory"`
}

// File is what Read reads, and its name in an error.
type File struct {
	Name string
	io.Reader
}

// Read reads documents of nodes, or lists of such, one behind the other. A machine that says nothing of its hardware is
// an error: nothing would be taken for it.
func Read(files ...File) ([]Machine, error) {
	var docs []document
	var names []string
	room := int64(maxInventory)
	for _, f := range files {
		names = append(names, f.Name)
		data, err := io.ReadAll(io.LimitReader(f, room+1))
		if room -= int64(len(data)); room < 0 {
			err = fmt.Errorf("more than %d bytes", maxInventory)
		}
		if err == nil {
			docs, err = decode(docs, data)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	list, err := all(docs)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", strings.Join(names, ","), err)
	}
	return list, nil
}

// decode adds the documents of one file.
func decode(docs []document, data []byte) ([]document, error) {
	if words := foreign(data); words != "" {
		return nil, errors.New(words)
	}
	for dec := json.NewDecoder(bytes.NewReader(data)); ; {
		var raw json.RawMessage
		err := dec.Decode(&raw)
		syntax, isSyntax := errors.AsType[*json.SyntaxError](err)
		switch {
		case errors.Is(err, io.EOF):
			return docs, nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			return nil, fmt.Errorf("it is cut off: it ends at byte %d, in the middle of what begins at byte %d; write "+
				"it anew with `diskcast machine inventory`", len(data), dec.InputOffset())
		case isSyntax:
			return nil, fmt.Errorf("byte %d: %w; `diskcast machine inventory` prints what is read", syntax.Offset, err)
		case err != nil:
			return nil, err
		}
		list := []document{{}}
		if raw[0] == '[' {
			err = json.Unmarshal(raw, &list)
		} else {
			err = json.Unmarshal(raw, &list[0])
		}
		if err != nil {
			return nil, fmt.Errorf("not what `diskcast machine inventory` prints: %w", err)
		}
		if docs = append(docs, list...); len(docs) > maxMachines {
			return nil, fmt.Errorf("more than %d machines", maxMachines)
		}
	}
}

// foreign says what a file is that is no JSON in UTF-8, by how it begins; empty where it may be JSON. A shell of
// Windows writes such.
func foreign(data []byte) string {
	switch {
	case bytes.HasPrefix(data, []byte("\xef\xbb\xbf")): // RFC 8259, 8.1
		return "it begins with a byte order mark (UTF-8), which JSON does not have: save it without"
	case bytes.HasPrefix(data, []byte("\xff\xfe")), bytes.HasPrefix(data, []byte("\xfe\xff")):
		return "it is in UTF-16, and JSON is in UTF-8: save it so"
	}
	return ""
}

func all(docs []document) ([]Machine, error) {
	var list []Machine
	var silent []string
	for i, d := range docs {
		inv := &d.Inventory
		called := cmp.Or(d.Name, d.Machine, d.ID)
		name := plain.Line(cmp.Or(called, fmt.Sprintf("machine %d", i+1)), maxName)
		inv.BoundHardware()
		if called == "" && inv.Hardware == nil {
			return nil, fmt.Errorf("document %d in it is not of a machine; `diskcast machine inventory` prints what "+
				"is read", i+1)
		}
		if inv.Hardware == nil || len(inv.Hardware.Devices) == 0 {
			silent = append(silent, name)
			continue
		}
		list = append(list, Machine{Name: name, Memory: inv.Memory, Hardware: *inv.Hardware,
			kernel: inv.Kernel, Product: plain.Line(strings.TrimSpace(inv.Vendor+" "+inv.Product), maxName)})
	}
	if len(silent) > 0 {
		return nil, fmt.Errorf("%s: nothing is known of the hardware; start the machine once with a boot directory "+
			"that is made without --for by this release, or leave it out", Few(silent))
	}
	if len(list) == 0 {
		return nil, errors.New("no machine in it")
	}
	slices.SortStableFunc(list, func(a, b Machine) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// endings are how distributions' releases of kernels end that name the processor (uname -r).
var endings = []struct {
	end  string
	arch bootdir.Arch
}{{"amd64", bootdir.AMD64}, {"x86_64", bootdir.AMD64}, {"arm64", bootdir.ARM64}, {"aarch64", bootdir.ARM64}}

// Of leaves out machines of another architecture, as far as the kernel that they ran says it, and names them in a note.
func Of(arch bootdir.Arch, list []Machine) (own []Machine, note string, err error) {
	var others []string
	for _, m := range list {
		other := false
		for _, e := range endings {
			other = other || strings.HasSuffix(m.kernel, e.end) && e.arch != arch
		}
		if other {
			others = append(others, m.Name)
		} else {
			own = append(own, m)
		}
	}
	if len(others) == 0 {
		return list, "", nil
	}
	if len(own) == 0 {
		return nil, "", fmt.Errorf("no machine in it is of %s, which the kernel is for: %s ran a kernel for other "+
			"processors", arch, Few(others))
	}
	note = fmt.Sprintf("left out, since they ran a kernel for other processors than %s: %s", arch, Few(others))
	return own, note, nil
}

// shown is how many names a line has.
const shown = 8

// Few is a list of names for a line.
func Few(names []string) string {
	text := strings.Join(names[:min(len(names), shown)], ", ")
	if more := len(names) - shown; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
