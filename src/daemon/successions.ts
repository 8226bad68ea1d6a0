import type { Clock, Random, Timer, Timers } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import type { ChainSource } from '../chain/source.ts';
import { beginBlocksOf, DEFAULT_CLOSE_MARGINS } from '../chain/watcher.ts';
import type { HostPort } from '../config/values.ts';
import {
  delivers,
  mayOpen,
  NO_SUCCESSION,
  type SuccessionEvent,
  type SuccessionOptions,
  type SuccessionState,
  transition,
} from '../contract/succession.ts';
import { successorTerms } from '../contract/successor-terms.ts';
import type { ContractTerms } from '../contract/terms.ts';
import type { TermsV3 } from '../contract/terms-v3.ts';
import type { Logger } from '../log/logger.ts';
import type { ContractRunner } from './contract-runner.ts';
import type { LineItem, TakenContract } from './taken-contracts.ts';

const LOOK_MS = 10_000;
/** Blocks that a funding may wait for its first confirmation. */
const WAIT_BLOCKS = 36;
const BLOCK_MS = 600_000;
const RETRY_MS = 300_000;
/** Statuses of a channel that takes no more work. */
const OVER: ReadonlySet<string> = new Set(['closing', 'closed', 'failed']);
/** Time after which what a contract got is its rate. */
const MEASURED_MS = 60_000;

export type SuccessionsDeps = {
  readonly chain: Pick<ChainSource, 'watchTip'>;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Logger;
  /** Has the maker sign the terms; throws what it refuses with. */
  readonly propose: (terms: TermsV3, maker: HostPort) => Promise<void>;
  /** Serves one more contract. */
  readonly add: (taken: TakenContract) => Promise<unknown>;
  /** A contract may be delivered to from now on. */
  readonly onMoved: (contractId: string) => void;
};

/** How the contracts of a line are served, whichever it is. */
export type LinePlan = Omit<TakenContract, 'name' | 'terms' | 'line'>;

type Line = {
  state: SuccessionState;
  readonly plan: LinePlan;
  readonly runners: Map<string, Served>;
  /** What its contracts are called, before their number. */
  readonly title: string;
  renews: boolean;
  index: number;
};

/** What somebody asks for: the next contract of a line. */
export type WantedNext = {
  /** Its work; undefined: that of the one before. */
  readonly workTotalHashes: bigint | undefined;
  /** The one before is closed once it is deep. */
  readonly takesOver: boolean;
};
/** What of a contract a line works with. */
export type LineContract = Pick<ContractRunner, 'contractId' | 'name' | 'terms' | 'side'>;
type Served = { readonly runner: LineContract; readonly sinceMs: number; readonly hashesBefore: bigint };

/**
 * Lines of contracts on the same terms, each taking over from the one before it: the next is opened while one
 * runs, and delivered to once that takes no more. See `contract/succession.ts`.
 */
export class Successions {
  readonly #deps: SuccessionsDeps;
  readonly #lines = new Map<string, Line>();
  readonly #lineOf = new Map<string, string>();
  readonly #timer: Timer;
  readonly #stopTip: () => void;
  #height: number | undefined;
  #isBegun = false;

