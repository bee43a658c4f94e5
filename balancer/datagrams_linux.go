package balancer

import "log/slog"

// newDatagramEngines makes the engines for UDP, by the names that Config.Engine may have.
func newDatagramEngines(log *slog.Logger) map[string]engine {
	return map[string]engine{EngineEpoll: &datagramLoops{log: log}, EnginePortable: &portableDatagrams{log: log}}
}
