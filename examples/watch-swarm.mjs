// Prints a line whenever the state of a hive changes: node examples/watch-swarm.mjs http://127.0.0.1:7833
import { createClient } from 'rbee/client';

const [url = 'http://127.0.0.1:7833'] = process.argv.slice(2);
const queen = createClient({ url, token: process.env.RBEE_TOKEN });

// Reconnects automatically, also after a restart of the queen.
await queen.followHeartbeats({
  onEvent: ({ event, data }) => {
    if (event !== 'heartbeat' || data.type !== 'hive_state') return;
    const { hive_id, state, stale, reason } = data;
    console.log(`${hive_id} is ${stale ? 'stale' : state}${reason ? `: ${reason}` : ''}`);
  },
  onState: (state, { error }) => console.error(`queen: ${state}${error ? `, ${error.message}` : ''}`),
});
