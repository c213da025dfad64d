package ipmi

import (
	"errors"
	"fmt"
	"testing"

	"github.com/bougou/go-ipmi/pkg/types"

	"github.com/diskcast/diskcast/server/power"
)

// TestReasons holds what a BMC says against the word that it ends in.
func TestReasons(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want power.Word
	}{
		"no such user":    {types.NewRmcpStatusError(types.RmcpStatusCodeUnauthorizedName), power.Password},
		"no free session": {types.NewRmcpStatusError(types.RmcpStatusCodeNoResToCreateSess), power.Frozen},
		"node busy":       {types.NewResponseError(nodeBusy, "busy"), power.Frozen},
		"privilege":       {types.NewResponseError(notAllow, "insufficient privilege"), power.Refused},
		"in its state":    {types.NewResponseError(notInMode, "not in this state"), power.Refused},
		"another code":    {types.NewResponseError(0xff, "unspecified"), power.Refused},
		"a lost packet":   {errors.New("read udp: i/o timeout"), power.Silent},
		"bad proof": {types.NewRmcpStatusError(types.RmcpStatusCodeInvalidIntegrityCheckValue),
			power.Password},
		"a role that may not": {types.NewRmcpStatusError(types.RmcpStatusCodeUnauthorizedRoleOfPriLevel),
			power.Refused},
	} {
		if got := reason(t.Context(), fmt.Errorf("in the library's words: %w", c.err)); power.WordOf(got) != c.want {
			t.Errorf("%s: %v; want the word %q", name, got, c.want)
		}
	}
}
