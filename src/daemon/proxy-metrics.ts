import type { MetricSources } from '../metrics/metrics.ts';
import type { Destination } from '../upstream/destination.ts';
import type { ProxyParts } from './proxy-status.ts';
import { ledgerSources, limitSum } from './shared-metrics.ts';

/** Where each metric of the proxy is read at a scrape. */
export function proxySources(facts: ProxyParts): MetricSources<'proxy'> {
  const { mining, meters, ledger, clock, parts } = facts;
  const { server, engine, destinations } = mining;
  const side = () => parts.selling?.side.status;
  const terms = () => parts.selling?.terms;
  const byName = (value: (destination: Destination) => number) => () =>
    Object.fromEntries(destinations.map((destination) => [destination.name, value(destination)]));
  return {
    ...ledgerSources(ledger),
    downstream_sessions: () => server.sessionCount,
    downstream_connections_total: () => {
      const { connections, connectionsRefused } = server.stats;
      return { accepted: connections - connectionsRefused, refused: connectionsRefused };
    },
    shares_submitted_total: () => server.stats.sharesSubmitted,
    shares_accepted_total: () => server.stats.sharesAccepted,
    shares_rejected_total: () => server.stats.rejected,
    downstream_work_hashes_total: () =>
      meters.streams().reduce((sum, id) => sum + Number(meters.total(id).workHashes), 0),
    blocks_found_total: () => mining.stats.blocksFound,
    validation_queue_shares: () => engine.stats.queued,
    job_age_seconds: () => {
      const current = mining.jobs.current(mining.destination);
      return current === undefined ? 0 : (clock.nowMs() - current.createdAtMs) / 1000;
    },
    upstream_up: byName(({ client }) => (client.up ? 1 : 0)),
    upstream_shares_total: () =>
      Object.fromEntries(
        destinations.map(({ name, client }) => {
          const { accepted, refused, timeout, lost } = client.stats;
          return [name, { accepted, refused, timeout, lost }];
        }),
      ),
    upstream_failovers_total: () => mining.stats.failovers,
    contract_state: () => {
      const stream = side()?.stream;
      return stream === undefined ? {} : { [stream]: 1 };
    },
    contract_delivered_work_hashes_total: () => Number(side()?.ownWorkHashes ?? 0n),
    contract_work_hashes: () => Number(terms()?.workTotalHashes ?? 0n),
    channel_state: () => {
      const status = side();
      if (status === undefined || status.channel === 'none') return {};
      return { [status.frozen === undefined ? status.channel : 'frozen']: 1 };
    },
    channel_balance_sats: () => {
      const paidSat = side()?.signed?.paidSat ?? 0n;
      const agreed = terms();
      if (agreed === undefined) return {};
      return {
        miner: Number(agreed.minerReserveSat + paidSat),
        maker: Number(agreed.reserveSat + agreed.budgetSat - paidSat),
      };
    },
    channel_updates_total: () => ({ signed: parts.selling?.side.stats.statesTaken ?? 0 }),
    channel_unsigned_sats: () => Number(side()?.exposureSat ?? 0n),
    market_peer_up: () => (side()?.connected === true ? 1 : 0),
    limit_hits_total: () =>
      limitSum(server.stats.limitHits, engine.stats.limitHits, mining.jobs.stats.limitHits),
    errors_total: () => server.stats.refused,
  };
}
