import { sleep, type Timers } from '../../src/base/clock.ts';
import { CodedError } from '../../src/base/errors.ts';
import { type ChainSource, type ChainTip, FALLBACK_SAT_PER_KVB } from '../../src/chain/source.ts';
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
  /** In place of the market's rate. */
  saidSatPerKvb: number | undefined;
  /** Each transaction as its process hands it over, taken or not. */
  onBroadcast: (hex: string) => void = () => {};
  /** Right after the node took one: who watches the network sees it then. */
  onTaken: (hex: string) => void = () => {};
  readonly #chain: MarketChain;
  readonly #source: ChainSource;
  readonly #timers: Timers;

  constructor(chain: MarketChain, timers: Timers) {
    this.#chain = chain;
    this.#timers = timers;
    this.#source = createDevnetChainSource(chain);
  }

  /** The node as one life of a process sees it: once that is dead it asks, says and hears nothing. */
  connect(isOver: () => boolean): ChainSource {
    const asked = <T>(ask: () => Promise<T>): Promise<T> => {
      if (isOver()) return never();
      if (this.isHanging) return this.#tired();
      return this.isDead ? Promise.reject(new CodedError('chain_unreachable', 'the node is dead')) : ask();
    };
    const source = this.#source;
    return {
      genesisHash: () => asked(() => source.genesisHash()),
      tip: () => asked(() => source.tip()),
      header: (...words) => asked(() => source.header(...words)),
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
        return asked(() => (this.isMute ? Promise.resolve() : source.broadcastPackage(hexes)));
      },
      watchTip: (onTip: (tip: ChainTip) => void) =>
        source.watchTip((tip) => (isOver() || this.isDead || this.isHanging ? undefined : onTip(tip))),
      close: () => {},
    };
  }

  /** What a client of the RPC says in the end. */
  async #tired(): Promise<never> {
    await sleep(this.#timers, TIMEOUT_MS, NEVER_ABORTED);
    throw new CodedError('chain_unreachable', 'the node hangs');
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

  #rate(): number {
    return this.saidSatPerKvb ?? Math.max(this.#chain.marketSatPerKvb ?? 0, CALM_SAT_PER_KVB);
  }
}
