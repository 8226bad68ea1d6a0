import { describe, expect, it } from 'vitest';
import { CodedError } from '../../src/base/errors.ts';
import { type FoundBlock, FoundBlocks } from '../../src/miner/found-blocks.ts';
import type { RpcPeer } from '../../src/peer/rpc-peer.ts';
import { VirtualTime } from '../base/virtual-time.ts';
import { recorder } from '../chain/log-recorder.ts';
import { makeTermsV3 } from '../contract/terms-v3-fixtures.ts';

const block = (id: number): FoundBlock => ({
  job: {
    ...{ id, wireId: `j${id}`, stream: 's', version: 0x20000000, versionMask: 0x1fffe000 },
    ...{ prevHash: new Uint8Array(32), coinb1: Uint8Array.of(1), coinb2: Uint8Array.of(2), branches: [] },
    ...{ bits: 0x1d00ffff, time: 1, extranonceSize: 8, upstreamDifficulty: 0 },
  },
  ...{ extranonce: new Uint8Array(8), ntime: 1, nonce: id, version: 0x20000000 },
});

/** The blocks of one contract, and a maker in the hands of the test. */
function stood() {
  const time = new VirtualTime();
  const { clock, timers } = time;
  const { log, lines } = recorder();
  const blocks = new FoundBlocks('c0'.repeat(32), makeTermsV3(), { clock, timers, log });
  const shown: unknown[] = [];
  const maker = { answer: async (): Promise<unknown> => ({ outcome: 'accepted' }) };
  const connect = (features: readonly string[] = ['payout_blocks']): void =>
    blocks.connected({
      features: new Set(features),
      request: (_method: string, { nonce }: { readonly nonce: string }) => {
        shown.push(Number.parseInt(nonce, 16));
        return maker.answer();
      },
    } as unknown as RpcPeer);
  return { blocks, time, lines, shown, connect, maker };
}

describe('a block that was found', () => {
  it('is settled at the stop, whatever the maker said', async () => {
    const { blocks, time } = stood();
    blocks.found(block(1));
    blocks.found(block(2));
    await time.settle();
    expect(blocks.counts).toMatchObject({ lost: 0 });
    blocks.stop();
    expect(blocks.counts).toMatchObject({ accepted: 0, lost: 2 });
    expect(blocks.lastReason).toBe('peer_closed');
  });

  it('has its job at hand, of the newest sixteen, in the order in which they were found last', () => {
    const { blocks } = stood();
    for (let id = 1; id <= 16; id += 1) blocks.found(block(id));
    blocks.found(block(1));
    expect([1, 2].map((id) => blocks.jobOf(id))).toEqual([block(1).job, block(2).job]);
    blocks.found(block(17));
    expect([1, 2, 3, 17].map((id) => blocks.jobOf(id)?.id)).toEqual([1, undefined, 3, 17]);
  });

  it('waits a minute for a maker, and no longer', async () => {
    const { blocks, time } = stood();
    blocks.found(block(1));
    await time.advance(59_999);
    expect(blocks.counts.lost).toBe(0);
    await time.advance(1);
    expect(blocks.counts.lost).toBe(1);
  });

  it('is nothing to a maker of an older build, which is late with none', async () => {
    const stand = stood();
    stand.connect([]);
    for (let id = 1; id <= 9; id += 1) stand.blocks.found(block(id));
    await stand.time.advance(120_000);
    expect([stand.shown, stand.blocks.counts.lost, stand.blocks.isLate]).toEqual([[], 0, false]);
  });
});

describe('a maker that is there again', () => {
  it('is shown the sixteen newest blocks again that it answered, and those that it did not', async () => {
    const { blocks, time, shown, connect } = stood();
    connect();
    for (let id = 1; id <= 17; id += 1) blocks.found(block(id));
    await time.settle();
    expect(blocks.counts.accepted).toBe(17);
    blocks.disconnected();
    blocks.found(block(18));
    await time.settle();
    expect(shown.splice(0)).toHaveLength(17);
    connect();
    await time.settle();
    expect(shown).toEqual([18, ...Array.from({ length: 16 }, (_, at) => at + 2)]);
    expect(blocks.counts).toEqual({ accepted: 18, refused: 0, timeout: 0, lost: 0 });
  });

  it('may refuse them then: they were answered', async () => {
    const { blocks, time, connect, maker } = stood();
    connect();
    blocks.found(block(1));
    await time.settle();
    blocks.disconnected();
    maker.answer = () => Promise.reject(new CodedError('too_often'));
    connect();
    await time.settle();
    expect(blocks.counts).toEqual({ accepted: 1, refused: 0, timeout: 0, lost: 0 });
  });
});

it('what the maker says of a block is said, and why it is not published', async () => {
  const { blocks, time, lines, connect, maker } = stood();
  connect();
  blocks.found(block(1));
  await time.settle();
  expect(blocks.lastReason).toBe(undefined);
  maker.answer = async () => ({ outcome: 'refused', reason: 'high-hash' });
  blocks.found(block(2));
  await time.settle();
  expect(blocks.lastReason).toBe('high-hash');
  expect(lines.map(([level, { reason }, message]) => [level, reason, message])).toEqual([
    ['info', undefined, 'a block is published by the market maker too'],
    ['warn', 'high-hash', 'a block is not published by the market maker'],
  ]);
});
