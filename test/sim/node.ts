import { sleep, type Timers } from '../../src/base/clock.ts';
import { CodedError } from '../../src/base/errors.ts';
import { HEADER_SIZE } from '../../src/bitcoin/header.ts';
import type { BlockMaking } from '../../src/chain/block-template.ts';
import {
  type ChainHeader,
  type ChainSource,
  type ChainTip,
  FALLBACK_SAT_PER_KVB,
} from '../../src/chain/source.ts';
import { createDevnetChainSource } from '../devnet/chain-source.ts';
import { never } from './disk.ts';
import type { MarketChain } from './market-chain.ts';

/** What a node says blocks ask for, where nobody competes for them; sat per kvB. */
export const CALM_SAT_PER_KVB = 2_000;
const TIMEOUT_MS = 10_000;
const NEVER_ABORTED = new AbortController().signal;

/** The bitcoin node of one side, over all lives of its process. */
export class SimNode {
  /** Neither answers nor passes anything on. */
  isDead = false;
  /** As dead, and whoever asks it waits until it has had enough. */
  isHanging = false;
  /** Takes no transaction to pass on: the side does as if it had sent it. */
  isMute = false;
  /** Has no fee estimate, as a node without mempool. */
  hasEstimates = true;
  /** A question that it answers with an error, whatever is asked. */
  failing: 'txOut' | 'header' | 'confirmations' | 'spender' | 'utxos' | 'broadcastPackage' | undefined;
  /** Hears of each block so much later than it was found, ms; for chains that only grow. */
  lagMs = 0;
  /** What it says that blocks are worth, sats, each or by its hash; as a pruned node it says nothing. */
  rewardSat: bigint | ((hash: string) => bigint) | undefined;
  /** In place of the market's rate. */
  saidSatPerKvb: number | undefined;
  /** Each transaction as its process hands it over, taken or not. */
  onBroadcast: (hex: string) => void = () => {};
  /** Right after the node took one: who watches the network sees it then. */
  onTaken: (hex: string) => void = () => {};
  /** What it makes of the mempool and says of blocks. */
  blocks: BlockMaking;
  /** Good blocks that it was given, by their headers in hex. The chain goes its own way. */
  readonly published: string[] = [];
  readonly #chain: MarketChain;
  readonly #source: ChainSource;
  readonly #timers: Timers;
  #heardHeight = 1;

