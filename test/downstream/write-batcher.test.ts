import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { systemTimers } from '../../src/base/system-timers.ts';
import { WriteBatcher } from '../../src/downstream/io/write-batcher.ts';
import { HandshakeThrottle } from '../../src/downstream/server/handshake-throttle.ts';

const CROWD = 300;

class Fake {
  isDirty = false;
  paused = false;
  readonly got: string[] = [];
  readonly isStarted: boolean;
  readonly #log: Fake[];

  constructor(isStarted: boolean, log: Fake[]) {
    this.isStarted = isStarted;
    this.#log = log;
  }

  flush(): void {
    this.isDirty = false;
    this.#log.push(this);
  }

  onData(chunk: Uint8Array): void {
    expect(this.paused).toBe(false);
    this.got.push(Buffer.from(chunk).toString());
    this.#log.push(this);
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
  }
}

function crowd(log: Fake[]): { newcomers: Fake[]; worker: Fake } {
  return {
    newcomers: Array.from({ length: CROWD }, () => new Fake(false, log)),
    worker: new Fake(true, log),
  };
}

describe('the end of a turn', () => {
  it('is the end of it for all at work, for newcomers in their order over the next turns', async () => {
    const log: Fake[] = [];
    const { newcomers, worker } = crowd(log);
    const turn = new WriteBatcher<Fake>({ timers: systemTimers });
    for (const session of [...newcomers, worker, worker]) turn.mark(session);
    await nextTurn();
    expect(log.filter((session) => session === worker)).toHaveLength(1);
    expect(log.length).toBeLessThan(CROWD / 2);
    const waiting = newcomers.filter(({ isDirty }) => isDirty);
    turn.mark(waiting.at(-1)!);
    turn.mark(worker);
    while (newcomers.some(({ isDirty }) => isDirty)) await nextTurn();
    expect(log.filter((session) => session === worker)).toHaveLength(2);
    expect(log.filter((session) => session !== worker)).toEqual(newcomers);
  });

  it('is now, for all, when it is asked for', () => {
    const log: Fake[] = [];
    const { newcomers } = crowd(log);
    const turn = new WriteBatcher<Fake>({ timers: systemTimers });
    for (const session of newcomers) turn.mark(session);
    turn.flush();
    expect(log).toEqual(newcomers);
  });
});

describe('what newcomers say', () => {
  it('is heard at once while few speak, and whole and in order when thousands do', async () => {
    const log: Fake[] = [];
    const { newcomers, worker } = crowd(log);
    const limitHits = { newcomerBytes: 0 };
    const reads = new HandshakeThrottle<Fake>({ timers: systemTimers, limitHits });
    const shared = Buffer.from('one');
    reads.onData(newcomers[0]!, shared);
    expect(log).toHaveLength(1);
    for (const session of newcomers.slice(1)) reads.onData(session, shared);
    shared.write('two');
    reads.onData(worker, shared);
    expect(log.at(-1)).toBe(worker);
    expect(log.length).toBeLessThan(CROWD / 2);
    reads.onData(newcomers.at(-1)!, shared);
    expect(newcomers.at(-1)!.paused).toBe(true);
    for (let turn = 0; log.length < CROWD + 1; turn += 1) {
      expect(turn).toBeLessThan(CROWD);
      await nextTurn();
    }
    expect(newcomers.slice(0, -1).every(({ got, paused }) => got.join() === 'one' && !paused)).toBe(true);
    expect(newcomers.at(-1)!.got).toEqual(['onetwo']);
    expect(worker.got).toEqual(['two']);
    expect(limitHits.newcomerBytes).toBe(0);
  });

  it('is not kept beyond a bound', () => {
    const log: Fake[] = [];
    const limitHits = { newcomerBytes: 0 };
    const reads = new HandshakeThrottle<Fake>({ timers: systemTimers, limitHits });
    const { newcomers } = crowd(log);
    const chunk = Buffer.alloc(1024 * 1024, 'x');
    for (const session of newcomers.slice(0, 100)) reads.onData(session, chunk);
    expect(newcomers.filter(({ paused }) => paused)).toHaveLength(16);
    expect([limitHits.newcomerBytes, log.length]).toEqual([100 - 16 - 32, 100 - 16]);
  });
});
