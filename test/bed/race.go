//go:build race

package bed

// RaceDetector tells whether the tests run under the race detector; the binary is then built for it too.
const RaceDetector = true
