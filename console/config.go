package console

// Config is [api] of the configuration: the HTTP API, metrics and web console.
type Config struct {
	Listen string `toml:"listen"` // host:port; default "127.0.0.1:8053"; "off" turns it off
	// Token must be sent as "Authorization: Bearer …" with every request that
	// changes something. Required when Listen is not a loopback address.
	Token string `toml:"token"`
}
