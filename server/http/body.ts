/** Request bodies: JSON in UTF-8, at most 1 MiB, checked against a schema. */
import type { Context } from 'koa';
import { createBytes } from '../../wire/bytes.js';
import { parseJson, TooDeep } from '../../wire/json.js';
import type { Parsed } from '../../wire/schema.js';
import { wrongField } from './peer.js';
import { HttpProblem } from './problem.js';

const BODY_BYTES_MAX = 1024 * 1024;

/** @throws HttpProblem 400, 413, 415, 422 */
export async function readBody<T>(
  ctx: Context,
  parse: (value: unknown) => Parsed<T>,
  bytesMax: number = BODY_BYTES_MAX,
): Promise<T> {
  const parsed = parse((await readJsonBody(ctx, bytesMax)).value);
  if (!parsed.ok)
    throw new HttpProblem(422, 'the body does not have the form that this route requires', { errors: parsed.errors });
  return parsed.value;
}

/** The bytes of the body and its value. @throws HttpProblem 400, 413, 415, 422 when it is nested too deep */
export async function readJsonBody(
  ctx: Context,
  bytesMax = BODY_BYTES_MAX,
): Promise<{ bytes: Buffer; value: unknown }> {
  if (ctx.get('content-encoding') !== '' && ctx.get('content-encoding') !== 'identity') {
    throw new HttpProblem(415, 'send the body without Content-Encoding');
  }
  if (!/^application\/([\w.-]+\+)?json$/i.test(ctx.request.type))
    throw new HttpProblem(415, 'send JSON, with Content-Type: application/json');
  const bytes = await readBytes(ctx, bytesMax);
  try {
    return { bytes, value: parseJson(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) };
  } catch (error) {
    if (error instanceof TooDeep) throw wrongField('', error.message);
    throw new HttpProblem(400, `the body is not JSON in UTF-8: ${(error as Error).message.slice(0, 200)}`);
  }
}

async function readBytes(ctx: Context, bytesMax: number): Promise<Buffer> {
  const bytes = createBytes();
  return new Promise((resolve, reject) => {
    // Every request is closed in the end; before its body is complete this means that it was cut short.
    const cutShort = () => reject(new HttpProblem(400, 'the body ended before it was complete'));
    const onData = (chunk: Buffer) => {
      if (bytes.length + chunk.length <= bytesMax) return bytes.push(chunk);
      ctx.req.off('data', onData).pause();
      reject(new HttpProblem(413, `the body is larger than ${bytesMax} bytes`));
    };
    ctx.req.on('data', onData);
    ctx.req.once('end', () => {
      ctx.req.off('close', cutShort);
      resolve(Buffer.from(bytes.view().buffer, 0, bytes.length));
    });
    ctx.req.once('error', cutShort);
    ctx.req.once('close', cutShort);
  });
}
