import { createApi } from '../api/app.ts';
import { type Served, serve, servePage } from '../api/operation.ts';
import { READS, WRITES } from '../api/operations.ts';
import { numberKey } from '../api/page.ts';
import { SAMPLES } from '../api/samples.ts';
import { VERSION } from '../base/version.ts';
import type { Api } from '../http/server.ts';
import { destinationStatus } from '../mining/destination-status.ts';
import { workerTable } from '../mining/worker-table.ts';
import { isServing } from '../upstream/failover.ts';
import {
  type ApiDeps,
  serveActions,
  serveHistory,
  serveWrites,
  servingDeps,
  theContract,
} from './api-parts.ts';
import { proxyChannelActions } from './channel-actions.ts';
import { heightOf, needsPeer } from './contract-state.ts';
import { fleetActions } from './fleet-actions.ts';
import { fleetOf } from './fleet-news.ts';
import { marketActions } from './market-actions.ts';
import { contractStatuses, minerViews, type ProxyParts, proxyStatus } from './proxy-status.ts';
import { proxyTimeline } from './proxy-timeline.ts';
import type { Reload } from './reload.ts';
import { streamView } from './stream-actions.ts';
import type { systemView } from './system-view.ts';
import { takeActions } from './take-action.ts';

/** What a proxy serves under `/api/v1`. */
export function proxyApi(
  facts: ProxyParts,
  deps: ApiDeps & {
    readonly system: ReturnType<typeof systemView>;
    readonly reload: Pick<Reload<'proxy'>, 'actions'>;
  },
): Api {
  const { config, contracts } = facts;
  const taking = takeActions(config, facts);
  const market = marketActions(facts, { take: taking['contract/take']!, log: deps.log });
  const asked = proxyChannelActions(contracts, facts.chain);
  const asks = fleetActions(facts.fleet?.tables);
  const actions = { ...asked, ...taking, ...market, ...asks, ...deps.reload.actions };
  const served = [
    ...proxyReads(facts, deps.system, proxyTimeline(facts, deps)),
    ...serveHistory(SAMPLES.proxy, READS.proxy, () => proxySample(facts), deps),
    ...serveActions(WRITES.proxy, actions),
    serveWrites(deps.journals),
  ];
  const isPublic = config.http.public === 'status';
  return createApi('proxy', served, { ...servingDeps(deps, config.dataDir), isPublic });
}

function proxyReads(
  facts: ProxyParts,
  system: ReturnType<typeof systemView>,
  timeline: ReturnType<typeof proxyTimeline>,
): Served[] {
  const { mining, contracts } = facts;
  const {
    getStatus,
    getSystem,
    getPublic,
    listMiners,
    findWorkers,
    listDestinations,
    listContracts,
    getContract,
    listStreams,
    listTimeline,
    getFleet,
    getDag,
  } = READS.proxy;
  const sides = () => [...contracts.all.map(({ side }) => side), ...contracts.earlier];
  return [
    serve(getStatus, ({ query }) => proxyStatus(facts, query.miners)),
    serve(getSystem, system),
    serve(getPublic, () => publicView(facts)),
    servePage(
      listMiners,
      ({ query }) => minerViews(mining, query.worker),
      ({ id }) => numberKey(id),
    ),
    serve(findWorkers, ({ query }) => workerTable(mining.server.sessions(), query)),
    servePage(
      listDestinations,
      () => destinationStatus(facts),
      ({ name }) => name,
    ),
    servePage(
      listContracts,
      () => contractStatuses(facts),
      ({ id }) => id,
    ),
    serve(getContract, async ({ params }) =>
      theContract(await contractStatuses(facts), ({ id }) => id === params.contract_id),
    ),
    servePage(
      listStreams,
      () => sides().map(({ moneyStream }) => streamView(moneyStream)),
      ({ stream }) => stream,
    ),
    servePage(
      listTimeline,
      ({ query }) => timeline.rows.slice(-query.newest),
      ({ number }) => numberKey(number),
    ),
    serve(getFleet, () => fleetOf(facts)),
    serve(getDag, () => mining.braidpoolNodes.map(({ newest }) => newest)),
  ];
}

/** What anybody may know. */
function publicView({ mining, hashrate, chain, durability }: ProxyParts) {
  const { stats, sessionCount: sessions } = mining.server;
  const rates = hashrate.rates();
  return {
    version: VERSION,
    hashes_per_second_5m: rates.fiveMinutes,
    hashes_per_second_1h: rates.oneHour,
    hashes_per_second_24h: rates.oneDay,
    sessions,
    shares_accepted: stats.sharesAccepted,
    shares_submitted: stats.sharesSubmitted,
    blocks_found: mining.stats.blocksFound,
    chain_height: heightOf(chain) ?? null,
    is_serving: durability.level === 'sound' && mining.destination !== 'none',
  };
}

function proxySample(facts: ProxyParts) {
  const { mining, hashrate, contracts, durability, chain } = facts;
  const { stats, sessionCount: sessions } = mining.server;
  const rates = hashrate.rates();
  const statuses = contracts.all.map(({ side }) => side.status);
  return {
    ...{ sessions, destination: mining.destination },
    destinations_up: mining.destinations.filter(({ health }) => isServing(health)).length,
    hashes_per_second_1m: rates.oneMinute,
    hashes_per_second_5m: rates.fiveMinutes,
    hashes_per_second_1h: rates.oneHour,
    hashes_per_second_24h: rates.oneDay,
    shares_submitted: stats.sharesSubmitted,
    shares_accepted: stats.sharesAccepted,
    blocks_found: mining.stats.blocksFound,
    contracts_live: statuses.filter(({ live }) => live).length,
    peers_connected: statuses.filter(({ connected }) => connected).length,
    contracts_without_peer: statuses.filter((each) => needsPeer(each) && !each.connected).length,
    signed_sat: statuses.reduce((sum, { signed }) => sum + (signed?.paidSat ?? 0n), 0n),
    exposure_sat: contracts.exposureSat,
    durability: durability.level,
    chain_height: heightOf(chain) ?? null,
  };
}
