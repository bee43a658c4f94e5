//go:build !linux

package parallel

func measureProcessors() (processorUse, bool) { return processorUse{}, false }
