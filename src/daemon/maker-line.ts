import { formatSi } from '../base/units.ts';
import { countsOf, heightOf, isBegun, isFunded } from './contract-state.ts';
import type { MakerParts } from './maker-metrics.ts';
import { STATUS_LINE_MS, type StatusLine } from './status-line.ts';

/** What a market maker buys, from how many, and what it owes. Shares are those since the line before. */
export function makerLine({ maker, part, durability }: MakerParts): () => StatusLine {
  let [shares, work] = [0, 0n];
  return () => {
    const begun = maker.status.filter(isBegun);
    const now = begun.reduce((sum, { sharesCredited }) => sum + sharesCredited, 0);
    const workNow = begun.reduce((sum, { verifiedWorkHashes }) => sum + verifiedWorkHashes, 0n);
    const rate = Number(workNow - work) / (STATUS_LINE_MS / 1000);
    const line = {
      ...{ peers: begun.filter(({ connected }) => connected).length, shares: now - shares },
      hashrate: formatSi(rate, 'H/s'),
      contracts: countsOf(begun.map(({ stream }) => stream)),
      owedSat: begun.filter(isFunded).reduce((sum, { unsignedSat }) => sum + unsignedSat, 0n),
      ledger: durability.level,
      ...(part === undefined ? {} : { height: heightOf(part) }),
    };
    [shares, work] = [now, workNow];
    return line;
  };
}
