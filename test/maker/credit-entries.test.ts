import { describe, expect, it } from 'vitest';
import { NO_CONTRACT_LUCK } from '../../src/maker/contract-luck.ts';
import { type Credit, creditEntries, makerJobKey } from '../../src/maker/credit-entries.ts';
import { type DeliveryRecord, loadContract, NOTHING_DELIVERED } from '../../src/settlement/records.ts';
import { jobRecordOf, parseJobDocument, type ShareRecord, unpackShares } from '../../src/work/evidence.ts';
import { parseStreamTotal } from '../../src/work/meters.ts';
import { ShareRows } from '../../src/work/share-rows.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';
import { sampleJob } from '../work/samples.ts';

const CONTRACT = 'ab'.repeat(32);
const job = jobRecordOf(sampleJob(7));

const shareOf = (nonce: number): ShareRecord => ({
  ...{ jobId: job.id, difficulty: 1, extranonce1: new Uint8Array(4), extranonce2: new Uint8Array(4) },
  ...{ ntime: 1, nonce, version: 1, hash: new Uint8Array(32).fill(nonce) },
});

const BEFORE = {
  delivery: {
    ...NOTHING_DELIVERED,
    ...{ nextSeq: 10, ownWorkHashes: 90n, verifiedWorkHashes: 80n, contactAtMs: 3, restoredHeight: 5 },
  } satisfies DeliveryRecord,
  evidence: { seq: 8, workHashes: 75n },
};

function credited(changes: Partial<Credit>, nowMs = 1_234.9) {
  const credit: Credit = {
    ...{
      shares: ShareRows.empty(0),
      workHashes: 0n,
      jobs: [],
      nextSeq: 10,
      refused: [],
      ownWorkHashes: 90n,
    },
    ...{ luck: NO_CONTRACT_LUCK, counts: [], ...changes },
  };
  return creditEntries(CONTRACT, BEFORE, credit, nowMs);
}

describe('what a batch is credited', () => {
  it('goes on from what was credited before it: shares, their work, their jobs, and how far all is judged', async () => {
    const shares = [shareOf(1), shareOf(2)];
    const batch = {
      shares: ShareRows.of(shares),
      workHashes: 6n,
      jobs: [job],
      nextSeq: 13,
      ownWorkHashes: 99n,
    };
    const { delivery, evidence, entries } = credited(batch);
    expect(delivery).toEqual({
      ...{ version: 1, nextSeq: 13, ownWorkHashes: 99n, verifiedWorkHashes: 86n },
      // Whole milliseconds, down.
      ...{ contactAtMs: 1_234, restoredHeight: 5 },
    });
    expect(evidence).toEqual({ seq: 10, workHashes: 81n });
    const ledger = new MemoryLedger();
    const old = Array.from({ length: 8 }, (_, nonce) => shareOf(nonce));
    const body = ShareRows.of(old).body;
    await ledger.append([{ type: 'log', kind: 'share', stream: CONTRACT, first: 0, count: 8, body }]);
    await ledger.append(entries);
    expect(parseJobDocument((await ledger.get('job', makerJobKey(CONTRACT, job.id)))!)).toEqual(job);
    const rows = await ledger.readLog('share', CONTRACT, 8, 9);
    expect(rows.map(({ first, count }) => [first, count])).toEqual([[8, 2]]);
    expect(unpackShares(rows[0]!.body)).toEqual(shares);
    expect(parseStreamTotal(CONTRACT, (await ledger.get('stream', CONTRACT))!)).toEqual(evidence);
    expect(entries.map(({ type }) => type)).toEqual(['insert', 'log', 'put', 'put']);
  });

  it('without a good share writes no shares and no total, and the batch is judged all the same', async () => {
    const { delivery, evidence, entries } = credited({ nextSeq: 12, ownWorkHashes: 95n }, -7);
    expect(evidence).toEqual(BEFORE.evidence);
    expect(delivery).toMatchObject({ nextSeq: 12, verifiedWorkHashes: 80n, ownWorkHashes: 95n });
    // A wall clock of before 1970 says nothing.
    expect(delivery.contactAtMs).toBe(0);
    expect(entries.map(({ type }) => type)).toEqual(['put']);
    const ledger = new MemoryLedger();
    await ledger.append(entries);
    expect(await loadContract(ledger, CONTRACT)).toBe(undefined);
    expect(JSON.parse((await ledger.get('delivery', CONTRACT))!)).toMatchObject({ next_seq: 12 });
  });

  it('of one miner and of another are not one job, though they name it alike', () => {
    expect(makerJobKey(CONTRACT, 7)).not.toBe(makerJobKey('cd'.repeat(32), 7));
    expect(makerJobKey(CONTRACT, 7)).toMatch(new RegExp(`^${CONTRACT}:`));
  });
});
