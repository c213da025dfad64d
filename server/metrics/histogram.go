package metrics

// Upper bounds in seconds: a step may take a tenth of a second, the erase of a large disk days; a request of the API a
// millisecond.
var (
	durations = []float64{.1, .5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 14400, 43200, 172800}
	answers   = []float64{.001, .005, .02, .05, .1, .5, 1, 5, 30, 120}
)

// histogram counts observations.
type histogram struct {
	bounds []float64
	below  []uint64 // how many were at most the bound
	count  uint64
	sum    float64
}

// of is the histogram of key, which is made with bounds when it is not there.
func of[K comparable](m map[K]*histogram, bounds []float64, key K) *histogram {
	h := m[key]
	if h == nil {
		h = &histogram{bounds: bounds, below: make([]uint64, len(bounds))}
		m[key] = h
	}
	return h
}

// observe counts an observation of key.
func observe[K comparable](m map[K]*histogram, bounds []float64, key K, v float64) {
	h := of(m, bounds, key)
	v = max(v, 0) // the clock may have been set back
	h.count++
	h.sum += v
	for i, b := range bounds {
		if v <= b {
			h.below[i]++
		}
	}
}
