import { assert } from '../base/assert.ts';
import type { Clock, Timer, Timers } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import type { Logger } from '../log/logger.ts';
import type { BlockMaking } from './block-template.ts';
import {
  asked,
  DEFAULT_POOL_OPTIONS,
  type Delivery,
  mayAnswer,
  type NodeHealth,
  type PoolEvent,
  type PoolState,
  poolOf,
  transition,
  verdictOf,
} from './node-pool.ts';
import { type ChainSource, type ChainTip, FALLBACK_SAT_PER_KVB } from './source.ts';
import type { TrucAnswering, TrucPolicy } from './truc.ts';

type NodeSource = ChainSource & Partial<TrucAnswering>;

export type ChainNode = {
  /** In logs, metrics and the status. */
  readonly name: string;
  readonly source: NodeSource;
};

export type ChainNodesOptions = {
  readonly pollMs: number;
  /** The chain the nodes must be on, where it is known beforehand. */
  readonly genesisHash?: string;
  readonly feeRateSatPerKvb?: number;
};

export type ChainNodesDeps = { readonly log: Logger; readonly clock: Clock; readonly timers: Timers };

export type NamedHealth = NodeHealth & { readonly name: string };

/** After the first answer, the others get this long. */
const PATIENCE_MS = 2_000;
const POOL = DEFAULT_POOL_OPTIONS;

/**
 * Several nodes as one (`node-pool.ts` decides): whatever is broadcast goes to all of them, the best tip of
 * any counts, and a question is answered by one that is at that tip; where it does not answer, by the next.
 * One node is the simplest case.
 */
export class ChainNodes implements ChainSource, TrucAnswering {
  readonly blocks: BlockMaking = {
    template: () => this.#make((making) => making.template()),
    waitingFeesSat: () => this.#make((making) => making.waitingFeesSat()),
    mempoolTxids: () => this.#make((making) => making.mempoolTxids()),
    mempoolTransaction: (txid) => this.#make((making) => making.mempoolTransaction(txid)),
    proposalFault: (blockHex) => this.#make((making) => making.proposalFault(blockHex)),
    submitBlock: (blockHex) => this.#send((source) => makingOf(source).submitBlock(blockHex)),
  };
  readonly #nodes: readonly ChainNode[];
  readonly #options: ChainNodesOptions;
  readonly #deps: ChainNodesDeps;
  readonly #listeners = new Map<symbol, (tip: ChainTip) => void>();
  readonly #polls = new Map<number, Timer>();
  readonly #hearing = new Map<number, Promise<CodedError | undefined>>();
  #pool: PoolState;
  #isClosed = false;

  constructor(nodes: readonly ChainNode[], options: ChainNodesOptions, deps: ChainNodesDeps) {
    assert(nodes.length > 0, 'a_bitcoin_node');
    this.#nodes = nodes;
    this.#options = options;
    this.#deps = deps;
    this.#pool = poolOf(nodes.length);
  }

  get health(): readonly NamedHealth[] {
    return this.#pool.nodes.map((node, index) => ({ name: this.#nodes[index]!.name, ...node }));
  }

  get best(): ChainTip | undefined {
    return this.#pool.best;
  }