  constructor(deps: SuccessionsDeps) {
    this.#deps = deps;
    this.#timer = deps.timers.every(LOOK_MS, () => this.#look());
    this.#stopTip = deps.chain.watchTip(({ height }) => {
      this.#height = height;
    });
  }

  /** A contract of a line is served. */
  add(
    runner: LineContract,
    { name, index, renews = true, takesOver = false }: LineItem,
    plan: LinePlan,
  ): void {
    const { contractId, side } = runner;
    const title = runner.name.replace(/\+\d+$/, '');
    const line = this.#lines.get(name) ?? {
      ...{ state: NO_SUCCESSION, plan, runners: new Map(), title, renews, index },
    };
    this.#lines.set(name, line);
    this.#lineOf.set(contractId, name);
    line.renews ||= renews;
    line.index = Math.max(line.index, index);
    const sinceMs = this.#deps.clock.monotonicMs();
    line.runners.set(contractId, { runner, sinceMs, hashesBefore: side.status.ownWorkHashes });
    this.#apply(name, line, { type: 'added', contractId, takesOver });
    this.seen(contractId);
  }

  /** All contracts of earlier runs were added: from here on the next are opened. */
  begin(): void {
    this.#isBegun = true;
    for (const contractId of this.#lineOf.keys()) this.seen(contractId);
  }

  /** The status of a contract may be another. */
  seen(contractId: string): void {
    if (!this.#isBegun) return;
    const name = this.#lineOf.get(contractId);
    const line = name === undefined ? undefined : this.#lines.get(name);
    if (name === undefined || line === undefined) return;
    const { stream, channel } = line.runners.get(contractId)!.runner.side.status;
    const isOver = stream === 'ending' || stream === 'ended';
    if (isOver || OVER.has(channel)) this.#apply(name, line, { type: 'over', contractId });
    else if (stream !== 'pending') this.#apply(name, line, { type: 'deep', contractId });
  }

  /** True while another contract of its line is delivered to. */
  isHeld(contractId: string): boolean {
    const name = this.#lineOf.get(contractId);
    return name !== undefined && !delivers(this.#lines.get(name)!.state, contractId);
  }

  stop(): void {
    this.#timer.cancel();
    this.#stopTip();
  }

  #look(): void {
    const height = this.#height;
    if (height === undefined || !this.#isBegun) return;
    for (const [name, line] of this.#lines) {
      const { current = '', isOver } = line.state;
      const served = line.runners.get(current);
      if (served === undefined) continue;
      const { terms, side } = served.runner;
      const lastHeight = terms.expiryHeight - beginBlocksOf(DEFAULT_CLOSE_MARGINS);
      const blocksLeft = Math.min(lastHeight, side.period?.end ?? lastHeight) - height;
      const remaining = isOver ? 0n : terms.workTotalHashes - side.status.ownWorkHashes;
      const rate = this.#rateOf(served, line.plan);
      const left = { remainingHashes: remaining, hashesPerSecond: rate, blocksLeft };
      this.#apply(name, line, { type: 'progress', ...left });
    }
  }

  #rateOf({ runner, sinceMs, hashesBefore }: Served, { quota }: LinePlan): bigint {
    if (quota?.type === 'rate') return quota.hashesPerSecond;
    const elapsedMs = Math.round(this.#deps.clock.monotonicMs() - sinceMs);
    if (elapsedMs < MEASURED_MS) return 0n;
    return ((runner.side.status.ownWorkHashes - hashesBefore) * 1000n) / BigInt(elapsedMs);
  }

  #apply(name: string, line: Line, event: SuccessionEvent): void {
    const terms = line.runners.get(line.state.current ?? '')?.runner.terms;
    const options = optionsOf(terms, line.renews);
    const { state, effects } = transition(options, line.state, event, this.#deps.clock.monotonicMs());
    line.state = state;
    for (const effect of effects) {
      if (effect.type === 'open') this.#open(name, line);
      else if (effect.type === 'close') void line.runners.get(effect.contractId)!.runner.side.close();
      else {
        this.#deps.log.info({ line: name, contract: effect.to }, 'the next contract takes over');
        this.#deps.onMoved(effect.to);
      }
    }
  }

  /**
   * Opens the contract that follows another, or says which it would be. Throws `wrong_status` where that one
   * is not delivered to or has a next already, and as `successorTerms`, `propose` and `add`.
   */
  async follow(contractId: string, wanted: WantedNext, isDryRun: boolean): Promise<TermsV3> {
    const name = this.#lineOf.get(contractId) ?? '';
    const line = this.#lines.get(name);
    const refuse = (why: string): never => {
      throw new CodedError('wrong_status', why);
    };
    if (line === undefined || !this.#isBegun) return refuse('contracts are not served yet');
    const { state } = line;
    if (state.current !== contractId) return refuse('another contract of its line is delivered to');
    if (state.isOver) return refuse('the contract takes no more work: take another');
    if (!mayOpen(state)) return refuse('the next contract is opened already');
    const terms = this.#nextTerms(line, wanted.workTotalHashes);
    if (isDryRun) return terms;
    this.#apply(name, line, { type: 'asked' });
    try {
      await this.#deps.propose(terms, line.plan.maker);
      await this.#add(name, line, terms, wanted.takesOver);
    } catch (error) {
      this.#apply(name, line, { type: 'refused' });
      throw error;
    }
    return terms;
  }

  #open(name: string, line: Line): void {
    const { log } = this.#deps;
    const begin = async () => this.#add(name, line, this.#nextTerms(line, undefined), false);
    begin().catch((error: unknown) => {
      if (!(error instanceof CodedError)) throw error;
      log.warn({ line: name, code: error.code, detail: error.message }, 'the next contract is not opened');
      this.#apply(name, line, { type: 'refused' });
    });
  }

  /** The same as by now, at the heights of now. Throws `chain_unreachable` before there is a tip. */
  #nextTerms({ state, runners }: Line, workTotalHashes: bigint | undefined): TermsV3 {
    const height = this.#height;
    if (height === undefined) throw new CodedError('chain_unreachable', 'the height is not known yet');
    const { terms } = runners.get(state.current!)!.runner;
    const nonce = this.#deps.random.bytes(16);
    return successorTerms(terms, { height, nonce, workTotalHashes });
  }

  async #add(name: string, line: Line, terms: TermsV3, takesOver: boolean): Promise<void> {
    const { plan, title, renews } = line;
    const index = line.index + 1;
    const item = {
      ...{ name, index },
      ...(renews ? {} : { renews }),
      ...(takesOver ? { takesOver } : {}),
    };
    await this.#deps.add({ ...plan, name: `${title}+${index}`, terms, line: item });
  }
}

function optionsOf(terms: ContractTerms | undefined, renews: boolean): SuccessionOptions {
  const leadBlocks = (terms?.minDepth ?? 0) + WAIT_BLOCKS;
  return { renews, leadBlocks, blockIntervalMs: BLOCK_MS, retryMs: RETRY_MS };
}
