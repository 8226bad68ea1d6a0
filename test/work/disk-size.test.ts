import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { expect, it } from 'vitest';
import { systemTimers } from '../../src/base/system-timers.ts';
import { Sealing } from '../../src/ledger/sealing.ts';
import { segmentFolder } from '../../src/ledger/segment-file.ts';
import { openSqliteLedger } from '../../src/ledger/sqlite-ledger.ts';
import { verifyLedger } from '../../src/ledger/verify.ts';
import { writeSegment } from '../../src/ledger/write-segment.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { type AcceptedShare, shareTargetOf } from '../../src/shares/share.ts';
import { JOB_KIND } from '../../src/work/evidence.ts';
import { Meters } from '../../src/work/meters.ts';
import { ManualClock } from '../base/manual-clock.ts';
import { temporaryDirectory } from '../ledger/temporary.ts';
import { sampleJob } from './samples.ts';

const SHARES = 40_000;
/** What arrives in five milliseconds at 2,000 a second. */
const BATCH = 10;

/** Like real ones: hash, nonce and rolled bits are as good as random, each of 1,000 machines counts up. */
function shareOf(number: number, job: ReturnType<typeof sampleJob>): AcceptedShare {
  const noise = createHash('sha256').update(String(number)).digest();
  const hash = Uint8Array.from(noise).fill(0, 26);
  const machine = createHash('sha256')
    .update(`machine ${number % 1_000}`)
    .digest();
  const extranonce = Buffer.concat([machine.subarray(0, 4), Buffer.alloc(4)]);
  extranonce.writeUInt32LE(Math.floor(number / 1_000) * 7, 4);
  const submission = {
    ...{ job, assigned: shareTargetOf(2 ** (10 + (number % 3))), extranonce },
    ntime: job.time + Math.floor(number / 2_000),
    nonce: noise.readUInt32LE(26),
    version: 0x20000000 + ((noise.readUInt32LE(28) & 0xffff) << 13),
  };
  return { submission, hash };
}

const temporary = temporaryDirectory();

it('a share takes at most 60 bytes once it is sealed, and 90 before where many come together', async () => {
  const file = temporary.file('ledger.sqlite');
  const clock = new ManualClock();
  const deps = { log: silentLogger, clock };
  const ledger = await openSqliteLedger({ path: file }, deps);
  const meters = new Meters();
  const job = sampleJob(1);
  const commits: Promise<unknown>[] = [];
  for (let first = 0; first < SHARES; first += BATCH) {
    const batch = Array.from({ length: BATCH }, (_, index) => shareOf(first + index, job));
    commits.push(meters.commit(ledger, batch));
  }
  await Promise.all(commits);
  await ledger.close();
  expect(fs.statSync(file).size / SHARES).toBeLessThan(90);
  const again = await openSqliteLedger({ path: file }, deps);
  const policy = { afterMs: 0, keptRows: 2, fromRows: 1 };
  const sealing = new Sealing(
    { path: file, keptMs: 1e15, evidenceKinds: [JOB_KIND], ...policy },
    {
      ...{ ledger: again, timers: systemTimers, ...deps, heldStreams: async () => [] },
      write: async (task) => writeSegment(task),
    },
  );
  clock.advance(1000);
  await again.append([{ type: 'put', kind: 'stream', id: 'x', body: '{}' }]);
  await sealing.run();
  await again.close();
  const folder = segmentFolder(file);
  const bytes = fs
    .readdirSync(folder)
    .reduce((sum, name) => sum + fs.statSync(path.join(folder, name)).size, 0);
  expect(sealing.stats).toMatchObject({ failures: 0, segments: 1 });
  expect(bytes / SHARES).toBeLessThan(60);
  expect((await verifyLedger(file)).ok).toBe(true);
});
