import type { z } from 'zod';
import type { timelineType } from '../api/proxy-schemas.ts';
import { VERSION } from '../base/version.ts';
import { isServing } from '../upstream/failover.ts';
import type { ApiDeps } from './api-parts.ts';
import { chainStatus } from './chain-part.ts';
import { needsPeer } from './contract-state.ts';
import type { ProxyParts } from './proxy-status.ts';
import { type Fact, Timeline } from './timeline.ts';

type ProxyFact = Fact<z.output<typeof timelineType>>;

/** What happens at a proxy, from its start until it stops. */
export function proxyTimeline(
  facts: ProxyParts,
  { clock, timers, undo }: Pick<ApiDeps, 'clock' | 'timers' | 'undo'>,
): Pick<Timeline<ProxyFact['type']>, 'rows'> {
  const timeline = new Timeline(() => factsOf(facts), ['came', 'went'], { clock, timers });
  timeline.add({ type: 'start', subject: '', value: VERSION });
  undo.defer(async () => timeline.stop());
  return timeline;
}

function factsOf({ mining, contracts, durability, chain }: ProxyParts): ProxyFact[] {
  const { came, went } = mining.news.seen;
  const nodes = chain === undefined ? undefined : chainStatus(chain);
  return [
    { type: 'switch', subject: '', value: mining.destination },
    { type: 'block', subject: '', value: String(mining.stats.blocksFound) },
    { type: 'ledger', subject: '', value: durability.level },
    { type: 'came', subject: '', value: String(came.count), note: came.newest },
    { type: 'went', subject: '', value: String(went.count), note: went.newest },
    ...mining.destinations.map(({ name, health }) => {
      return { type: 'destination', subject: name, value: isServing(health) ? 'up' : 'down' } as const;
    }),
    ...contracts.all.flatMap(({ name: subject, side: { status } }): ProxyFact[] => {
      const { contractId: contract, stream, channel, connected } = status;
      const peer = !needsPeer(status) ? 'over' : connected ? 'connected' : 'away';
      return [
        { type: 'contract', subject, contract, value: stream },
        { type: 'channel', subject, contract, value: channel },
        { type: 'peer', subject, contract, value: peer },
      ];
    }),
    ...(nodes === undefined
      ? []
      : [{ type: 'chain', subject: '', value: nodes.stalled ? 'stalled' : 'in step' } as const]),
    ...(nodes?.nodes ?? []).map(({ name, state }) => {
      return { type: 'node', subject: name, value: state } as const;
    }),
  ];
}
