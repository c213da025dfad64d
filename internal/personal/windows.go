package personal

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"

	"github.com/diskcast/diskcast/internal/rx"
)

// Limits of an answer file: elements within each other, and bytes of what joins a domain.
const (
	maxDepth = 64
	maxBlob  = 64 << 10
)

// Windows is what Windows' setup finds at its first start after it was generalized (sysprep). Secret.
type Windows struct {
	// Unattend is unattend.xml, a template that may name {{.Join}}. Left out where only Join is given.
	Unattend string `json:"unattend,omitempty" toml:"unattend"`
	// Join has for each machine, by its name or node, what `djoin /provision /printblob` printed. A node is given its
	// own alone, in Unattend.
	Join map[string]string `json:"join,omitempty" toml:"join"`
}

// minimal joins a domain and asks for nothing else (Microsoft-Windows-UnattendedJoin, Identification,
// Provisioning).
const minimal = `<?xml version="1.0" encoding="utf-8"?>
<unattend xmlns="urn:schemas-microsoft-com:unattend">
  <settings pass="specialize">
    <component name="Microsoft-Windows-UnattendedJoin" processorArchitecture="amd64" publicKeyToken="31bf3856ad364e35"
        language="neutral" versionScope="nonSxS">
      <Identification>
        <Provisioning>
          <AccountData>{{.Join}}</AccountData>
        </Provisioning>
      </Identification>
    </component>
  </settings>
</unattend>
`

// base64 of djoin's blob; files of it are UTF-16 and have a mark and a zero, which are none of it.
var joinBlob = rx.New(`^[A-Za-z0-9+/]{64,}={0,2}$`)

// checkWindows judges it; what is resolved has no Join any more.
func (s *Settings) checkWindows(resolved bool) error {
	w := s.Windows
	if w == nil {
		return nil
	}
	alone := *s
	alone.Windows = nil
	if !alone.empty() {
		return errors.New("windows goes alone: what else is to be done, say in unattend.xml")
	}
	switch {
	case w.Unattend == "" && len(w.Join) == 0:
		return errors.New("windows: neither unattend nor join is given")
	case w.Unattend == Sealed:
		return fmt.Errorf("windows: %s stands where something secret was: give that itself", Sealed)
	case len(w.Unattend) > MaxFile:
		return fmt.Errorf("windows: unattend has %d bytes, at most %d are taken", len(w.Unattend), MaxFile)
	case len(w.Join) > 0 && w.Unattend != "" && !strings.Contains(w.Unattend, ".Join"):
		return errors.New("windows: join is given, and unattend has no {{.Join}} in its AccountData")
	}
	for who, blob := range w.Join {
		if blob == Sealed {
			return fmt.Errorf("windows: join: %s stands where the secret of %.60q was: give that itself", Sealed, who)
		}
		if len(blob) > maxBlob || !joinBlob().MatchString(blob) {
			return fmt.Errorf("windows: join of %.60q is not what `djoin /provision /printblob` prints: one word of "+
				"base64", who)
		}
	}
	if resolved {
		return checkUnattend(w.Unattend)
	}
	return nil
}

// checkUnattend wants an answer file that can be read.
func checkUnattend(text string) error {
	d := xml.NewDecoder(strings.NewReader(text))
	depth, root := 0, ""
	for {
		tok, err := d.Token()
		if err == io.EOF {
			break
		}
		var syntax *xml.SyntaxError
		switch {
		case errors.As(err, &syntax):
			return fmt.Errorf("windows: unattend is not XML: line %d (a value of a machine with < or & wants "+
				"{{html .X}})", syntax.Line)
		case err != nil:
			return errors.New("windows: unattend is not XML in UTF-8")
		}
		switch x := tok.(type) {
		case xml.StartElement:
			if depth++; depth > maxDepth {
				return fmt.Errorf("windows: unattend has elements more than %d deep", maxDepth)
			}
			if depth == 1 && root == "" {
				root = x.Name.Space + " " + x.Name.Local
			}
		case xml.EndElement:
			depth--
		case xml.Directive:
			return errors.New("windows: unattend has a DOCTYPE")
		}
	}
	if root != "urn:schemas-microsoft-com:unattend unattend" {
		return errors.New(`windows: the outermost element is not <unattend xmlns="urn:schemas-microsoft-com:unattend">`)
	}
	return nil
}

// of is what one machine gets.
func (w *Windows) of(v *Values) (*Windows, error) {
	out := &Windows{Unattend: w.Unattend}
	if len(w.Join) == 0 {
		return out, nil
	}
	v.Join = w.Join[v.Name]
	if v.Join == "" {
		v.Join = w.Join[v.Node]
	}
	if v.Join == "" {
		return nil, fmt.Errorf("windows: join has nothing for %s", v.who())
	}
	if out.Unattend == "" {
		out.Unattend = minimal
	}
	return out, nil
}

func (w *Windows) shown() *Windows {
	if w == nil {
		return nil
	}
	out := &Windows{Unattend: sealed(w.Unattend), Join: maps.Clone(w.Join)}
	for who := range out.Join {
		out.Join[who] = Sealed
	}
	return out
}
