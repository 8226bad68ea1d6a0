import { describe, expect, it } from 'vitest';
import type { ChainHeader, ChainSource } from '../../src/chain/source.ts';
import { type BlockStatus, TipTracker } from '../../src/chain/tip-tracker.ts';
import { ManualClock } from '../base/manual-clock.ts';

const NEVER_MS = Number.NEGATIVE_INFINITY;
/** Blocks whose times the view keeps. */
const KEPT = 256;

/** A view of a chain of blocks `h0`, `h1`, ..., one every second by their dates, up to a tip. */
function setUp(tipHeight: number) {
  const clock = new ManualClock(1_000_000_000);
  const blocks = new Map<string, ChainHeader>();
  const asked: string[] = [];
  const chain = {
    header: async (hash: string) => {
      asked.push(hash);
      return blocks.get(hash);
    },
    tip: async () => tipOf(tipHeight),
  } as unknown as ChainSource;
  const view = new TipTracker({ chain, clock });
  const tipOf = (height: number, hash = `h${height}`) => ({ height, hash, timeSeconds: 0 });
  const add = (height: number, changes: Partial<ChainHeader> = {}): void => {
    const hash = changes.hash ?? `h${height}`;
    blocks.set(hash, {
      ...{ height, hash, previousHash: `h${height - 1}`, timeSeconds: height, bits: 7 },
      confirmations: tipHeight - height + 1,
      ...(height < tipHeight ? { nextHash: `h${height + 1}` } : {}),
      ...changes,
    });
  };
  for (let height = 0; height <= tipHeight; height += 1) add(height);
  const off = (height: number, hash: string) => add(height, { hash, confirmations: -1 });
  const since = async (hash: string): Promise<number | undefined> => {
    const standing = await view.standing(hash);
    return standing.status === 'superseded' ? standing.sinceMonotonicMs : undefined;
  };
  return { view, clock, blocks, asked, chain, tipOf, add, off, since };
}

const current = (height: number): BlockStatus => ({ status: 'current', height, bits: 7 });

describe('a block', () => {
  it('is looked for below the tip of the node before this program saw one', async () => {
    const { view, asked } = setUp(3);
    expect(view.tip).toBeUndefined();
    expect(await view.standing('h3')).toEqual(current(3));
    expect(await view.standing('h2')).toMatchObject({ status: 'superseded', height: 2 });
    // Nothing is kept for a tip that nobody told of.
    expect(await view.standing('h3')).toEqual(current(3));
    expect(asked).toEqual(['h3', 'h2', 'h3', 'h3']);
  });

  it('is asked for once for each tip, but for one that nobody knows', async () => {
    const { view, asked, tipOf } = setUp(3);
    view.onTip(tipOf(3));
    expect(view.tip).toEqual(tipOf(3));
    for (let times = 0; times < 3; times += 1) {
      expect(await view.standing('h3')).toEqual(current(3));
      expect(await view.standing('none')).toEqual({ status: 'unknown' });
    }
    expect(asked).toEqual(['h3', 'none', 'none', 'none']);
    view.onTip(tipOf(3));
    await view.standing('h3');
    expect(asked.at(-1)).toBe('h3');
  });

  it('is asked for again where the tip changed while it was looked for', async () => {
    const { view, asked, tipOf, add } = setUp(3);
    view.onTip(tipOf(3));
    const looking = view.standing('h3');
    add(4, { confirmations: 1 });
    view.onTip(tipOf(4));
    await looking;
    await view.standing('h3');
    expect(asked).toEqual(['h3', 'h3']);
  });

  it('is current where the node is ahead of what was told: none comes after it', async () => {
    const { view, tipOf, off, blocks } = setUp(4);
    view.onTip(tipOf(3));
    expect(await view.standing('h4')).toEqual(current(4));
    off(5, 'header alone');
    expect(await view.standing('header alone')).toEqual({ status: 'unknown' });
    // As high as the tip, it is a rival: its block is there.
    off(3, 'rival');
    expect(await view.standing('rival')).toMatchObject({ status: 'superseded', isRival: true });
    expect(blocks.get('h4')!.confirmations).toBe(1);
  });
});

