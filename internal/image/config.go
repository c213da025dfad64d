package image

// ConfigVersion is the version of Config that this package writes and reads.
const ConfigVersion = 1

// MaxConfig bounds, in bytes, a config blob.
const MaxConfig = 4 << 20

// Firmware kinds of Config.
const (
	BIOS = "bios"
	UEFI = "uefi"
	Both = "bios+uefi"
)

// Config is the config blob of an image: what the operator and the plan of a restore must know of the source disk.
// Nothing in it depends on when, where or by whom the disk was captured, so that one disk always gives one digest.
type Config struct {
	V          int         `json:"v"`
	DiskSize   int64       `json:"disk_size"`   // bytes
	SectorSize int         `json:"sector_size"` // bytes of a logical sector of the source
	Table      Table       `json:"table"`
	Partitions []Partition `json:"partitions"` // of a disk without a table: one, number 0, the whole disk
	// Firmware is what the disk can be started by as far as its table tells: BIOS, UEFI, Both or empty.
	Firmware string  `json:"firmware,omitempty"`
	Capture  Capture `json:"capture"`
	// Content is BLAKE3-256, in hex, of the canonical list of what the disk holds: equal for two images of the same disk
	// even when they were compressed at different levels or share blobs with different images.
	Content string `json:"content"`
}

// Table is the partition table of the source.
type Table struct {
	Kind   string `json:"kind"` // gpt, dos or none
	DiskID string `json:"disk_id,omitempty"`
	// Raw is every sector of the table that is not all zero, as it was on the disk: what the table is rebuilt from.
	Raw []Raw `json:"raw,omitempty"`
}

// Raw is some bytes of the source disk.
type Raw struct {
	Offset int64  `json:"offset"`
	Data   []byte `json:"data"` // base64 in JSON
}

// Partition is a partition of the source and the file system in it. Sizes are in bytes.
type Partition struct {
	Number     int    `json:"number"`
	Start      int64  `json:"start"`
	Size       int64  `json:"size"`
	Type       string `json:"type,omitempty"` // lower-case GUID, or 0x83
	ID         string `json:"id,omitempty"`   // GUID of the partition
	Name       string `json:"name,omitempty"`
	Attributes uint64 `json:"attributes,omitempty"`
	Bootable   bool   `json:"bootable,omitempty"`

	FS        string   `json:"fs"` // ext4, vfat, swap, ... ; raw when not understood and captured whole
	Label     string   `json:"label,omitempty"`
	UUID      string   `json:"uuid,omitempty"`
	FSSize    int64    `json:"fs_size,omitempty"`    // bytes that the file system claims
	BlockSize int      `json:"block_size,omitempty"` // bytes of a block of the file system
	Used      int64    `json:"used"`                 // bytes in use by the file system's own account
	Allocated int64    `json:"allocated"`            // bytes of the partition that are in the image, zeros included
	Clean     bool     `json:"clean"`                // it was cleanly unmounted
	Notes     []string `json:"notes,omitempty"`      // in words for the operator
}

// Capture says how the image was made and what that gave.
type Capture struct {
	Level  string `json:"level"`  // fast, default or small
	Stored int64  `json:"stored"` // bytes of the disk that frames hold
	Zeros  int64  `json:"zeros"`  // bytes recorded as zero
	// Chunks is the number of chunks.
	Chunks int `json:"chunks"`
}
