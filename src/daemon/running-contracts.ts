import { larger } from '../base/bigints.ts';
import { toHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import type { NetworkName } from '../bitcoin/network.ts';
import { optional } from '../chain/source.ts';
import { DEFAULT_CLOSE_MARGINS } from '../chain/watcher.ts';
import { isTooLateToFund } from '../channel/deadlines.ts';
import type { ContractConfig, MeteringConfig } from '../config/config.ts';
import { type ContractTerms, checkTerms, contractIdOf } from '../contract/terms.ts';
import type { TermsV3 } from '../contract/terms-v3.ts';
import { mostUnpaidSatOf, type UnpaidSat, unpaidSatOf, updatedBy } from '../contract/updated-terms.ts';
import { MEMBER_KIND } from '../fleet/evidence-order.ts';
import { ChosenCoins } from '../miner/chosen-coins.ts';
import { ExposureTotal } from '../miner/exposure-total.ts';
import { MinerContract } from '../miner/miner-contract.ts';
import {
  judgeSale,
  mostUnpaidSat,
  type PassedLimit,
  passedLimit,
  type SaleLimits,
  type SaleUpdate,
} from '../miner/sale-limits.ts';
import { propose } from '../operator/market-tools.ts';
import { HashValues } from '../settlement/hash-values.ts';
import { CONTRACT_KIND, isUnfinished, loadContract } from '../settlement/records.ts';
import type { Submission } from '../shares/share.ts';
import type { StreamTotal } from '../work/meters.ts';
import { endOf } from './configured-contract.ts';
import { ConfiguredMetering, type ConfiguredMeteringDeps } from './configured-metering.ts';
import {
  ContractRunner,
  type ContractRunnerDeps,
  type FinishedContract,
  minerOptionsOf,
  payoutScriptOf,
} from './contract-runner.ts';
import type { SoldContract } from './selling.ts';
import { SharedContract } from './shared-contract.ts';
import { type LinePlan, Successions, type WantedNext } from './successions.ts';
import {
  type LineItem,
  makerAddress,
  makerEntry,
  payoutOf,
  type TakenContract,
  takenContracts,
  takenEntry,
} from './taken-contracts.ts';
import { isUnusable } from './unusable-ledger.ts';

const idOf = ({ terms }: TakenContract): string => contractIdOf(terms);

const lineOf = ({ name, renews }: ContractConfig): { readonly line?: LineItem } =>
  renews === true ? { line: { name, index: 0 } } : {};

const paidHashesOf = ({ status }: MinerContract): bigint => status.signed?.workHashes ?? 0n;

const isGone = ({ status: { channel } }: MinerContract): boolean =>
  channel === 'closed' || channel === 'failed';

/** Those that follow each other in that order. */
const inOrder = (all: readonly TakenContract[]): readonly TakenContract[] =>
  all.toSorted((a, b) => (a.line?.index ?? 0) - (b.line?.index ?? 0));

/** The contracts a proxy serves, and those of earlier runs that are not at their end. */
export class RunningContracts {
  readonly #runners = new Map<string, ContractRunner>();
  readonly #earlier = new Map<string, MinerContract>();
  readonly #finished: FinishedContract[] = [];
  readonly #shared: SharedContract[] = [];
  #metering: ConfiguredMetering | undefined;
  #limits: SaleLimits;
  #total: ExposureTotal | undefined;
  /** Names of configured ones and ids of taken ones that have begun. */
  readonly #begun = new Set<string>();
  #successions: Successions | undefined;
  readonly #chosenCoins = new ChosenCoins();
  #values: HashValues | undefined;
  /** Of `start`. */
  #deps: ContractRunnerDeps | undefined;

  constructor(limits: SaleLimits = {}) {
    this.#limits = limits;
  }

  /** What may be sold from now on; what runs keeps its terms. */
  setSaleLimits(limits: SaleLimits = {}): void {
    const { maxUnpaidTotalSat } = this.#limits;
    this.#limits = { ...limits, maxUnpaidTotalSat };
  }

  /** What may be sold. */
  get saleLimits(): SaleLimits {
    return this.#limits;
  }

  /** In the order they were started; of those shared with others, where this proxy has the channel. */
  get all(): readonly ContractRunner[] {
    return [...this.#runners.values(), ...this.#shared.flatMap(({ runner }) => runner ?? [])];
  }

  /** Those that several proxies serve. */
  get shared(): readonly SharedContract[] {
    return this.#shared;
  }

  /** They close, and bring back what was staked. */
  get earlier(): readonly MinerContract[] {
    return [...this.#earlier.values()];
  }

  /** Configured ones that are over, and are not proposed again. */
  get finished(): readonly FinishedContract[] {
    return [...this.#finished, ...this.#shared.flatMap(({ finished }) => finished ?? [])];
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
    const all = this.#served().map(({ side }) => unpaidSatOf(side.terms, paidHashesOf(side)));
    return mostUnpaidSat(this.#limits, all);
  }

  /** The limit of what is sold that contracts would pass with these terms beside them. */
  passedWith(terms: ContractTerms): PassedLimit | undefined {
    return passedLimit(this.#limits, [...this.#unpaid(), mostUnpaidSatOf(terms, 0n)]);
  }

  /** What contracts that are not over may have unpaid. @param except a contract id that does not count */
  #unpaid(except?: string): readonly UnpaidSat[] {
    return this.#served(except).map(({ side }) => {
      const { terms, pending } = side.updates.state;
      const paidHashes = paidHashesOf(side);
      const now = mostUnpaidSatOf(terms, paidHashes);
      if (pending?.by !== 'own') return now;
      // What is signed here holds as soon as the maker signs it.
      const then = mostUnpaidSatOf(updatedBy(terms, pending.update), paidHashes);
      return { mostSat: larger(now.mostSat, then.mostSat), stepSat: larger(now.stepSat, then.stepSat) };
    });
  }

  #served(except?: string): readonly ContractRunner[] {
    return this.all.filter(({ contractId, side }) => contractId !== except && !isGone(side));
  }

  /** Why one of them is frozen, if any is. */
  get frozen(): string | undefined {
    return this.all.map(({ side }) => side.status.frozen).find((reason) => reason !== undefined);
  }

  /** Of a contract that is served, or of an earlier one. */
  side(contractId: string): MinerContract | undefined {
    const shared = this.#sharedOf(contractId)?.runner;
    return (this.#runners.get(contractId) ?? shared)?.side ?? this.#earlier.get(contractId);
  }

  #sharedOf(contractId: string): SharedContract | undefined {
    return this.#shared.find((each) => each.contractId === contractId);
  }

  /** True where others may have its channel: what closes it alone is theirs. */
  isShared(contractId: string): boolean {
    return this.#sharedOf(contractId) !== undefined;
  }

  /**
   * Serves the contracts of a configuration and those taken at run time, and brings to their end those that
   * were served before. One that cannot start holds up no other: what throws may be tried again, and what
   * began stays.
   */
  async start(
    network: NetworkName,
    configured: readonly ContractConfig[],
    deps: ContractRunnerDeps,
  ): Promise<void> {
    const maxUnpaidTotalSat = configured[0]?.maxUnpaidTotalSat;
    if (maxUnpaidTotalSat !== undefined) this.#total ??= new ExposureTotal(maxUnpaidTotalSat);
    this.#limits = { ...this.#limits, maxUnpaidTotalSat };
    this.#successions ??= new Successions({
      ...{ ...deps, add: (taken) => this.add(taken) },
      propose: (terms, maker) =>
        propose(
          { terms, place: { name: 'maker', maker, makerNodeId: terms.makerNodeId } },
          { network, ...deps },
        ),
      onMoved: (id) => this.#tell(id, deps),
    });
    const total = this.#total === undefined ? {} : { exposureTotal: this.#total };
    await this.#noteCoins(deps);
    this.#values ??= new HashValues(deps);
    const all = {
      ...{ ...deps, ...total, chosenCoins: this.#chosenCoins, values: this.#values },
      judgeUpdate: (asked: SaleUpdate) =>
        judgeSale(this.#limits, this.#unpaid(asked.update.contractIdHex), asked),
      onStatus: ({ status: { contractId } }: SoldContract) => {
        // First: what takes over from it has the hashrate before it is gone from here.
        this.#successions?.seen(contractId);
        this.#tell(contractId, deps);
      },
    };
    this.#deps = all;
    const errors: CodedError[] = [];
    const starts = async (begin: () => Promise<unknown>): Promise<void> => {
      await begin().catch((error: unknown) => {
        if (!(error instanceof CodedError)) throw error;
        errors.push(error);
      });
    };
    // One after another: a contract of a lost ledger is restored for one of them.
    for (const contract of configured)
      if (contract.leaseMs !== undefined)
        this.#share(network, contract, { ...all, onStatus: deps.onStatus });
    for (const contract of configured.filter(({ leaseMs }) => leaseMs === undefined))
      await starts(() =>
        this.#begin(
          contract.name,
          () => ContractRunner.start(network, contract, all),
          {
            ...contract,
            ...lineOf(contract),
            payoutScriptHex: toHex(payoutScriptOf(contract.payout, network)),
          },
          all,
        ),
      );
    await starts(async () => {
      for (const taken of inOrder(await takenContracts(deps.ledger)))
        await this.#begin(idOf(taken), () => ContractRunner.serve(taken, all), taken, all);
    });
    // With one missing another would be opened in its place.
    if (errors.length === 0) this.#successions.begin();
    await starts(() => this.#startEarlier(configured[0], network, all));
    const [first] = errors;
    if (first !== undefined) throw first;
  }

  /**
   * Serves one more contract from now on, over restarts too: on disk before its maker hears of it. Throws
   * `wrong_status` before `start`, and where the contract is over.
   */
  async add(taken: TakenContract): Promise<ContractRunner> {
    const deps = this.#deps;
    if (deps === undefined) throw new CodedError('wrong_status', 'contracts are not served yet');
    checkTerms(taken.terms);
    await deps.ledger.appendNow([takenEntry(taken)]);
    await this.#begin(idOf(taken), () => ContractRunner.serve(taken, deps), taken, deps);
    const runner = this.#runners.get(contractIdOf(taken.terms));
    if (runner === undefined) throw new CodedError('wrong_status', `${taken.name} is over`);
    return runner;
  }

  /** See `Successions.follow`. Throws `wrong_status` before `start`. */
  async follow(contractId: string, wanted: WantedNext, isDryRun: boolean): Promise<TermsV3> {
    if (this.#successions === undefined)
      throw new CodedError('wrong_status', 'contracts are not served yet');
    return this.#successions.follow(contractId, wanted, isDryRun);
  }

  /** Serves a contract with the other proxies on its ledger. */
  #share(network: NetworkName, contract: ContractConfig, deps: ContractRunnerDeps): void {
    const { fleet } = deps;
    if (fleet === undefined || this.#begun.has(contract.name)) return;
    this.#begun.add(contract.name);
    const { auditor: _none, ladders: _own, ...others } = deps;
    const shared = new SharedContract(network, contract, { ...others, ...fleet });
    this.#shared.push(shared);
    shared.start();
  }

  async #begin(
    key: string,
    begin: () => Promise<ContractRunner | FinishedContract>,
    plan: LinePlan & Pick<TakenContract, 'line'>,
    { ledger, onStatus }: ContractRunnerDeps,
  ): Promise<void> {
    if (this.#begun.has(key)) return;
    const started = await begin();
    this.#begun.add(key);
    if (!(started instanceof ContractRunner)) {
      this.#finished.push(started);
      return;
    }
    this.#runners.set(started.contractId, started);
    const { maker, payoutScriptHex, returnsBonds, quota, destination, line } = plan;
    const same = { maker, payoutScriptHex, returnsBonds, quota, destination };
    this.#successions?.add(started, line ?? { name: key, index: 0, renews: false }, same);
    onStatus(started.sold);
    await ledger.appendNow([makerEntry(started.terms.makerNodeId, maker)]);
  }

  /** What contracts of earlier runs have promised and may still bring, before another is opened. */
  async #noteCoins({ ledger, chain }: Pick<ContractRunnerDeps, 'ledger' | 'chain'>): Promise<void> {
    const height = (
      await optional(
        () => chain.tip(),
        () => {},
      )
    )?.height;
    for (const { id } of await ledger.list(CONTRACT_KIND)) {
      const stored = await loadContract(ledger, id).catch((error: unknown) => {
        if (!isUnusable(error)) throw error;
        return undefined;
      });
      const { opening, channel, contract } = stored ?? {};
      if (opening === undefined || contract === undefined || endOf(stored) !== undefined) continue;
      const isLapsed =
        height !== undefined && isTooLateToFund(contract.terms, DEFAULT_CLOSE_MARGINS, height);
      if (channel !== undefined || !isLapsed) this.#chosenCoins.note(id, opening.open.funding);
    }
  }

  /** Says what a contract wants, once it is served. */
  #tell(contractId: string, { onStatus }: Pick<ContractRunnerDeps, 'onStatus'>): void {
    const runner = this.#runners.get(contractId);
    if (runner !== undefined)
      onStatus({ ...runner.sold, isHeld: this.#successions?.isHeld(contractId) ?? false });
  }

  /** The metering of the configuration, once it has begun. */
  get metering(): ConfiguredMetering | undefined {
    return this.#metering;
  }

  /** Serves the metering of a configuration; undefined where it is over. What throws may be tried again. */
  async startMetering(
    network: NetworkName,
    config: MeteringConfig,
    deps: ConfiguredMeteringDeps,
  ): Promise<ConfiguredMetering | undefined> {
    const started = await ConfiguredMetering.start(network, config, deps);
    if (!(started instanceof ConfiguredMetering)) {
      this.#finished.push(started);
      return undefined;
    }
    this.#metering = started;
    return started;
  }

  /** Evidence of a stream became durable; those of the miner's own concern nobody here. */
  onDurable(stream: string, total: StreamTotal, landedHashes: bigint): void {
    if (stream === this.#metering?.contractId) this.#metering.meter.onDurable(total);
    else {
      this.#sharedOf(stream)?.onDurable(total, landedHashes);
      this.#runners.get(stream)?.side.onDurable(stream, total, landedHashes);
    }
  }

  /** A share of a stream may be sold: false where that would pass the bound on what is unpaid. */
  admits(stream: string, workHashes: bigint): boolean {
    const seller = this.#runners.get(stream)?.side ?? this.#sharedOf(stream);
    return seller?.admits(workHashes) ?? true;
  }

  /** A share solves a block. */
  onBlock(submission: Submission): void {
    this.#runners.get(submission.job.stream)?.side.onBlock(submission);
  }

  /** A share that was taken could not be written. */
  lost(stream: string, workHashes: bigint): void {
    (this.#runners.get(stream)?.side ?? this.#sharedOf(stream))?.lost(workHashes);
  }

  async stop(): Promise<void> {
    this.#successions?.stop();
    await Promise.all(this.#shared.map((each) => each.stop()));
    await Promise.all([...this.#runners.values(), ...this.earlier].map((each) => each.stop()));
    await this.#metering?.meter.stop();
  }

  /**
   * Serves the earlier contracts, each where its maker was reached last, by the payout of the first that is
   * configured. One whose records cannot be read is closed from its ladder file.
   */
  async #startEarlier(
    first: ContractConfig | undefined,
    network: NetworkName,
    deps: ContractRunnerDeps,
  ): Promise<void> {
    const taken = new Map((await takenContracts(deps.ledger)).map((each) => [idOf(each), each]));
    const { onStatus: _ofThoseServed, ...others } = deps;
    const startOne = async (id: string): Promise<void> => {
      const stored = await loadContract(deps.ledger, id);
      if (stored?.isOver === true) deps.ladders?.remove(id);
      if (stored === undefined || !(await isUnfinished(stored, deps.ledger))) return;
      // Others have its channel, or had it since: what is here may be old.
      if ((await deps.ledger.get(MEMBER_KIND, id)) !== undefined) return;
      const { terms } = stored.contract;
      const own = taken.get(id);
      const by = own === undefined ? first : { ...own, payout: payoutOf(own) };
      if (by === undefined) return;
      const maker = (await makerAddress(deps.ledger, terms.makerNodeId)) ?? by.maker;
      const options = minerOptionsOf(network, { ...by, maker });
      const side = new MinerContract({ ...options, terms }, others);
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
