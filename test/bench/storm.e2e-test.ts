import { expect, it } from 'vitest';
import { measureStorm, STORM, stormText } from './storm.ts';

/** On a machine that does nothing else: `STORM_P99_MS=100`. */
const P99_MS = Number(process.env['STORM_P99_MS'] ?? Number.POSITIVE_INFINITY);
/** Above the write buffers of all slow readers together. */
const MAX_GROWTH_MIB = 768;
const GARBAGE_LIMIT = 'limit_hits_total{limit="downstreamGarbageLines"}';
const BANS = 'downstream_bans_total';

it('beside a storm, slow readers and garbage senders no share of the honest is lost', async () => {
  const { alone, inStorm, honest, crowds, metrics, residentMiB } = await measureStorm({
    ...STORM,
    stormSeconds: 12,
    seed: Date.now() % 2 ** 32,
    // A busy machine lets the crowds in slowly.
    isEnough: (counters) => [GARBAGE_LIMIT, BANS].every((name) => counters.has(name)),
  }).then((result) => {
    process.stderr.write(stormText(result));
    return result;
  });
  expect(alone.accepted).toBeGreaterThan(STORM.honest);
  expect(inStorm.accepted).toBeGreaterThan(STORM.honest);
  expect(honest.rejected).toBe(0);
  expect(honest.unanswered).toBe(0);
  expect(honest.accepted).toBe(honest.submitted);
  expect(honest.inLedger).toBe(honest.submitted);
  expect(inStorm.p99Ms).toBeLessThan(P99_MS);

  for (const role of ['storm', 'slow', 'garbage'] as const)
    expect([role, crowds.tried[role] >= STORM[role]]).toEqual([role, true]);
  expect(crowds.served.storm).toBeGreaterThan(0);
  expect(crowds.served.garbage).toBeGreaterThan(0);
  expect(metrics.get('errors_total{code="malformed"}')).toBeGreaterThan(0);
  expect(metrics.get(GARBAGE_LIMIT)).toBeGreaterThan(0);
  expect(metrics.get(BANS)).toBe(1);
  expect(residentMiB.most - residentMiB.before).toBeLessThan(MAX_GROWTH_MIB);
}, 120_000);
