import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { SentJob } from '../../src/downstream/session/prepared-job.ts';
import type { SessionContext } from '../../src/downstream/session/session-context.ts';
import { refusalOf } from '../../src/downstream/session/submit-checks.ts';
import type { Job } from '../../src/jobs/job.ts';
import { checkShare, shareRulesOf } from '../../src/settlement/share-rules.ts';
import { NO_VERSION_BITS, SubmitFields } from '../../src/stratum/submit-parser.ts';
import { rolledVersion } from '../../src/stratum/version-rolling.ts';
import type { JobRecord } from '../../src/work/evidence.ts';
import { ShareRows } from '../../src/work/share-rows.ts';
import { makeTerms } from '../channel/fixtures.ts';

const NOW = 1_700_000_000;
/** What either clock may be off. */
const OFF_SECONDS = 60;

const u32 = fc.integer({ min: 0, max: 0xffffffff });
const mask = fc.integer({ min: 0, max: 0x1fffffe0 }).map((bits) => (bits & 0x1fffffe0) >>> 0);
const off = fc.integer({ min: -OFF_SECONDS, max: OFF_SECONDS });
const edge = fc.constantFrom(6960, 7020, 7080, 7140, 7200, 7260);

/** A share, its job (from a template ahead of the clock or behind), and the clocks of both sides. */
const cases = fc.record({
  jobTime: fc.oneof(
    fc.integer({ min: -8000, max: 8000 }),
    fc.tuple(edge, off).map(([at, by]) => at + by),
  ),
  ntime: fc.oneof(
    fc.integer({ min: -8000, max: 16_000 }),
    fc.tuple(edge, off).map(([at, by]) => at + by),
  ),
  proxyOff: off,
  makerOff: off,
  upstreamVersion: u32,
  jobMask: mask,
  sessionMask: mask,
  versionBits: fc.oneof(fc.constant(NO_VERSION_BITS), u32, mask),
});

it('a share that the proxy takes is never refused by a maker for its ntime or version', () => {
  const seen = { taken: 0, bad_ntime: 0, bad_version: 0 } as Record<string, number>;
  const rules = shareRulesOf(makeTerms({}), false);
  fc.assert(
    fc.property(cases, (given) => {
      const { jobMask, sessionMask } = given;
      const bits = given.versionBits;
      const job = {
        time: NOW + given.jobTime,
        version: (given.upstreamVersion & ~jobMask) >>> 0,
        versionMask: jobMask,
        extranonceSize: 8,
      } as Job;
      const fields = new SubmitFields();
      Object.assign(fields, { ntime: NOW + given.ntime, nonce: 1, versionBits: bits, extranonce2Size: 4 });
      const host = {
        jobs: { isKnown: () => true },
        nowMs: (NOW + given.proxyOff) * 1000,
        extranonce2Size: 4,
      } as unknown as SessionContext<never>;
      const refusal = refusalOf(fields, true, { job } as SentJob, sessionMask, host);
      seen[refusal ?? 'taken'] = (seen[refusal ?? 'taken'] ?? 0) + 1;

      // Bits that its session may roll and the job may not are refused, whatever the ntime.
      if (bits !== NO_VERSION_BITS && (bits & ~jobMask) !== 0) expect(refusal).toBeDefined();
      if (refusal !== undefined) return;
      const version =
        bits === NO_VERSION_BITS ? job.version : rolledVersion(job.version, sessionMask & jobMask, bits);
      const share = {
        ...{ jobId: 1, difficulty: 1, extranonce1: new Uint8Array(4), extranonce2: new Uint8Array(4) },
        ...{ ntime: fields.ntime, nonce: 1, version },
      };
      const makerMs = (NOW + given.makerOff) * 1000;
      expect(
        checkShare(rules, job as unknown as JobRecord, ShareRows.of([share]), 0, rules.maxTarget, makerMs),
      ).toBeUndefined();
    }),
    { numRuns: 5000 },
  );
  for (const count of Object.values(seen)) expect(count).toBeGreaterThan(100);
});
