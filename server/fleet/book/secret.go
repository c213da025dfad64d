package book

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"

	"github.com/diskcast/diskcast/internal/personal"
	"github.com/diskcast/diskcast/server/doc"
)

// What a profile personalizes machines with has secrets: they are in the book, and nobody is shown them.

// personalize is the field of a spec that has them.
const personalize = "personalize"

// Shown is a profile as everybody may see it.
func Shown(p doc.Profile) doc.Profile {
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(p.Spec, &fields); err != nil || fields[personalize] == nil {
		return p
	}
	fields[personalize] = shown(fields[personalize])
	p.Spec, _ = json.Marshal(fields) // it was read a moment ago
	return p
}

// Secret reports whether a profile has what nobody is shown.
func Secret(p doc.Profile) bool {
	return bytes.Contains(Shown(p).Spec, []byte(`"`+personal.Sealed+`"`))
}

// shown is a personalization without its secrets. Of one that cannot be read nothing is.
func shown(raw json.RawMessage) json.RawMessage {
	s, err := personal.Decode(raw)
	if err == nil {
		raw, err = oneForm(s.Shown())
	}
	if err != nil {
		return json.RawMessage(`"` + personal.Sealed + `"`)
	}
	return raw
}

// oneForm is a value as JSON with its keys in order.
func oneForm(v any) (json.RawMessage, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var fields map[string]any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&fields); err != nil {
		return nil, err
	}
	return json.Marshal(fields)
}

// reveal keeps the secrets of before where fields have what was shown in their place.
func reveal(fields, before map[string]json.RawMessage) error {
	if fields[personalize] == nil || before[personalize] == nil {
		return nil
	}
	now, err := personal.Decode(fields[personalize])
	if err != nil {
		return err
	}
	was, err := personal.Decode(before[personalize])
	if err != nil {
		return err
	}
	now.Reveal(was)
	fields[personalize], err = oneForm(now)
	return err
}

// differences says what is not as before, without secrets; of a personalization field by field.
func differences(before, fields map[string]json.RawMessage) []string {
	was, is := apart(before, false), apart(fields, false)
	wasShown, isShown := apart(before, true), apart(fields, true)
	keys := maps.Clone(was)
	maps.Copy(keys, is)
	var said []string
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		switch {
		case was[k] == is[k]:
		case wasShown[k] == isShown[k]:
			said = append(said, k+": its secret is another")
		default:
			said = append(said, words(k, wasShown[k], isShown[k])...)
		}
	}
	return said
}

// apart has the fields of a profile by name, and those of its personalization as personalize.hostname; with hide,
// without secrets.
func apart(fields map[string]json.RawMessage, hide bool) map[string]string {
	out := map[string]string{}
	for k, v := range fields {
		if k == personalize && hide {
			v = shown(v)
		}
		inner := map[string]json.RawMessage{}
		if k != personalize || json.Unmarshal(v, &inner) != nil {
			out[k] = string(v)
			continue
		}
		for name, x := range inner {
			out[k+"."+name] = string(x)
		}
	}
	return out
}
