package cover

// hashed are the partition types of the Discoverable Partitions Specification for hash trees, and the types that each
// vouches for. A tree that has no superblock is told by its type alone.
var hashed = map[string]string{
	// x86: root, /usr
	"d13c5d3b-b5d1-422a-b29f-9454fdc89d76": "44479540-f297-41b2-9af7-d131d5f0458a",
	"8f461b0d-14ee-4e81-9aa9-049b6fb97abd": "75250d76-8cc6-458e-bd66-bd47cc81a812",
	// x86-64: root, /usr
	"2c7357ed-ebd2-46d9-aec1-23d437ec2bf5": "4f68bce3-e8cd-4db1-96e7-fbcaf984b709",
	"77ff5f63-e7b6-4633-acf4-1565b864c0e6": "8484680c-9521-48c6-9c11-b0720656f69e",
	// Alpha: root, /usr
	"fc56d9e9-e6e5-4c06-be32-e74407ce09a5": "6523f8ae-3eb1-4e2a-a05a-18b695ae656f",
	"8cce0d25-c0d0-4a44-bd87-46331bf1df67": "e18cf08c-33ec-4c0d-8246-c6c6fb3da024",
	// ARC: root, /usr
	"24b2d975-0f97-4521-afa1-cd531e421b8d": "d27f46ed-2919-4cb8-bd25-9531f3c16534",
	"fca0598c-d880-4591-8c16-4eda05c7347c": "7978a683-6316-4922-bbee-38bff5a2fecc",
	// ARM: root, /usr
	"7386cdf2-203c-47a9-a498-f2ecce45a2d6": "69dad710-2ce4-4e3c-b16c-21a1d49abed3",
	"c215d751-7bcd-4649-be90-6627490a4c05": "7d0359a3-02b3-4f0a-865c-654403e70625",
	// ARM-64: root, /usr
	"df3300ce-d69f-4c92-978c-9bfb0f38d820": "b921b045-1df0-41c3-af44-4c6f280d3fae",
	"6e11a4e7-fbca-4ded-b9e9-e1a512bb664e": "b0e01050-ee5f-4390-949a-9101b17104e9",
	// IA-64: root, /usr
	"86ed10d5-b607-45bb-8957-d350f23d0571": "993d8d3d-f80e-4225-855a-9daf8ed7ea97",
	"6a491e03-3be7-4545-8e38-83320e0ea880": "4301d2a6-4e3b-4b2a-bb94-9e0b2c4225ea",
	// LoongArch-64: root, /usr
	"f3393b22-e9af-4613-a948-9d3bfbd0c535": "77055800-792c-4f94-b39a-98c91b762bb6",
	"f46b2c26-59ae-48f0-9106-c50ed47f673d": "e611c702-575c-4cbe-9a46-434fa0bf7e3f",
	// MIPS-32 LE: root, /usr
	"d7d150d2-2a04-4a33-8f12-16651205ff7b": "37c58c8a-d913-4156-a25f-48b1b64e07f0",
	"46b98d8d-b55c-4e8f-aab3-37fca7f80752": "0f4868e9-9952-4706-979f-3ed3a473e947",
	// MIPS-64 LE: root, /usr
	"16b417f8-3e06-4f57-8dd2-9b5232f41aa6": "700bda43-7a34-4507-b179-eeb93d7a7ca3",
	"3c3d61fe-b5f3-414d-bb71-8739a694a4ef": "c97c1f32-ba06-40b4-9f22-236061b08aa8",
	// PPC: root, /usr
	"98cfe649-1588-46dc-b2f0-add147424925": "1de3f1ef-fa98-47b5-8dcd-4a860a654d78",
	"df765d00-270e-49e5-bc75-f47bb2118b09": "7d14fec5-cc71-415d-9d6c-06bf0b3c3eaf",
	// PPC64: root, /usr
	"9225a9a3-3c19-4d89-b4f6-eeff88f17631": "912ade1d-a839-4913-8964-a10eee08fbd2",
	"bdb528a5-a259-475f-a87d-da53fa736a07": "2c9739e2-f068-46b3-9fd0-01c5a9afbcca",
	// PPC64LE: root, /usr
	"906bd944-4589-4aae-a4e4-dd983917446a": "c31c45e6-3f39-412e-80fb-4809c4980599",
	"ee2b9983-21e8-4153-86d9-b6901a54d1ce": "15bb03af-77e7-4d4a-b12b-c0d084f7491c",
	// RISC-V-32: root, /usr
	"ae0253be-1167-4007-ac68-43926c14c5de": "60d5a7fe-8e7d-435c-b714-3dd8162144e1",
	"cb1ee4e3-8cd0-4136-a0a4-aa61a32e8730": "b933fb22-5c3f-4f91-af90-e2bb0fa50702",
	// RISC-V-64: root, /usr
	"b6ed5582-440b-4209-b8da-5ff7c419ea3d": "72ec70a6-cf74-40e6-bd49-4bda08e8f224",
	"8f1056be-9b05-47c4-81d6-be53128e5b54": "beaec34b-8442-439b-a40b-984381ed097d",
	// S390: root, /usr
	"7ac63b47-b25c-463b-8df8-b4a94e6c90e1": "08a7acea-624c-4a20-91e8-6e0fa67d23f9",
	"b663c618-e7bc-4d6d-90aa-11b756bb1797": "cd0f869b-d0fb-4ca0-b141-9ea87cc78d66",
	// S390X: root, /usr
	"b325bfbe-c7be-4ab8-8357-139e652d2f6b": "5eead9a9-fe09-4a1e-a1d7-520d00531306",
	"31741cc4-1a2a-4111-a581-e00b447d2d06": "8a4f5770-50aa-4ed3-874a-99b710db6fea",
	// TILE-Gx: root, /usr
	"966061ec-28e4-4b2e-b4a5-1f0a825a1d84": "c50cdd70-3862-4cc3-90e1-809a8c93ee2c",
	"2fb4bf56-07fa-42da-8132-6b139f2026ae": "55497029-c7c1-44cc-aa39-815ed1558630",
	// MIPS-32 BE: root, /usr
	"7a430799-f711-4c7e-8e5b-1d685bd48607": "e9434544-6e2c-47cc-bae2-12d6deafb44c",
	"6e5a1bc8-d223-49b7-bca8-37a5fcceb996": "773b2abc-2a99-4398-8bf5-03baac40d02b",
	// MIPS-64 BE: root, /usr
	"579536f8-6a33-4055-a95a-df2d5e2c42a8": "d113af76-80ef-41b4-bdb6-0cff4d3d4a25",
	"81cf9d90-7458-4df4-8dcf-c8a3a404f09b": "57e13958-7331-4365-8e6e-35eeee17c61b",
	// PA-RISC: root, /usr
	"d212a430-fbc5-49f9-a983-a7feef2b8d0e": "1aacdb3b-5444-4138-bd9e-e5c2239b2346",
	"5843d618-ec37-48d7-9f12-cea8e08768b2": "dc4a4480-6917-4262-a4ec-db9384949f25",
}

// ByType says which type of partition one of the given type (a GUID in lower case) has the hash tree of; "" where it
// has none.
func ByType(partitionType string) string { return hashed[partitionType] }
