import { concat } from '../../src/base/bytes.ts';
import { MAX_TARGET } from '../../src/bitcoin/target.ts';
import type { OfferedJob } from '../../src/maker/work-jobs.ts';
import type { WorkJob } from '../../src/peer/work-codecs.ts';
import { printJobId } from '../../src/stratum/job-id.ts';
import type { JobRecord } from '../../src/work/evidence.ts';

/** A u32 in bytes, to tell jobs and blocks apart. */
export function marked(size: number, mark: number): Uint8Array {
  const bytes = new Uint8Array(size);
  new DataView(bytes.buffer).setUint32(0, mark);
  return bytes;
}

/** A job on a block; another `mark`, another coinbase. */
export function offer(block: number, mark: number, changes: Partial<OfferedJob> = {}): OfferedJob {
  return {
    ...{
      version: 0x2000_0000,
      prevHash: marked(32, block),
      coinb1: marked(60, 7),
      coinb2: marked(40, mark),
    },
    ...{ branches: [marked(32, 9)], bits: 0x1d00_ffff, time: 1_700_000_000 },
    ...{ extranonce1: marked(4, 0xe1), extranonce2Size: 10, versionMask: 0x1fff_e000 },
    ...{ upstreamTarget: MAX_TARGET >> 8n, shareTarget: MAX_TARGET >> 4n },
    ...changes,
  };
}

/** The job of a proxy that was made of the maker's. */
export function madeOf(own: WorkJob, id = 1, changes: Partial<JobRecord> = {}): JobRecord {
  const extranonceSize = 8;
  const pad = new Uint8Array(own.extranonce2Size - extranonceSize);
  return {
    ...{ id, wireId: printJobId(id), stream: 'contract', prevHash: own.prevHash, coinb2: own.coinb2 },
    version: (own.version & ~own.versionMask) >>> 0,
    ...{ versionMask: own.versionMask, branches: own.branches, bits: own.bits, time: own.time },
    coinb1: concat(own.coinb1, own.extranonce1, pad),
    ...{ extranonceSize, upstreamDifficulty: 1 },
    ...changes,
  };
}
