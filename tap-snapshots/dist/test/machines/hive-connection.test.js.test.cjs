/* IMPORTANT
 * This snapshot file is auto-generated, but designed for humans.
 * It should be checked into source control and tracked carefully.
 * Re-generate by setting TAP_SNAPSHOT=1 and running tests.
 * Make sure to inspect the output below.  Do not ignore changes!
 */
'use strict'
exports[`dist/test/machines/hive-connection.test.js > TAP > a queen that asks from another port is called there, and at either place afterwards > must match snapshot 1`] = `
  0.00 s  announce to http://queen:7833, attempt 1
  0.00 s  connection = announcing
  0.00 s  connection = backoff (connection refused)
  0.10 s  announce to http://queen:9999, attempt 2
  0.10 s  connection = announcing (connection refused)
  0.10 s  connection = backoff (connection refused)
  4.10 s  announce to http://queen:7833, attempt 3
  4.10 s  connection = announcing (connection refused)
  4.10 s  connection = backoff (connection refused)
 12.10 s  announce to http://queen:9999, attempt 4
 12.10 s  connection = announcing (connection refused)
 12.10 s  connection = backoff (connection refused)
`

exports[`dist/test/machines/hive-connection.test.js > TAP > a queen that asks is called at once, whatever the hive was doing > must match snapshot 1`] = `
  0.00 s  announce to http://queen:7833, attempt 1
  0.00 s  connection = announcing
  0.00 s  connection = backoff (connection refused)
  2.00 s  announce to http://queen:7833, attempt 2
  2.00 s  connection = announcing (connection refused)
  2.00 s  connection = backoff (connection refused)
  2.10 s  -- in backoff
  2.10 s  announce to http://queen:7833, attempt 3
  2.10 s  connection = announcing (connection refused)
  2.10 s  connection tells connection.accepted
  2.10 s  connection = ready
  2.15 s  -- in ready
  2.15 s  announce to http://queen:7833, attempt 4
  2.15 s  connection = announcing
  2.15 s  connection tells connection.accepted
  2.15 s  connection = ready
  2.20 s  connection = streaming
  2.20 s  -- in streaming: the stream stays until it is replaced
  2.20 s  announce to http://queen:7833, attempt 1
  2.20 s  connection = announcing
  2.20 s  connection tells connection.accepted
  2.20 s  connection = ready
  2.25 s  connection = streaming
`

exports[`dist/test/machines/hive-connection.test.js > TAP > a queen that is not there is called for ever > must match snapshot 1`] = `
  0.00 s  announce to http://queen:7833, attempt 1
  0.00 s  connection = announcing
  0.00 s  connection = backoff (connection refused)
  2.00 s  announce to http://queen:7833, attempt 2
  2.00 s  connection = announcing (connection refused)
  2.00 s  connection = backoff (connection refused)
  6.00 s  announce to http://queen:7833, attempt 3
  6.00 s  connection = announcing (connection refused)
  6.00 s  connection = backoff (connection refused)
 14.00 s  announce to http://queen:7833, attempt 4
 14.00 s  connection = announcing (connection refused)
 14.00 s  connection = backoff (connection refused)
 30.00 s  announce to http://queen:7833, attempt 5
 30.00 s  connection = announcing (connection refused)
 30.00 s  connection = backoff (connection refused)
 46.00 s  announce to http://queen:7833, attempt 6
 46.00 s  connection = announcing (connection refused)
 46.00 s  connection = backoff (connection refused)
 62.00 s  announce to http://queen:7833, attempt 7
 62.00 s  connection = announcing (connection refused)
 62.00 s  connection = backoff (connection refused)
 78.00 s  announce to http://queen:7833, attempt 8
 78.00 s  connection = announcing (connection refused)
 78.00 s  connection = backoff (connection refused)
`

exports[`dist/test/machines/hive-connection.test.js > TAP > her subscription outruns her yes > must match snapshot 1`] = `
  0.00 s  announce to http://queen:7833, attempt 1
  0.00 s  connection = announcing
  0.10 s  connection = streaming
 15.10 s  health of the queen: ok
`

exports[`dist/test/machines/hive-connection.test.js > TAP > she says yes and never subscribes: a failed attempt that says why > must match snapshot 1`] = `
  0.00 s  announce to http://queen:7833, attempt 1
  0.00 s  connection = announcing
  0.00 s  connection tells connection.accepted
  0.00 s  connection = ready
 10.00 s  connection = backoff (queen accepted, but cannot reach http://hive:7835)
 12.00 s  announce to http://queen:7833, attempt 2
 12.00 s  connection = announcing (queen accepted, but cannot reach http://hive:7835)
 12.00 s  connection tells connection.accepted
 12.00 s  connection = ready
`

exports[`dist/test/machines/hive-connection.test.js > TAP > she says yes, subscribes, goes, and is called again at once > must match snapshot 1`] = `
  0.00 s  announce to http://queen:7833, attempt 1
  0.00 s  connection = announcing
  0.00 s  connection tells connection.accepted
  0.00 s  connection = ready
  0.05 s  connection = streaming
  1.05 s  connection = lost (it closed the connection)
  1.10 s  announce to http://queen:7833, attempt 1
  1.10 s  connection = announcing (it closed the connection)
  1.10 s  connection = backoff (connection refused)
  3.10 s  announce to http://queen:7833, attempt 2
  3.10 s  connection = announcing (connection refused)
  3.10 s  connection tells connection.accepted
  3.10 s  connection = ready
  3.55 s  connection = streaming
`

exports[`dist/test/machines/hive-connection.test.js > TAP > two failures of her health running end a stream, one does not > must match snapshot 1`] = `
  0.00 s  announce to http://queen:7833, attempt 1
  0.00 s  connection = announcing
  0.00 s  connection tells connection.accepted
  0.00 s  connection = ready
  0.05 s  connection = streaming
 15.05 s  health of the queen: fails
 30.05 s  health of the queen: ok
 45.05 s  health of the queen: fails
 60.05 s  health of the queen: fails
 60.05 s  connection = lost (its /health failed twice running: no answer within 5 s)
 60.10 s  announce to http://queen:7833, attempt 1
 60.10 s  connection = announcing (its /health failed twice running: no answer within 5 s)
 60.10 s  connection tells connection.accepted
 60.10 s  connection = ready
`
