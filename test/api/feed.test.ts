import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { Feed, type Row } from '../../src/api/feed.ts';
import { codeOf } from '../../src/base/errors.ts';
import { VirtualTime } from '../base/virtual-time.ts';

const sample = z.object({ paid_sat: z.string(), sessions: z.int() });

function stand() {
  const time = new VirtualTime();
  const shown = { paidSat: 0n, sessions: 1, secret: 'key' };
  const hours: Row[] = [];
  let run = 0;
  const bytes = (size: number): Uint8Array => {
    run += 1;
    return new Uint8Array(size).fill(run);
  };
  const begin = (): Feed => {
    const feed = new Feed(sample, () => ({ ...shown }), {
      clock: time.clock,
      timers: time.timers,
      random: { bytes },
      hours: { rows: hours, keep: (row) => void hours.push(row) },
    });
    feed.start();
    return feed;
  };
  return { time, shown, begin };
}

class Client {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;

  constructor(stream: ReadableStream<Uint8Array>) {
    this.#reader = stream.getReader();
  }

  async next(): Promise<string> {
    return Buffer.from((await this.#reader.read()).value!).toString();
  }

  leave(): Promise<void> {
    return this.#reader.cancel();
  }
}

const idOf = (event: string): string => /^id: (\S+)$/m.exec(event)![1]!;

describe('a stream', () => {
  it('begins with all, and then tells what changes, in the shape of the schema', async () => {
    const { time, shown, begin } = stand();
    const client = new Client(begin().follow());
    expect(await client.next()).toBe(
      'retry: 2000\nid: 01010101-0\nevent: snapshot\ndata: {"paid_sat":"0","sessions":1}\n\n',
    );
    shown.paidSat = 7n;
    const change = client.next();
    await time.advance(1_000);
    expect(await change).toBe('id: 01010101-1\nevent: change\ndata: {"paid_sat":"7"}\n\n');
  });

  it('shows that it lives while nothing changes', async () => {
    const { time, begin } = stand();
    const client = new Client(begin().follow());
    await client.next();
    const heartbeat = client.next();
    await time.advance(15_000);
    expect(await heartbeat).toBe(':\n\n');
  });

  it('goes on where a client left off, and misses nothing that came meanwhile', async () => {
    const { time, shown, begin } = stand();
    const feed = begin();
    const first = new Client(feed.follow());
    const seen = idOf(await first.next());
    await first.leave();
    for (const sessions of [2, 3, 4]) {
      shown.sessions = sessions;
      await time.advance(10_000);
    }
    const back = new Client(feed.follow(seen));
    const events = [await back.next(), await back.next(), await back.next()];
    expect(events.map((event) => /"sessions":(\d)/.exec(event)![1])).toEqual(['2', '3', '4']);
  });

  it('tells all anew to a client of another process, of too long ago, or of a made up place', async () => {
    const { time, shown, begin } = stand();
    const old = begin();
    const feed = begin();
    const other = idOf(await new Client(old.follow()).next());
    const client = new Client(feed.follow());
    const mine = idOf(await client.next());
    for (let change = 0; change < 901; change += 1) {
      shown.sessions += 1;
      await time.advance(1_000);
    }
    for (const id of [other, mine, '02020202-902', '02020202--1', '02020202-1e3', 'x', ''])
      expect(await new Client(feed.follow(id)).next(), id).toContain('event: snapshot');
    expect(await new Client(feed.follow('02020202-900')).next()).toContain('event: change');
  });

  it('of a client that does not read costs nothing, and is told all anew', async () => {
    const { time, shown, begin } = stand();
    const feed = begin();
    const client = new Client(feed.follow());
    await client.next();
    for (let change = 0; change < 1_000; change += 1) {
      shown.sessions += 1;
      await time.advance(1_000);
    }
    expect(await client.next()).toContain('event: snapshot\ndata: {"paid_sat":"0","sessions":1001}');
  });

  it('is for so many at once, and its place is free when one leaves', async () => {
    const { begin } = stand();
    const feed = begin();
    const clients = Array.from({ length: 16 }, () => new Client(feed.follow()));
    const refused = (): string => {
      try {
        feed.follow();
        return 'taken';
      } catch (error) {
        return codeOf(error);
      }
    };
    expect(refused()).toBe('too_many_requests');
    const waiting = clients[0]!.next();
    await waiting;
    const left = clients[0]!.next().catch(() => {});
    await clients[0]!.leave();
    await left;
    expect(refused()).toBe('taken');
  });
});

describe('the history', () => {
  it('has a row for each ten seconds of the last six hours', async () => {
    const { time, shown, begin } = stand();
    const feed = begin();
    const startMs = time.clock.nowMs();
    shown.paidSat = 5n;
    await time.advance(10_000);
    expect(feed.rows).toEqual([
      { sequence: 0, at_ms: startMs, paid_sat: '0', sessions: 1 },
      { sequence: 1, at_ms: startMs + 10_000, paid_sat: '5', sessions: 1 },
    ]);
    for (let look = 0; look < 6 * 3_600; look += 1) feed.look();
    expect(feed.rows.length).toBe(2_160);
    expect(feed.rows.at(-1)!.sequence - feed.rows[0]!.sequence).toBe(2_159);
    feed.stop();
    await time.advance(60_000);
    expect(feed.rows.at(-1)!.sequence).toBe(2_161);
  });

  it('keeps how each hour ended, by its number, once', async () => {
    const { time, shown, begin } = stand();
    const feed = begin();
    const hourOf = (): number => Math.floor(time.clock.nowMs() / 3_600_000);
    const first = hourOf();
    while (hourOf() === first) {
      expect(feed.hours).toEqual([]);
      await time.advance(10_000);
    }
    shown.sessions = 3;
    while (hourOf() < first + 3) await time.advance(10_000);
    expect(feed.hours.map(({ sequence, ['sessions']: sessions }) => [sequence, sessions])).toEqual([
      [first, 1],
      [first + 1, 3],
      [first + 2, 3],
    ]);
    for (const { sequence, at_ms } of feed.hours) {
      expect(at_ms).toBeGreaterThanOrEqual((sequence + 1) * 3_600_000);
      expect(at_ms).toBeLessThanOrEqual((sequence + 1) * 3_600_000 + 10_000);
    }
  });
});
