import { formatSi } from '../base/units.ts';
import { countsOf, heightOf } from './contract-state.ts';
import type { ProxyParts } from './proxy-status.ts';
import type { StatusLine } from './status-line.ts';

/**
 * What is asked of a proxy first: who mines, how much, where, and what of it is paid. Shares are those since
 * the line before.
 */
export function proxyLine(facts: ProxyParts): () => StatusLine {
  const { mining, hashrate, contracts, chain, durability } = facts;
  const { stats } = mining.server;
  let [accepted, submitted] = [0, 0];
  return () => {
    const shares = { accepted: stats.sharesAccepted - accepted, sent: stats.sharesSubmitted - submitted };
    [accepted, submitted] = [stats.sharesAccepted, stats.sharesSubmitted];
    const statuses = contracts.all.map(({ side }) => side.status);
    return {
      ...{ miners: mining.server.sessionCount, hashrate: formatSi(hashrate.rates().fiveMinutes, 'H/s') },
      ...{ shares, destination: mining.destination, ledger: durability.level },
      ...(chain === undefined ? {} : { height: heightOf(chain) }),
      ...(statuses.length === 0
        ? {}
        : {
            contracts: countsOf(statuses.map(({ stream }) => stream)),
            peers: statuses.filter(({ connected }) => connected).length,
            ...{ signedSat: sumSat(statuses), unpaidSat: contracts.exposureSat },
          }),
    };
  };
}

function sumSat(
  statuses: readonly { readonly signed: { readonly paidSat: bigint } | undefined }[],
): bigint {
  return statuses.reduce((sum, { signed }) => sum + (signed?.paidSat ?? 0n), 0n);
}
