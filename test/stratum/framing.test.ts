import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LineFramer, type LineSink, SharedFramer } from '../../src/stratum/framing.ts';

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

/** Chunks of these sizes, then the rest. */
function cut(bytes: Uint8Array, sizes: readonly number[]): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  let at = 0;
  for (const size of sizes) {
    chunks.push(bytes.subarray(at, at + size));
    at += size;
  }
  chunks.push(bytes.subarray(at));
  return chunks;
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
        const inChunks = frame(cut(bytes, cuts));
        expect(inChunks.events).toEqual(frame([bytes]).events);
        expect(inChunks.largest).toBeLessThanOrEqual(MAX);
        const expected = bytes
          .toString('latin1')
          .split('\n')
          .slice(0, -1)
          .map((line) => (line.length > MAX ? 'too long' : `line ${line.replace(/\r$/, '')}`))
          .filter((event) => event !== 'line ');
        expect(inChunks.events.slice(0, expected.length)).toEqual(expected);
      }),
      { numRuns: 500 },
    );
  });
});

describe('SharedFramer', () => {
  it('reports of each connection what a framer of its own would, and keeps one only inside a line', () => {
    const cuts = fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 40 });
    fc.assert(
      fc.property(fc.array(fc.tuple(stream, cuts), { minLength: 1, maxLength: 3 }), (connections) => {
        const shared = new SharedFramer(MAX);
        const waiting = connections.map(([bytes, cuts]) => {
          const events: string[] = [];
          const chunks = cut(bytes, cuts).filter((chunk) => chunk.length > 0);
          return { bytes, chunks, events, own: undefined as LineFramer | undefined };
        });
        while (waiting.some(({ chunks }) => chunks.length > 0)) {
          for (const connection of waiting) {
            const chunk = connection.chunks.shift();
            if (chunk === undefined) continue;
            connection.own = shared.push(connection.own, chunk, recorder(connection.events));
            expect(connection.own === undefined).toBe(chunk.at(-1) === 0x0a);
          }
        }
        for (const { bytes, events } of waiting) expect(events).toEqual(frame([bytes]).events);
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
    const framer = new SharedFramer(MAX);
    expect(framer.push(undefined, Buffer.from('one\ntwo\nthree\nfo'), sink)).toBe(undefined);
    const kept = framer.push(undefined, Buffer.from('fo'), sink);
    expect(framer.push(kept, Buffer.from('ur\nfive\nsi'), sink)).toBe(undefined);
    expect(lines).toEqual(['one', 'two', 'four']);
  });
});
