package geo

import "math"

// earthRadius is the mean radius of the earth in kilometres (IUGG).
const earthRadius = 6371.0088

// Distance returns the great-circle distance of two places in kilometres, by
// the haversine formula on a sphere: within 0.6 % of the distance on the
// ellipsoid, and stable for places close together and for antipodes.
func Distance(a, b Coordinates) float64 {
	const rad = math.Pi / 180
	lat := math.Sin((b.Latitude - a.Latitude) * rad / 2)
	lon := math.Sin((b.Longitude - a.Longitude) * rad / 2)
	h := lat*lat + math.Cos(a.Latitude*rad)*math.Cos(b.Latitude*rad)*lon*lon
	return 2 * earthRadius * math.Asin(math.Sqrt(min(h, 1))) // rounding can exceed 1
}
