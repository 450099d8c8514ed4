/** HTTP requests to an engine that runs elsewhere. */
import http from 'node:http';
import https from 'node:https';
import tls from 'node:tls';
import fetch, { type Response } from 'node-fetch';
import { createBytes } from '../../../wire/bytes.js';
import { InferenceRefused } from '../../../wire/infer.js';

export type { Response };

export interface EngineHttpInput {
  /** Normalised; with or without `/v1` at its end. */
  url: string;
  /** Sent to the engine only. */
  apiKey: string | null;
  /** PEM of a certificate authority to trust in addition to the usual ones. */
  ca: string | null;
}

export class EngineHttp {
  private readonly base: string;
  private readonly agent: http.Agent;

  constructor(private readonly input: EngineHttpInput) {
    const { url, ca } = input;
    this.base = `${url.replace(/\/v1$/, '')}/v1`;
    this.agent = url.startsWith('https:')
      ? new https.Agent(ca === null ? {} : { ca: [...tls.rootCertificates, ca] })
      : new http.Agent();
    refuseUpgrades(this.agent);
  }

  /** @param path below `/v1/`. A POST when there is a body. */
  request(path: string, signal: AbortSignal, body?: object): Promise<Response> {
    const { apiKey } = this.input;
    return fetch(`${this.base}/${path}`, {
      method: body === undefined ? 'GET' : 'POST',
      headers: {
        Accept: 'application/json, text/event-stream',
        ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
        ...(apiKey === null ? {} : { Authorization: `Bearer ${apiKey}` }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: signal as never,
      agent: this.agent,
      redirect: 'manual',
      compress: false,
    });
  }

  close(): void {
    this.agent.destroy();
  }
}

/** @throws InferenceRefused 502 when the body is larger */
export async function readAnswerText(response: Response, bytesMax: number): Promise<string> {
  const bytes = createBytes();
  for await (const chunk of response.body ?? []) {
    bytes.push(chunk as Buffer);
    if (bytes.length > bytesMax) throw new InferenceRefused(502, `the engine answered more than ${bytesMax} bytes`);
  }
  return Buffer.from(bytes.view()).toString('utf8');
}

/** Without a listener for 'upgrade' node-fetch would wait forever after a 101. */
function refuseUpgrades(agent: http.Agent): void {
  const adding = agent as unknown as { addRequest: (request: http.ClientRequest, ...more: unknown[]) => void };
  const add = adding.addRequest.bind(agent);
  adding.addRequest = (request, ...more) => {
    request.once('upgrade', (_, socket) => {
      socket.destroy();
      request.emit('error', new Error('it answered 101, without a request for an upgrade'));
    });
    add(request, ...more);
  };
}
