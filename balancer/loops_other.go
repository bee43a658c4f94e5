//go:build !linux

package balancer

import "log/slog"

// Engines returns the names that Config.Engine may have here, the default first.
func Engines() []string { return []string{EnginePortable} }

func newEngines(log *slog.Logger) map[string]engine {
	return map[string]engine{EnginePortable: newPortable(log)}
}
