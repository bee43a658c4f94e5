//go:build !race

package differential

// raceDetector tells whether the tests run under the race detector.
const raceDetector = false
