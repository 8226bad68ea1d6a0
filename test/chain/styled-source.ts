import { CodedError } from '../../src/base/errors.ts';
import type { ChainSource, ChainTip, TxOut } from '../../src/chain/source.ts';

/**
 * A node whose news of blocks come as the test says: which tip is told, how many blocks its coins lag behind,
 * and whether it answers. Queries follow the chain at once otherwise.
 */
export class StyledSource implements ChainSource {
  /** Blocks of the best chain that its coins do not show yet: their transactions are in the mempool still. */
  lagBlocks = 0;
  isAway = false;
  #told: ChainTip | undefined;
  readonly #inner: ChainSource;
  readonly #listeners = new Set<(tip: ChainTip) => void>();
  #busy = 0;
  #calls = 0;

  constructor(inner: ChainSource) {
    this.#inner = inner;
  }

  /** Calls so far; two equal numbers with a pause between mean that nobody asks. */
  get calls(): number | 'busy' {
    return this.#busy > 0 ? 'busy' : this.#calls;
  }

  /** The last tip that was told. */
  get told(): ChainTip | undefined {
    return this.#told;
  }

  tell(tip: ChainTip): void {
    this.#told = tip;
    for (const listener of [...this.#listeners]) listener(tip);
  }

  genesisHash(): Promise<string> {
    return this.#inner.genesisHash();
  }
  async tip(): Promise<ChainTip> {
    return this.#ask(async () => this.#told ?? (await this.#inner.tip()));
  }
  header(hash: string): ReturnType<ChainSource['header']> {
    return this.#ask(() => this.#inner.header(hash));
  }
  async txOut(txid: string, vout: number, withMempool = true): Promise<TxOut | undefined> {
    const output = await this.#ask(() => this.#inner.txOut(txid, vout, withMempool));
    if (output === undefined) return undefined;
    const confirmations = Math.max(output.confirmations - this.lagBlocks, 0);
    if (confirmations === 0 && !withMempool) return undefined;
    return { ...output, confirmations };
  }
  async confirmations(txid: string): Promise<number | undefined> {
    const confirmations = await this.#ask(() => this.#inner.confirmations(txid));
    return confirmations === undefined ? undefined : Math.max(confirmations - this.lagBlocks, 0);
  }
  broadcast(transactionHex: string): Promise<string> {
    return this.#ask(() => this.#inner.broadcast(transactionHex));
  }
  broadcastPackage(transactionsHex: readonly string[]): Promise<void> {
    return this.#ask(() => this.#inner.broadcastPackage(transactionsHex));
  }
  async spender(txid: string, vout: number, blocks: number): ReturnType<ChainSource['spender']> {
    const found = await this.#ask(() => this.#inner.spender(txid, vout, blocks + this.lagBlocks));
    if (found === undefined) return undefined;
    return { ...found, confirmations: Math.max(found.confirmations - this.lagBlocks, 0) };
  }
  utxos(scriptHex: string): ReturnType<ChainSource['utxos']> {
    return this.#ask(() => this.#inner.utxos(scriptHex));
  }
  feeRateSatPerKvb(targetBlocks: number, fallback: number): Promise<number> {
    return this.#ask(() => this.#inner.feeRateSatPerKvb(targetBlocks, fallback));
  }
  watchTip(onTip: (tip: ChainTip) => void): () => void {
    this.#listeners.add(onTip);
    const told = this.#told;
    if (told !== undefined) onTip(told);
    return () => this.#listeners.delete(onTip);
  }
  close(): void {
    this.#listeners.clear();
  }

  async #ask<T>(call: () => Promise<T>): Promise<T> {
    this.#busy += 1;
    this.#calls += 1;
    try {
      if (this.isAway) throw new CodedError('chain_unreachable', 'the node is away');
      return await call();
    } finally {
      this.#busy -= 1;
    }
  }
}
