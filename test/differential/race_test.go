//go:build race

package differential

// raceDetector tells whether the tests run under the race detector; the binary is then built for it too.
const raceDetector = true
