package store

// Config says which etcd the fleet shares.
type Config struct {
	// Embedded runs an etcd member inside this process, with its data in
	// data_dir/etcd. It is the default when no endpoints are given.
	Embedded bool `toml:"embedded"`
	// Listen is where the embedded member serves clients ("127.0.0.1:2379").
	Listen string `toml:"listen"`
	// PeerListen is where it talks with other members ("127.0.0.1:2380").
	PeerListen string `toml:"peer_listen"`
	// Name and Cluster make it a member of a cluster: etcd's initial-cluster,
	// "a=http://10.0.0.1:2380,b=…". Empty: a cluster of one.
	Name    string `toml:"name"`
	Cluster string `toml:"cluster"`

	// Endpoints are the client URLs of an outside cluster.
	Endpoints []string `toml:"endpoints"`
	Cert      string   `toml:"cert"` // client certificate, PEM
	Key       string   `toml:"key"`
	CA        string   `toml:"ca"`
	User      string   `toml:"user"`
	Password  string   `toml:"password"`

	// Prefix stands before every key ("/gslb/").
	Prefix string `toml:"prefix"`
}
