import { once } from 'node:events';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { handleOf } from '../../src/downstream/io/socket-handle.ts';
import { SocketWriter } from '../../src/downstream/io/socket-writer.ts';
import { accepted } from './accepted.ts';
import { broadcast, paramsOf, stopServers, submitOf, type TestServer, until, withWork } from './harness.ts';

afterEach(stopServers);

/** With it a notify is 64 KiB. */
const LARGE = { coinb2: new Uint8Array(32_000) };

/** Sends jobs until one did not leave, since the miner has not read so many of those before. */
async function fill(test: TestServer): Promise<void> {
  while (test.server.stats.limitHits.sessionUnreadBytes === 0) {
    broadcast(test, 1, LARGE);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe('a miner that does not read', () => {
  it('misses the jobs that are stale by then, and gets the newest when it reads again', async () => {
    const test = await withWork({ options: { writeBytes: 2 ** 30 } });
    const [deaf, other] = [test.miner(), test.miner()];
    await deaf.start();
    await other.start();
    deaf.pauseReading();
    await fill(test);
    const missed = broadcast(test, 1, { ...LARGE, clean: true });
    const newest = broadcast(test, 1, LARGE);
    expect(test.server.stats).toMatchObject({ limitHits: { sessionUnreadBytes: 3 }, closed: {} });

    deaf.resumeReading();
    const ids: unknown[] = [];
    let last: unknown[] = [];
    while (last[0] !== newest) {
      last = paramsOf((await deaf.until('method', 'mining.notify')).at(-1));
      ids.push(last[0]);
    }
    expect(last.at(-1)).toBe(true);
    expect(ids).not.toContain(missed);
    const atOther = (await other.settled()).filter((line) => line['method'] === 'mining.notify');
    expect(atOther).toHaveLength(ids.length + 2);
    expect(paramsOf(atOther.at(-1)).at(-1)).toBe(false);

    deaf.send(submitOf(7, missed));
    expect(await deaf.next()).toMatchObject({ id: 7, error: [21, 'unknown job', null] });
    broadcast(test, 1);
    expect(paramsOf(await deaf.next()).at(-1)).toBe(false);
  });

  it('is cut off when it has not for a minute, whatever little waits for it', async () => {
    const test = await withWork({ options: { writeBytes: 2 ** 30 } });
    const miner = test.miner();
    await miner.start();
    miner.pauseReading();
    await fill(test);
    test.clock.advance(60_000);
    broadcast(test, 1, LARGE);
    expect(test.server.sessionCount).toBe(1);
    test.clock.advance(1);
    broadcast(test, 1, LARGE);
    expect(test.server.sessionCount).toBe(0);
    expect(test.server.stats).toMatchObject({
      closed: { slow_reader: 1 },
      limitHits: { sessionWriteBytes: 1 },
    });
  });
});

/** Everything that arrives, as text. */
function heard(socket: Socket): { text: string } {
  const all = { text: '' };
  socket.on('data', (chunk: Buffer) => {
    all.text += chunk.toString('latin1');
  });
  return all;
}

/** More than the system takes of what nobody reads. */
const MUCH = 8 * 1024 * 1024;

describe('what leaves past the stream', () => {
  it('arrives whole and in order, however much waits and whether anybody reads', async () => {
    const step = fc.oneof(
      fc.record({ what: fc.constant('answers' as const), size: fc.constantFrom(1, 40, 3000, MUCH) }),
      fc.record({ what: fc.constant('job' as const), size: fc.constantFrom(0, 50, 70_000) }),
      fc.record({ what: fc.constantFrom('read', 'rest', 'turn'), size: fc.constant(0) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
        const { ours, theirs } = await accepted();
        const outlet = new SocketWriter(ours);
        const got = heard(theirs);
        theirs.pause();
        let sent = '';
        let line = 0;
        for (const { what, size } of steps) {
          line += 1;
          const text = `${line} `.padEnd(size, String(line % 10));
          if (what === 'read') theirs.resume();
          else if (what === 'rest') theirs.pause();
          else if (what === 'turn') await new Promise((resolve) => setImmediate(resolve));
          else if (what === 'job') {
            outlet.notify(size === 50 ? text : '', Buffer.from(text, 'latin1'));
            sent += size === 50 ? text + text : text;
          } else {
            outlet.text = text;
            outlet.flush();
            sent += text;
          }
        }
        theirs.resume();
        await until(() => got.text.length >= sent.length);
        expect(got.text === sent).toBe(true);
        expect(outlet.unreadBytes).toBe(0);
        const closed = once(theirs, 'close');
        ours.end();
        await closed;
      }),
      { numRuns: 60 },
    );
  });

  it('is counted as unread but for what one write left', async () => {
    const { ours } = await accepted();
    const outlet = new SocketWriter(ours);
    outlet.text = 'a'.repeat(MUCH);
    expect(outlet.flush()).toBe(true);
    expect(handleOf(ours)!.writeQueueSize).toBeGreaterThan(0);
    outlet.text = 'b'.repeat(100_000);
    expect(outlet.flush()).toBe(false);
    expect(outlet.unreadBytes).toBe(100_000);
  });

  it('ends with the connection, whoever ends it', async () => {
    const { ours, theirs } = await accepted();
    const outlet = new SocketWriter(ours);
    ours.on('error', () => {});
    const closed = once(ours, 'close');
    outlet.text = 'a'.repeat(MUCH);
    outlet.flush();
    // Nobody reads here: only the write can learn of it.
    theirs.resetAndDestroy();
    await closed;
    outlet.text = 'b';
    expect(outlet.flush()).toBe(true);
    expect(ours.destroyed).toBe(true);

    const other = await accepted();
    const last = new SocketWriter(other.ours);
    other.ours.destroy();
    last.text = 'c';
    expect(last.flush()).toBe(true);
  });

  it('does so only for plain connections', async () => {
    const { ours } = await accepted();
    expect(handleOf(ours)).toBeDefined();
    expect(handleOf(new TLSSocket(ours))).toBeUndefined();
    ours.destroy();
    expect(handleOf(ours)).toBeUndefined();
  });
});
