/** What to do about a hive that is offline, by the reason that the queen gives. */
const REMEDIES: readonly [reason: RegExp, remedy: string][] = [
  [/answered 401/, 'Start the queen and this hive with the same --token.'],
  [/speaks protocol/, 'Install the same version of rbee on both computers.'],
  [/MTU/, 'Lower the MTU of the path between the two, or let ICMP through its firewalls.'],
  [
    /too many open files|no free local port|no buffer space/,
    'The queen is short of these, not the hive: raise its limit.',
  ],
  [
    /answered [345]\d\d|another hive|calls itself/,
    'Something else may answer at this address: start the hive with another --port or --advertise-url.',
  ],
  [
    /no such host|not resolved/,
    'The name of this computer is not known: start the hive with an --advertise-url that is.',
  ],
  [/connection refused/, 'The computer answers, but no hive runs there: start it with rbee hive.'],
  [
    /no answer|timed out|unreachable|silent for|did not (open|announce)/,
    'The computer is off, asleep or cut off from the network, or a firewall is between.',
  ],
];

/** Null if there is no remedy for this reason. */
export function remedyForReason(reason: string | null): string | null {
  return (reason !== null && REMEDIES.find(([pattern]) => pattern.test(reason))?.[1]) || null;
}
