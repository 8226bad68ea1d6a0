import { smaller } from '../base/bigints.ts';
import { owedSat } from '../base/units.ts';
import type { NetworkName } from '../bitcoin/network.ts';
import type { ContractConfig } from '../config/config.ts';
import { fixedPriceMsatPerEh } from '../contract/terms-access.ts';
import { ExposureTotal } from '../miner/exposure-total.ts';
import { MinerContract } from '../miner/miner-contract.ts';
import { CONTRACT_KIND, isUnfinished, loadContract } from '../settlement/records.ts';
import type { StreamTotal } from '../work/meters.ts';
import {
  ContractRunner,
  type ContractRunnerDeps,
  type FinishedContract,
  minerOptionsOf,
} from './contract-runner.ts';
import { isUnusable } from './unusable-ledger.ts';

/** The contracts a proxy serves, and those of earlier runs that are not at their end. */
export class RunningContracts {
  readonly #runners = new Map<string, ContractRunner>();
  readonly #earlier = new Map<string, MinerContract>();
  readonly #finished: FinishedContract[] = [];
  #maxUnpaidSat: bigint | undefined;
  #total: ExposureTotal | undefined;
  /** The configured one, once it has begun. */
  #configured: ContractRunner | FinishedContract | undefined;

  /** In the order they were started. */
  get all(): readonly ContractRunner[] {
    return [...this.#runners.values()];
  }

  /** They close, and bring back what was staked. */
  get earlier(): readonly MinerContract[] {
    return [...this.#earlier.values()];
  }

  /** Configured ones that are over, and are not proposed again. */
  get finished(): readonly FinishedContract[] {
    return this.#finished;
  }

  /** The one that is shown where there is room for one. */
  get first(): ContractRunner | undefined {
    return this.all[0];
  }

  /** Pay of work that is delivered and not signed for, over all. */
  get exposureSat(): bigint {
    const sides = [...this.all.map(({ side }) => side), ...this.earlier];
    return sides.reduce((sum, { status }) => sum + status.exposureSat, 0n);
  }

  /** The exposure at which nothing more is delivered: of each that is served, or of all together. */
  get exposureLimitSat(): bigint {
    const sat = this.all.reduce((sum, { terms }) => {
      return sum + owedSat(BigInt(terms.maxUnpaidSteps) * terms.stepHashes, fixedPriceMsatPerEh(terms));
    }, 0n);
    return smaller(this.#maxUnpaidSat ?? sat, sat);
  }

  /** Why one of them is frozen, if any is. */
  get frozen(): string | undefined {
    return this.all.map(({ side }) => side.status.frozen).find((reason) => reason !== undefined);
  }

  /** Of a contract that is served, or of an earlier one. */
  side(contractId: string): MinerContract | undefined {
    return this.#runners.get(contractId)?.side ?? this.#earlier.get(contractId);
  }

  /**
   * Serves the contract of a configuration, and brings to their end those that were served before it.
   * Undefined where that contract is over. What throws may be tried again: what began stays.
   */
  async start(
    network: NetworkName,
    contract: ContractConfig,
    deps: ContractRunnerDeps,
  ): Promise<ContractRunner | undefined> {
    const { maxUnpaidTotalSat } = contract;
    if (maxUnpaidTotalSat !== undefined) this.#total ??= new ExposureTotal(maxUnpaidTotalSat);
    this.#maxUnpaidSat = maxUnpaidTotalSat;
    const all = this.#total === undefined ? deps : { ...deps, exposureTotal: this.#total };
    if (this.#configured === undefined) {
      const started = await ContractRunner.start(network, contract, all);
      this.#configured = started;
      if (started instanceof ContractRunner) this.#runners.set(started.contractId, started);
      else this.#finished.push(started);
    }
    await this.#startEarlier(minerOptionsOf(network, contract), all);
    return this.#configured instanceof ContractRunner ? this.#configured : undefined;
  }

  /** Evidence of a stream became durable; those of the miner's own concern nobody here. */
  onDurable(stream: string, total: StreamTotal, landedHashes: bigint): void {
    this.#runners.get(stream)?.side.onDurable(stream, total, landedHashes);
  }

  /** A share of a stream may be sold: false where that would pass the bound on what is unpaid. */
  admits(stream: string, workHashes: bigint): boolean {
    return this.#runners.get(stream)?.side.admits(workHashes) ?? true;
  }

  /** A share that was taken could not be written. */
  lost(stream: string, workHashes: bigint): void {
    this.#runners.get(stream)?.side.lost(workHashes);
  }

  async stop(): Promise<void> {
    await Promise.all([...this.all, ...this.earlier].map((each) => each.stop()));
  }

  /**
   * Serves the earlier contracts by the connection and the payout of the one that comes after them. One
   * whose records cannot be read is closed from its ladder file.
   */
  async #startEarlier(options: ReturnType<typeof minerOptionsOf>, deps: ContractRunnerDeps): Promise<void> {
    const { onStatus: _ofThatContract, ...others } = deps;
    const startOne = async (id: string): Promise<void> => {
      const stored = await loadContract(deps.ledger, id);
      if (stored?.isOver === true) deps.ladders?.remove(id);
      if (stored === undefined || !(await isUnfinished(stored, deps.ledger))) return;
      const side = new MinerContract({ ...options, terms: stored.contract.terms }, others);
      await side.start();
      this.#earlier.set(id, side);
      if (stored.channel?.status !== 'closed') void side.close();
    };
    for (const { id } of await deps.ledger.list(CONTRACT_KIND)) {
      if (this.side(id) !== undefined) continue;
      await startOne(id).catch((error: unknown) => {
        if (!isUnusable(error)) throw error;
        deps.log.error(
          { contract: id, code: error.code, detail: error.message },
          'a contract is unreadable',
        );
      });
    }
  }
}
