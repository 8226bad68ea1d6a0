import { formatGrouped, formatSi } from '../base/units.ts';

/**
 * What the demo shows, read from the status pages of the two daemons. Sats are decimal strings, as on the
 * wire.
 */
export type DemoSnapshot = {
  readonly elapsedSeconds: number;
  readonly totalSeconds: number;
  readonly phase: string;
  readonly stratumListen: string;
  readonly sessions: number;
  readonly hashratePerSecond: number;
  readonly accepted: number;
  readonly rejected: Readonly<Record<string, number>>;
  readonly workHashes: bigint;
  readonly stepHashes: bigint;
  readonly stateNumber: number;
  readonly settledSat: bigint;
  readonly signedSat: bigint;
  readonly accruedSat: bigint;
  readonly unspentSat: bigint;
  readonly blocks: number;
  readonly tipHeight: number;
};

const BAR_WIDTH = 44;

/** The lines of the live view, no wider than 80 columns and without any terminal control. */
export function renderDemo(now: DemoSnapshot): string[] {
  const rejects = Object.entries(now.rejected)
    .filter(([, count]) => count > 0)
    .map(([reason, count]) => `${reason} ${count}`)
    .join(', ');
  return [
    `Sharestream demo   ${now.phase}   ${Math.floor(now.elapsedSeconds)} s of ${now.totalSeconds} s`,
    '',
    `  stratum    ${now.stratumListen}  (open to your own miner on this machine)`,
    `  miners     ${now.sessions} connected, ${formatSi(now.hashratePerSecond, 'H/s')}`,
    `  shares     ${now.accepted} accepted${rejects === '' ? '' : `, refused: ${rejects}`}`,
    `  work       ${formatSi(Number(now.workHashes), 'H')} delivered, one step is ${formatSi(Number(now.stepHashes), 'H')}`,
    `  chain      height ${now.tipHeight}, ${now.blocks} blocks found by these miners`,
    '',
    `  channel    state ${now.stateNumber}`,
    `             ${moneyBar(now)}`,
    `             settled ${sats(now.settledSat)} | signed ${sats(now.signedSat)} | accrued ${sats(now.accruedSat)} | ` +
      `unspent ${sats(now.unspentSat)}`,
  ];
}

/**
 * Four segments in proportion: `#` settled on chain, `=` signed (safe), `-` accrued (at risk), `.` unspent.
 */
export function moneyBar(
  money: Pick<DemoSnapshot, 'settledSat' | 'signedSat' | 'accruedSat' | 'unspentSat'>,
): string {
  const parts: readonly (readonly [string, bigint])[] = [
    ['#', money.settledSat],
    ['=', money.signedSat],
    ['-', money.accruedSat],
    ['.', money.unspentSat],
  ];
  const total = parts.reduce((sum, [, amount]) => sum + amount, 0n);
  if (total === 0n) return `[${' '.repeat(BAR_WIDTH)}]`;
  let bar = '';
  let upTo = 0n;
  for (const [sign, amount] of parts) {
    upTo += amount;
    bar = bar.padEnd(Number((upTo * BigInt(BAR_WIDTH)) / total), sign);
  }
  return `[${bar}]`;
}

function sats(amount: bigint): string {
  return `${formatGrouped(amount)} sat`;
}
