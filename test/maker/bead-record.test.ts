import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { codeOf } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { NO_BEADS } from '../../src/maker/bead-credit.ts';
import { type BeadCount, beadCountEntry, loadBeadCount } from '../../src/maker/bead-record.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';

const hashOf = (at: number): string => at.toString(16).padStart(64, '0');

async function stored(count: BeadCount, nowMs: number): Promise<BeadCount> {
  const ledger = new MemoryLedger();
  await ledger.append([beadCountEntry('c', count), beadCountEntry('other', { seq: 9, state: NO_BEADS })]);
  return loadBeadCount(ledger, 'c', nowMs);
}

describe('the beads of a contract', () => {
  it('are after a restart what they were; what has no outcome yet is looked for from then on', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          seq: fc.nat(),
          worthParts: fc.bigInt(0n, 10n ** 30n),
          paidBeads: fc.nat(),
          missingBeads: fc.nat(),
          open: fc.uniqueArray(fc.nat(10_000), { maxLength: 30 }),
          stolen: fc.option(
            fc.record({ hash: fc.nat().map(hashOf), paid: fc.string({ maxLength: 1024 }) }),
            {
              nil: undefined,
            },
          ),
        }),
        async ({ seq, open, ...state }) => {
          const times = (atMs: number) => new Map(open.map((at) => [hashOf(at), atMs]));
          const back = await stored({ seq, state: { ...state, open: times(3) } }, 77);
          expect(back).toEqual({ seq, state: { ...state, open: times(77) } });
        },
      ),
      { numRuns: 100 },
    );
  });

  it('are none where nothing was written, and unreadable where it was something else', async () => {
    const ledger = new MemoryLedger();
    expect(await loadBeadCount(ledger, 'c', 5)).toEqual({ seq: 0, state: NO_BEADS });
    const entry = beadCountEntry('c', { seq: 1, state: NO_BEADS });
    await ledger.append([{ ...entry, body: '{"version":2}' } as typeof entry]);
    expect(await loadBeadCount(ledger, 'c', 5).catch(codeOf)).toBe('ledger_corrupt');
  });

  it('without an outcome are so many, the newest', async () => {
    const all = Array.from({ length: LIMITS.watchedBeads + 1 }, (_, at) => hashOf(at));
    const open = (hashes: readonly string[]) => new Map(hashes.map((hash) => [hash, 1]));
    const kept = async (hashes: readonly string[]): Promise<readonly string[]> => {
      const { state } = await stored({ seq: 0, state: { ...NO_BEADS, open: open(hashes) } }, 1);
      return [...state.open.keys()];
    };
    expect(await kept(all)).toEqual(all.slice(1));
    expect(await kept(all.slice(1))).toEqual(all.slice(1));
  });
});
