/* IMPORTANT
 * This snapshot file is auto-generated, but designed for humans.
 * It should be checked into source control and tracked carefully.
 * Re-generate by setting TAP_SNAPSHOT=1 and running tests.
 * Make sure to inspect the output below.  Do not ignore changes!
 */
'use strict'
exports[`dist/test/machines/directory.test.js > TAP > a registry that is down is looked for as a lost lease is > must match snapshot 1`] = `
  0.00 s  reads
  0.00 s  directory = reading.opening
  0.00 s  directory = lost (connection refused)
  1.00 s  reads
  1.00 s  directory = reading.opening (connection refused)
  1.00 s  directory = lost (connection refused)
  3.00 s  reads
  3.00 s  directory = reading.opening (connection refused)
  3.00 s  directory = lost (connection refused)
  7.00 s  reads
  7.00 s  directory = reading.opening (connection refused)
  7.00 s  directory = lost (connection refused)
 15.00 s  reads
 15.00 s  directory = reading.opening (connection refused)
 15.00 s  directory = lost (connection refused)
 25.00 s  reads
 25.00 s  directory = reading.opening (connection refused)
 25.00 s  directory = lost (connection refused)
 35.00 s  reads
 35.00 s  directory = reading.opening (connection refused)
 35.00 s  directory = reading.following
`

exports[`dist/test/machines/directory.test.js > TAP > a stream that lasted is opened again at once, one that ends each time with growing waits > must match snapshot 1`] = `
  0.00 s  reads
  0.00 s  directory = reading.opening
  0.00 s  directory = reading.following
 20.00 s  directory = lost (it closed its stream)
 20.05 s  reads
 20.05 s  directory = reading.opening (it closed its stream)
 20.05 s  directory = reading.following
 20.10 s  directory = lost (it closed its stream)
 21.10 s  reads
 21.10 s  directory = reading.opening (it closed its stream)
 21.10 s  directory = reading.following
 29.10 s  directory = lost (it closed its stream)
 31.10 s  reads
 31.10 s  directory = reading.opening (it closed its stream)
 31.10 s  directory = reading.following
 38.10 s  directory = lost (it closed its stream)
 42.10 s  reads
 42.10 s  directory = reading.opening (it closed its stream)
 42.10 s  directory = reading.following
 47.10 s  directory = lost (it closed its stream)
 55.10 s  reads
 55.10 s  directory = reading.opening (it closed its stream)
 55.10 s  directory = reading.following
`

exports[`dist/test/machines/directory.test.js > TAP > one that takes the connection and says nothing is given up after 10 s > must match snapshot 1`] = `
  0.00 s  reads
  0.00 s  directory = reading.opening
 10.00 s  directory = lost (it did not answer within 10 s)
 11.00 s  reads
 11.00 s  directory = reading.opening (it did not answer within 10 s)
`
