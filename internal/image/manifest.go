package image

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Media types of the blobs of an image.
const (
	ArtifactType = "application/vnd.diskcast.image.v1"
	ConfigType   = "application/vnd.diskcast.config.v1+json"
	IndexType    = "application/vnd.diskcast.index.v1"
	DataType     = "application/vnd.diskcast.data.v1+zstd"
)

// MaxManifest bounds, in bytes, a manifest, as registries do.
const MaxManifest = 4 << 20

// MaxBlobs bounds the number of data blobs of an image: every one costs a file handle while the image is open.
const MaxBlobs = 512

func marshalManifest(config, index ocispec.Descriptor, data []ocispec.Descriptor) ([]byte, error) {
	b, err := json.Marshal(ocispec.Manifest{
		Versioned:    specs.Versioned{SchemaVersion: 2},
		MediaType:    ocispec.MediaTypeImageManifest,
		ArtifactType: ArtifactType,
		Config:       config,
		Layers:       append([]ocispec.Descriptor{index}, data...),
	})
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	return b, nil
}

// parseManifest parses and checks the manifest of an image of ours.
func parseManifest(b []byte) (*ocispec.Manifest, error) {
	if len(b) > MaxManifest {
		return nil, fmt.Errorf("manifest: %w: it has %d bytes, more than the %d allowed", ErrFormat, len(b),
			MaxManifest)
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("manifest: %w: %w", ErrFormat, err)
	}
	if err := checkManifest(&m); err != nil {
		return nil, fmt.Errorf("manifest: %w: %w", ErrFormat, err)
	}
	return &m, nil
}

func checkManifest(m *ocispec.Manifest) error {
	// The config's media type says it too, for manifests that passed a tool which does not know artifactType.
	if m.SchemaVersion != 2 || m.ArtifactType != ArtifactType && m.ArtifactType != "" ||
		m.Config.MediaType != ConfigType {
		return fmt.Errorf("it is of another kind (artifactType %q, config %q): not a diskcast image", m.ArtifactType,
			m.Config.MediaType)
	}
	if len(m.Layers) == 0 || m.Layers[0].MediaType != IndexType {
		return fmt.Errorf("its first layer is not an index")
	}
	if len(m.Layers)-1 > MaxBlobs {
		return fmt.Errorf("%d data blobs, more than the %d allowed", len(m.Layers)-1, MaxBlobs)
	}
	for i, d := range append([]ocispec.Descriptor{m.Config}, m.Layers...) {
		if err := checkDigest(string(d.Digest)); err != nil {
			return err
		}
		limit := int64(maxDisk)
		switch {
		case i == 0:
			limit = MaxConfig
		case i == 1:
			limit = MaxIndex
		case d.MediaType != DataType:
			return fmt.Errorf("layer %d is %q, not a data blob", i-1, d.MediaType)
		}
		if i == 1 && d.Size > limit {
			return fmt.Errorf("its index has %d bytes, more than the %d that stores and nodes take: capture the disk "+
				"again, with a larger grid (--grid)", d.Size, limit)
		}
		if d.Size <= 0 || d.Size > limit {
			return fmt.Errorf("blob %s of %d bytes", d.Digest, d.Size)
		}
	}
	return nil
}

// checkDigest accepts sha256: and 64 lower-case hex digits: nothing that could leave the blob directory.
func checkDigest(s string) error {
	h, ok := strings.CutPrefix(s, "sha256:")
	if !ok || len(h) != 64 || strings.Trim(h, "0123456789abcdef") != "" {
		return fmt.Errorf("digest %q is not sha256: and 64 hex digits", s)
	}
	return nil
}

func descriptor(mediaType, dgst string, size int64) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.Digest(dgst), Size: size}
}

// CheckManifest says why b is not the manifest of an image of ours.
func CheckManifest(b []byte) error {
	_, err := parseManifest(b)
	return err
}
