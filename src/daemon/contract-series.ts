import { LIMITS } from '../base/limits.ts';
import { once } from '../base/once.ts';
import type { ContractTerms } from '../contract/terms.ts';
import { newestPriceMsatPerEh } from '../contract/updated-terms.ts';
import type { Maker } from '../maker/maker.ts';
import type { ByLabel } from '../metrics/metrics.ts';
import type { ContractRunner } from './contract-runner.ts';

/** The numbers of one contract, as either side has them. */
export type ContractFigures = {
  readonly contractId: string;
  /** Of its stream. */
  readonly state: string;
  /** True once its channel needs no more watching by people. */
  readonly isOver: boolean;
  /** Those in force. */
  readonly terms: ContractTerms;
  readonly paidSat: bigint;
  /** Delivered or credited, and in no signed state. */
  readonly unpaidHashes: bigint;
  /** What that earns, each part at its own price. */
  readonly unpaidSat: bigint;
  readonly doneHashes: bigint;
  /** To be made up by the rules of delivery. */
  readonly missingHashes: bigint;
};

/** Hex digits of a contract id in a label: whoever sees them twice has 2^64 contracts. */
const LABEL_DIGITS = 16;

/**
 * Series by contract, of the newest that are not over and no more of them than `LIMITS.contractSeries`: a
 * peer that makes contracts makes no series without end. For one scrape.
 * @param read all contracts, the oldest first
 */
export function contractSeries(read: () => readonly ContractFigures[]) {
  const shown = once(() =>
    read()
      .filter(({ isOver }) => !isOver)
      .slice(-LIMITS.contractSeries),
  );
  const by =
    <T>(value: (row: ContractFigures) => T): (() => Record<string, T>) =>
    () =>
      Object.fromEntries(shown().map((row) => [row.contractId.slice(0, LABEL_DIGITS), value(row)]));
  return {
    contract_stream_state: by(({ state }): ByLabel => ({ [state]: 1 })),
    contract_paid_sats: by(({ paidSat }) => Number(paidSat)),
    contract_unpaid_work_hashes: by(({ unpaidHashes }) => Number(unpaidHashes)),
    contract_exposure_sats: by(({ unpaidSat }) => Number(unpaidSat)),
    contract_price_msat_per_eh: by(({ terms }) => Number(newestPriceMsatPerEh(terms))),
    contract_delivery_hashes: by(({ terms, doneHashes, missingHashes }): ByLabel => {
      const left = terms.workTotalHashes - doneHashes;
      return {
        done: Number(doneHashes),
        owed: Number(left > 0n ? left : 0n),
        missing: Number(missingHashes),
      };
    }),
  };
}

const OVER: ReadonlySet<string> = new Set(['closed', 'failed']);

/** The contracts of a maker, by their status. */
export function makerFigures(contracts: Maker['status'], maker: Pick<Maker, 'termsOf'>): ContractFigures[] {
  return contracts.flatMap((row) => {
    const terms = maker.termsOf(row.contractId);
    if (terms === undefined) return [];
    return [
      {
        ...{ contractId: row.contractId, state: row.stream, isOver: OVER.has(row.channel), terms },
        ...{
          paidSat: row.paidSat,
          ...{ unpaidHashes: row.unsignedWorkHashes, unpaidSat: row.unsignedSat },
          doneHashes: row.verifiedWorkHashes,
        },
        missingHashes: row.delivery?.missingHashes ?? 0n,
      },
    ];
  });
}

/** The contracts of a proxy. */
export function proxyFigures(
  runners: readonly Pick<ContractRunner, 'contractId' | 'terms' | 'side'>[],
): ContractFigures[] {
  return runners.map(({ contractId, terms, side: { status } }) => ({
    ...{ contractId, state: status.stream, isOver: OVER.has(status.channel), terms },
    ...{ paidSat: status.signed?.paidSat ?? 0n, unpaidHashes: status.exposureHashes },
    unpaidSat: status.exposureSat,
    ...{ doneHashes: status.ownWorkHashes, missingHashes: status.delivery?.missingHashes ?? 0n },
  }));
}

/** What a maker's market did and holds. */
export function marketSources(maker: Pick<Maker, 'market' | 'poolAccounts' | 'height'>) {
  const { market, poolAccounts } = maker;
  return {
    market_quotes_total: (): ByLabel => market.quotes.stats,
    market_refused_terms_total: (): ByLabel => market.refusedTerms,
    market_quotes_live: () => market.quotes.liveCount,
    market_inventory_hashes: () => Number(market.inventoryHashes),
    market_rate_hashes_per_second: (): ByLabel => {
      const { nowHps, peakHps } = market.rates(maker.height ?? 0);
      return { now: Number(nowHps), peak: Number(peakHps) };
    },
    pool_unpaid_work_hashes: (): ByLabel =>
      Object.fromEntries(poolAccounts.all.map(({ name, unpaidHashes }) => [name, Number(unpaidHashes)])),
  };
}
