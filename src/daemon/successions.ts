import { toHex } from '../base/bytes.ts';
import type { Clock, Random, Timer, Timers } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import type { ChainSource } from '../chain/source.ts';
import { beginBlocksOf, DEFAULT_CLOSE_MARGINS } from '../chain/watcher.ts';
import {
  delivers,
  NO_SUCCESSION,
  type SuccessionEvent,
  type SuccessionOptions,
  type SuccessionState,
  transition,
} from '../contract/succession.ts';
import { type ContractTerms, parseTerms, termsToJson } from '../contract/terms.ts';
import { TERMS_DEFAULTS } from '../contract/terms-defaults.ts';
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
  index: number;
};
type Served = { readonly runner: ContractRunner; readonly sinceMs: number; readonly hashesBefore: bigint };

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
  add(runner: ContractRunner, { name, index }: LineItem, plan: LinePlan): void {
    const { contractId, side } = runner;
    const line = this.#lines.get(name) ?? { state: NO_SUCCESSION, plan, runners: new Map(), index };
    this.#lines.set(name, line);
    this.#lineOf.set(contractId, name);
    line.index = Math.max(line.index, index);
    const sinceMs = this.#deps.clock.monotonicMs();
    line.runners.set(contractId, { runner, sinceMs, hashesBefore: side.status.ownWorkHashes });
    this.#apply(name, line, { type: 'added', contractId });
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
      const blocksLeft = terms.expiryHeight - beginBlocksOf(DEFAULT_CLOSE_MARGINS) - height;
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
    const options = optionsOf(terms);
    const { state, effects } = transition(options, line.state, event, this.#deps.clock.monotonicMs());
    line.state = state;
    for (const effect of effects) {
      if (effect.type === 'open') this.#open(name, line);
      else {
        this.#deps.log.info({ line: name, contract: effect.to }, 'the next contract takes over');
        this.#deps.onMoved(effect.to);
      }
    }
  }

  /** On the same terms, at the heights of now. */
  #open(name: string, line: Line): void {
    const { log, random } = this.#deps;
    const terms = line.runners.get(line.state.current!)!.runner.terms;
    const index = line.index + 1;
    const begin = async (): Promise<void> => {
      const next = successorOf(terms, this.#height ?? 0, random.bytes(16));
      const item = { name, index };
      await this.#deps.add({ ...line.plan, name: `${name}+${index}`, terms: next, line: item });
    };
    begin().catch((error: unknown) => {
      if (!(error instanceof CodedError)) throw error;
      log.warn({ line: name, code: error.code, detail: error.message }, 'the next contract is not opened');
      this.#apply(name, line, { type: 'refused' });
    });
  }
}

function optionsOf(terms: ContractTerms | undefined): SuccessionOptions {
  const leadBlocks = (terms?.minDepth ?? 0) + WAIT_BLOCKS;
  return { leadBlocks, blockIntervalMs: BLOCK_MS, retryMs: RETRY_MS };
}

/** The same terms for a contract that is proposed at this height. Throws `bad_terms` for older versions. */
function successorOf(terms: ContractTerms, height: number, nonce: Uint8Array): ContractTerms {
  if (terms.version !== 3) throw new CodedError('bad_terms', 'only terms of version 3 have a successor');
  const blocks = height - (terms.fundingByHeight - TERMS_DEFAULTS.fundingByBlocks);
  const { start } = terms;
  const next = {
    ...terms,
    nonceHex: toHex(nonce),
    expiryHeight: terms.expiryHeight + blocks,
    fundingByHeight: terms.fundingByHeight + blocks,
    ...(start === undefined
      ? {}
      : {
          start: {
            notBeforeHeight: start.notBeforeHeight + blocks,
            notAfterHeight: start.notAfterHeight + blocks,
          },
        }),
  };
  return parseTerms(termsToJson(next));
}
