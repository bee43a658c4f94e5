//go:build !race

package test

// raceDetector tells whether the tests run under the race detector.
const raceDetector = false
