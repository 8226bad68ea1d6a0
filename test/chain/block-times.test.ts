import { describe, expect, it } from 'vitest';
import { BlockTimes } from '../../src/chain/block-times.ts';
import type { ChainHeader } from '../../src/chain/source.ts';

/** A chain of headers that counts how often it is asked. */
class Headers {
  asked = 0;
  /** The least height that it has. */
  from = 0;
  readonly #headers = new Map<string, ChainHeader>();
  tipHash = '';

  /** @param fork blocks of another name above a height */
  grow(from: number, to: number, fork = 'a'): void {
    for (let height = from; height <= to; height += 1) {
      const hash = `${fork}${height}`;
      const header = { height, hash, previousHash: this.tipHash, timeSeconds: height * 600, bits: 1 };
      this.#headers.set(hash, { ...header, confirmations: 1 });
      this.tipHash = hash;
    }
  }

  async tip() {
    const { height, hash, timeSeconds } = this.#headers.get(this.tipHash)!;
    return { height, hash, timeSeconds };
  }

  async header(hash: string): Promise<ChainHeader | undefined> {
    this.asked += 1;
    const header = this.#headers.get(hash);
    return header === undefined || header.height < this.from ? undefined : header;
  }
}

function setUp(height: number) {
  const headers = new Headers();
  headers.grow(0, height);
  return { headers, times: new BlockTimes(headers) };
}

describe('the time of a block', () => {
  it('is that of its header; what was walked once is not asked for again', async () => {
    const { headers, times } = setUp(300);
    expect(await times.at(250)).toEqual({ tipHeight: 300, atMs: 250 * 600_000 });
    expect(headers.asked).toBe(51);
    headers.grow(301, 302);
    expect(await times.at(250)).toEqual({ tipHeight: 302, atMs: 250 * 600_000 });
    expect(headers.asked).toBe(53);
    expect((await times.at(302)).atMs).toBe(302 * 600_000);
  });

  it('is that of the best chain after a reorganisation', async () => {
    const { headers, times } = setUp(300);
    await times.at(290);
    headers.tipHash = 'a295';
    headers.grow(296, 303, 'b');
    expect(await times.at(299)).toEqual({ tipHeight: 303, atMs: 299 * 600_000 });
    expect(headers.asked).toBe(11 + 5);
  });

  it('is not known ahead of the tip, nor of a block that the node has no more, nor after four weeks', async () => {
    const { headers, times } = setUp(4_040);
    const unknown = { tipHeight: 4_040, atMs: undefined };
    expect(await times.at(4_041)).toEqual(unknown);
    expect(await times.at(7)).toEqual(unknown);
    expect(headers.asked).toBe(0);
    headers.from = 4_030;
    expect(await times.at(4_029)).toEqual(unknown);
    headers.from = 0;
    expect((await times.at(8)).atMs).toBe(8 * 600_000);
  });
});
