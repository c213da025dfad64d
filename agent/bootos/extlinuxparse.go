package bootos

import (
	"fmt"
	"slices"
	"strings"
)

// extlinuxConfig is a configuration of SYSLINUX and its relatives (https://wiki.syslinux.org: Config, Menu), or of
// U-Boot.
type extlinuxConfig struct {
	labels      []extlinuxLabel
	wanted      string // of DEFAULT: a label's or kernel's name, and words for the kernel
	onTimeout   string // of the prompt,
	menuInstead string // and of the menu
	append      string // of all labels that have no APPEND
	implicit    string
	sysappend   string
	ui          string // of UI: as wanted, and goes before it
	prompt      bool   // somebody may choose at a prompt,
	noEscape    bool   // which is not there
	timeout     bool   // the prompt ends by itself
	menuTimeout bool   // the menu does
	shiftKey    bool   // the menu is shown to who holds a key down
	saves       bool   // the menu keeps the last choice
	negative    bool   // a timeout is below 0
	deepDefault bool   // MENU DEFAULT of a submenu as such: the menu begins with it
	deepStart   bool   // MENU START: the menu begins inside of a submenu
	oddFirst    bool   // the menu's first row is a submenu or a line between entries
	menuFile    string // of MENU INCLUDE, which not every version reads where there is no menu

	times [2]bool // TIMEOUT and TOTALTIMEOUT are not 0
	read  func(name string) (string, error)
	depth int  // of MENU BEGIN
	apart bool // what follows belongs to no label
	inMsg bool
}

type extlinuxLabel struct {
	name, title      string
	kind, kernel     string // the word that names the kernel, in lower case, and the name
	append, args     string
	hasAppend        bool
	initrd           string // as it is written
	initrds          []string
	fdt, sysappend   string
	isDefault        bool
	hidden, disabled bool // it is no row of the menu; it is one that cannot be chosen
	submenu          bool
}

const (
	maxLabels   = 4096
	maxIncludes = 16
)

// parse reads lines of "keyword value". Keywords are known in any case.
func (c *extlinuxConfig) parse(text string, depth int) error {
	if strings.ContainsRune(text, 0) {
		return &Restart{Why: "its configuration has a byte 0, behind which SYSLINUX reads nothing of a line"}
	}
	if depth > maxIncludes {
		return &Restart{Why: fmt.Sprintf("its files include each other more than %d deep, or in a circle", maxIncludes)}
	}
	for line := range strings.Lines(text) {
		key, value := word(line)
		if c.inMsg {
			c.inMsg = !strings.EqualFold(key, "endtext")
			continue
		}
		if key == "" || key[0] == '#' {
			continue
		}
		key = strings.ToLower(key)
		if key == "menu" {
			sub, rest := word(value)
			if sub = strings.ToLower(sub); sub != "include" {
				c.menuLine(sub, rest)
				continue
			}
			if err := c.include(rest, true, depth+1); err != nil {
				return err
			}
			continue
		}
		if key == "include" {
			if err := c.include(value, false, depth+1); err != nil {
				return err
			}
			continue
		}
		if key == "label" {
			if len(c.labels) == maxLabels {
				return &Restart{Why: fmt.Sprintf("it has more than %d labels", maxLabels)}
			}
			c.labels = append(c.labels, extlinuxLabel{name: value, submenu: c.depth > 0})
			c.apart = false
			continue
		}
		if !c.globalLine(key, value) {
			c.labelLine(key, value)
		}
	}
	return nil
}

// include reads another file as if it stood there; with a word behind its name, as a submenu of that name. SYSLINUX
// goes on without a file that is not there.
func (c *extlinuxConfig) include(value string, menu bool, depth int) error {
	name, tag := word(value)
	more, err := c.read(name)
	if err != nil {
		return nil
	}
	if menu {
		c.menuFile = name
	}
	if tag == "" {
		return c.parse(more, depth)
	}
	c.menuLine("begin", tag)
	defer c.menuLine("end", "")
	return c.parse(more, depth)
}

