import type { Transaction } from 'bitcoinjs-lib';
import { systemClock } from '../../src/base/clock.ts';
import { CodedError } from '../../src/base/errors.ts';
import { serializeHeader } from '../../src/bitcoin/header.ts';
import type { ChainSource } from '../../src/chain/source.ts';
import { DevnetChain, type PremineOutput } from '../../src/devnet/chain/chain.ts';
import { createDevnetChainSource } from './chain-source.ts';

/** A second full node of the same chain: it gets each block until it is frozen, and relays nothing. */
export class MirrorNode {
  readonly chain: DevnetChain;
  /** Answers as a node does; with an error while `isDead`. */
  readonly source: ChainSource;
  isFrozen = false;
  isDead = false;
  readonly #from: DevnetChain;

  constructor(
    from: DevnetChain,
    premine: readonly PremineOutput[],
    options: { feeRateSatPerKvb?: number } = {},
  ) {
    this.#from = from;
    // Both make the first block by themselves: its date must be the same.
    let nowMs = (): number => from.blockAt(1)!.header.time * 1000;
    this.chain = new DevnetChain({ premine }, { clock: { ...systemClock, nowMs: () => nowMs() } });
    nowMs = systemClock.nowMs;
    this.catchUp();
    from.onTip(() => {
      if (!this.isFrozen) this.catchUp();
    });
    this.source = mortal(createDevnetChainSource(this.chain, options), () => this.isDead);
  }

  catchUp(): void {
    for (let height = this.chain.height + 1; height <= this.#from.height; height += 1) {
      const { header, transactions } = this.#from.blockAt(height)!;
      const [coinbase, ...others] = transactions;
      const verdict = this.chain.submitBlock(serializeHeader(header), withoutWitness(coinbase!), others);
      if (!verdict.accepted) throw new Error(`block ${height}: ${verdict.reason}`);
    }
  }

  thaw(): void {
    this.isFrozen = false;
    this.catchUp();
  }
}

function withoutWitness(transaction: Transaction): Uint8Array {
  const bare = transaction.clone();
  bare.ins[0]!.witness = [];
  return bare.toBuffer();
}

function mortal<T extends object>(source: T, isDead: () => boolean): T {
  return new Proxy(source, {
    get(target, name: string) {
      const value = (target as Record<string, unknown>)[name];
      if (typeof value === 'object' && value !== null) return mortal(value, isDead);
      if (name === 'close' || name === 'watchTip' || name === 'feeRateSatPerKvb') return value;
      return (...params: never[]): unknown =>
        isDead()
          ? Promise.reject(new CodedError('chain_unreachable'))
          : (value as (...of: never[]) => unknown)(...params);
    },
  });
}
