/* IMPORTANT
 * This snapshot file is auto-generated, but designed for humans.
 * It should be checked into source control and tracked carefully.
 * Re-generate by setting TAP_SNAPSHOT=1 and running tests.
 * Make sure to inspect the output below.  Do not ignore changes!
 */
'use strict'
exports[`dist/test/machines/hive-subscription.test.js > TAP > a hive from before the restart is connecting, then lost, and is asked for every 60 s > must match snapshot 1`] = `
  0.00 s  ask http://a:7835
  0.00 s  show connecting
  0.00 s  subscription = connecting.asking
  0.00 s  show lost (connection refused)
  0.00 s  subscription = lost (connection refused)
 60.00 s  ask http://a:7835
120.00 s  ask http://a:7835
`

exports[`dist/test/machines/hive-subscription.test.js > TAP > a new callback replaces the stream: the old one is closed first, what is shown stays > must match snapshot 1`] = `
  0.00 s  open http://a:7835
  0.00 s  subscription = connecting.opening
  0.00 s  show streaming
  0.00 s  subscription = streaming.fresh
  0.00 s  close http://a:7835
  0.00 s  open http://a:7835
  0.00 s  subscription = connecting.opening
  1.00 s  subscription = streaming.fresh
  1.00 s  close http://a:7835
`

exports[`dist/test/machines/hive-subscription.test.js > TAP > a stream that answers and brings no event is late after 3 s and lost after 8 s, again and again > must match snapshot 1`] = `
  0.00 s  open http://a:7835
  0.00 s  subscription = connecting.opening
  0.00 s  subscription = connecting.answered
  3.00 s  show streaming, stale
  3.00 s  subscription = connecting.answered (its stream opens, but no event arrives: large packets may not pass (check the MTU of the path))
  8.00 s  show lost (its stream opens, but no event arrives: large packets may not pass (check the MTU of the path))
  8.00 s  close http://a:7835
  8.00 s  subscription = lost (its stream opens, but no event arrives: large packets may not pass (check the MTU of the path))
  8.00 s  open http://a:7835
  8.00 s  subscription = connecting.opening (its stream opens, but no event arrives: large packets may not pass (check the MTU of the path))
  8.00 s  subscription = connecting.answered (its stream opens, but no event arrives: large packets may not pass (check the MTU of the path))
 16.00 s  close http://a:7835
 16.00 s  subscription = lost (its stream opens, but no event arrives: large packets may not pass (check the MTU of the path))
 16.00 s  open http://a:7835
 16.00 s  subscription = connecting.opening (its stream opens, but no event arrives: large packets may not pass (check the MTU of the path))
 16.00 s  close http://a:7835
`

exports[`dist/test/machines/hive-subscription.test.js > TAP > silence makes stale, then lost, and the search begins > must match snapshot 1`] = `
  0.00 s  open http://a:7835
  0.00 s  subscription = connecting.opening
  0.00 s  show streaming
  0.00 s  subscription = streaming.fresh
  0.10 s  show streaming, stale
  0.10 s  subscription = streaming.stale
  0.10 s  show streaming
  0.10 s  subscription = streaming.fresh
  0.10 s  show streaming, stale
  0.10 s  subscription = streaming.stale
  0.10 s  show lost (silent for 10 s)
  0.10 s  close http://a:7835
  0.10 s  subscription = lost (silent for 10 s)
  0.15 s  ask http://a:7835
  1.15 s  ask http://a:7835
  3.15 s  ask http://a:7835
  7.15 s  ask http://a:7835
 12.15 s  ask http://a:7835
 17.15 s  ask http://a:7835
`
