/** What a process can run out of unnoticed: the validity of its certificate, disk space for its state, and descriptors. */
import { X509Certificate } from 'node:crypto';
import { readdirSync, readFileSync, statfsSync } from 'node:fs';

export interface Resources {
  /** Until the certificate that we serve expires; negative afterwards, null without one. */
  certificateDays: number | null;
  /** On the disk of the state directory; null where unknown. */
  diskFreeMb: number | null;
  /** Null where the system does not report them. */
  descriptors: { open: number; max: number } | null;
}

const DAY_MS = 24 * 3600 * 1000;
const MIB = 1024 * 1024;

/** @param directory of the state @param certificate PEM, of which the first is ours */
export function readResources(directory: string, certificate: string | null, now: number): Resources {
  return {
    certificateDays: certificate === null ? null : daysLeft(certificate, now),
    diskFreeMb: attempt(() => {
      const { bavail, bsize } = statfsSync(directory);
      return (bavail * bsize) / MIB;
    }),
    descriptors: attempt(() => {
      const [, max] = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
      return max === undefined ? null : { open: readdirSync('/proc/self/fd').length, max: Number(max) };
    }),
  };
}

function daysLeft(certificate: string, now: number): number | null {
  return attempt(() => Math.floor((Date.parse(new X509Certificate(certificate).validTo) - now) / DAY_MS));
}

function attempt<T>(read: () => T): T | null {
  try {
    return read();
  } catch {
    return null;
  }
}

/** Reported this long before it expires, because a person has to renew it. */
const CERTIFICATE_DAYS_MIN = 14;
/** A state takes some megabytes, the output of a worker two: below this something else fills the disk. */
const DISK_FREE_MB_MIN = 256;
/** Of the limit, at which connections fail in both directions. */
const DESCRIPTORS_MAX = 0.9;

/** One sentence for each. */
export function shortagesOf({ certificateDays: days, diskFreeMb, descriptors }: Resources): string[] {
  const shortages: string[] = [];
  if (days !== null && days < 0) shortages.push('the certificate of --tls-cert has expired');
  else if (days !== null && days < CERTIFICATE_DAYS_MIN)
    shortages.push(`the certificate of --tls-cert ends in ${days} days`);
  if (diskFreeMb !== null && diskFreeMb < DISK_FREE_MB_MIN)
    shortages.push(`the disk of the state directory has ${Math.floor(diskFreeMb)} MiB left`);
  if (descriptors && descriptors.open > descriptors.max * DESCRIPTORS_MAX)
    shortages.push(
      `${descriptors.open} of ${descriptors.max} file descriptors are in use: raise the limit (ulimit -n)`,
    );
  return shortages;
}