  /** Where no node answers, what the configuration says: peers can be spoken to without. */
  async genesisHash(): Promise<string> {
    const failures: CodedError[] = [];
    for (const { source } of this.#nodes) {
      try {
        return await source.genesisHash();
      } catch (error) {
        failures.push(coded(error));
      }
    }
    const other = failures.find(({ code }) => code === 'chain_network');
    if (other === undefined && this.#options.genesisHash !== undefined) return this.#options.genesisHash;
    throw other ?? failures[0]!;
  }

  /** Asks all; one that hangs is waited for only a little longer than the first to answer. */
  async tip(): Promise<ChainTip> {
    const heard = this.#nodes.map((_node, index) => this.#hear(index));
    const failures = await this.#mostOf(heard, (failure) => failure === undefined);
    const { best } = this.#pool;
    if (best !== undefined && failures.includes(undefined)) return best;
    throw failures[0] ?? new CodedError('chain_unreachable');
  }

  header(...params: Parameters<ChainSource['header']>): ReturnType<ChainSource['header']> {
    return this.#ask((source) => source.header(...params));
  }

  txOut(...params: Parameters<ChainSource['txOut']>): ReturnType<ChainSource['txOut']> {
    return this.#ask((source) => source.txOut(...params));
  }

  confirmations(txid: string): Promise<number | undefined> {
    return this.#ask((source) => source.confirmations(txid));
  }

  spender(...params: Parameters<ChainSource['spender']>): ReturnType<ChainSource['spender']> {
    return this.#ask((source) => source.spender(...params));
  }

  blockRewardSat(hash: string): Promise<bigint> {
    return this.#ask((source) => {
      if (source.blockRewardSat === undefined) throw new CodedError('chain_rpc', 'the node tells no fees');
      return source.blockRewardSat(hash);
    });
  }

  utxos(scriptHex: string): ReturnType<ChainSource['utxos']> {
    return this.#ask((source) => source.utxos(scriptHex));
  }

  /** Of the node that is asked first. */
  trucPolicy(): Promise<TrucPolicy | undefined> {
    return this.#ask(async (source) => source.trucPolicy?.());
  }

  #make<T>(question: (making: BlockMaking) => Promise<T>): Promise<T> {
    return this.#ask(async (source) => question(makingOf(source)));
  }

  async broadcast(transactionHex: string): Promise<string> {
    return this.#send((source) => source.broadcast(transactionHex));
  }

  async broadcastPackage(transactionsHex: readonly string[]): Promise<void> {
    await this.#send((source) => source.broadcastPackage(transactionsHex));
  }

  /** Of the first node that has an estimate. */
  async feeRateSatPerKvb(targetBlocks: number, fallback?: number): Promise<number> {
    const otherwise = fallback ?? this.#options.feeRateSatPerKvb ?? FALLBACK_SAT_PER_KVB;
    const order = asked(POOL, this.#pool);
    for (const node of order.filter((each) => each === order[0] || mayAnswer(this.#pool, each))) {
      const rate = await this.#nodes[node]!.source.feeRateSatPerKvb(targetBlocks, otherwise);
      if (rate !== otherwise) return rate;
    }
    return otherwise;
  }

  watchTip(onTip: (tip: ChainTip) => void): () => void {
    const key = Symbol('watch');
    const first = this.#pool.best;
    this.#listeners.set(key, onTip);
    if (first !== undefined) queueMicrotask(() => this.#listeners.get(key)?.(first));
    if (this.#listeners.size === 1) for (const index of this.#nodes.keys()) this.#schedule(index, 0);
    return () => {
      this.#listeners.delete(key);
      if (this.#listeners.size === 0) for (const poll of this.#polls.values()) poll.cancel();
    };
  }

  close(): void {
    this.#isClosed = true;
    this.#listeners.clear();
    for (const poll of this.#polls.values()) poll.cancel();
    for (const { source } of this.#nodes) source.close();
  }

  /** Each node at its own pace: one that hangs delays no other. */
  #schedule(index: number, delayMs: number): void {
    this.#polls.get(index)?.cancel();
    const poll = async (): Promise<void> => {
      await this.#hear(index);
      if (!this.#isClosed && this.#listeners.size > 0) this.#schedule(index, this.#options.pollMs);
    };
    this.#polls.set(
      index,
      this.#deps.timers.after(delayMs, () => void poll()),
    );
  }

  /** Asks a node for its tip, one question at a time. @returns why it gave none */
  #hear(node: number): Promise<CodedError | undefined> {
    const hearing =
      this.#hearing.get(node) ??
      this.#nodes[node]!.source.tip()
        .then(
          (tip) => {
            this.#take({ type: 'tip', node, tip });
            return undefined;
          },
          (error: unknown) => this.#failed(node, coded(error)),
        )
        .finally(() => this.#hearing.delete(node));
    this.#hearing.set(node, hearing);
    return hearing;
  }

  #failed(node: number, error: CodedError): CodedError {
    this.#take({ type: 'failed', node, code: error.code, detail: error.message });
    return error;
  }

  #take(event: PoolEvent): void {
    const { state, effects } = transition(POOL, this.#pool, event, this.#deps.clock.monotonicMs());
    this.#pool = state;
    for (const effect of effects) {
      if (effect.type === 'tip') {
        for (const listener of [...this.#listeners.values()]) listener(effect.tip);
        continue;
      }
      const { name } = this.#nodes[effect.node]!;
      if (effect.type === 'back') this.#deps.log.info({ node: name }, 'bitcoin node answers again');
      else if (!this.#isClosed) {
        const { code, detail } = effect;
        this.#deps.log.warn({ node: name, code, detail }, 'bitcoin node is not asked any more');
      }
    }
  }

  /** @returns the answer of the first node in the present that gives one */
  async #ask<T>(question: (source: NodeSource) => Promise<T>): Promise<T> {
    // Which of them is at the best tip is known once all were heard.
    if (this.#pool.nodes.some(({ state }) => state === 'unknown')) await this.tip();
    let failure: CodedError | undefined;
    for (const node of asked(POOL, this.#pool)) {
      if (!mayAnswer(this.#pool, node)) {
        const error = await this.#hear(node);
        failure ??= error;
        if (!mayAnswer(this.#pool, node)) continue;
      }
      try {
        return await question(this.#nodes[node]!.source);
      } catch (error) {
        const reason = coded(error);
        failure ??= reason;
        // An error as the answer says nothing of the node's health.
        if (reason.code !== 'chain_rpc') this.#failed(node, reason);
      }
    }
    throw failure ?? new CodedError('chain_behind');
  }

  /** To all, whatever their health. Resolves as soon as one in the present took it. */
  async #send<T>(give: (source: ChainSource) => Promise<T>): Promise<T> {
    type Outcome = Delivery & { readonly error: CodedError | undefined; readonly value?: T };
    const sent = this.#nodes.map(({ source }, node): Promise<Outcome> => {
      return give(source).then(
        (value) => ({ node, error: undefined, value }),
        (error: unknown) => ({ node, error: coded(error) }),
      );
    });
    const isTaken = ({ node, error }: Outcome): boolean =>
      error === undefined && mayAnswer(this.#pool, node);
    const outcomes = await Promise.race([firstThat(sent, isTaken), this.#mostOf(sent, isAnswer)]);
    const { node, error } = verdictOf(this.#pool, outcomes);
    if (error !== undefined) throw outcomes.find((outcome) => outcome.node === node)!.error!;
    return outcomes.find((outcome) => outcome.node === node)!.value as T;
  }

  /** What came until all have, or `PATIENCE_MS` after the first that counts. */
  async #mostOf<T>(results: readonly Promise<T>[], counts: (result: T) => boolean): Promise<T[]> {
    const come: T[] = [];
    const enough = Promise.withResolvers<void>();
    let timer: Timer | undefined;
    const all = results.map((result) =>
      result.then((value) => {
        come.push(value);
        if (counts(value)) timer ??= this.#deps.timers.after(PATIENCE_MS, enough.resolve);
      }),
    );
    await Promise.race([Promise.all(all), enough.promise]);
    timer?.cancel();
    return come;
  }
}

function isAnswer({ error }: { readonly error: CodedError | undefined }): boolean {
  return error === undefined || error.code === 'tx_refused';
}

/** The first that fits; never, where none does. */
function firstThat<T>(results: readonly Promise<T>[], fits: (result: T) => boolean): Promise<T[]> {
  return new Promise((resolve) => {
    for (const result of results) {
      void result.then((value) => {
        if (fits(value)) resolve([value]);
      });
    }
  });
}

/** Throws `chain_rpc`. */
function makingOf({ blocks }: ChainSource): BlockMaking {
  if (blocks === undefined) throw new CodedError('chain_rpc', 'the node makes no blocks');
  return blocks;
}

function coded(error: unknown): CodedError {
  if (error instanceof CodedError) return error;
  throw error;
}
