/** What somebody can do about a hive that is offline, by the reason that is given for it; null where nothing is known. */
const REMEDIES: readonly [reason: RegExp, remedy: string][] = [
  [/answered 401/, 'Start the queen and this hive with the same --token.'],
  [/speaks|protocol \d/i, 'Install the same version of rbee on both computers.'],
  [/MTU/, 'Lower the MTU of the path between the two, or let ICMP through its firewalls.'],
  [
    /another hive|answers as|is not this hive|HTML|status \d/i,
    'Something else answers at this address: start the hive with another --port or --advertise-url.',
  ],
  [/its certificate/, 'The reason says what is wrong with its certificate: mend that on its computer.'],
  [
    /not found|ENOTFOUND|resolve/i,
    'The name of this computer is not known: start the hive with an --advertise-url that is.',
  ],
  [/refused/i, 'The computer answers, but no hive runs there: start it with rbee hive.'],
  [
    /no answer|timed? ?out|unreachable|no route|within \d+ s|silent/i,
    'The computer is off, asleep or cut off from the network, or a firewall is between.',
  ],
];

export function remedyOf(reason: string | null): string | null {
  return (reason !== null && REMEDIES.find(([pattern]) => pattern.test(reason))?.[1]) || null;
}
