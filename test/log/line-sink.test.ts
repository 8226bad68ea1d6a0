import { describe, expect, it } from 'vitest';
import { LineSink } from '../../src/log/line-sink.ts';
import { VirtualTime } from '../base/virtual-time.ts';

type Done = (error: NodeJS.ErrnoException | null, written: number) => void;

/** A file that takes what `take` says of it. */
function sinkOn(take: (bytes: Uint8Array, done: Done) => void) {
  const time = new VirtualTime();
  const dropped: number[] = [];
  const sink: LineSink = new LineSink(1, {
    ...{ clock: time.clock, timers: time.timers },
    write: (_fd, bytes, done) => take(bytes, done),
    onDropped: (lines) => {
      dropped.push(lines);
      sink.write(`dropped ${lines}\n`);
    },
  });
  return { time, sink, dropped };
}

const FULL = Object.assign(new Error('no space left'), { code: 'ENOSPC' });
const LINE = `${'x'.repeat(1023)}\n`;

describe('lines of a log', () => {
  it('go out whole and in order, those of one turn in one write, also where little is taken at a time', async () => {
    let text = '';
    let writes = 0;
    const { time, sink } = sinkOn((bytes, done) => {
      writes += 1;
      text += Buffer.from(bytes.subarray(0, 5)).toString();
      queueMicrotask(() => done(null, Math.min(5, bytes.length)));
    });
    sink.write('one\n');
    sink.write('two\n');
    await time.settle();
    expect([text, writes]).toEqual(['one\ntwo\n', 2]);
    sink.write('three\n');
    await time.settle();
    expect(text).toBe('one\ntwo\nthree\n');
    await sink.drain(1_000);
  });

  it('a full disk costs lines, which are counted, and no time; the rest goes out when there is room', async () => {
    let isFull = true;
    let text = '';
    let tries = 0;
    const { time, sink, dropped } = sinkOn((bytes, done) => {
      tries += 1;
      if (!isFull) text += Buffer.from(bytes).toString();
      if (isFull) done(FULL, 0);
      else done(null, bytes.length);
    });
    sink.write('first\n');
    await time.settle();
    for (let line = 0; line < 2_000; line += 1) sink.write(LINE);
    await time.advance(10_000);
    expect(sink.stats).toEqual({ droppedLines: 2_000 - 1_024, isBlocked: true });
    // Ten a second, whatever is said.
    expect(tries).toBe(101);
    isFull = false;
    await time.advance(1_000);
    expect(text.startsWith('first\nxxx')).toBe(true);
    expect(text.split('\n').length - 1).toBe(1 + 1_024 + 1);
    expect(text).toContain('dropped 976\n');
    expect(dropped).toEqual([976]);
    expect(sink.stats.isBlocked).toBe(false);
  });

  it('a reader that stands still holds up neither the program nor its end', async () => {
    const { time, sink } = sinkOn(() => {});
    sink.write('never\n');
    await time.settle();
    for (let line = 0; line < 2_000; line += 1) sink.write(LINE);
    let isOver = false;
    const drained = sink.drain(1_000).then(() => {
      isOver = true;
    });
    await time.advance(1_000);
    await drained;
    expect(isOver).toBe(true);
    await time.advance(1_000);
    // It would write to the real descriptor, and wait there.
    sink.flushSync();
    expect(sink.stats.droppedLines).toBe(976);
  });
});
