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
  0.05 s  worker = starting.loading.asking
  0.05 s  tells the queens of worker-llm-8080@gpu-0 with tiny
  0.05 s  says: worker-llm-8080@gpu-0 is ready
  0.05 s  worker = healthy.resting
 10.05 s  worker = healthy.asking
 10.05 s  worker = healthy.resting
 20.05 s  worker = healthy.asking
 20.05 s  worker = healthy.resting (connection refused)
 30.05 s  worker = healthy.asking (connection refused)
 30.05 s  worker = starting.loading.asking (its /health failed twice running: connection refused)
 30.05 s  worker = starting.loading.resting (connection refused)
 30.55 s  worker = starting.loading.asking (connection refused)
 30.55 s  worker = starting.loading.resting (connection refused)
 31.05 s  worker = starting.loading.asking (connection refused)
 31.05 s  worker = starting.loading.resting (connection refused)
 31.55 s  worker = starting.loading.asking (connection refused)
 31.55 s  worker = starting.loading.resting (connection refused)
 32.05 s  worker = starting.loading.asking (connection refused)
 32.05 s  worker = starting.loading.resting (connection refused)
 32.55 s  worker = starting.loading.asking (connection refused)
 32.55 s  worker = starting.loading.resting (connection refused)
 33.05 s  worker = starting.loading.asking (connection refused)
 33.05 s  worker = starting.loading.resting (connection refused)
 33.55 s  worker = starting.loading.asking (connection refused)
 33.55 s  worker = starting.loading.resting (connection refused)
 34.05 s  worker = starting.loading.asking (connection refused)
 34.05 s  worker = starting.loading.resting (connection refused)
 34.55 s  worker = starting.loading.asking (connection refused)
 34.55 s  worker = starting.loading.resting (connection refused)
 35.05 s  worker = starting.loading.asking (connection refused)
 35.05 s  worker = starting.loading.resting (connection refused)
 35.55 s  worker = starting.loading.asking (connection refused)
 35.55 s  worker = starting.loading.resting (connection refused)
 36.05 s  worker = starting.loading.asking (connection refused)
 36.05 s  worker = starting.loading.resting (connection refused)
 36.55 s  worker = starting.loading.asking (connection refused)
 36.55 s  worker = starting.loading.resting (connection refused)
 37.05 s  worker = starting.loading.asking (connection refused)
 37.05 s  worker = starting.loading.resting (connection refused)
 37.55 s  worker = starting.loading.asking (connection refused)
 37.55 s  worker = starting.loading.resting (connection refused)
 38.05 s  worker = starting.loading.asking (connection refused)
 38.05 s  worker = starting.loading.resting (connection refused)
 38.55 s  worker = starting.loading.asking (connection refused)
 38.55 s  worker = starting.loading.resting (connection refused)
 39.05 s  worker = starting.loading.asking (connection refused)
 39.05 s  worker = starting.loading.resting (connection refused)
 39.55 s  worker = starting.loading.asking (connection refused)
 39.55 s  worker = starting.loading.resting (connection refused)
 40.05 s  worker = starting.loading.asking (connection refused)
 40.05 s  worker = starting.loading.resting (connection refused)
 40.55 s  worker = starting.loading.asking (connection refused)
 40.55 s  worker = starting.loading.resting (connection refused)
 41.05 s  worker = starting.loading.asking (connection refused)
 41.05 s  worker = starting.loading.resting (connection refused)
 41.55 s  worker = starting.loading.asking (connection refused)
 41.55 s  worker = starting.loading.resting (connection refused)
 42.05 s  worker = starting.loading.asking (connection refused)
 42.05 s  worker = starting.loading.resting (connection refused)
 42.55 s  worker = starting.loading.asking (connection refused)
 42.55 s  worker = starting.loading.resting (connection refused)
 43.05 s  worker = starting.loading.asking (connection refused)
 43.05 s  worker = starting.loading.resting (connection refused)
 43.55 s  worker = starting.loading.asking (connection refused)
 43.55 s  worker = starting.loading.resting (connection refused)
 44.05 s  worker = starting.loading.asking (connection refused)
 44.05 s  worker = starting.loading.resting (connection refused)
 44.55 s  worker = starting.loading.asking (connection refused)
 44.55 s  worker = starting.loading.resting (connection refused)
 45.05 s  worker = starting.loading.asking (connection refused)
 45.05 s  worker = starting.loading.resting (connection refused)
 45.55 s  worker = starting.loading.asking (connection refused)
 45.55 s  worker = starting.loading.resting (connection refused)
 46.05 s  worker = starting.loading.asking (connection refused)
 46.05 s  worker = starting.loading.resting (connection refused)
 46.55 s  worker = starting.loading.asking (connection refused)
 46.55 s  worker = starting.loading.resting (connection refused)
 47.05 s  worker = starting.loading.asking (connection refused)
 47.05 s  worker = starting.loading.resting (connection refused)
 47.55 s  worker = starting.loading.asking (connection refused)
 47.55 s  worker = starting.loading.resting (connection refused)
 48.05 s  worker = starting.loading.asking (connection refused)
 48.05 s  worker = starting.loading.resting (connection refused)
 48.55 s  worker = starting.loading.asking (connection refused)
 48.55 s  worker = starting.loading.resting (connection refused)
 49.05 s  worker = starting.loading.asking (connection refused)
 49.05 s  worker = starting.loading.resting (connection refused)
 49.55 s  worker = starting.loading.asking (connection refused)
 49.55 s  worker = starting.loading.resting (connection refused)
 50.05 s  worker = starting.loading.asking (connection refused)
 50.05 s  worker = starting.loading.resting (connection refused)
 50.55 s  worker = starting.loading.asking (connection refused)
 50.55 s  worker = starting.loading.resting (connection refused)
 51.05 s  worker = starting.loading.asking (connection refused)
 51.05 s  worker = starting.loading.resting (connection refused)
 51.55 s  worker = starting.loading.asking (connection refused)
 51.55 s  worker = starting.loading.resting (connection refused)
 52.05 s  worker = starting.loading.asking (connection refused)
 52.05 s  worker = starting.loading.resting (connection refused)
 52.55 s  worker = starting.loading.asking (connection refused)
 52.55 s  worker = starting.loading.resting (connection refused)
 53.05 s  worker = starting.loading.asking (connection refused)
 53.05 s  worker = starting.loading.resting (connection refused)
 53.55 s  worker = starting.loading.asking (connection refused)
 53.55 s  worker = starting.loading.resting (connection refused)
 54.05 s  worker = starting.loading.asking (connection refused)
 54.05 s  worker = starting.loading.resting (connection refused)
 54.55 s  worker = starting.loading.asking (connection refused)
 54.55 s  worker = starting.loading.resting (connection refused)
 55.05 s  worker = starting.loading.asking (connection refused)
 55.05 s  worker = starting.loading.resting (connection refused)
 55.55 s  worker = starting.loading.asking (connection refused)
 55.55 s  worker = starting.loading.resting (connection refused)
 56.05 s  worker = starting.loading.asking (connection refused)
 56.05 s  worker = starting.loading.resting (connection refused)
 56.55 s  worker = starting.loading.asking (connection refused)
 56.55 s  worker = starting.loading.resting (connection refused)
 57.05 s  worker = starting.loading.asking (connection refused)
 57.05 s  worker = starting.loading.resting (connection refused)
 57.55 s  worker = starting.loading.asking (connection refused)
 57.55 s  worker = starting.loading.resting (connection refused)
 58.05 s  worker = starting.loading.asking (connection refused)
 58.05 s  worker = starting.loading.resting (connection refused)
 58.55 s  worker = starting.loading.asking (connection refused)
 58.55 s  worker = starting.loading.resting (connection refused)
 59.05 s  worker = starting.loading.asking (connection refused)
 59.05 s  worker = starting.loading.resting (connection refused)
 59.55 s  worker = starting.loading.asking (connection refused)
 59.55 s  worker = starting.loading.resting (connection refused)
 60.05 s  worker = starting.loading.asking (connection refused)
 60.05 s  worker = starting.loading.resting (connection refused)
 60.55 s  worker = starting.loading.asking (connection refused)
 60.55 s  worker = starting.loading.resting (connection refused)
 61.05 s  worker = starting.loading.asking (connection refused)
 61.05 s  worker = starting.loading.resting (connection refused)
 61.55 s  worker = starting.loading.asking (connection refused)
 61.55 s  worker = starting.loading.resting (connection refused)
 62.05 s  worker = starting.loading.asking (connection refused)
 62.05 s  worker = starting.loading.resting (connection refused)
 62.55 s  worker = starting.loading.asking (connection refused)
 62.55 s  worker = starting.loading.resting (connection refused)
 63.05 s  worker = starting.loading.asking (connection refused)
 63.05 s  worker = starting.loading.resting (connection refused)
 63.55 s  worker = starting.loading.asking (connection refused)
 63.55 s  worker = starting.loading.resting (connection refused)
 64.05 s  worker = starting.loading.asking (connection refused)
 64.05 s  worker = starting.loading.resting (connection refused)
 64.55 s  worker = starting.loading.asking (connection refused)
 64.55 s  worker = starting.loading.resting (connection refused)
 65.05 s  worker = starting.loading.asking (connection refused)
 65.05 s  worker = starting.loading.resting (connection refused)
 65.55 s  worker = starting.loading.asking (connection refused)
 65.55 s  worker = starting.loading.resting (connection refused)
 66.05 s  worker = starting.loading.asking (connection refused)
 66.05 s  worker = starting.loading.resting (connection refused)
 66.55 s  worker = starting.loading.asking (connection refused)
 66.55 s  worker = starting.loading.resting (connection refused)
 67.05 s  worker = starting.loading.asking (connection refused)
 67.05 s  worker = starting.loading.resting (connection refused)
 67.55 s  worker = starting.loading.asking (connection refused)
 67.55 s  worker = starting.loading.resting (connection refused)
 68.05 s  worker = starting.loading.asking (connection refused)
 68.05 s  worker = starting.loading.resting (connection refused)
 68.55 s  worker = starting.loading.asking (connection refused)
 68.55 s  worker = starting.loading.resting (connection refused)
 69.05 s  worker = starting.loading.asking (connection refused)
 69.05 s  worker = starting.loading.resting (connection refused)
 69.55 s  worker = starting.loading.asking (connection refused)
 69.55 s  worker = starting.loading.resting (connection refused)
 70.05 s  worker = starting.loading.asking (connection refused)
 70.05 s  worker = starting.loading.resting (connection refused)
 70.55 s  worker = starting.loading.asking (connection refused)
 70.55 s  worker = starting.loading.resting (connection refused)
 71.05 s  worker = starting.loading.asking (connection refused)
 71.05 s  worker = starting.loading.resting (connection refused)
 71.55 s  worker = starting.loading.asking (connection refused)
 71.55 s  worker = starting.loading.resting (connection refused)
 72.05 s  worker = starting.loading.asking (connection refused)
 72.05 s  worker = starting.loading.resting (connection refused)
 72.55 s  worker = starting.loading.asking (connection refused)
 72.55 s  worker = starting.loading.resting (connection refused)
 73.05 s  worker = starting.loading.asking (connection refused)
 73.05 s  worker = starting.loading.resting (connection refused)
 73.55 s  worker = starting.loading.asking (connection refused)
 73.55 s  worker = starting.loading.resting (connection refused)
 74.05 s  worker = starting.loading.asking (connection refused)
 74.05 s  worker = starting.loading.resting (connection refused)
 74.55 s  worker = starting.loading.asking (connection refused)
 74.55 s  worker = starting.loading.resting (connection refused)
 75.05 s  worker = starting.loading.asking (connection refused)
 75.05 s  worker = starting.loading.resting (connection refused)
 75.55 s  worker = starting.loading.asking (connection refused)
 75.55 s  worker = starting.loading.resting (connection refused)
 76.05 s  worker = starting.loading.asking (connection refused)
 76.05 s  worker = starting.loading.resting (connection refused)
 76.55 s  worker = starting.loading.asking (connection refused)
 76.55 s  worker = starting.loading.resting (connection refused)
 77.05 s  worker = starting.loading.asking (connection refused)
 77.05 s  worker = starting.loading.resting (connection refused)
 77.55 s  worker = starting.loading.asking (connection refused)
 77.55 s  worker = starting.loading.resting (connection refused)
 78.05 s  worker = starting.loading.asking (connection refused)
 78.05 s  worker = starting.loading.resting (connection refused)
 78.55 s  worker = starting.loading.asking (connection refused)
 78.55 s  worker = starting.loading.resting (connection refused)
 79.05 s  worker = starting.loading.asking (connection refused)
 79.05 s  worker = starting.loading.resting (connection refused)
 79.55 s  worker = starting.loading.asking (connection refused)
 79.55 s  worker = starting.loading.resting (connection refused)
 80.05 s  worker = starting.loading.asking (connection refused)
 80.05 s  worker = starting.loading.resting (connection refused)
 80.55 s  worker = starting.loading.asking (connection refused)
 80.55 s  worker = starting.loading.resting (connection refused)
 81.05 s  worker = starting.loading.asking (connection refused)
 81.05 s  worker = starting.loading.resting (connection refused)
 81.55 s  worker = starting.loading.asking (connection refused)
 81.55 s  worker = starting.loading.resting (connection refused)
 82.05 s  worker = starting.loading.asking (connection refused)
 82.05 s  worker = starting.loading.resting (connection refused)
 82.55 s  worker = starting.loading.asking (connection refused)
 82.55 s  worker = starting.loading.resting (connection refused)
 83.05 s  worker = starting.loading.asking (connection refused)
 83.05 s  worker = starting.loading.resting (connection refused)
 83.55 s  worker = starting.loading.asking (connection refused)
 83.55 s  worker = starting.loading.resting (connection refused)
 84.05 s  worker = starting.loading.asking (connection refused)
 84.05 s  worker = starting.loading.resting (connection refused)
 84.55 s  worker = starting.loading.asking (connection refused)
 84.55 s  worker = starting.loading.resting (connection refused)
 85.05 s  worker = starting.loading.asking (connection refused)
 85.05 s  worker = starting.loading.resting (connection refused)
 85.55 s  worker = starting.loading.asking (connection refused)
 85.55 s  worker = starting.loading.resting (connection refused)
 86.05 s  worker = starting.loading.asking (connection refused)
 86.05 s  worker = starting.loading.resting (connection refused)
 86.55 s  worker = starting.loading.asking (connection refused)
 86.55 s  worker = starting.loading.resting (connection refused)
 87.05 s  worker = starting.loading.asking (connection refused)
 87.05 s  worker = starting.loading.resting (connection refused)
 87.55 s  worker = starting.loading.asking (connection refused)
 87.55 s  worker = starting.loading.resting (connection refused)
 88.05 s  worker = starting.loading.asking (connection refused)
 88.05 s  worker = starting.loading.resting (connection refused)
 88.55 s  worker = starting.loading.asking (connection refused)
 88.55 s  worker = starting.loading.resting (connection refused)
 89.05 s  worker = starting.loading.asking (connection refused)
 89.05 s  worker = starting.loading.resting (connection refused)
 89.55 s  worker = starting.loading.asking (connection refused)
 89.55 s  worker = starting.loading.resting (connection refused)
 90.05 s  sends SIGTERM
 90.05 s  says: process 7 is asked to end
 90.05 s  worker = stopping.ending (it hung: connection refused)
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
  0.05 s  worker = starting.loading.asking
  0.05 s  tells the queens of worker-llm-8080@gpu-0 with tiny
  0.05 s  says: worker-llm-8080@gpu-0 is ready
  0.05 s  worker = healthy.resting
  0.15 s  sends SIGTERM
  0.15 s  says: process 7 is asked to end
  0.15 s  worker = stopping.ending
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
  0.35 s  worker = starting.loading.asking
  0.35 s  worker = starting.loading.resting (connection refused)
  0.85 s  worker = starting.loading.asking (connection refused)
  0.85 s  says: 30 %
  0.85 s  worker = starting.loading.resting
  1.35 s  worker = starting.loading.asking
  1.35 s  worker = starting.loading.resting
  1.85 s  worker = starting.loading.asking
  1.85 s  says: 80 %
  1.85 s  worker = starting.loading.resting
  2.35 s  worker = starting.loading.asking
  2.35 s  tells the queens of worker-llm-8080@gpu-0 with tiny
  2.35 s  says: worker-llm-8080@gpu-0 is ready
  2.35 s  worker = healthy.resting
 12.35 s  worker = healthy.asking
 12.35 s  worker = healthy.resting
 22.35 s  worker = healthy.asking
 22.35 s  worker = healthy.resting
 32.35 s  worker = healthy.asking
 32.35 s  worker = healthy.resting
