import { toHex } from '../base/bytes.ts';
import { sleep, type Timer } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import type { NetworkName } from '../bitcoin/network.ts';
import { decimalDifficultyOf } from '../bitcoin/target.ts';
import { TipTracker } from '../chain/tip-tracker.ts';
import type { ContractConfig } from '../config/config.ts';
import { type ContractTerms, contractIdOf } from '../contract/terms.ts';
import { easiestTarget } from '../contract/terms-access.ts';
import { MEMBER_KIND, ORDER_KIND, parseOrder, printMember, SLICES_KIND } from '../fleet/evidence-order.ts';
import { parseSlices } from '../fleet/exposure-slices.ts';
import { Fence } from '../fleet/fenced.ts';
import type { ContractNews } from '../fleet/instance-news.ts';
import { Owner } from '../fleet/owner.ts';
import { ownershipOptions } from '../fleet/ownership.ts';
import { SliceGate } from '../fleet/slice-gate.ts';
import type { Lease } from '../ledger/lease.ts';
import { FleetLook } from '../ledger/postgres/fleet-look.ts';
import type { FleetReader } from '../ledger/postgres/fleet-reader.ts';
import { PostgresLeases } from '../ledger/postgres/leases.ts';
import { workNameOf } from '../miner/miner-contract.ts';
import { WorkDestination } from '../miner/work-destination.ts';
import { workBindingOf } from '../miner/work-rules.ts';
import { WorkSubscriber } from '../miner/work-subscriber.ts';
import {
  CHANNEL_KIND,
  type ChannelStatus,
  CONTRACT_KIND,
  channelCodec,
  contractCodec,
  parseBody,
} from '../settlement/records.ts';
import type { StreamTotal } from '../work/meters.ts';
import { PROPOSAL_KIND, proposalId, readProposal } from './configured-contract.ts';
import {
  ContractRunner,
  type ContractRunnerDeps,
  type FinishedContract,
  type FleetPlace,
  quotaOf,
} from './contract-runner.ts';
import type { SoldContract } from './selling.ts';
import { SharedOwner } from './shared-owner.ts';

/** Time in ms from one look at what the owner says to the next. */
const LOOK_MS = 500;
const AGAIN_MS = 500;
/** Shares that were taken come to the disk within so long, at the stop. */
const LANDING_MS = 2_000;

export type SharedContractDeps = Omit<ContractRunnerDeps, 'onStatus' | 'ladders'> &
  FleetPlace & {
    readonly onStatus: (contract: SoldContract) => void;
  };

/** What several proxies know of their contract, by the chain of its owner. */
type Known = {
  readonly contractId: string;
  readonly terms: ContractTerms;
  readonly channel: ChannelStatus;
  readonly isLive: boolean;
};

/** How a proxy stands to a contract that it shares. */
export type SharedStatus = {
  readonly name: string;
  readonly contract_id: string | null;
  readonly resource: string;
  /** This proxy has the channel. */
  readonly is_owner: boolean;
  /** Who has it, as far as is known. */
  readonly owner: string | null;
  readonly live: boolean;
  readonly granted_hashes: bigint;
  readonly done_hashes: bigint;
};

/**
 * A contract that several proxies on one ledger serve. Each of them takes jobs of its own from the maker and
 * keeps the evidence in its own chain, within the slice that it was granted; one of them at a time has the
 * channel (`SharedOwner`).
 */
export class SharedContract {
  readonly name: string;
  readonly #network: NetworkName;
  readonly #config: ContractConfig;
  readonly #deps: SharedContractDeps;
  readonly #look: FleetLook;
  readonly #leases: PostgresLeases;
  readonly #owner: Owner;
  readonly #fence: Fence;
  readonly #gate = new SliceGate();
  readonly #view: TipTracker;
  #height: number | undefined;
  #known: Known | undefined;
  #isMember = false;
  #subscriber: WorkSubscriber | undefined;
  #work: WorkDestination | undefined;
  #acting: Promise<void> = Promise.resolve();
  #mayAct = false;
  #shared: SharedOwner | undefined;
  #timer: Timer | undefined;
  #stopTip: (() => void) | undefined;
  #looking: Promise<void> | undefined;
  #isStopped = false;
  #stopping: Promise<void> | undefined;
  /** Others are to have the channel, for good. */
  #isLeaving = false;
  #lastError: string | undefined;

