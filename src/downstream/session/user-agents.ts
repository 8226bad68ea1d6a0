/**
 * Fragment of a user agent, lower case -> class. The first that fits wins, so special names stand before
 * general ones.
 */
const AGENTS: readonly (readonly [fragment: string, name: string])[] = [
  ['nerdqaxe', 'nerdqaxe'],
  ['nerdminer', 'nerdminer'],
  ['nmminer', 'nerdminer'],
  ['leafminer', 'nerdminer'],
  ['sparkminer', 'nerdminer'],
  ['esp32', 'nerdminer'],
  ['bitaxe', 'bitaxe'],
  ['esp-miner', 'bitaxe'],
  ['miningrigrentals', 'miningrigrentals'],
  ['nicehash', 'nicehash'],
  ['braiins', 'braiins'],
  ['bosminer', 'braiins'],
  ['luxminer', 'luxos'],
  ['luxos', 'luxos'],
  ['powerplay-bm', 'epic'],
  ['xminer', 'vnish'],
  ['vnish', 'vnish'],
  ['whatsminer', 'whatsminer'],
  ['btminer', 'whatsminer'],
  ['avalon', 'avalon'],
  ['bmminer', 'antminer'],
  ['antminer', 'antminer'],
  ['bfgminer', 'bfgminer'],
  ['cpuminer', 'cpuminer'],
  ['cgminer', 'cgminer'],
  ['sharestream', 'sharestream'],
];

/**
 * The kind of firmware behind a user agent: one of some twenty names or `other`, so that it can label a
 * metric.
 */
export function userAgentClass(userAgent: string): string {
  const agent = userAgent.toLowerCase();
  return AGENTS.find(([fragment]) => agent.includes(fragment))?.[1] ?? 'other';
}

/** Hashes per second of machines whose name tells about how fast they are. */
const SPEEDS: Readonly<Record<string, number>> = {
  // One microcontroller: 50 to 80 kH/s.
  nerdminer: 65e3,
  // A few processor cores.
  cpuminer: 20e6,
  // 0.5 to 1.2 TH/s.
  bitaxe: 1e12,
  // Four chips, or six.
  nerdqaxe: 5e12,
};

/** About how many hashes per second a machine of this name does; undefined where it does not tell. */
export function speedOfAgent(userAgent: string): number | undefined {
  return SPEEDS[userAgentClass(userAgent)];
}