  constructor(chain: MarketChain, timers: Timers) {
    this.#chain = chain;
    this.#timers = timers;
    this.#source = createDevnetChainSource(chain);
    const blocks = this.#source.blocks!;
    this.blocks = { ...blocks, submitBlock: (hex) => this.#publish(hex) };
  }

  /** The node as one life of a process sees it: once that is dead it asks, says and hears nothing. */
  connect(isOver: () => boolean): ChainSource {
    const asked = <T>(ask: () => Promise<T>): Promise<T> => {
      if (isOver()) return never();
      if (this.isHanging) return this.#tired();
      return this.isDead ? Promise.reject(new CodedError('chain_unreachable', 'the node is dead')) : ask();
    };
    const source = this.#answering();
    return {
      genesisHash: () => asked(() => source.genesisHash()),
      tip: () => asked(() => Promise.resolve(this.#tip())),
      header: (hash) =>
        asked(() => (this.lagMs === 0 ? source.header(hash) : Promise.resolve(this.#header(hash)))),
      blockRewardSat: (hash) =>
        asked(async () => {
          const { rewardSat } = this;
          if (rewardSat === undefined) throw new CodedError('chain_rpc', 'pruned');
          return typeof rewardSat === 'bigint' ? rewardSat : rewardSat(hash);
        }),
      txOut: (...words) => asked(() => source.txOut(...words)),
      confirmations: (...words) => asked(() => source.confirmations(...words)),
      spender: (...words) => asked(() => source.spender(...words)),
      utxos: (...words) => asked(() => source.utxos(...words)),
      feeRateSatPerKvb: (_target, fallback = FALLBACK_SAT_PER_KVB) =>
        asked(() => Promise.resolve(this.hasEstimates ? this.#rate() : fallback)),
      broadcast: (hex) => {
        if (!isOver()) this.onBroadcast(hex);
        return asked(() => (this.isMute ? Promise.resolve('') : this.#send(hex)));
      },
      broadcastPackage: (hexes) => {
        if (!isOver()) for (const hex of hexes) this.onBroadcast(hex);
        return asked(() => (this.isMute ? Promise.resolve() : this.#sendPackage(hexes)));
      },
      blocks: {
        template: () => asked(() => this.blocks.template()),
        waitingFeesSat: () => asked(() => this.blocks.waitingFeesSat()),
        mempoolTxids: () => asked(() => this.blocks.mempoolTxids()),
        mempoolTransaction: (txid) => asked(() => this.blocks.mempoolTransaction(txid)),
        proposalFault: (hex) => asked(() => this.blocks.proposalFault(hex)),
        submitBlock: (hex) => asked(() => this.blocks.submitBlock(hex)),
      },
      watchTip: (onTip: (tip: ChainTip) => void) =>
        source.watchTip((tip) => {
          const hear = (): void => {
            this.#heardHeight = tip.height;
            if (!isOver() && !this.isDead && !this.isHanging) onTip(tip);
          };
          if (this.lagMs === 0) hear();
          else this.#timers.after(this.lagMs, hear);
        }),
      close: () => {},
    };
  }

  /** The source, less what fails. */
  #answering(): ChainSource {
    const source = this.#source;
    const unless = <W extends unknown[], T>(
      name: NonNullable<SimNode['failing']>,
      ask: (...words: W) => Promise<T>,
    ): ((...words: W) => Promise<T>) => {
      return (...words) =>
        this.failing === name
          ? Promise.reject(new CodedError('chain_rpc', `${name} fails`))
          : ask(...words);
    };
    return {
      ...source,
      txOut: unless('txOut', (...words: Parameters<ChainSource['txOut']>) => source.txOut(...words)),
      header: unless('header', (hash: string) => source.header(hash)),
      confirmations: unless('confirmations', (txid: string) => source.confirmations(txid)),
      spender: unless('spender', (...words: Parameters<ChainSource['spender']>) =>
        source.spender(...words),
      ),
      utxos: unless('utxos', (script: string) => source.utxos(script)),
      broadcastPackage: unless('broadcastPackage', (hexes: readonly string[]) =>
        source.broadcastPackage(hexes),
      ),
    };
  }

  #tip(): ChainTip {
    if (this.lagMs === 0) return this.#chain.tip();
    const { height, hash, header } = this.#chain.blockAt(this.#heardHeight)!;
    return { height, hash, timeSeconds: header.time };
  }

  #header(hash: string): ChainHeader | undefined {
    const known = this.#chain.header(hash);
    if (known === undefined || this.lagMs === 0) return known;
    const { nextHash, ...header } = known;
    const confirmations = this.#heardHeight - header.height + 1;
    if (confirmations < 1) return undefined;
    return { ...header, confirmations, ...(confirmations > 1 ? { nextHash: nextHash! } : {}) };
  }

  /** What a client of the RPC says in the end. */
  async #tired(): Promise<never> {
    await sleep(this.#timers, TIMEOUT_MS, NEVER_ABORTED);
    throw new CodedError('chain_unreachable', 'the node hangs');
  }

  async #publish(blockHex: string): Promise<string | undefined> {
    const fault = await this.blocks.proposalFault(blockHex);
    if (fault === undefined) this.published.push(blockHex.slice(0, 2 * HEADER_SIZE));
    return fault;
  }

  async #send(hex: string): Promise<string> {
    const sent = this.#source.broadcast(hex);
    // In the same turn: a watcher is faster than whoever waits for the answer.
    sent.then(
      () => this.onTaken(hex),
      () => {},
    );
    return sent;
  }

  /** The package of `#answering`, told as one that is sent alone is. */
  async #sendPackage(hexes: readonly string[]): Promise<void> {
    const sent = this.#answering().broadcastPackage(hexes);
    sent.then(
      () => this.onTaken(hexes[0]!),
      () => {},
    );
    return sent;
  }

  #rate(): number {
    return this.saidSatPerKvb ?? Math.max(this.#chain.marketSatPerKvb ?? 0, CALM_SAT_PER_KVB);
  }
}
