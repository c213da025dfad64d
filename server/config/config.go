// Package config is what `diskcast serve` can be told: one table of settings, from which come its flags, the keys
// of its file diskcast.toml, and the example of that file.
//
// A flag on the command line wins over the file, and the file over the default. The file is TOML; its keys are called
// as the flags are. Only who is told what happens is in tables, behind them, and has no flags.
package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// DefaultFile is the file that serve reads when it is there and no other is named.
const DefaultFile = "/etc/diskcast/diskcast.toml"

// Settings is what serve was told, as it is written; Check has looked at each value.
type Settings struct {
	State, Store, BootDir string
	Interface, Address    string
	DHCP, Range, Router   string
	Loader                string
	OwnDisk               string
	HTTP, Listen, Groups  string
	BootHTTPS             string
	Optimize, RateCap     string
	Traces                string
	Casts, Approve        string
	DNS, Hooks            []string
	AllowOtherDHCP, Debug bool
	Advertise             bool
	TFTP, Querier         bool
	LeaseTime, HookTime   time.Duration

	// People who log in by a provider.
	Public, Issuer, Client, SecretFile string
	ProviderCA, PersonClaim            string
	Scopes, PeopleRules                []string
	LoginTime                          time.Duration
}

// Setting is one line of the table.
type Setting struct {
	Name  string // of the flag and of the key
	About string // what the flag's help says
	Unit  string // what a value looks like, for the example
	// at is where the value is: a *string, *bool, *[]string or *time.Duration.
	at func(*Settings) any
	// check looks at one value as it is written; nil: any will do.
	check func(string) error
	// path is set for names of files, which the settings file must write whole: serve's folder is none to rely on.
	path bool
	// global is set for flags that all commands have.
	global bool
	// env is the variable of the environment that wins over the file.
	env string
}

// Find returns the setting of that name, or nil.
func Find(name string) *Setting { return find(table, name) }

func find(settings []Setting, name string) *Setting {
	for i := range settings {
		if settings[i].Name == name {
			return &settings[i]
		}
	}
	return nil
}

// Names lists all settings, in the order of the table.
func Names() []string { return names(table) }

func names(settings []Setting) []string {
	names := make([]string, len(settings))
	for i, s := range settings {
		names[i] = s.Name
	}
	return names
}

// Flags adds a flag for each setting but the global ones, with its default, and returns what they set.
func Flags(f *pflag.FlagSet) *Settings { return flags(f, func(*Setting) bool { return true }) }

// PeopleFlags are those of how people log in by a provider, PeopleNames.
func PeopleFlags(f *pflag.FlagSet) *Settings { return flags(f, (*Setting).ofPeople) }

func flags(f *pflag.FlagSet, wanted func(*Setting) bool) *Settings {
	values := Defaults()
	for i := range table {
		s := &table[i]
		if s.global || !wanted(s) {
			continue
		}
		switch p := s.at(values).(type) {
		case *string:
			f.StringVar(p, s.Name, *p, s.About)
		case *bool:
			f.BoolVar(p, s.Name, *p, s.About)
		case *[]string:
			f.StringSliceVar(p, s.Name, *p, s.About)
		case *time.Duration:
			f.DurationVar(p, s.Name, *p, s.About)
		}
	}
	return values
}

// Take gives a setting the value that it has in another's.
func (v *Settings) Take(name string, from *Settings) {
	s := Find(name)
	switch p := s.at(from).(type) {
	case *string:
		*s.at(v).(*string) = *p
	case *bool:
		*s.at(v).(*bool) = *p
	case *[]string:
		*s.at(v).(*[]string) = slices.Clone(*p)
	case *time.Duration:
		*s.at(v).(*time.Duration) = *p
	}
}

// Text is a setting's value, as the settings file has it.
func (v *Settings) Text(name string) string {
	_, value, _ := strings.Cut(strings.TrimSpace(Find(name).line(v)), " = ")
	return value
}

// ValueError says which setting has a value that means nothing.
type ValueError struct {
	Name, Value string
	Err         error
}

func (e *ValueError) Error() string { return fmt.Sprintf("%s %q %v", e.Name, e.Value, e.Err) }
func (e *ValueError) Unwrap() error { return e.Err }

// Check looks at each value by itself; the first that means nothing is a *ValueError.
func (v *Settings) Check() error {
	for _, s := range table {
		if s.check == nil {
			continue
		}
		for _, word := range words(s.at(v)) {
			if err := s.check(word); err != nil {
				return &ValueError{Name: s.Name, Value: word, Err: err}
			}
		}
	}
	return nil
}

// words are the texts of a value.
func words(p any) []string {
	switch p := p.(type) {
	case *string:
		return []string{*p}
	case *[]string:
		return *p
	}
	return nil
}
