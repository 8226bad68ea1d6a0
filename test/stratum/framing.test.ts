import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LineFramer, type LineSink, pushLines } from '../../src/stratum/framing.ts';

const MAX = 32;

function recorder(events: string[]): LineSink {
  return {
    onLine: (bytes, start, end) => {
      events.push(`line ${Buffer.from(bytes.subarray(start, end)).toString('latin1')}`);
      return true;
    },
    onLineTooLong: () => {
      events.push('too long');
      return true;
    },
  };
}

function frame(chunks: readonly Uint8Array[], max = MAX): { events: string[]; largest: number } {
  const framer = new LineFramer(max);
  const events: string[] = [];
  let largest = 0;
  const sink = recorder(events);
  for (const chunk of chunks) {
    framer.push(chunk, sink);
    largest = Math.max(largest, framer.pendingBytes);
  }
  return { events, largest };
}

/** Bytes rich in line ends. */
const stream = fc
  .array(
    fc.oneof(fc.constant('\n'), fc.constant('\r\n'), fc.constant('\r'), fc.string({ maxLength: 45 })),
    {
      maxLength: 25,
    },
  )
  .map((parts) => Buffer.from(parts.join(''), 'latin1'));

describe('LineFramer', () => {
  it('reports whole lines and drops \\r and empty lines', () => {
    expect(frame([Buffer.from('a\r\n\n\r\nbc\nrest')]).events).toEqual(['line a', 'line bc']);
  });

  it('takes a line of exactly the limit and not one byte more', () => {
    const full = 'x'.repeat(MAX);
    expect(frame([Buffer.from(`${full}\n${full}y\nz\n`)]).events).toEqual([
      `line ${full}`,
      'too long',
      'line z',
    ]);
  });

  it('tells of an endless line once and holds nothing of it', () => {
    const { events, largest } = frame(Array.from({ length: 100 }, () => Buffer.alloc(20, 0x61)));
    expect(events).toEqual(['too long']);
    expect(largest).toBeLessThanOrEqual(MAX);
  });

  it('stops when the sink says so', () => {
    const framer = new LineFramer(MAX);
    const lines: string[] = [];
    const sink = {
      onLine: (bytes: Uint8Array, start: number, end: number) => {
        lines.push(Buffer.from(bytes.subarray(start, end)).toString());
        return false;
      },
      onLineTooLong: () => false,
    };
    expect(framer.push(Buffer.from('one\ntwo\n'), sink)).toBe(false);
    expect(lines).toEqual(['one']);
  });

  it('gives the same lines however the stream is cut, within bounds', () => {
    fc.assert(
      fc.property(stream, fc.array(fc.nat({ max: 60 }), { maxLength: 40 }), (bytes, cuts) => {
        const chunks: Uint8Array[] = [];
        let at = 0;
        for (const size of cuts) {
          chunks.push(bytes.subarray(at, at + size));
          at += size;
        }
        chunks.push(bytes.subarray(at));
        const cut = frame(chunks);
        expect(cut.events).toEqual(frame([bytes]).events);
        expect(cut.largest).toBeLessThanOrEqual(MAX);
        const expected = bytes
          .toString('latin1')
          .split('\n')
          .slice(0, -1)
          .map((line) => (line.length > MAX ? 'too long' : `line ${line.replace(/\r$/, '')}`))
          .filter((event) => event !== 'line ');
        expect(cut.events.slice(0, expected.length)).toEqual(expected);
      }),
      { numRuns: 500 },
    );
  });
});

describe('pushLines', () => {
  it('reports what one framer would, and keeps one only inside a line', () => {
    fc.assert(
      fc.property(stream, fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 40 }), (bytes, cuts) => {
        const chunks: Uint8Array[] = [];
        for (let at = 0; at < bytes.length; ) {
          const size = cuts[chunks.length % (cuts.length + 1)] ?? 60;
          chunks.push(bytes.subarray(at, at + size));
          at += size;
        }
        const events: string[] = [];
        const sink = recorder(events);
        let kept: LineFramer | undefined;
        for (const chunk of chunks) {
          kept = pushLines(kept, chunk, MAX, sink);
          expect(kept === undefined).toBe(chunk.at(-1) === 0x0a);
        }
        expect(events).toEqual(frame([bytes]).events);
      }),
      { numRuns: 500 },
    );
  });

  it('stops when the sink says so', () => {
    const lines: string[] = [];
    const sink = {
      onLine: (bytes: Uint8Array, start: number, end: number) => {
        lines.push(Buffer.from(bytes.subarray(start, end)).toString());
        return lines.length < 2;
      },
      onLineTooLong: () => false,
    };
    expect(pushLines(undefined, Buffer.from('one\ntwo\nthree\nfo'), MAX, sink)).toBe(undefined);
    const kept = pushLines(undefined, Buffer.from('fo'), MAX, sink);
    expect(pushLines(kept, Buffer.from('ur\nfive\nsi'), MAX, sink)).toBe(undefined);
    expect(lines).toEqual(['one', 'two', 'four']);
  });
});
