import { describe, expect, it } from 'vitest';
import { CodedError } from '../../src/base/errors.ts';
import { LaterPart } from '../../src/daemon/later-part.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { VirtualTime } from '../base/virtual-time.ts';

const random = { bytes: (size: number) => new Uint8Array(size).fill(0xff) };

function partOf(start: () => Promise<void>) {
  const time = new VirtualTime();
  const said: string[] = [];
  const note = (_fields: unknown, message: string): void => void said.push(message);
  const log = { ...silentLogger, info: note, warn: note };
  return { time, said, part: new LaterPart('contract', start, { timers: time.timers, random, log }) };
}

describe('a part that comes later', () => {
  it('is tried again, less and less often, until it is there; what it waits for is said once', async () => {
    const atMs: number[] = [];
    let isThere = false;
    const { time, said, part } = partOf(async () => {
      atMs.push(time.clock.monotonicMs());
      if (!isThere) throw new CodedError('chain_unreachable', 'no node');
    });
    await part.begin(5_000);
    expect(part.waiting).toMatchObject({ code: 'chain_unreachable', attempts: 1 });
    await time.advance(200_000);
    const pauses = atMs.slice(1).map((ms, index) => Math.round((ms - atMs[index]!) / 1000));
    expect(pauses).toEqual([1, 2, 4, 8, 16, 32, 60, 60]);
    isThere = true;
    await time.advance(60_000);
    expect(part.waiting).toBeUndefined();
    expect(said).toEqual(['not there yet; it is tried again', 'it is there now']);
    await part.stop();
  });

  it('holds up what comes after it for no longer than it may', async () => {
    const gate = Promise.withResolvers<void>();
    const { time, part } = partOf(() => gate.promise);
    let isOver = false;
    const begun = part.begin(5_000).then(() => {
      isOver = true;
    });
    await time.advance(4_999);
    expect(isOver).toBe(false);
    await time.advance(1);
    await begun;
    expect(part.waiting).toMatchObject({ code: 'starting' });
    const stopped = part.stop();
    gate.resolve();
    await stopped;
    expect(part.waiting).toBeUndefined();
  });

  it('is not tried after the stop', async () => {
    let attempts = 0;
    const { time, part } = partOf(async () => {
      attempts += 1;
      throw new CodedError('address_in_use');
    });
    await part.begin(5_000);
    await part.stop();
    await time.advance(600_000);
    expect(attempts).toBe(1);
  });
});
