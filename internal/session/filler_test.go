package session

import "testing"

func TestFiller(t *testing.T) {
	for s, want := range map[string]bool{
		"": true, " - ": true, "To Be Filled By O.E.M.": true, "to_be_filled_by_oem": true, "N/A": true, "0": true,
		"XXXXXXXX":                             true,
		"00000000-0000-0000-0000-000000000000": true, "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF": true,
		"03000200-0400-0500-0006-000700080009": true,
		"S64A":                                 false, "00000001": false, "None of these": false, "5000c500a1": false,
	} {
		if Filler(s) != want {
			t.Errorf("%q: %v", s, !want)
		}
	}
	// A product may well be called by one character.
	if Placeholder("X") || Placeholder("") || !Placeholder("System Product Name") {
		t.Error("placeholders are taken for fillers")
	}
}

func TestUnique(t *testing.T) {
	for wwn, want := range map[string]bool{
		"0x0000000000000000": false, "eui.0000000000000000": false, "uuid.00000000-0000-0000-0000-000000000000": false,
		"unknown": false, "wwn-0x0": false,
		"naa.5000c500a1": true, "nvme.1af4-53-51454d55-00000002": true,
	} {
		if id := (&DiskID{WWN: wwn, Size: 1}); id.Unique() != want {
			t.Errorf("%s: %v", wwn, !want)
		}
	}
}
