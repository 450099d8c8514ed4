// An engine of your own: any server with these two routes of OpenAI's API can run behind a worker.
//   node examples/engine.mjs 9000
//   rbee spawn echo --engine-url http://127.0.0.1:9000
//   rbee chat echo hello there
import { createServer } from 'node:http';

const server = createServer(async (request, response) => {
  const json = (status, body) => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  };
  if (request.url === '/v1/models') {
    return json(200, { object: 'list', data: [{ id: 'echo', object: 'model', created: 0, owned_by: 'you' }] });
  }
  if (request.method !== 'POST' || request.url !== '/v1/chat/completions') {
    return json(404, {
      error: { message: `no route ${request.url}`, type: 'not_found_error', param: null, code: null },
    });
  }
  let text = '';
  for await (const chunk of request.setEncoding('utf8')) text += chunk;
  const { messages, stream } = JSON.parse(text);
  const echo = messages.at(-1).content;
  const answer = { id: 'echo-1', created: Math.floor(Date.now() / 1000), model: 'echo' };
  if (!stream) {
    const message = { role: 'assistant', content: echo };
    return json(200, { ...answer, object: 'chat.completion', choices: [{ index: 0, message, finish_reason: 'stop' }] });
  }
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  const send = (delta, finish_reason = null) => {
    const choices = [{ index: 0, delta, finish_reason }];
    response.write(`data: ${JSON.stringify({ ...answer, object: 'chat.completion.chunk', choices })}\n\n`);
  };
  send({ role: 'assistant', content: '' });
  for (const word of echo.split(/(?<= )/)) send({ content: word });
  send({}, 'stop');
  response.end('data: [DONE]\n\n');
});
server.listen(Number(process.argv[2] ?? 9000), '127.0.0.1', () => {
  console.log(`an engine that echoes each message, at http://127.0.0.1:${server.address().port}`);
});
