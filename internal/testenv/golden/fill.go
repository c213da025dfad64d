package golden

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net/netip"
	"reflect"
	"strings"
	"time"
)

// Fill sets every exported field of what p points to, and all below, to a value that is not zero and that comes of
// where the field is: the same at each run, and when other fields come or go. A field that is lost on a way there and
// back is seen, and so is one that is new.
func Fill(p any) { fill(reflect.ValueOf(p).Elem(), "") }

func fill(v reflect.Value, path string) {
	h := fnv.New32a()
	h.Write([]byte(path))
	n := int64(h.Sum32()%9999) + 1
	var known any
	if v.CanInterface() { // not an embedded struct whose type is not exported; its fields may be
		known = v.Interface()
	}
	switch known.(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.Date(2026, 1, 1, 0, 0, int(n), 0, time.UTC)))
		return
	case netip.AddrPort:
		v.Set(reflect.ValueOf(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}), uint16(n))))
		return
	case json.RawMessage:
		v.Set(reflect.ValueOf(json.RawMessage(fmt.Sprintf(`{"raw":%d}`, n))))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(path)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(n)
	case reflect.Uint8:
		v.SetUint(uint64(n%255) + 1)
	case reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(n))
	case reflect.Float64:
		v.SetFloat(float64(n) + 0.5)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), path)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(v.Index(i), fmt.Sprintf("%s[%d]", path, i))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, path+" key")
		fill(value, path+"{}")
		v.SetMapIndex(key, value)
	case reflect.Struct:
		for i := range v.NumField() {
			switch field := v.Type().Field(i); {
			case field.Anonymous:
				fill(v.Field(i), path)
			case field.IsExported():
				fill(v.Field(i), strings.TrimPrefix(path+"."+field.Name, "."))
			}
		}
	default:
		panic(fmt.Sprintf("golden: no value for %s of type %v", path, v.Type()))
	}
}
