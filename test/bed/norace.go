//go:build !race

package bed

// RaceDetector tells whether the tests run under the race detector.
const RaceDetector = false
