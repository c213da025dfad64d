package doctor

import "github.com/diskcast/diskcast/server/doc"

// graves are how much findings harm that are not a hindrance only.
var graves = map[ID]string{
	InterfaceUnusable: doc.GraveStops, InterfaceNoLink: doc.GraveStops, PortTaken: doc.GraveStops,
	DHCPSecond: doc.GraveStops, DHCPNone: doc.GraveStops, DHCPBoot: doc.GraveStops, BootMissing: doc.GraveStops,
	BootElsewhere: doc.GraveStops, TFTPSilent: doc.GraveStops, TFTPAddress: doc.GraveStops, TFTPFile: doc.GraveStops,
	HTTPSilent: doc.GraveStops, HTTPFile: doc.GraveStops, HTTPSCert: doc.GraveStops,
	Firewall: doc.GraveStops, RoomState: doc.GraveStops,
	ReadOnly: doc.GraveStops, KeyOwner: doc.GraveStops, KeyDamaged: doc.GraveStops, KeyOpen: doc.GraveStops,
	RecordLost: doc.GraveStops, ImagesLost: doc.GraveStops, NodeNoDisk: doc.GraveStops,

	BootVersion: doc.GraveMind, BootKernel: doc.GraveMind, ClockFree: doc.GraveMind, KeyExpired: doc.GraveMind,
	OpenFiles: doc.GraveMind, Buffers: doc.GraveMind, NodeSpeed: doc.GraveMind,
}

func graveOf(id ID) string {
	if g := graves[id]; g != "" {
		return g
	}
	return doc.GraveHinders
}
