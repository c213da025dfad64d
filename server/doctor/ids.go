package doctor

// ID names a kind of finding, for docs/operating.md and for programs.
type ID = string

// The kinds of findings on the server.
const (
	InterfaceUnusable ID = "interface-unusable" // it is not there, or has no address
	InterfaceNoLink   ID = "interface-no-link"
	PortTaken         ID = "port-taken" // another program has a port of the server's
	DHCPSecond        ID = "dhcp-second"
	DHCPNone          ID = "dhcp-none"    // nobody gives addresses
	DHCPBoot          ID = "dhcp-boot"    // another server offers boot files
	BootMissing       ID = "boot-missing" // no boot directory
	BootElsewhere     ID = "boot-elsewhere"
	BootVersion       ID = "boot-version" // made by another release
	BootKernel        ID = "boot-kernel"  // older than what is installed
	TFTPSilent        ID = "tftp-silent"
	TFTPAddress       ID = "tftp-address" // the answer came from another address
	TFTPFile          ID = "tftp-file"    // another file than the boot directory's
	HTTPSilent        ID = "http-silent"
	HTTPFile          ID = "http-file"
	HTTPSCert         ID = "https-certificate" // HTTPS boot: not the boot CA's
	Firewall          ID = "firewall"
	QuerierNone       ID = "querier-none"
	SnoopingAlone     ID = "snooping-alone" // a bridge of this machine snoops, and nobody asks
	MTUSmall          ID = "mtu-small"
	Buffers           ID = "buffers"
	OpenFiles         ID = "open-files"
	ClockWrong        ID = "clock-wrong"
	ClockFree         ID = "clock-free" // nobody keeps it right
	RoomState         ID = "room-state"
	RoomImages        ID = "room-images"
	ImagesLost        ID = "images-lost" // the list of the store's images, or what says that it is a store
	ImagesDamaged     ID = "images-damaged"
	ReadOnly          ID = "read-only" // the state or the images cannot be written
	KeyOpen           ID = "key-open"  // others can read it
	KeyOwner          ID = "key-owner"
	KeyDamaged        ID = "key-damaged"
	KeyExpired        ID = "key-expired"
	MachineSilent     ID = "machine-silent"
	MachineStuck      ID = "machine-stuck"
	NotifyStuck       ID = "notify-stuck" // a web hook or mail that does not arrive
	NotifyLost        ID = "notify-lost"
	RecordWaits       ID = "record-waits" // changes that the state did not take
	RecordLost        ID = "record-lost"
	OIDCSettings      ID = "oidc-settings" // a secret or certificates that cannot be used
	OIDCSilent        ID = "oidc-silent"   // the provider does not answer, or not as one
	OIDCRedirect      ID = "oidc-redirect" // it does not know this server's address
)

// The kinds of findings from a node.
const (
	NodeSlowLink  ID = "node-slow-link" // of spanning tree
	NodeMTU       ID = "node-mtu"
	NodeSilent    ID = "node-no-answer" // the server answers no echo
	NodeMulticast ID = "node-multicast"
	NodeQuerier   ID = "node-querier"
	NodeClock     ID = "node-clock"
	NodeDuplex    ID = "node-duplex"
	NodeSpeed     ID = "node-speed"
	NodeErrors    ID = "node-errors"
	NodeNoDisk    ID = "node-no-disk"
	NodeUndriven  ID = "node-undriven"
	NodeMemory    ID = "node-memory"
)