describe('the time at which a block was replaced', () => {
  it('is when another tip was told of, not the same one again', async () => {
    const { view, clock, since, tipOf } = setUp(4);
    view.onTip(tipOf(3));
    clock.advance(1_000);
    view.onTip(tipOf(3));
    clock.advance(1_000);
    view.onTip(tipOf(4));
    const replacedMs = clock.monotonicMs();
    clock.advance(1_000);
    expect(await since('h3')).toBe(replacedMs);
  });

  it('of the oldest of many is forgotten, and by the date of the next block', async () => {
    const tips = KEPT + 1;
    const { view, clock, since, tipOf } = setUp(tips);
    const leftAtMs: number[] = [];
    for (let height = 0; height <= tips; height += 1) {
      clock.advance(1_000);
      if (height > 0) leftAtMs.push(clock.monotonicMs());
      view.onTip(tipOf(height));
    }
    // Of `tips` blocks left, the newest are kept.
    expect(await since('h1')).toBe(leftAtMs[1]);
    const wallAtZeroMs = clock.nowMs() - clock.monotonicMs();
    expect(await since('h0')).toBe(1_000 + 180_000 - wallAtZeroMs);
  });

  it('of a rival is that of the first higher tip, whichever that was', async () => {
    const { view, clock, since, tipOf, off } = setUp(6);
    off(4, 'rival');
    view.onTip(tipOf(4));
    clock.advance(1_000);
    const replacedMs = clock.monotonicMs();
    view.onTip({ ...tipOf(5), hash: 'another' });
    clock.advance(1_000);
    view.onTip(tipOf(5));
    clock.advance(1_000);
    view.onTip(tipOf(6));
    expect(await since('rival')).toBe(replacedMs);
    const standing = await view.standing('rival');
    expect(standing).not.toHaveProperty('isRival');
  });

  it('of a rival is forgotten with the heights of long ago', async () => {
    const last = KEPT + 2;
    const { view, clock, since, tipOf, off } = setUp(last);
    off(0, 'oldest');
    off(1, 'old');
    const reachedMs: number[] = [];
    for (let height = 1; height <= last; height += 1) {
      clock.advance(1_000);
      reachedMs[height] = clock.monotonicMs();
      view.onTip(tipOf(height));
    }
    // Heights 3 to the last are kept; those of 1 and 2 went.
    off(2, 'young');
    expect(await since('young')).toBe(reachedMs[3]);
    expect(await since('old')).toBe(NEVER_MS);
    expect(await since('oldest')).toBe(NEVER_MS);
  });

  it('of a rival before this program is by the date of the block above it, six blocks down', async () => {
    const { view, clock, since, tipOf, off, asked } = setUp(20);
    const wallAtZeroMs = clock.nowMs() - clock.monotonicMs();
    const firstMs = clock.monotonicMs();
    view.onTip(tipOf(20));
    clock.advance(5_000);
    const byDate = (height: number) => height * 1_000 + 180_000 - wallAtZeroMs;
    for (const height of [12, 13, 14, 19]) off(height, `r${height}`);
    expect(await since('r13')).toBe(byDate(14));
    expect(asked).toEqual(['r13', 'h20', 'h19', 'h18', 'h17', 'h16', 'h15', 'h14']);
    expect(await since('r14')).toBe(byDate(15));
    asked.length = 0;
    expect(await since('r12')).toBe(NEVER_MS);
    expect(asked).toEqual(['r12']);
    // Its successor is the tip itself, which was there when the program began.
    expect(await since('r19')).toBe(firstMs);
  });

  it('is never known of a rival whose chain the node does not have to the end', async () => {
    const { view, since, tipOf, off, blocks } = setUp(20);
    view.onTip(tipOf(20));
    off(15, 'rival');
    blocks.delete('h18');
    expect(await since('rival')).toBe(NEVER_MS);
  });

  it('is no later than the first look, nor than now, whatever a date says', async () => {
    const { view, clock, since, tipOf, add } = setUp(5);
    const wallAtZeroMs = clock.nowMs() - clock.monotonicMs();
    const nowSeconds = clock.nowMs() / 1000;
    view.onTip({ ...tipOf(3), hash: 'side' });
    const firstMs = clock.monotonicMs();
    clock.advance(9_000);
    add(3, { timeSeconds: nowSeconds });
    expect(await since('h2')).toBe(firstMs);
    // At the height of the first tip or above: replaced while this program ran.
    add(4, { timeSeconds: nowSeconds - 180 });
    expect(await since('h3')).toBe(nowSeconds * 1000 - wallAtZeroMs);
    view.onTip({ ...tipOf(3), hash: 'another' });
    add(5, { timeSeconds: nowSeconds + 86_400 });
    expect(await since('h4')).toBe(clock.monotonicMs());
  });

  it('is not known where the node does not tell of the next block', async () => {
    const { view, since, tipOf, add, blocks } = setUp(5);
    view.onTip(tipOf(5));
    blocks.delete('h3');
    expect(await since('h2')).toBe(NEVER_MS);
    add(4, { hash: 'no next', confirmations: 2 });
    blocks.set('no next', { ...blocks.get('no next')!, nextHash: undefined as unknown as string });
    expect(await since('no next')).toBe(NEVER_MS);
  });
});
