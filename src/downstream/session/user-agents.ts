/**
 * Fragment of a user agent, lower case -> class. The first that fits wins, so special names stand before
 * general ones.
 */
const AGENTS: readonly (readonly [fragment: string, name: string])[] = [
  ['nerdqaxe', 'nerdqaxe'],
  ['nerdminer', 'nerdminer'],
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
