module gslb/tools/tables

go 1.26.0

require gslb v0.0.0

require (
	github.com/gaissmai/bart v0.30.0
	github.com/oschwald/geoip2-golang/v2 v2.5.0 // indirect
	github.com/oschwald/maxminddb-golang/v2 v2.9.0 // indirect
	golang.org/x/sys v0.49.0
)

replace gslb => ../..
