import { assert } from '../base/assert.ts';
import { workerScriptHex } from '../bitcoin/worker-address.ts';
import type { ProxyConfig } from '../config/config.ts';
import type { ContractTerms } from '../contract/terms.ts';
import type { Logger } from '../log/logger.ts';
import type { MinerStatus } from '../miner/miner-contract.ts';
import type { DestinationWork } from '../mining/destination-work.ts';
import type { Mining } from '../mining/mining.ts';
import type { Durability } from './durability.ts';

export type SellingDeps = {
  readonly mining: Pick<Mining, 'setContract'>;
  readonly work: Pick<DestinationWork, 'assign'>;
  readonly durability: Pick<Durability, 'level'>;
  readonly log: Logger;
};

/** The name of the destination that work for a contract is mined to. */
export function contractDestination({ destinations }: ProxyConfig): string | undefined {
  return destinations.find(({ role }) => role === 'contract')?.name;
}

/**
 * Tells mining what the contract wants. Work that cannot be kept is never paid, and is worth something to the
 * maker all the same: none is delivered then.
 */
export class Selling {
  readonly #config: ProxyConfig;
  readonly #deps: SellingDeps;
  /** The contract of which it was said that its beads pay another. */
  #unbound: string | undefined;
  #wanted: { readonly contractId: string; readonly live: boolean; readonly difficulty: number } | undefined;

  constructor(config: ProxyConfig, deps: SellingDeps) {
    this.#config = config;
    this.#deps = deps;
  }

  /** @param difficulty of every share of the contract */
  onStatus(
    { contractId, live }: Pick<MinerStatus, 'contractId' | 'live'>,
    difficulty: number,
    terms: ContractTerms,
  ): void {
    const isBound = live && this.#isBound(contractId, terms);
    this.#wanted = { contractId, live: isBound, difficulty };
    this.update();
  }

  /** True where beads of the destination pay the maker of these terms: others would be mined for nothing. */
  #isBound(contract: string, { binding, network }: ContractTerms): boolean {
    if (binding.type !== 'bead') return true;
    const { worker } = this.#config.destinations.find(({ role }) => role === 'contract') ?? {};
    if (worker !== undefined && workerScriptHex(worker, network) === binding.scriptHex) return true;
    if (this.#unbound !== contract) {
      const fields = { code: 'share_unbound', contract, worker, expected: binding.scriptHex };
      this.#deps.log.error(
        fields,
        'beads of the destination would not pay the maker: nothing is delivered',
      );
    }
    this.#unbound = contract;
    return false;
  }

  /** To be called when the level of `durability` changes. */
  update(): void {
    if (this.#wanted === undefined) return;
    const { mining, work, durability } = this.#deps;
    const { contractId, live, difficulty } = this.#wanted;
    const destination = contractDestination(this.#config);
    assert(destination !== undefined, 'contract_has_destination');
    work.assign(contractId, destination);
    const isDelivering = live && durability.level === 'sound';
    mining.setContract({ contractId, destination, isDelivering, difficulty });
  }
}
