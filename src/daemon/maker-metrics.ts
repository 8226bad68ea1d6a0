import { once } from '../base/once.ts';
import type { LeavingView } from '../contract/incentive.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { MakerContractStatus } from '../maker/contract-status.ts';
import type { Maker } from '../maker/maker.ts';
import type { MetricSources } from '../metrics/metrics.ts';
import { leastOdds, oddsOfCount } from '../work/luck.ts';
import { type ChainPart, chainSources } from './chain-part.ts';
import type { ClosingOnly } from './closing-only.ts';
import { contractSeries, makerFigures, marketSources } from './contract-series.ts';
import {
  type ContractState,
  contractStateSources,
  isBegun,
  isFunded,
  metersAway,
  needsPeer,
  sumOf,
} from './contract-state.ts';
import type { Durability } from './durability.ts';
import { leavingSources, leavingView } from './leaving.ts';
import type { LedgerUpkeep } from './ledger-upkeep.ts';
import { ledgerSources, meteringSources, upkeepSources } from './shared-metrics.ts';

/** What metrics and `/readyz` of a maker read. */
export type MakerParts = {
  readonly maker: Maker;
  readonly ledger: Ledger;
  readonly upkeep: LedgerUpkeep | undefined;
  readonly closing: ClosingOnly;
  readonly durability: Durability;
  readonly part: ChainPart | undefined;
};

type ScrapedParts = Omit<MakerParts, 'closing' | 'durability'> & {
  readonly closing: Pick<ClosingOnly, 'reason' | 'ladderCount'>;
  readonly durability: Pick<Durability, 'level'>;
};

/** Where each metric of the maker is read, for one scrape. */
export function makerSources(parts: ScrapedParts): MetricSources<'maker'> {
  const { maker, ledger, upkeep, closing, durability, part } = parts;
  const contracts = once(() => maker.status);
  const isMissed = (each: ContractState): boolean => isBegun(each) && needsPeer(each);
  const states = contractStateSources(contracts, part, isMissed);
  const oddsOfContracts = (solution: 'block' | 'upstream'): number =>
    leastOdds(contracts().map(({ luck }) => oddsOfCount(luck[solution])));
  return {
    ...ledgerSources(ledger),
    ...upkeepSources(upkeep),
    ledger_held: () => (durability.level === 'sound' ? 0 : 1),
    ...(part === undefined ? {} : chainSources(part)),
    close_only: () => (closing.reason === undefined ? 0 : 1),
    close_only_ladders: () => closing.ladderCount,
    shares_accepted_total: () => contracts().reduce((sum, row) => sum + row.sharesCredited, 0),
    ...states,
    contracts_without_peer: () => states.contracts_without_peer() + metersAway(maker.metering),
    ...leavingSources(() => contracts().map((row) => leavingOfRow(maker, row, part)), part),
    ...meteringSources(() => maker.metering),
    contract_delivered_work_hashes_total: () =>
      sumOf(contracts().map(({ verifiedWorkHashes }) => verifiedWorkHashes)),
    contract_work_hashes: () =>
      sumOf(
        contracts()
          .filter((each) => isBegun(each) && each.stream !== 'ended')
          .map(({ workTotalHashes }) => workTotalHashes),
      ),
    luck_odds_ratio: () => ({ block: oddsOfContracts('block'), upstream: oddsOfContracts('upstream') }),
    channel_unsigned_sats: () =>
      sumOf(
        contracts()
          .filter(isFunded)
          .map(({ unsignedSat }) => unsignedSat),
      ),
    channel_updates_total: () => ({
      signed: contracts().reduce((sum, row) => sum + Math.max(0, row.n), 0),
    }),
    contracts_without_work: () =>
      contracts().filter((row) => row.connected && needsPeer(row) && row.work?.isDown === true).length,
    ...contractSeries(() => makerFigures(contracts(), maker)),
    ...marketSources(maker),
    market_peer_up: () => [...contracts(), ...maker.metering].filter((row) => row.connected).length,
    market_protocol_errors_total: () => maker.stats.refused,
    limit_hits_total: () => maker.stats.limitHits,
  };
}

/** What leaving a contract would be now; null where it is not to be said. */
export function leavingOfRow(
  maker: Maker,
  { contractId, stream, verifiedWorkHashes: deliveredHashes, unsignedWorkHashes }: MakerContractStatus,
  part: ChainPart | undefined,
): LeavingView | null {
  const terms = maker.termsOf(contractId);
  const work = { deliveredHashes, signedHashes: deliveredHashes - unsignedWorkHashes };
  return leavingView(terms && { terms, stream, ...work }, part);
}
