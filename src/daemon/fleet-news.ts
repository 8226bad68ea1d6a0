import { systemTimers } from '../base/system-timers.ts';
import { VERSION } from '../base/version.ts';
import { fleetView } from '../fleet/fleet-view.ts';
import type { Logger } from '../log/logger.ts';
import { FleetMember, type OwnNews } from './fleet-member.ts';
import { type FleetRow, fleetRow } from './fleet-tables.ts';
import type { ProxyParts } from './proxy-status.ts';

/** The name of a proxy whose ledger is a file. */
const ALONE = 'proxy';

type NewsParts = Pick<ProxyParts, 'config' | 'clock' | 'mining' | 'contracts' | 'hashrate' | 'ledger'>;

/** Makes a proxy one of the instances of its database; nothing where its ledger is a file. */
export async function joinFleet(
  facts: NewsParts,
  deps: { readonly undo: AsyncDisposableStack; readonly run: number; readonly log: Logger },
): Promise<Pick<ProxyParts, 'fleet'>> {
  const { config, clock, mining, contracts } = facts;
  const { undo, run, log } = deps;
  const { postgres } = config.ledger;
  if (postgres === undefined) return {};
  const fleet = new FleetMember(postgres, {
    ...{ site: postgres.site, run, clock, timers: systemTimers, log: log.child({ part: 'fleet' }) },
    ...{ server: mining.server, shared: () => contracts.shared, news: () => newsOf(facts) },
  });
  undo.defer(() => fleet.close());
  await fleet.begin();
  return { fleet };
}

/** `GET /api/v1/fleet`. Throws `ledger_io`. */
export async function fleetOf(
  facts: ProxyParts,
): Promise<{ readonly instance: string; readonly instances: FleetRow[] }> {
  const { fleet, config } = facts;
  if (fleet !== undefined) {
    const instances = [...(await fleet.tables.rows())];
    return { instance: config.ledger.postgres?.instance ?? ALONE, instances };
  }
  const news = { site: '', software: VERSION, extranonceRange: undefined, contracts: [], ...newsOf(facts) };
  const known = [{ instance: ALONE, news, agoMs: 0, isDrained: false }];
  return { instance: ALONE, instances: fleetView(known, []).map(fleetRow) };
}

function newsOf({ mining, hashrate, ledger, clock, contracts }: NewsParts): OwnNews {
  const { queuedWrites, lastCommitAtMonotonicMs } = ledger.stats;
  const sharedIds = new Set(contracts.shared.map(({ contractId }) => contractId));
  return {
    ...{
      sessions: mining.server.sessionCount,
      hashesPerSecond: hashrate.rates().fiveMinutes,
      queuedWrites,
    },
    lagMs: queuedWrites === 0 ? 0 : Math.max(0, clock.monotonicMs() - lastCommitAtMonotonicMs),
    ownContracts: contracts.all.filter(({ contractId }) => !sharedIds.has(contractId)).length,
  };
}