  constructor(network: NetworkName, config: ContractConfig, deps: SharedContractDeps) {
    this.name = config.name;
    this.#network = network;
    this.#config = config;
    this.#deps = deps;
    const { postgres, clock, timers, log } = deps;
    this.#look = new FleetLook(postgres);
    this.#leases = new PostgresLeases(postgres);
    this.#view = new TipTracker(deps);
    this.#owner = new Owner(`contract/${config.name}`, ownershipOptions(config.leaseMs ?? 0), {
      ...{ leases: this.#leases, clock, timers, log },
      onOwn: (lease) => {
        this.#mayAct = true;
        this.#acting = this.#act(lease);
      },
      onStop: async () => {
        this.#mayAct = false;
        await this.#acting;
      },
    });
    this.#fence = new Fence(this.#owner, () => this.#blocksLeft);
  }

  /** Begins in the background: whoever has the channel, and whether the database is there. */
  start(): void {
    this.#stopTip = this.#deps.chain.watchTip((tip) => {
      this.#height = tip.height;
      this.#view.onTip(tip);
      this.#work?.onTip();
    });
    this.#owner.start();
    this.#timer = this.#deps.timers.every(LOOK_MS, () => this.#beginLook());
  }

  /** The contract where this proxy has its channel. */
  get runner(): ContractRunner | undefined {
    const runner = this.#shared?.runner;
    return runner instanceof ContractRunner ? runner : undefined;
  }

  get finished(): FinishedContract | undefined {
    const runner = this.#shared?.runner;
    return runner === undefined || runner instanceof ContractRunner ? undefined : runner;
  }

  get contractId(): string | undefined {
    return this.#known?.contractId;
  }

  get status(): SharedStatus {
    const { resource, owner } = this.#owner.state;
    return {
      ...{ name: this.name, contract_id: this.contractId ?? null, resource },
      ...{
        is_owner: this.#shared !== undefined,
        owner: this.#owner.isOwned ? this.#deps.postgres.instance : (owner ?? null),
      },
      live: this.#isLive,
      ...{ granted_hashes: this.#gate.grantedHashes, done_hashes: this.#gate.doneHashes },
    };
  }

  /** What the other instances are told of it. */
  get news(): ContractNews {
    const { name, resource, is_owner: isOwner, granted_hashes: grantedHashes } = this.status;
    const leaseMs = this.#config.leaseMs ?? 0;
    return { name, resource, isOwner, leaseMs, grantedHashes, doneHashes: this.#gate.doneHashes };
  }

  /** Whether this proxy is to have the channel, or another was named. */
  want(isWanted: boolean): void {
    if (isWanted !== this.#owner.state.isWanted) this.#owner.want(isWanted && !this.#isLeaving);
  }

  /** Others have the channel from now on; shares are taken as before. */
  leaveChannel(): void {
    this.#isLeaving = true;
    this.#owner.want(false);
  }

  /** Takes a share that is about to be sold, or not: see `SliceGate.admits`. */
  admits(workHashes: bigint): boolean {
    const isTaken = this.#gate.admits(workHashes);
    if (!this.#gate.isOpen) this.#deps.timers.afterTurn(() => this.#tell());
    return isTaken;
  }

  /** Evidence of the own chain became durable. */
  onDurable(total: StreamTotal, landedHashes: bigint): void {
    this.#gate.done(total.workHashes, landedHashes);
  }

  lost(workHashes: bigint): void {
    this.#gate.lost(workHashes);
  }

  /** Leaves it to the others: the channel, and what was not used of the slice. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    this.#isStopped = true;
    this.#timer?.cancel();
    this.#gate.shut();
    this.#tell();
    await this.#looking;
    await this.#leave();
    await this.#owner.close();
    this.#stopTip?.();
    await this.#subscriber?.stop();
    await Promise.all([this.#look.close(), this.#leases.close()]);
  }

  get #blocksLeft(): number | undefined {
    const { terms } = this.#known ?? {};
    return terms === undefined || this.#height === undefined
      ? undefined
      : terms.expiryHeight - this.#height;
  }

  get #isLive(): boolean {
    return !this.#isStopped && this.#known?.isLive === true && this.#gate.isOpen;
  }

  async #act(lease: Lease): Promise<void> {
    while (this.#mayAct) {
      try {
        const { look, fence, instance } = {
          look: this.#look,
          fence: this.#fence,
          instance: this.#leases.instance,
        };
        const own = { ...this.#deps, look, fence, instance, work: () => this.#work };
        this.#shared = await SharedOwner.begin(this.#network, this.#config, lease, own);
        break;
      } catch (error) {
        this.#warn(error, 'the channel cannot be taken over yet');
        await sleep(this.#deps.timers, AGAIN_MS);
      }
    }
    while (this.#mayAct) await sleep(this.#deps.timers, AGAIN_MS / 10);
    const shared = this.#shared;
    this.#shared = undefined;
    await shared?.stop();
  }

  #beginLook(): void {
    this.#looking ??= this.#lookNow()
      .catch((error: unknown) => this.#warn(error, 'what the owner of the channel says is not known'))
      .finally(() => {
        this.#looking = undefined;
      });
  }

  async #lookNow(): Promise<void> {
    const { resource } = this.#owner.state;
    await this.#look.ask(async (reader) => {
      this.#known ??= await this.#findContract(reader, resource);
      if (this.#known !== undefined) await this.#hear(reader, resource, this.#known);
    });
    const known = this.#known;
    if (known === undefined) return;
    if (!this.#isMember) {
      const body = printMember({ run: this.#deps.run, isLeft: false });
      await this.#deps.ledger.appendNow([{ type: 'put', kind: MEMBER_KIND, id: known.contractId, body }]);
      this.#isMember = true;
      this.#gate.done(this.#deps.total(known.contractId).workHashes, 0n);
    }
    this.#beginWork(known);
    this.#tell();
  }

  /** The contract once its channel is made; the owner alone knows of one before. */
  async #findContract(reader: FleetReader, resource: string): Promise<Known | undefined> {
    const read = async (kind: string, id: string): Promise<string | undefined> => {
      const found = await reader.estate(resource, [{ kind, id }]);
      const [entry] = found?.entries ?? [];
      return entry === undefined || entry.type === 'log' ? undefined : entry.body;
    };
    const proposal = await readProposal(
      { get: () => read(PROPOSAL_KIND, proposalId(this.name)) },
      this.name,
    );
    if (proposal === undefined) return undefined;
    const contractId = contractIdOf(proposal.terms);
    const contract = await read(CONTRACT_KIND, contractId);
    if (contract === undefined) return undefined;
    const { terms } = parseBody(CONTRACT_KIND, contractCodec, contract);
    return { contractId, terms, channel: 'opening', isLive: false };
  }

  async #hear(reader: FleetReader, resource: string, known: Known): Promise<void> {
    const { contractId: id } = known;
    const kinds = [CHANNEL_KIND, ORDER_KIND, SLICES_KIND] as const;
    const estate = await reader.estate(
      resource,
      kinds.map((kind) => ({ kind, id })),
    );
    const bodies = new Map<string, string>();
    for (const entry of estate?.entries ?? []) if (entry.type !== 'log') bodies.set(entry.kind, entry.body);
    const channel = bodies.get(CHANNEL_KIND);
    const order = bodies.get(ORDER_KIND);
    const slices = bodies.get(SLICES_KIND);
    const { isLive, sliceHashes } =
      order === undefined ? { isLive: false, sliceHashes: 0n } : parseOrder(order);
    const slice = slices === undefined ? undefined : parseSlices(slices).slices.get(this.#leases.instance);
    if (slice?.run === this.#deps.run) this.#gate.grant(slice.grantedHashes, sliceHashes);
    const status =
      channel === undefined ? known.channel : parseBody(CHANNEL_KIND, channelCodec, channel).status;
    this.#known = { ...known, channel: status, isLive };
  }

  /** Takes jobs from the maker, from the first time that the contract is known. */
  #beginWork({ contractId, terms }: Known): void {
    const binding = workBindingOf(terms);
    if (this.#subscriber !== undefined || binding === undefined || this.#isStopped) return;
    const { host, port } = this.#config.maker;
    const { random, chain } = this.#deps;
    const name = workNameOf(contractId);
    const work = new WorkDestination({ name, terms, binding }, { ...this.#deps, view: this.#view });
    const subscription = { contractId, instance: toHex(random.bytes(16)) };
    this.#work = work;
    this.#subscriber = new WorkSubscriber(
      { terms, host, port, subscription },
      { ...this.#deps, work, genesisHash: () => chain.genesisHash() },
    );
    this.#subscriber.start();
  }

  #tell(): void {
    const known = this.#known;
    const work = this.#work;
    if (known === undefined || work === undefined) return;
    const { contractId, terms, channel } = known;
    const quota = quotaOf(terms, this.#config.quota);
    this.#deps.onStatus({
      ...{ status: { contractId, live: this.#isLive, channel }, terms, work },
      shareDifficulty: decimalDifficultyOf(easiestTarget(terms)) ?? 0,
      ...(quota === undefined ? {} : { quota }),
    });
  }

  /** The rest of the slice is free for the others: nothing comes of this run any more. */
  async #leave(): Promise<void> {
    const { ledger, timers, run } = this.#deps;
    const id = this.contractId;
    if (!this.#isMember || id === undefined) return;
    for (let waited = 0; this.#gate.inFlightHashes > 0n && waited < LANDING_MS; waited += AGAIN_MS / 10)
      await sleep(timers, AGAIN_MS / 10);
    // What may still come keeps its slice until the next run.
    if (this.#gate.inFlightHashes > 0n) return;
    const body = printMember({ run, isLeft: true });
    await ledger
      .appendNow([{ type: 'put', kind: MEMBER_KIND, id, body }])
      .catch((error: unknown) => this.#warn(error, 'the slice of this run stays as it is'));
  }

  /** Once for each kind of error in a row. */
  #warn(error: unknown, message: string): void {
    if (!(error instanceof CodedError)) throw error;
    const { code, message: detail } = error;
    if (this.#lastError !== code) this.#deps.log.warn({ name: this.name, code, detail }, message);
    this.#lastError = code;
  }
}
