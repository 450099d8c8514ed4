/* IMPORTANT
 * This snapshot file is auto-generated, but designed for humans.
 * It should be checked into source control and tracked carefully.
 * Re-generate by setting TAP_SNAPSHOT=1 and running tests.
 * Make sure to inspect the output below.  Do not ignore changes!
 */
'use strict'
exports[`dist/test/machines/model.test.js > TAP > a heartbeat comes every 30 s, and a second after a change, however many changes there are > must match snapshot 1`] = `
  0.00 s  beat: yes
  0.00 s  heartbeat = beating
  0.00 s  heartbeat = resting
 30.00 s  beat: yes
 30.00 s  heartbeat = beating
 30.00 s  heartbeat = resting
 35.00 s  changed
 35.00 s  heartbeat = settling
 35.30 s  changed
 35.60 s  changed
 35.90 s  changed
 36.00 s  beat: yes
 36.00 s  heartbeat = beating
 36.00 s  heartbeat = resting
 36.20 s  changed
 36.20 s  heartbeat = settling
 37.20 s  beat: yes
 37.20 s  heartbeat = beating
 37.20 s  heartbeat = resting
 67.20 s  beat: yes
 67.20 s  heartbeat = beating
 67.20 s  heartbeat = resting
`

exports[`dist/test/machines/model.test.js > TAP > a queen that is away is tried after 2, 4, 8, 16 s, then every 30 s > must match snapshot 1`] = `
  0.00 s  beat: connection refused
  0.00 s  heartbeat = beating
  0.00 s  heartbeat = backoff (connection refused)
  2.00 s  beat: connection refused
  2.00 s  heartbeat = beating (connection refused)
  2.00 s  heartbeat = backoff (connection refused)
  6.00 s  beat: connection refused
  6.00 s  heartbeat = beating (connection refused)
  6.00 s  heartbeat = backoff (connection refused)
 14.00 s  beat: connection refused
 14.00 s  heartbeat = beating (connection refused)
 14.00 s  heartbeat = backoff (connection refused)
 30.00 s  beat: connection refused
 30.00 s  heartbeat = beating (connection refused)
 30.00 s  heartbeat = backoff (connection refused)
 60.00 s  beat: connection refused
 60.00 s  heartbeat = beating (connection refused)
 60.00 s  heartbeat = backoff (connection refused)
 90.00 s  beat: yes
 90.00 s  heartbeat = beating (connection refused)
 90.00 s  heartbeat = resting
`

exports[`dist/test/machines/model.test.js > TAP > a request that finds it gone says so at once; an engine of this process is never asked > must match snapshot 1`] = `
  0.00 s  open: yes
  0.00 s  model = starting.opening
  0.00 s  model = ready
  0.00 s  model = away (connection refused)
  1.00 s  ask: yes
  1.00 s  model = ready
`

exports[`dist/test/machines/model.test.js > TAP > an engine is away after two failures running, and back with its first answer > must match snapshot 1`] = `
  0.00 s  open: yes
  0.00 s  model = starting.opening
  0.00 s  model = ready
  5.00 s  ask: yes
 10.00 s  ask: connection refused
 15.00 s  ask: yes
 20.00 s  ask: connection refused
 25.00 s  ask: connection refused
 25.00 s  model = away (connection refused)
 26.00 s  ask: connection refused
 27.00 s  ask: yes
 27.00 s  model = ready
 32.00 s  ask: yes
 37.00 s  ask: yes
`

exports[`dist/test/machines/model.test.js > TAP > an engine that runs elsewhere is waited for, for ever > must match snapshot 1`] = `
  0.00 s  open: connection refused
  0.00 s  model = starting.opening
  0.00 s  model = starting.waiting (connection refused)
  0.50 s  open: connection refused
  0.50 s  model = starting.opening (connection refused)
  0.50 s  model = starting.waiting (connection refused)
  1.50 s  open: connection refused
  1.50 s  model = starting.opening (connection refused)
  1.50 s  model = starting.waiting (connection refused)
  3.50 s  open: connection refused
  3.50 s  model = starting.opening (connection refused)
  3.50 s  model = starting.waiting (connection refused)
  7.50 s  open: connection refused
  7.50 s  model = starting.opening (connection refused)
  7.50 s  model = starting.waiting (connection refused)
 12.50 s  open: connection refused
 12.50 s  model = starting.opening (connection refused)
 12.50 s  model = starting.waiting (connection refused)
 17.50 s  open: yes
 17.50 s  model = starting.opening (connection refused)
 17.50 s  model = ready
`
