/* IMPORTANT
 * This snapshot file is auto-generated, but designed for humans.
 * It should be checked into source control and tracked carefully.
 * Re-generate by setting TAP_SNAPSHOT=1 and running tests.
 * Make sure to inspect the output below.  Do not ignore changes!
 */
'use strict'
exports[`dist/test/machines/lease.test.js > TAP > a registry that forgot us is told of us again at once, and it keeps what it said of queens > must match snapshot 1`] = `
  0.00 s  register
  0.00 s  lease = registering
  0.00 s  heartbeat as http://hive:7835
  0.00 s  lease = registered
 15.00 s  heartbeat as http://hive:7835
 15.00 s  lease = lost (answered 404)
 15.05 s  register
 15.05 s  lease = registering (answered 404)
 15.05 s  heartbeat as http://hive:7835
 15.05 s  lease = registered
 30.05 s  heartbeat as http://hive:7835
`

exports[`dist/test/machines/lease.test.js > TAP > a registry that is down from the start is tried for ever > must match snapshot 1`] = `
  0.00 s  register
  0.00 s  lease = registering
  0.00 s  lease = lost (connection refused)
  1.00 s  register
  1.00 s  lease = registering (connection refused)
  1.00 s  lease = lost (connection refused)
  3.00 s  register
  3.00 s  lease = registering (connection refused)
  3.00 s  lease = lost (connection refused)
  7.00 s  register
  7.00 s  lease = registering (connection refused)
  7.00 s  lease = lost (connection refused)
 15.00 s  register
 15.00 s  lease = registering (connection refused)
 15.00 s  lease = lost (connection refused)
 25.00 s  register
 25.00 s  lease = registering (connection refused)
 25.00 s  lease = lost (connection refused)
 35.00 s  register
 35.00 s  lease = registering (connection refused)
 35.00 s  lease = lost (connection refused)
 45.00 s  register
 45.00 s  lease = registering (connection refused)
 45.00 s  heartbeat as http://hive:7835
 45.00 s  lease = registered
`

exports[`dist/test/machines/lease.test.js > TAP > one of another protocol is asked once a minute > must match snapshot 1`] = `
  0.00 s  register
  0.00 s  lease = registering
  0.00 s  lease = lost (speaks protocol 2, we speak 1)
 60.00 s  register
 60.00 s  lease = registering (speaks protocol 2, we speak 1)
 60.00 s  lease = lost (speaks protocol 2, we speak 1)
120.00 s  register
120.00 s  lease = registering (speaks protocol 2, we speak 1)
120.00 s  lease = lost (speaks protocol 2, we speak 1)
`

exports[`dist/test/machines/lease.test.js > TAP > one that takes us and knows us never is not called in a loop > must match snapshot 1`] = `
  0.00 s  register
  0.00 s  lease = registering
  0.00 s  heartbeat as http://hive:7835
  0.00 s  lease = registered
  0.00 s  lease = lost (answered 404)
  1.00 s  register
  1.00 s  lease = registering (answered 404)
  1.00 s  heartbeat as http://hive:7835
  1.00 s  lease = registered
  1.00 s  lease = lost (answered 404)
  3.00 s  register
  3.00 s  lease = registering (answered 404)
  3.00 s  heartbeat as http://hive:7835
  3.00 s  lease = registered
  3.00 s  lease = lost (answered 404)
  7.00 s  register
  7.00 s  lease = registering (answered 404)
  7.00 s  heartbeat as http://hive:7835
  7.00 s  lease = registered
  7.00 s  lease = lost (answered 404)
 15.00 s  register
 15.00 s  lease = registering (answered 404)
 15.00 s  heartbeat as http://hive:7835
 15.00 s  lease = registered
 15.00 s  lease = lost (answered 404)
 25.00 s  register
 25.00 s  lease = registering (answered 404)
 25.00 s  heartbeat as http://hive:7835
 25.00 s  lease = registered
 25.00 s  lease = lost (answered 404)
`

exports[`dist/test/machines/lease.test.js > TAP > the first heartbeat comes at once, the others at the interval that the registry names > must match snapshot 1`] = `
  0.00 s  register
  0.00 s  lease = registering
  0.00 s  heartbeat as http://hive:7835
  0.00 s  lease = registered
  2.50 s  heartbeat as http://hive:7835
  5.00 s  heartbeat as http://hive:7835
  7.50 s  heartbeat as http://hive:7835
 10.00 s  heartbeat as http://hive:7835
`

exports[`dist/test/machines/lease.test.js > TAP > whoever leaves unregisters, and is gone whatever comes of it: connection refused > must match snapshot 1`] = `
  0.00 s  register
  0.00 s  lease = registering
  0.00 s  heartbeat as http://hive:7835
  0.00 s  lease = registered
  1.00 s  unregister
  1.00 s  lease = leaving
  1.00 s  lease = gone
`

exports[`dist/test/machines/lease.test.js > TAP > whoever leaves unregisters, and is gone whatever comes of it: hangs > must match snapshot 1`] = `
  0.00 s  register
  0.00 s  lease = registering
  0.00 s  heartbeat as http://hive:7835
  0.00 s  lease = registered
  1.00 s  unregister
  1.00 s  lease = leaving
  6.00 s  lease = gone
`

exports[`dist/test/machines/lease.test.js > TAP > whoever leaves unregisters, and is gone whatever comes of it: ok > must match snapshot 1`] = `
  0.00 s  register
  0.00 s  lease = registering
  0.00 s  heartbeat as http://hive:7835
  0.00 s  lease = registered
  1.00 s  unregister
  1.00 s  lease = leaving
  1.00 s  lease = gone
`

exports[`dist/test/machines/lease.test.js > TAP > whoever leaves while it registers unregisters too, and while it is lost goes at once > must match snapshot 1`] = `
  0.00 s  register
  0.00 s  lease = registering
  0.50 s  unregister
  0.50 s  lease = leaving
  0.50 s  lease = gone
  1.00 s  register
  1.00 s  lease = registering
  1.00 s  lease = lost (connection refused)
  1.50 s  lease = gone (connection refused)
`
