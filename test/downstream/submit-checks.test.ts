import fc from 'fast-check';
import { expect, it } from 'vitest';
import { concat, toHex } from '../../src/base/bytes.ts';
import { extranonceOf } from '../../src/downstream/session/submit-checks.ts';
import type { Job } from '../../src/jobs/job.ts';
import { MAX_EXTRANONCE2, SubmitFields } from '../../src/stratum/submit-parser.ts';

const bytes = fc.uint8Array({ minLength: 1, maxLength: MAX_EXTRANONCE2 });

it('puts the id before what the miner chose, and nothing in a job of its own', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 0xffffffff }), bytes, (id, chosen) => {
      const fields = new SubmitFields();
      fields.extranonce2.fill(0xff).set(chosen);
      fields.extranonce2Size = chosen.length;
      const idBytes = new Uint8Array(4);
      new DataView(idBytes.buffer).setUint32(0, id);
      const shared = { extranonceSize: 4 + chosen.length } as Job;
      const own = { extranonceSize: chosen.length, minerExtranonce1Size: 4 } as Job;
      expect(toHex(extranonceOf(shared, id | 0, fields))).toBe(toHex(concat(idBytes, chosen)));
      expect(toHex(extranonceOf(own, id | 0, fields))).toBe(toHex(chosen));
    }),
  );
});
