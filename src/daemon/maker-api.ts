import { createApi } from '../api/app.ts';
import { type Served, serve, servePage } from '../api/operation.ts';
import { READS, WRITES } from '../api/operations.ts';
import { SAMPLES } from '../api/samples.ts';
import { sum } from '../base/bigints.ts';
import { VERSION } from '../base/version.ts';
import type { MakerConfig } from '../config/config.ts';
import type { Api } from '../http/server.ts';
import type { PoolFigures } from '../maker/pool-book.ts';
import { makerBook } from '../operator/maker-book.ts';
import type { MakerSource } from '../operator/maker-policy.ts';
import { luckOf } from '../work/luck.ts';
import {
  type ApiDeps,
  serveActions,
  serveHistory,
  serveWrites,
  servingDeps,
  theContract,
} from './api-parts.ts';
import { chainStatus } from './chain-part.ts';
import { makerChannelActions } from './channel-actions.ts';
import { heightOf, isBegun, isFunded, needsPeer } from './contract-state.ts';
import type { Descriptors } from './descriptors.ts';
import { leavingOfRow, type MakerParts } from './maker-metrics.ts';
import { makerPolicyActions } from './policy-actions.ts';
import type { Reload } from './reload.ts';
import { streamView } from './stream-actions.ts';
import type { systemView } from './system-view.ts';

export type MakerApiDeps = ApiDeps & {
  readonly pools: () => readonly PoolFigures[];
  readonly descriptors: Pick<Descriptors, 'status'>;
  readonly source: MakerSource | undefined;
  readonly reload: Pick<Reload<'maker'>, 'actions'>;
  readonly system: ReturnType<typeof systemView>;
};

/** What a market maker serves under `/api/v1`. */
export function makerApi(config: MakerConfig, facts: MakerParts, deps: MakerApiDeps): Api {
  const { maker } = facts;
  const { source, reload } = deps;
  const policy = makerPolicyActions(maker, source);
  const actions = { ...makerChannelActions(maker, facts.part), ...policy, ...reload.actions };
  const served = [
    ...makerReads(config, facts, deps),
    ...serveHistory(SAMPLES.maker, READS.maker, () => makerSample(facts), deps),
    ...serveActions(WRITES.maker, actions),
    serveWrites(deps.journals),
  ];
  return createApi('maker', served, servingDeps(deps, config.dataDir));
}

function makerReads(config: MakerConfig, facts: MakerParts, deps: MakerApiDeps): Served[] {
  const { maker } = facts;
  const { getStatus, getSystem, listContracts, getContract, listStreams, listPools, getBook } = READS.maker;
  return [
    serve(getStatus, () => makerStatus(config, facts, deps)),
    serve(getSystem, deps.system),
    servePage(
      listContracts,
      () => contractsOf(facts),
      ({ contractId }) => contractId,
    ),
    serve(getContract, ({ params }) =>
      theContract(contractsOf(facts), ({ contractId }) => contractId === params.contract_id),
    ),
    servePage(
      listStreams,
      () => maker.moneyStreams.map(streamView),
      ({ stream }) => stream,
    ),
    servePage(listPools, deps.pools, ({ name }) => name),
    serve(getBook, () => makerBook(maker)),
  ];
}

function makerStatus(
  { network }: MakerConfig,
  facts: MakerParts,
  { pools, descriptors }: Pick<MakerApiDeps, 'pools' | 'descriptors'>,
) {
  const { maker, part, closing } = facts;
  return {
    ...{ role: 'maker' as const, version: VERSION, node_id: maker.nodeId, network },
    bitcoin_node: { truc: part?.truc.policy ?? ('unknown' as const) },
    connections: maker.stats.connections,
    refused_connections: maker.stats.refused,
    contracts: contractsOf(facts),
    metering: closing.reason === undefined ? maker.metering : [],
    closing_only: closing.status,
    chain: part === undefined ? null : chainStatus(part),
    ...{ pools: pools(), descriptors: descriptors.status },
  };
}

/** Contracts with their luck as it is read, and with what leaving each would be. */
function contractsOf({ maker, part, closing }: MakerParts) {
  if (closing.reason !== undefined) return [];
  return maker.status.map((row) => ({
    ...row,
    luck: { block: luckOf(row.luck.block), upstream: luckOf(row.luck.upstream) },
    leaving: leavingOfRow(maker, row, part),
  }));
}

function makerSample({ maker, durability, part }: MakerParts) {
  const begun = maker.status.filter(isBegun);
  return {
    contracts_live: begun.filter(({ stream }) => stream === 'live').length,
    peers_connected: begun.filter(({ connected }) => connected).length,
    contracts_without_peer: begun.filter((each) => needsPeer(each) && !each.connected).length,
    shares_credited: begun.reduce((all, { sharesCredited }) => all + sharesCredited, 0),
    verified_work_hashes: sum(begun.map(({ verifiedWorkHashes }) => verifiedWorkHashes)),
    paid_sat: sum(begun.map(({ paidSat }) => paidSat)),
    unsigned_sat: sum(begun.filter(isFunded).map(({ unsignedSat }) => unsignedSat)),
    durability: durability.level,
    chain_height: heightOf(part) ?? null,
  };
}
