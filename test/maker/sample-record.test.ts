import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/base/limits.ts';
import { loadSamples, NO_SAMPLES, samplesEntry, withJob } from '../../src/maker/sample-record.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';

const jobs = fc.uniqueArray(fc.nat(2 ** 40), { maxLength: LIMITS.payoutSamples });
const counts = fc.oneof(fc.nat(1_000_000), fc.constantFrom(0, 1, Number.POSITIVE_INFINITY));

describe('the samples of a contract', () => {
  it('are after a restart what they were, also what is owed without an end', async () => {
    expect(await loadSamples(new MemoryLedger(), 'c')).toBe(NO_SAMPLES);
    await fc.assert(
      fc.asyncProperty(
        counts,
        fc.nat(1000),
        jobs,
        jobs,
        jobs,
        async (owed, forgiven, drawn, ended, good) => {
          const record = { owed, forgiven, drawn, ended, good };
          const ledger = new MemoryLedger();
          await ledger.append([samplesEntry('c', record), samplesEntry('other', NO_SAMPLES)]);
          expect(await loadSamples(ledger, 'c')).toEqual(record);
        },
      ),
    );
  });

  it('name each job once, and so many of the newest', () => {
    expect(withJob([1, 2], 1)).toEqual([1, 2]);
    expect(withJob([1, 2], 3)).toEqual([1, 2, 3]);
    const full = Array.from({ length: LIMITS.payoutSamples }, (_, at) => at);
    expect(withJob(full, 7)).toEqual(full);
    expect(withJob(full, -1)).toEqual([...full.slice(1), -1]);
  });
});
