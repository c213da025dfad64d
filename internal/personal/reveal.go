package personal

import (
	"encoding/json"
	"reflect"
	"strings"
)

// Reveal puts the secrets of other settings where Sealed stands in these in the place of one: who changes what he was
// shown keeps what he was not. Of files the path says which is which. What the others have no secret for stays Sealed,
// and Check refuses it.
func (s *Settings) Reveal(was *Settings) {
	reveal := func(now *string, secret string) {
		if *now == Sealed && secret != "" {
			*now = secret
		}
	}
	each := func(now, secrets map[string]string) {
		for who, v := range now {
			reveal(&v, secrets[who])
			now[who] = v
		}
	}
	each(s.Passwords, was.Passwords)
	if s.Seed != nil && was.Seed != nil {
		reveal(&s.Seed.MetaData, was.Seed.MetaData)
		reveal(&s.Seed.UserData, was.Seed.UserData)
		reveal(&s.Seed.NetworkConfig, was.Seed.NetworkConfig)
	}
	if s.Archive != nil && was.Archive != nil {
		reveal(&s.Archive.Content, was.Archive.Content)
	}
	if s.Script != nil && was.Script != nil {
		reveal(&s.Script.Run, was.Script.Run)
	}
	if s.Windows != nil && was.Windows != nil {
		reveal(&s.Windows.Unattend, was.Windows.Unattend)
		each(s.Windows.Join, was.Windows.Join)
	}
	reveal(&s.LoaderPassphrase, was.LoaderPassphrase)
	content := map[string]string{}
	for _, f := range was.Files {
		content[f.Path] = f.Content
	}
	for i := range s.Files {
		reveal(&s.Files[i].Content, content[s.Files[i].Path])
	}
}

// Whole is settings that leave nothing to a profile: what they do not have is null, and so not the profile's either.
func Whole(raw json.RawMessage) (json.RawMessage, error) {
	fields := map[string]json.RawMessage{}
	t := reflect.TypeFor[Settings]()
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		fields[name] = json.RawMessage("null")
	}
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, err
	}
	return json.Marshal(fields)
}
