/** Faults of the connections between running processes. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { TcpProxy } from '../proxy.js';
import { type Choice, type Fault, type FaultKind, type FaultKinds, seconds } from './fault.js';

/** The queen has noticed by then, after ten silent intervals; the hive may notice only while the swarm settles. */
const FORGOTTEN_MS = 12_000;

interface Way extends Pick<Fault, 'keys' | 'touches'> {
  words: string;
  /** Read when the fault happens: a hive may have moved by then. */
  proxies: () => TcpProxy[];
}

export const wayTo = (hive: string) => `from the queen to ${hive}`;
export const linkKey = (way: string) => `link ${way}`;
const wayFrom = (hive: string) => `from ${hive} to the queen`;

export function brokenLinks(choice: Choice): FaultKinds {
  return {
    cut: cut(choice),
    refused: refused(choice),
    'half-open': halfOpen(choice),
    forgotten: forgotten(choice),
    delayed: delayed(choice),
    throttled: throttled(choice),
  };
}

function cut(choice: Choice): FaultKind {
  const { chance } = choice;
  return {
    weight: 4,
    make: () => {
      const { words, keys, touches, proxies } = drawLink(choice);
      const how = chance.pick(['end', 'reset'] as const);
      const line = `${words}: every connection ends${how === 'reset' ? ' by a reset' : ''}`;
      const run = async () => {
        for (const proxy of proxies()) proxy.cut(how);
      };
      return { keys, touches, line, run };
    },
  };
}

function refused(choice: Choice): FaultKind {
  const { chance } = choice;
  return {
    weight: 4,
    make: () => {
      const { words, keys, touches, proxies } = drawLink(choice);
      const ms = chance.ms(0.5, 12);
      const cut = chance.odds(0.7);
      const line = `${words}: new connections are refused for ${seconds(ms)}${cut ? ', and the others end' : ''}`;
      const act = async (proxy: TcpProxy) => {
        await proxy.refuse();
        if (cut) proxy.cut();
      };
      return { keys, touches, line, run: () => during(proxies(), ms, act) };
    },
  };
}

function halfOpen(choice: Choice): FaultKind {
  const { chance } = choice;
  return {
    weight: 5,
    make: () => {
      const { words, keys, touches, proxies } = drawLink(choice);
      const ms = chance.ms(2, 15);
      const line = `${words}: nothing passes and nothing ends for ${seconds(ms)}`;
      return { keys, touches, line, run: () => during(proxies(), ms, (proxy) => proxy.halfOpen()) };
    },
  };
}

function forgotten(choice: Choice): FaultKind {
  return {
    weight: 2,
    make: () => {
      const { words, keys, touches, proxies } = drawLink(choice);
      const line = `${words}: open connections are neither forwarded nor closed any more`;
      const run = async () => {
        for (const proxy of proxies()) proxy.forget();
        await sleep(FORGOTTEN_MS);
      };
      return { keys, touches, line, silent: true, run };
    },
  };
}

function delayed(choice: Choice): FaultKind {
  const { chance } = choice;
  return {
    weight: 3,
    make: () => {
      const { words, keys, touches, proxies } = drawLink(choice);
      const byMs = chance.ms(0.05, 2.5);
      const ms = chance.ms(1, 8);
      const line = `${words}: everything is ${seconds(byMs)} late for ${seconds(ms)}`;
      return { keys, touches, line, run: () => during(proxies(), ms, (proxy) => proxy.delay(byMs)) };
    },
  };
}

function throttled(choice: Choice): FaultKind {
  const { chance } = choice;
  return {
    weight: 2,
    make: () => {
      const { words, keys, touches, proxies } = drawLink(choice);
      const bytesPerS = Math.round(100 + chance.next() * 1500);
      const ms = chance.ms(3, 12);
      const line = `${words}: ${bytesPerS} bytes/s for ${seconds(ms)}`;
      return { keys, touches, line, run: () => during(proxies(), ms, (proxy) => proxy.throttle(bytesPerS)) };
    },
  };
}

/** Both directions at once, as with a cable, or one proxy. */
function drawLink(choice: Choice): Way {
  if (choice.chance.odds(0.5)) return drawProxy(choice);
  const one = choice.hive();
  return {
    words: `everything between ${one.name} and the queen`,
    keys: [wayTo(one.name), wayFrom(one.name)].map(linkKey),
    touches: [one.name],
    proxies: () => [one.inbound, one.uplink],
  };
}

function drawProxy(choice: Choice): Way {
  const one = choice.hive();
  const { front } = choice.swarm;
  const ways: Omit<Way, 'keys'>[] = [
    { proxies: () => [one.inbound], words: wayTo(one.name), touches: [one.name] },
    { proxies: () => [one.uplink], words: wayFrom(one.name), touches: [one.name] },
    ...(front ? [{ proxies: () => [front], words: "the queen's own URL", touches: choice.allHives }] : []),
  ];
  const way = choice.chance.pick(ways);
  return { ...way, keys: [linkKey(way.words)] };
}

async function during(proxies: TcpProxy[], ms: number, act: (proxy: TcpProxy) => unknown): Promise<void> {
  await Promise.all(proxies.map(act));
  await sleep(ms);
  await Promise.all(proxies.map((proxy) => proxy.heal()));
}
