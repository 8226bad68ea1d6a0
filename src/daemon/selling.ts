import type { ErrorCode } from '../base/errors.ts';
import { workerScriptHex } from '../bitcoin/worker-address.ts';
import type { ContractConfig, ProxyConfig } from '../config/config.ts';
import type { ContractTerms } from '../contract/terms.ts';
import type { Logger } from '../log/logger.ts';
import type { MinerStatus } from '../miner/miner-contract.ts';
import type { WorkDestination } from '../miner/work-destination.ts';
import type { DestinationWork } from '../mining/destination-work.ts';
import type { Mining } from '../mining/mining.ts';
import type { ContractWork } from '../mining/work-routes.ts';
import type { Durability } from './durability.ts';

export type SellingDeps = {
  readonly mining: Pick<Mining, 'setContract' | 'endContract' | 'addDestination' | 'removeDestination'>;
  readonly work: Pick<DestinationWork, 'assign'>;
  readonly durability: Pick<Durability, 'level'>;
  readonly log: Logger;
};

/** A contract as far as it concerns what is mined for it. */
export type SoldContract = {
  readonly status: Pick<MinerStatus, 'contractId' | 'live' | 'channel'>;
  readonly terms: ContractTerms;
  /** Of every share, where its terms name one target. */
  readonly shareDifficulty: number;
  /** See `ContractWork`. */
  readonly unpaidReason?: NonNullable<ContractWork['unpaidReason']>;
  readonly needsMetadata?: boolean;
  /** The destination that is mined for it; undefined: the only one for contracts. */
  readonly destination?: string | undefined;
  /** True while another contract of its line is delivered to. */
  readonly isHeld?: boolean;
  /** See `ContractWork`. */
  readonly quota?: ContractWork['quota'];
  /** Where the maker's jobs are mined, if it gives them. */
  readonly work: WorkDestination | undefined;
};

/** The contracts of a configuration that have a channel. */
export function contractsOf({
  contract,
  furtherContracts,
}: Pick<ProxyConfig, 'contract' | 'furtherContracts'>): readonly ContractConfig[] {
  return contract === undefined ? furtherContracts : [contract, ...furtherContracts];
}

/** The destination of the configuration that is mined for a contract which names none. */
export function contractDestination({ destinations }: ProxyConfig): string | undefined {
  return destinations.find(({ role }) => role === 'contract')?.name;
}

/**
 * Tells mining what the contracts want. Work that cannot be kept is never paid, and is worth something to the
 * maker all the same: none is delivered then.
 */
export class Selling {
  readonly #config: ProxyConfig;
  readonly #deps: SellingDeps;
  readonly #wanted = new Map<string, SoldContract>();
  /** Contracts whose maker's jobs mining has. */
  readonly #added = new Set<string>();
  /** Contracts of which it was said why nothing is delivered. */
  readonly #said = new Set<string>();

  constructor(config: ProxyConfig, deps: SellingDeps) {
    this.#config = config;
    this.#deps = deps;
  }

  onStatus(contract: SoldContract): void {
    this.#wanted.set(contract.status.contractId, contract);
    this.#update(contract);
  }

  /** To be called when the level of `durability` changes. */
  update(): void {
    for (const contract of this.#wanted.values()) this.#update(contract);
  }

  #update(contract: SoldContract): void {
    const { status, terms, shareDifficulty, unpaidReason, needsMetadata, quota, work: jobs } = contract;
    const { mining, work, durability } = this.#deps;
    const { contractId, live, channel } = status;
    if (channel === 'closed' || channel === 'failed') {
      this.#wanted.delete(contractId);
      if (jobs !== undefined && this.#added.delete(contractId)) mining.removeDestination(jobs.name);
      else mining.endContract(contractId);
      return;
    }
    const destination = jobs?.name ?? contract.destination ?? contractDestination(this.#config);
    if (destination === undefined) {
      this.#sayNone(contractId);
      return;
    }
    if (jobs !== undefined && !this.#added.has(contractId)) {
      const setup = { name: jobs.name, role: 'contract', priority: 0, quota: undefined } as const;
      mining.addDestination({ ...setup, extranonce1: 'auto' }, (listener) => jobs.listenTo(listener));
      this.#added.add(contractId);
    }
    work.assign(contractId, destination);
    const wants = live && contract.isHeld !== true && durability.level === 'sound';
    const isDelivering = wants && this.#isBound(contractId, terms, destination);
    const difficulty = jobs === undefined ? shareDifficulty : undefined;
    mining.setContract({
      ...{ contractId, destination, isDelivering, difficulty },
      ...(unpaidReason === undefined ? {} : { unpaidReason }),
      ...(needsMetadata === undefined ? {} : { needsMetadata }),
      ...(quota === undefined ? {} : { quota }),
    });
  }

  /** True where beads of the destination pay the maker of these terms: others would be mined for nothing. */
  #isBound(contract: string, { binding, network }: ContractTerms, destination: string): boolean {
    if (binding.type !== 'bead') return true;
    const { worker } = this.#config.destinations.find(({ name }) => name === destination) ?? {};
    if (worker !== undefined && workerScriptHex(worker, network) === binding.scriptHex) return true;
    const fields = { code: 'share_unbound', contract, worker, expected: binding.scriptHex } as const;
    this.#say(fields, 'beads of the destination would not pay the maker: nothing is delivered');
    return false;
  }

  /** Terms that run may need a destination that the configuration has no longer. */
  #sayNone(contract: string): void {
    this.#say(
      { code: 'config_invalid', contract },
      'no work is delivered: the terms of this contract need a destination with role = "contract"',
    );
  }

  #say(fields: { readonly code: ErrorCode; readonly contract: string }, message: string): void {
    if (this.#said.has(fields.contract)) return;
    this.#said.add(fields.contract);
    this.#deps.log.error(fields, message);
  }
}
