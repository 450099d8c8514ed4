// Sends a question to a model of the swarm: node examples/chat.mjs http://127.0.0.1:7833 llama3.2 "Why is the sky blue?"
import { createClient } from 'rbee/client';

const [url = 'http://127.0.0.1:7833', model, content = 'Why is the sky blue?'] = process.argv.slice(2);
const queen = createClient({ url, token: process.env.RBEE_TOKEN });

const { data: models } = await queen.models();
const chosen = model ?? models[0]?.id;
if (chosen === undefined) {
  console.error('no worker can answer yet: rbee spawn <model> starts one');
  process.exit(1);
}
for await (const event of queen.chat({ model: chosen, messages: [{ role: 'user', content }] })) {
  if (event.type === 'text') process.stdout.write(event.text);
}
process.stdout.write('\n');
