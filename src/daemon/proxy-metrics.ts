import { once } from '../base/once.ts';
import type { MetricSources } from '../metrics/metrics.ts';
import { braidpoolSources } from '../mining/braidpool-view.ts';
import { sessionsByDestination, splitAccounts, verdictMatrixCounts } from '../mining/destination-status.ts';
import type { Destination } from '../upstream/destination.ts';
import { isServing } from '../upstream/failover.ts';
import { chainSources } from './chain-part.ts';
import { contractSeries, proxyFigures } from './contract-series.ts';
import { contractStateSources, metersAway, sumOf } from './contract-state.ts';
import { leavingSources, leavingView } from './leaving.ts';
import type { ProxyParts } from './proxy-status.ts';
import {
  type DaemonLog,
  daemonSources,
  ledgerSources,
  meteringSources,
  sumByName,
  upkeepSources,
} from './shared-metrics.ts';

/** Where each metric of the proxy is read, for one scrape. */
export function proxySources(facts: ProxyParts, log: DaemonLog): MetricSources<'proxy'> {
  const { mining, meters, ledger, chain, contracts, closing, durability } = facts;
  const { server, engine } = mining;
  return {
    ...ledgerSources(ledger),
    ...upkeepSources(facts.upkeep),
    ledger_held: () => (durability.level === 'sound' ? 0 : 1),
    // A drain was asked for.
    miners_let_go: () => (server.letGoCause === undefined || server.letGoCause === 'drained' ? 0 : 1),
    ...daemonSources(facts.waiting, log, server.stats.refused),
    ...(chain === undefined ? {} : chainSources(chain)),
    ...downstreamSources(facts),
    shares_submitted_total: () => server.stats.sharesSubmitted,
    shares_accepted_total: () => server.stats.sharesAccepted,
    shares_rejected_total: () => server.stats.rejected,
    downstream_work_hashes_total: () =>
      meters.streams().reduce((sum, id) => sum + Number(meters.total(id).workHashes), 0),
    blocks_found_total: () => mining.stats.blocksFound,
    luck_odds_ratio: () => ({ block: mining.luck.odds('block'), upstream: mining.luck.odds('upstream') }),
    validation_queue_shares: () => engine.stats.queued,
    ...upstreamSources(facts),
    ...contractSources(facts),
    close_only: () => (closing.reason === undefined ? 0 : 1),
    close_only_ladders: () => closing.ladderCount,
    limit_hits_total: () =>
      sumByName(
        ...[server.stats.limitHits, engine.stats.limitHits, mining.jobs.stats.limitHits],
        ...contracts.all.map(({ side }) => side.stats.limitHits),
      ),
  };
}

/** Of the contracts that run, and of the channels of earlier ones. */
function contractSources({ contracts, chain }: ProxyParts) {
  const statuses = once(() => contracts.all.map(({ side }) => side.status));
  const meters = () => (contracts.metering === undefined ? [] : [contracts.metering.meter.status]);
  const all = once(() => [...statuses(), ...contracts.earlier.map(({ status }) => status)]);
  const states = contractStateSources(all, chain);
  return {
    ...leavingSources(() => contracts.all.map((each) => leavingView(each.leavable, chain)), chain),
    ...contractSeries(() => proxyFigures(contracts.all)),
    ...states,
    contracts_without_peer: () => states.contracts_without_peer() + metersAway(meters()),
    contracts_at_exposure_limit: () =>
      statuses().filter(({ isExposureLimited, stream }) => isExposureLimited && stream === 'live').length,
    contract_delivered_work_hashes_total: () => sumOf(statuses().map(({ ownWorkHashes }) => ownWorkHashes)),
    contract_work_hashes: () =>
      sumOf(
        contracts.all
          .filter(({ side }) => side.status.stream !== 'ended')
          .map(({ terms }) => terms.workTotalHashes),
      ),
    ...meteringSources(meters),
    channel_updates_total: () => ({
      signed: contracts.all.reduce((total, { side }) => total + side.stats.statesTaken, 0),
    }),
    channel_unsigned_sats: () => Number(contracts.exposureSat),
    channel_unsigned_limit_sats: () => Number(contracts.exposureLimitSat),
    work_jobs_refused_total: () => {
      const refused: Record<string, number> = {};
      for (const { side } of contracts.all)
        for (const [reason, count] of Object.entries(side.work?.status.refused_jobs ?? {}))
          refused[reason] = (refused[reason] ?? 0) + count;
      return refused;
    },
    market_peer_up: () => ([...statuses(), ...meters()].some(({ connected }) => connected) ? 1 : 0),
  };
}

