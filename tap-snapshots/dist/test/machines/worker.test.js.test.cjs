/* IMPORTANT
 * This snapshot file is auto-generated, but designed for humans.
 * It should be checked into source control and tracked carefully.
 * Re-generate by setting TAP_SNAPSHOT=1 and running tests.
 * Make sure to inspect the output below.  Do not ignore changes!
 */
'use strict'
exports[`dist/test/machines/worker.test.js > TAP > a healthy worker that stops answering is asked for a minute, ended, and started again > must match snapshot 1`] = `
  0.00 s  worker = absent
  0.05 s  starts a process
  0.05 s  worker = starting.launching
  0.05 s  says: process 7 runs
  0.05 s  says: worker-llm-8080@gpu-0 listens at http://127.0.0.1:8080, its model is being loaded
  0.05 s  worker = starting.loading
  0.05 s  tells the queens of worker-llm-8080@gpu-0 with tiny
  0.05 s  says: worker-llm-8080@gpu-0 is ready
  0.05 s  worker = healthy
 20.05 s  worker = healthy (connection refused)
 30.05 s  worker = starting.loading (its /health failed twice running: connection refused)
 30.05 s  worker = starting.loading (connection refused)
 90.05 s  sends SIGTERM
 90.05 s  says: process 7 is asked to end
 90.05 s  worker = stopping.ending (it hung: connection refused)
 93.05 s  sends SIGTERM
 95.05 s  sends SIGKILL
 95.05 s  says: process 7 is killed
 95.05 s  worker = stopping.killing (it hung: connection refused)
 96.70 s  says: crashed: it hung: connection refused
 96.70 s  says: it is started again in 1 s (1 of 5)
 96.70 s  worker = absent (it hung: connection refused)
 97.70 s  starts a process
 97.70 s  worker = starting.launching (it hung: connection refused)
`

exports[`dist/test/machines/worker.test.js > TAP > a process that never listens is ended after a minute > must match snapshot 1`] = `
  0.00 s  worker = absent
  0.05 s  starts a process
  0.05 s  worker = starting.launching
  0.05 s  says: process 7 runs
 60.05 s  sends SIGTERM
 60.05 s  says: process 7 is asked to end
 60.05 s  worker = stopping.ending (it hung: it did not listen within 60 s)
 60.10 s  says: crashed: it hung: it did not listen within 60 s
 60.10 s  says: it is started again in 1 s (1 of 2)
 60.10 s  worker = absent (it hung: it did not listen within 60 s)
 61.10 s  starts a process
 61.10 s  worker = starting.launching (it hung: it did not listen within 60 s)
`

exports[`dist/test/machines/worker.test.js > TAP > a stop is SIGTERM, and SIGKILL after 5 s > must match snapshot 1`] = `
  0.00 s  worker = absent
  0.05 s  starts a process
  0.05 s  worker = starting.launching
  0.05 s  says: process 7 runs
  0.05 s  says: worker-llm-8080@gpu-0 listens at http://127.0.0.1:8080, its model is being loaded
  0.05 s  worker = starting.loading
  0.05 s  tells the queens of worker-llm-8080@gpu-0 with tiny
  0.05 s  says: worker-llm-8080@gpu-0 is ready
  0.05 s  worker = healthy
  0.15 s  sends SIGTERM
  0.15 s  says: process 7 is asked to end
  0.15 s  worker = stopping.ending
  3.15 s  sends SIGTERM
  5.15 s  sends SIGKILL
  5.15 s  says: process 7 is killed
  5.15 s  worker = stopping.killing
  7.15 s  says: it is gone
  7.15 s  worker = gone
`

exports[`dist/test/machines/worker.test.js > TAP > a worker comes up, saying how far it is, and the queens are told once > must match snapshot 1`] = `
  0.00 s  worker = absent
  0.05 s  starts a process
  0.05 s  worker = starting.launching
  0.05 s  says: process 7 runs
  0.35 s  says: worker-llm-8080@gpu-0 listens at http://127.0.0.1:8080, its model is being loaded
  0.35 s  worker = starting.loading
  0.35 s  worker = starting.loading (connection refused)
  0.85 s  says: 30 %
  0.85 s  worker = starting.loading
  1.85 s  says: 80 %
  2.35 s  tells the queens of worker-llm-8080@gpu-0 with tiny
  2.35 s  says: worker-llm-8080@gpu-0 is ready
  2.35 s  worker = healthy
`

