/* IMPORTANT
 * This snapshot file is auto-generated, but designed for humans.
 * It should be checked into source control and tracked carefully.
 * Re-generate by setting TAP_SNAPSHOT=1 and running tests.
 * Make sure to inspect the output below.  Do not ignore changes!
 */
'use strict'
exports[`dist/test/machines/jobs.test.js > TAP > a cancelled job stops its work, and cannot be cancelled twice > transcript 1`] = `
a = queued
a = running
a works
a = cancelled
a stops working
`

exports[`dist/test/machines/jobs.test.js > TAP > a job runs when it is posted, and ends as its work does > transcript 1`] = `
a = queued
a = running
a works
b = queued
b = running
b works
c = queued
c = running
c works
a = done
b = failed (no such model)
c = cancelled
`

exports[`dist/test/machines/jobs.test.js > TAP > so many run at once, and the others wait their turn > transcript 1`] = `
late-1 waits for operations, behind 0
late-1 = queued
late-2 waits for operations, behind 1
late-2 = queued
late-3 waits for operations, behind 2
late-3 = queued
late-1 = cancelled
early-5 = done
late-2 = running
late-2 works
early-7 = failed (broken)
late-3 = running
late-3 works
`