function downstreamSources({ mining: { server } }: ProxyParts) {
  const { stats } = server;
  return {
    downstream_sessions: () => server.sessionCount,
    downstream_connections_total: () => {
      const { connections, connectionsRefused } = stats;
      return { accepted: connections - connectionsRefused, refused: connectionsRefused };
    },
    downstream_connections_refused_total: () => ({
      ...stats.refusedByAddress,
      sessions: stats.limitHits.sessions,
      sessions_per_address: stats.limitHits.sessionsPerAddress,
      rate: stats.limitHits.acceptsPerSecond,
      rate_per_address: stats.limitHits.acceptsPerSecondPerAddress,
      bad_proxy_header: stats.badProxyHeaders,
      let_go: stats.refusedLetGo,
    }),
    downstream_disconnects_total: () => stats.closed,
    downstream_bans_total: () => stats.bans,
    downstream_resumed_total: () => stats.resumed,
    downstream_keep_alives_total: () => stats.keepAlives,
    vardiff_retargets_total: () => ({ up: stats.vardiffUp, down: stats.vardiffDown }),
  };
}

function upstreamSources({ mining, work }: ProxyParts) {
  const { router } = mining;
  const byName =
    <T>(value: (destination: Destination) => T) =>
    () =>
      Object.fromEntries(mining.destinations.map((destination) => [destination.name, value(destination)]));
  return {
    job_age_seconds: () => {
      const active = mining.destinations.filter(({ name }) => mining.activeDestinations.includes(name));
      return Math.max(0, ...active.map(({ health }) => health.jobAgeMs ?? 0)) / 1000;
    },
    upstream_clock_offset_seconds: byName(({ name }) => mining.clockOffsets.of(name)),
    upstream_up: byName(({ health }) => (isServing(health) ? 1 : 0)),
    upstream_shares_total: byName(({ figures }) => figures.shares),
    upstream_combinations_total: byName(({ figures }) => verdictMatrixCounts(figures)),
    upstream_work_hashes_total: byName(({ name }) => Number(work.total(name).workHashes)),
    upstream_sessions: () => sessionsByDestination(mining),
    upstream_wanted_hashes_per_second: () =>
      Object.fromEntries(
        splitAccounts(mining).map(({ name, targetHashesPerSecond }) => [
          name,
          Number(targetHashesPerSecond),
        ]),
      ),
    upstream_reject_ratio: byName(({ health }) => health.rejectRatio),
    upstream_round_trip_seconds: byName(({ health: { rttMs } }) =>
      rttMs === undefined ? undefined : rttMs / 1000,
    ),
    upstream_connects_total: byName(({ figures }) => figures.connection?.connects),
    upstream_disconnects_total: byName(({ figures }) => figures.connection?.disconnects ?? {}),
    upstream_resumed_total: byName(({ figures }) => figures.connection?.resumed),
    upstream_redirects_refused_total: byName(({ figures }) => figures.connection?.redirectsRefused),
    upstream_dropped_lines_total: byName(({ figures }) => figures.connection?.droppedLines),
    upstream_failovers_total: () => router.stats.failovers,
    upstream_session_moves_total: () => router.stats.moves,
    upstream_links: byName(({ figures: { links } }) =>
      links === undefined ? {} : { attached: links.attached, spare: links.spare },
    ),
    upstream_links_refused_total: byName(({ figures }) => figures.links?.refused),
    ...braidpoolSources(() => mining.braidpoolNodes),
  };
}
