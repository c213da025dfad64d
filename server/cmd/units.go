package cmd

import "github.com/diskcast/diskcast/internal/units"

// parseRate and parseSize read what stands on the command line: what they do not understand is a usage error.
func parseRate(s string) (int64, error) { return parsed(units.ParseRate(s)) }
func parseSize(s string) (int64, error) { return parsed(units.ParseSize(s)) }

func parsed(n int64, err error) (int64, error) {
	if err != nil {
		return 0, usage("%w", err)
	}
	return n, nil
}