`

exports[`dist/test/machines/worker.test.js > TAP > a worker that was healthy is started again five times running, and then not any more > must match snapshot 1`] = `
  0.00 s  worker = absent
  0.05 s  starts a process
  0.05 s  worker = starting.launching
  0.05 s  says: process 7 runs
  0.05 s  says: worker-llm-8080@gpu-0 listens at http://127.0.0.1:8080, its model is being loaded
  0.05 s  worker = starting.loading.asking
  0.05 s  tells the queens of worker-llm-8080@gpu-0 with tiny
  0.05 s  says: worker-llm-8080@gpu-0 is ready
  0.05 s  worker = healthy.resting
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
 31.40 s  says: it is not started again: it ended with code 1
 31.40 s  worker = crashed (it ended with code 1)
`

exports[`dist/test/machines/worker.test.js > TAP > an adopted worker is not started, and is when it ends > must match snapshot 1`] = `
  0.00 s  worker = absent
  0.05 s  takes up process 7
  0.05 s  worker = starting.launching
  0.05 s  says: process 7 runs
  0.05 s  says: worker-llm-8080@gpu-0 listens at http://127.0.0.1:8080, its model is being loaded
  0.05 s  worker = starting.loading.asking
  0.05 s  tells the queens of worker-llm-8080@gpu-0 with tiny
  0.05 s  says: worker-llm-8080@gpu-0 is ready
  0.05 s  worker = healthy.resting
  0.15 s  says: crashed: it ended
  0.15 s  says: it is started again in 1 s (1 of 5)
  0.15 s  worker = absent (it ended)
  1.15 s  starts a process
  1.15 s  worker = starting.launching (it ended)
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
  3.15 s  says: it is not started again: it ended with code 1
  3.15 s  worker = crashed (it ended with code 1)
`
