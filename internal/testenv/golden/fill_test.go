package golden

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"testing"
	"time"
)

func TestFill(t *testing.T) {
	type inner struct {
		A string
		B *bool
	}
	type all struct {
		inner
		S  string
		I  int64
		U  uint16
		F  float64
		T  time.Time
		P  netip.AddrPort
		R  json.RawMessage
		L  []inner
		M  map[string]inner
		N  map[uint64]bool
		By []byte
	}
	var a, b all
	Fill(&a)
	Fill(&b)
	if !reflect.DeepEqual(a, b) {
		t.Error("two runs differ")
	}
	v := reflect.ValueOf(a)
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Errorf("%s is zero", v.Type().Field(i).Name)
		}
	}
	if a.A == a.S || len(a.L) != 2 || a.L[0].A == a.L[1].A || a.L[1].B == nil || !*a.L[1].B || len(a.M) != 1 ||
		len(a.N) != 1 {
		t.Errorf("%+v", a)
	}
}
