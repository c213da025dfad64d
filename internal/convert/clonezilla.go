package convert

import "context"

func openClonezilla(ctx context.Context, dir string, o Options) (Disk, error) { return nil, ErrFormat }