// globalLine takes what belongs to the whole configuration wherever it stands.
func (c *extlinuxConfig) globalLine(key, value string) bool {
	switch key {
	case "default":
		c.wanted = value
	case "ontimeout":
		if c.onTimeout = value; c.depth == 0 {
			c.menuInstead = value
		}
	case "timeout", "totaltimeout":
		c.negative = c.negative || strings.HasPrefix(value, "-")
		if key == "timeout" {
			c.times[0] = number(value)
		} else {
			c.times[1] = number(value)
		}
	case "prompt":
		c.prompt = number(value)
	case "noescape":
		c.noEscape = number(value)
	case "implicit":
		c.implicit = value
	case "ui":
		c.ui = value
	case "text":
		c.inMsg = strings.EqualFold(value, "help")
	default:
		return false
	}
	c.timeout = c.times[0] || c.times[1]
	if c.depth == 0 { // a menu inside has its own
		c.menuTimeout = c.timeout
	}
	return true
}

// labelLine takes what belongs to the label above, or before the first label to all.
func (c *extlinuxConfig) labelLine(key, value string) {
	var l *extlinuxLabel
	if len(c.labels) > 0 {
		l = &c.labels[len(c.labels)-1]
	}
	switch {
	case key == "append" && l == nil:
		c.append = value
	case (key == "sysappend" || key == "ipappend") && l == nil:
		c.sysappend = value
	case l == nil:
	case key == "append":
		l.append, l.hasAppend = value, true
	case key == "sysappend" || key == "ipappend":
		l.sysappend = value
	case key == "initrd":
		l.initrd = value
	case key == "fdt" || key == "devicetree" || key == "fdtdir" || key == "devicetreedir" || key == "fdtoverlays":
		l.fdt = value
	case key == "linux" || key == "kernel" || kinds32[key]:
		l.kind, l.kernel = key, value
	}
}

// kinds32 are the words for what is not Linux.
var kinds32 = map[string]bool{"boot": true, "bss": true, "pxe": true, "fdimage": true, "comboot": true, "com32": true,
	"config": true, "localboot": true}

// menuLine takes what only the menu reads.
func (c *extlinuxConfig) menuLine(sub, rest string) {
	var l *extlinuxLabel
	if n := len(c.labels); n > 0 && c.labels[n-1].submenu == (c.depth > 0) && !c.apart {
		l = &c.labels[n-1]
	}
	switch {
	case sub == "begin":
		c.row()
		c.depth++
	case sub == "end":
		c.depth, c.apart = max(c.depth-1, 0), true
	case sub == "separator":
		c.row()
	case sub == "save":
		c.saves = true
	case sub == "shiftkey":
		c.shiftKey = true
	case sub == "start" && c.depth > 0:
		c.deepStart = true
	case sub == "default" && c.depth > 0 && l == nil:
		c.deepDefault = true
	case l == nil:
	case sub == "label":
		l.title = strings.ReplaceAll(rest, "^", "")
	case sub == "default":
		l.isDefault = true
	case sub == "hide":
		l.hidden = true
	case sub == "disable":
		l.disabled = true
	case sub == "goto" || sub == "exit" || sub == "quit" || sub == "help":
		l.kind, l.kernel = "menu", sub
	}
}

// row notes a row of a menu that is no label, and before which there may be none.
func (c *extlinuxConfig) row() {
	c.apart = true
	c.oddFirst = c.oddFirst || c.depth == 0 &&
		!slices.ContainsFunc(c.labels, func(l extlinuxLabel) bool { return !l.submenu && !l.hidden })
}

// word cuts off the first word. SYSLINUX takes every byte up to a blank for one, and none above: no no-break space.
func word(line string) (first, rest string) {
	line = strings.TrimFunc(line, isBlank)
	if i := strings.IndexFunc(line, isBlank); i >= 0 {
		return line[:i], strings.TrimLeftFunc(line[i:], isBlank)
	}
	return line, ""
}

func isBlank(r rune) bool { return r <= ' ' }

// number tells whether a value is a number that is not 0.
func number(value string) bool {
	digits := strings.TrimLeft(strings.TrimLeft(value, "+-"), "0")
	return digits != "" && digits[0] >= '1' && digits[0] <= '9'
}
