import type { Timer } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import type { NetworkName } from '../bitcoin/network.ts';
import type { ContractConfig } from '../config/config.ts';
import { contractIdOf } from '../contract/terms.ts';
import { ORDER_KIND, ORDER_PART_KIND, SLICES_KIND } from '../fleet/evidence-order.ts';
import { type Fence, fencedChain, fencedLadders, fencedLedger, fencedTree } from '../fleet/fenced.ts';
import { SharedEvidence } from '../fleet/shared-evidence.ts';
import type { Lease } from '../ledger/lease.ts';
import type { FleetLook } from '../ledger/postgres/fleet-look.ts';
import { takeOver } from '../ledger/postgres/fleet-reader.ts';
import type { WorkDestination } from '../miner/work-destination.ts';
import { contractEstate } from '../settlement/contract-estate.ts';
import { LADDER_FILES, LadderWriter } from '../settlement/ladder-writer.ts';
import { PROPOSAL_KIND, proposalId, readProposal } from './configured-contract.ts';
import {
  ContractRunner,
  type ContractRunnerDeps,
  type FinishedContract,
  termsOf,
} from './contract-runner.ts';

/** Time in ms from one look at the evidence of the others to the next. */
const PULL_MS = 250;

export type SharedOwnerDeps = Omit<ContractRunnerDeps, 'onStatus' | 'ladders' | 'sharedWork'> & {
  readonly look: FleetLook;
  /** Of this proxy. */
  readonly instance: string;
  readonly fence: Fence;
  /** Folder of ladder files, which are written for the owner alone. */
  readonly closeDir: string;
  /** Where the jobs of the maker are mined by this proxy; undefined while its terms are not known. */
  readonly work: () => WorkDestination | undefined;
};

/** What belongs to a contract of this name, as its proposal says. */
async function estateOf(
  name: string,
  resource: string,
  look: FleetLook,
): Promise<Parameters<typeof takeOver>[2]> {
  const proposal = { kind: PROPOSAL_KIND, id: proposalId(name) };
  const found = await look.ask((reader) => reader.estate(resource, [proposal]));
  const [entry] = found?.entries ?? [];
  if (entry === undefined || entry.type === 'log') return [proposal];
  const known = await readProposal({ get: () => Promise.resolve(entry.body) }, name);
  if (known === undefined) return [proposal];
  const id = contractIdOf(known.terms);
  return [
    proposal,
    ...contractEstate(id),
    ...[ORDER_KIND, SLICES_KIND].map((kind) => ({ kind, id })),
    { kind: ORDER_PART_KIND, prefix: `${id}:` },
  ];
}

/**
 * The contract of several proxies at the one that owns its channel: all that moves money asks the fence, and
 * the evidence is that of all.
 */
export class SharedOwner {
  readonly runner: ContractRunner | FinishedContract;
  readonly #evidence: SharedEvidence;
  readonly #deps: Pick<SharedOwnerDeps, 'timers' | 'log'>;
  #timer: Timer | undefined;
  #pulling: Promise<void> | undefined;
  #isStopped = false;

  private constructor(
    runner: ContractRunner | FinishedContract,
    evidence: SharedEvidence,
    deps: Pick<SharedOwnerDeps, 'timers' | 'log'>,
  ) {
    this.runner = runner;
    this.#evidence = evidence;
    this.#deps = deps;
  }

  /** Brings over what the owner before had, and goes on. Throws as `append`, and as the reader. */
  static async begin(
    network: NetworkName,
    contract: ContractConfig,
    lease: Lease,
    deps: SharedOwnerDeps,
  ): Promise<SharedOwner> {
    const { look, instance, ledger, fence, signer, chain, closeDir, work, ...others } = deps;
    const names = await estateOf(contract.name, lease.resource, look);
    await look.ask((reader) => takeOver({ ledger, reader, own: instance }, lease, names));
    const fenced = {
      ...others,
      ledger: fencedLedger(ledger, fence),
      chain: fencedChain(chain, fence),
      signer: fencedTree(signer, fence),
      ladders: new LadderWriter(closeDir, { ...deps, files: fencedLadders(LADDER_FILES, fence) }),
      onStatus: () => {},
    };
    const terms = await termsOf(network, contract, fenced);
    const contractId = 'reason' in terms ? terms.contractId : contractIdOf(terms);
    const evidence = await SharedEvidence.load(
      contractId,
      { own: instance, lease },
      { ledger: fenced.ledger, ask: (question) => look.ask(question) },
    );
    if ('reason' in terms) return new SharedOwner(terms, evidence, deps);
    // All that the others wrote, before anything is asked of the books.
    while (await evidence.pull({ isLive: evidence.order.isLive, hashes: 0n }));
    const sharedWork = work();
    const runner = await ContractRunner.start(network, contract, {
      ...fenced,
      ledger: evidence.view(),
      ...(sharedWork === undefined ? {} : { sharedWork }),
    });
    const owner = new SharedOwner(runner, evidence, deps);
    owner.#timer = deps.timers.every(PULL_MS, () => owner.#beginPull());
    return owner;
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#timer?.cancel();
    if (this.runner instanceof ContractRunner) await this.runner.stop();
    await this.#pulling;
  }

  #beginPull(): void {
    this.#pulling ??= this.#pull().finally(() => {
      this.#pulling = undefined;
    });
  }

  async #pull(): Promise<void> {
    const { runner } = this;
    if (!(runner instanceof ContractRunner)) return;
    const { side, contractId } = runner;
    try {
      for (let isMore = true; isMore && !this.#isStopped; ) {
        isMore = await this.#evidence.pull({ isLive: side.status.live, hashes: side.roomHashes });
        side.onDurable(contractId, this.#evidence.total);
      }
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      const { code, message: detail } = error;
      this.#deps.log.warn({ contract: contractId, code, detail }, 'evidence is put in order later');
    }
  }
}
