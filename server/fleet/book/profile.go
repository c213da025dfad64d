package book

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/internal/nearest"
	"github.com/diskcast/diskcast/internal/personal"
	"github.com/diskcast/diskcast/server/doc"
)

// maxProfile bounds a profile, in bytes of JSON: its personalization, and as much again as all else needs.
const maxProfile = personal.MaxSettings + 64<<10

// SetProfile puts a profile in the place of the one of its name. The difference is nil when it was so before. Check
// says what is wrong with a spec that has what the profile has. Where personal.Sealed stands in the place of a secret,
// the secret that was there stays.
func (b *Book) SetProfile(p doc.Profile, w Writer, check func(*doc.Spec) error) (*doc.LabDiff, error) {
	fields, err := readProfile(p.Spec)
	if err != nil {
		return nil, err
	}
	was, had := b.profiles[p.Name]
	if err := mayWrite(doc.KindProfile, p.Name, p.Revision, had, was.Revision, len(b.profiles)); err != nil {
		return nil, err
	}
	before := map[string]json.RawMessage{}
	if had {
		if before, err = readProfile(was.Spec); err != nil {
			return nil, fmt.Errorf("the one that is stored: %w", err)
		}
	}
	if err := reveal(fields, before); err != nil {
		return nil, err
	}
	text, err := json.Marshal(fields)
	if err != nil {
		return nil, err
	}
	var spec doc.Spec
	if err := decode(text, &spec); err != nil {
		return nil, err
	}
	if err := check(&spec); err != nil {
		return nil, err
	}
	if had && bytes.Equal(was.Spec, text) {
		return nil, nil
	}
	b.profiles[p.Name] = doc.Profile{Name: p.Name, Spec: text, Revision: was.Revision + 1, Owner: w.Owner,
		Changed: w.Now}
	return diff(doc.KindProfile, p.Name, had, differences(before, fields)), nil
}

// readProfile reads the fields of a profile, each in its one form.
func readProfile(spec json.RawMessage) (map[string]json.RawMessage, error) {
	if len(spec) > maxProfile {
		return nil, fmt.Errorf("it is larger than %d bytes", maxProfile)
	}
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(spec, &fields); err != nil {
		return nil, fmt.Errorf("it is not an object of fields: %w", err)
	}
	known := doc.ProfileFields()
	for _, k := range slices.Sorted(maps.Keys(fields)) {
		if !slices.Contains(known, k) {
			return nil, fmt.Errorf("%q is no field of a profile%s (it has %s)", k, nearest.Hint(k, known),
				strings.Join(known, ", "))
		}
		var v any
		var err error
		d := json.NewDecoder(bytes.NewReader(fields[k]))
		d.UseNumber()
		if err = d.Decode(&v); err != nil {
			return nil, fmt.Errorf("%s: %w", k, err)
		}
		if v == nil {
			delete(fields, k)
			continue
		}
		if k == personalize {
			if v, err = personal.Decode(fields[k]); err != nil {
				return nil, err
			}
			if fields[k], err = oneForm(v); err != nil {
				return nil, err
			}
			continue
		}
		if fields[k], err = json.Marshal(v); err != nil {
			return nil, fmt.Errorf("%s: %w", k, err)
		}
	}
	if len(fields) == 0 {
		return nil, fmt.Errorf("it says nothing: it may have %s", strings.Join(known, ", "))
	}
	return fields, nil
}

// decode reads JSON, and refuses a field that is not known.
func decode(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("there is something behind its end")
	}
	return nil
}

// Spec reads a spec, and takes from the profile that it names, or else from the one named here, what it does not say
// itself: a field that is there holds, whatever its value. Of the way of leaving and of the personalization each field
// is taken by itself; one that is null is not the profile's either.
func (b *Book) Spec(text []byte, attached string) (doc.Spec, error) {
	var spec doc.Spec
	if err := decode(text, &spec); err != nil {
		return spec, err
	}
	name, asked := spec.Profile, spec.ProfileRevision
	if name == "" {
		if name = attached; name == "" {
			return spec, nil
		}
	}
	p, ok := b.profiles[name]
	switch {
	case !ok:
		return spec, b.NoProfile(name)
	case asked != 0 && asked != p.Revision:
		return spec, changed(doc.KindProfile, name, p.Revision, asked)
	case spec.Capture != "":
		return spec, fmt.Errorf("profile %s says what machines become, and a capture makes an image of one: leave "+
			"one away",
			name)
	}
	merged, err := readProfile(p.Spec)
	if err != nil {
		return spec, fmt.Errorf("profile %s: %w", name, err)
	}
	own := map[string]json.RawMessage{}
	if err := json.Unmarshal(text, &own); err != nil {
		return spec, err
	}
	for k, v := range own {
		if string(v) == "null" {
			delete(merged, k)
			continue
		}
		if (k == "boot" || k == personalize) && merged[k] != nil {
			lay := overlay
			if k == "boot" {
				lay = overlayBoot
			}
			if v, err = lay(merged[k], v); err != nil {
				return spec, fmt.Errorf("%s: it is not an object of fields", k)
			}
		}
		merged[k] = v
	}
	if text, err = json.Marshal(merged); err != nil {
		return spec, err
	}
	spec = doc.Spec{}
	if err := decode(text, &spec); err != nil {
		return spec, fmt.Errorf("with profile %s: %w", name, err)
	}
	spec.Profile, spec.ProfileRevision = name, p.Revision
	return spec, nil
}

// overlayBoot is overlay for a way of leaving: what only the profile's own method has goes with that.
func overlayBoot(under, over json.RawMessage) (json.RawMessage, error) {
	var was, is struct {
		Method string `json:"method"`
	}
	if err := errors.Join(json.Unmarshal(under, &was), json.Unmarshal(over, &is)); err != nil {
		return nil, err
	}
	if is.Method != "" && is.Method != was.Method {
		fields := map[string]json.RawMessage{}
		if err := json.Unmarshal(under, &fields); err != nil {
			return nil, err
		}
		delete(fields, "shell")
		var err error
		if under, err = json.Marshal(fields); err != nil {
			return nil, err
		}
	}
	return overlay(under, over)
}

// overlay puts the fields of one object over those of another.
func overlay(under, over json.RawMessage) (json.RawMessage, error) {
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(under, &fields); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(over, &fields); err != nil {
		return nil, err
	}
	maps.DeleteFunc(fields, func(_ string, v json.RawMessage) bool { return string(v) == "null" })
	return json.Marshal(fields)
}
