package main

import (
	"fmt"
	"os"
	"path/filepath"

	"gslb/config"
	"gslb/history"
)

// loadServed reads the configuration of a node as the node serves it: where its
// topology is in etcd, with the revision that it served last, of which its data
// folder has a copy. It changes nothing there: the node may be running.
func loadServed(path string) (*config.Config, error) {
	cfg, err := config.Load(path)
	if err != nil || cfg.Node.Topology == "" {
		return cfg, err
	}
	disk := history.DiskAt(topologyFolder(cfg))
	saved, bundle, err := disk.Load()
	if err != nil {
		return nil, err
	}
	if saved.Serving.Number == 0 {
		return nil, fmt.Errorf("%s: the topology is in etcd, and %s has none that this node served: start the node with it, or give a file with the topology in it", path, topologyFolder(cfg))
	}
	file := filepath.Join(disk.Folder(saved.Serving), filepath.FromSlash(bundle[0].Name))
	if _, err := os.Stat(file); err != nil {
		return nil, fmt.Errorf("%s: the files of revision %d, which this node served last, are not in %s: start the node once, which puts them there", path, saved.Serving.Number, disk.Folder(saved.Serving))
	}
	return config.LoadBoth(path, file)
}

// topologyFolder is where a node keeps its copy of the topology in etcd.
func topologyFolder(cfg *config.Config) string { return filepath.Join(cfg.Node.DataDir, "topology") }
