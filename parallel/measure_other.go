//go:build !linux

package parallel

import "time"

func threadTime() (id int, used time.Duration) { return 0, 0 }

func measureProcessors() (processorUse, bool) { return processorUse{}, false }
