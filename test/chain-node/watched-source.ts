import type { ChainSource, ChainTip } from '../../src/chain/source.ts';

/**
 * A node as one party sees it, with a view on what the party does: which tip it was told of, and whether it
 * is asking. Estimates are set by the test, but never below what the node takes.
 */
export class WatchedSource implements ChainSource {
  estimateSatPerKvb = 2_000;
  /** The node itself is asked what blocks ask for. */
  asksNode = false;
  /** Passes no transaction on, and does as if it had. */
  isMute = false;
  toldHash: string | undefined;
  readonly #inner: ChainSource;
  readonly #minimumSatPerKvb: () => Promise<number>;
  #busy = 0;
  #lastBusyMs = 0;

  constructor(inner: ChainSource, minimumSatPerKvb: () => Promise<number>) {
    this.#inner = inner;
    this.#minimumSatPerKvb = minimumSatPerKvb;
  }

  /** No call is open and none was within the last milliseconds. */
  isIdle(quietMs: number): boolean {
    return this.#busy === 0 && performance.now() - this.#lastBusyMs > quietMs;
  }

  genesisHash(): Promise<string> {
    return this.#count(this.#inner.genesisHash());
  }
  tip(): Promise<ChainTip> {
    return this.#count(this.#inner.tip());
  }
  header(hash: string): ReturnType<ChainSource['header']> {
    return this.#count(this.#inner.header(hash));
  }
  txOut(txid: string, vout: number, withMempool?: boolean): ReturnType<ChainSource['txOut']> {
    return this.#count(this.#inner.txOut(txid, vout, withMempool));
  }
  confirmations(txid: string): Promise<number | undefined> {
    return this.#count(this.#inner.confirmations(txid));
  }
  broadcast(transactionHex: string): Promise<string> {
    return this.isMute ? Promise.resolve('') : this.#count(this.#inner.broadcast(transactionHex));
  }
  broadcastPackage(transactionsHex: readonly string[]): Promise<void> {
    return this.#count(this.#inner.broadcastPackage(transactionsHex));
  }
  spender(txid: string, vout: number, blocks: number): ReturnType<ChainSource['spender']> {
    return this.#count(this.#inner.spender(txid, vout, blocks));
  }
  utxos(scriptHex: string): ReturnType<ChainSource['utxos']> {
    return this.#count(this.#inner.utxos(scriptHex));
  }
  async feeRateSatPerKvb(targetBlocks = 2): Promise<number> {
    if (this.asksNode) return this.#count(this.#inner.feeRateSatPerKvb(targetBlocks));
    return Math.max(this.estimateSatPerKvb, await this.#count(this.#minimumSatPerKvb()));
  }
  watchTip(onTip: (tip: ChainTip) => void): () => void {
    return this.#inner.watchTip((tip) => {
      this.toldHash = tip.hash;
      this.#lastBusyMs = performance.now();
      onTip(tip);
    });
  }
  close(): void {
    this.#inner.close();
  }

  async #count<T>(call: Promise<T>): Promise<T> {
    this.#busy += 1;
    try {
      return await call;
    } finally {
      this.#busy -= 1;
      this.#lastBusyMs = performance.now();
    }
  }
}
