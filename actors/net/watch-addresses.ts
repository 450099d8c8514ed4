/** Polls the addresses of this machine: Node has no event for a change of them. */
import { networkInterfaces } from 'node:os';

const EVERY_MS = 2_000;

export interface AddressChange {
  /** All addresses that there are now. */
  present: string[];
  /** Those that were not there before. */
  added: string[];
}

/** Link-local addresses are ignored: containers come and go with them. */
const isLinkLocal = (address: string): boolean => /^fe[89ab][0-9a-f]:/i.test(address);

export interface WatchAddressesInput {
  onChange: (change: AddressChange) => void;
  everyMs?: number;
  interfaces?: typeof networkInterfaces;
}

export function watchAddresses({ onChange, everyMs = EVERY_MS, interfaces = networkInterfaces }: WatchAddressesInput) {
  const list = () => Object.values(interfaces()).flatMap((infos) => (infos ?? []).map(({ address }) => address));
  let before = new Set(list());
  const timer = setInterval(() => {
    const present = list();
    const now = new Set(present);
    const added = present.filter((address) => !before.has(address) && !isLinkLocal(address));
    const gone = [...before].some((address) => !now.has(address) && !isLinkLocal(address));
    before = now;
    if (added.length > 0 || gone) onChange({ present, added });
  }, everyMs);
  timer.unref();
  return () => clearInterval(timer);
}