exports[`dist/test/machines/worker.test.js > TAP > a worker that was healthy is started again five times running, and then not any more > must match snapshot 1`] = `
  0.00 s  worker = absent
  0.05 s  starts a process
  0.05 s  worker = starting.launching
  0.05 s  says: process 7 runs
  0.05 s  says: worker-llm-8080@gpu-0 listens at http://127.0.0.1:8080, its model is being loaded
  0.05 s  worker = starting.loading
  0.05 s  tells the queens of worker-llm-8080@gpu-0 with tiny
  0.05 s  says: worker-llm-8080@gpu-0 is ready
  0.05 s  worker = healthy
  0.15 s  says: crashed: it was ended by SIGSEGV
  0.15 s  says:   ggml: out of luck
  0.15 s  says:   core dumped
  0.15 s  says: it is started again in 1 s (1 of 5)
  0.15 s  worker = absent (it was ended by SIGSEGV)
  1.15 s  starts a process
  1.15 s  worker = starting.launching (it was ended by SIGSEGV)
  1.20 s  says: process 8 runs
  1.20 s  says: crashed: it ended with code 1
  1.20 s  says: it is started again in 2 s (2 of 5)
  1.20 s  worker = absent (it ended with code 1)
  3.20 s  starts a process
  3.20 s  worker = starting.launching (it ended with code 1)
  3.25 s  says: process 9 runs
  3.25 s  says: crashed: it ended with code 1
  3.25 s  says: it is started again in 4 s (3 of 5)
  3.25 s  worker = absent (it ended with code 1)
  7.25 s  starts a process
  7.25 s  worker = starting.launching (it ended with code 1)
  7.30 s  says: process 10 runs
  7.30 s  says: crashed: it ended with code 1
  7.30 s  says: it is started again in 8 s (4 of 5)
  7.30 s  worker = absent (it ended with code 1)
 15.30 s  starts a process
 15.30 s  worker = starting.launching (it ended with code 1)
 15.35 s  says: process 11 runs
 15.35 s  says: crashed: it ended with code 1
 15.35 s  says: it is started again in 16 s (5 of 5)
 15.35 s  worker = absent (it ended with code 1)
 31.35 s  starts a process
 31.35 s  worker = starting.launching (it ended with code 1)
 31.40 s  says: process 12 runs
 31.40 s  says: crashed: it ended with code 1
 31.40 s  says: it is not started again
 31.40 s  worker = crashed (it ended with code 1)
`

exports[`dist/test/machines/worker.test.js > TAP > an adopted worker is not started, and is when it ends > must match snapshot 1`] = `
  0.00 s  worker = absent
  0.05 s  takes up process 7
  0.05 s  worker = starting.launching
  0.05 s  says: process 7 runs
  0.05 s  says: worker-llm-8080@gpu-0 listens at http://127.0.0.1:8080, its model is being loaded
  0.05 s  worker = starting.loading
  0.05 s  tells the queens of worker-llm-8080@gpu-0 with tiny
  0.05 s  says: worker-llm-8080@gpu-0 is ready
  0.05 s  worker = healthy
  0.15 s  says: crashed: it ended
  0.15 s  says: it is started again in 1 s (1 of 5)
  0.15 s  worker = absent (it ended)
  1.15 s  starts a process
  1.15 s  worker = starting.launching (it ended)
`

exports[`dist/test/machines/worker.test.js > TAP > one that is restored waits for its turn, keeps its id, and tells when the next may begin > must match snapshot 1`] = `
  0.00 s  worker = waiting (it ran before the restart, and is started again when it is its turn)
 60.00 s  says: it ran before the restart, and is started again
 60.00 s  worker = absent (it ran before the restart, and is started again)
 60.05 s  starts a process
 60.05 s  worker = starting.launching (it ran before the restart, and is started again)
 60.05 s  says: process 7 runs
 60.05 s  says: crashed: it ended with code 2
 60.05 s  says: it is started again in 1 s (1 of 5)
 60.05 s  worker = absent (it ended with code 2)
 61.05 s  starts a process
 61.05 s  worker = starting.launching (it ended with code 2)
 61.15 s  says: process 8 runs
 61.15 s  says: worker-llm-8080@gpu-0 listens at http://127.0.0.1:8080, its model is being loaded
 61.15 s  worker = starting.loading (it ended with code 2)
 61.15 s  tells the queens of worker-llm-8080@gpu-0 with tiny
 61.15 s  worker tells worker.settled
 61.15 s  says: worker-llm-8080@gpu-0 is ready
 61.15 s  worker = healthy
`

exports[`dist/test/machines/worker.test.js > TAP > one that never was healthy is started again twice > must match snapshot 1`] = `
  0.00 s  worker = absent
  0.05 s  starts a process
  0.05 s  worker = starting.launching
  0.05 s  says: process 7 runs
  0.05 s  says: crashed: it ended with code 1
  0.05 s  says:   cannot map /models/tiny.gguf
  0.05 s  says: it is started again in 1 s (1 of 2)
  0.05 s  worker = absent (it ended with code 1)
  1.05 s  starts a process
  1.05 s  worker = starting.launching (it ended with code 1)
  1.10 s  says: process 8 runs
  1.10 s  says: crashed: it ended with code 1
  1.10 s  says:   cannot map /models/tiny.gguf
  1.10 s  says: it is started again in 2 s (2 of 2)
  1.10 s  worker = absent (it ended with code 1)
  3.10 s  starts a process
  3.10 s  worker = starting.launching (it ended with code 1)
  3.15 s  says: process 9 runs
  3.15 s  says: crashed: it ended with code 1
  3.15 s  says:   cannot map /models/tiny.gguf
  3.15 s  says: it is not started again
  3.15 s  worker = crashed (it ended with code 1)
`
