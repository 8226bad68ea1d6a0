import { describe, expect, it } from 'vitest';
import { codeOf } from '../../src/base/errors.ts';
import { EvidenceSegment, noEvidence } from '../../src/channel/evidence-point.ts';
import { ShareTree } from '../../src/channel/share-tree.ts';
import type { LedgerEntry } from '../../src/ledger/ledger.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { awardEntry, takeAuditorAward } from '../../src/settlement/auditor-awards.ts';
import { readSegment } from '../../src/settlement/commitments.ts';
import { blobsInMemory } from '../../src/settlement/peer-blobs.ts';
import { shareTargetOf } from '../../src/shares/share.ts';
import { jobDocument, SHARE_KIND, type ShareRecord } from '../../src/work/evidence.ts';
import { ShareRows } from '../../src/work/share-rows.ts';
import { seedOf } from '../channel/fixtures.ts';
import { bondSpend } from '../channel/psbt-fixtures.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';

const STREAM = 'stream';
const WORK = shareTargetOf(1).workHashes;
const share = (seq: number): ShareRecord => ({
  ...{ jobId: 1, difficulty: 1, extranonce1: new Uint8Array(0), extranonce2: new Uint8Array(0) },
  ...{ ntime: 0, nonce: seq, version: 1, hash: seedOf(`share ${seq}`) },
});
const rowOf = (first: number, seqs: readonly number[], count = seqs.length): LedgerEntry => ({
  ...{ type: 'log', kind: SHARE_KIND, stream: STREAM, first, count },
  body: ShareRows.of(seqs.map(share)).body,
});
const JOB = jobDocument({
  ...{ id: 1, wireId: '1', stream: STREAM, version: 1, versionMask: 0, bits: 1, time: 1 },
  ...{ extranonceSize: 0, upstreamDifficulty: 1, prevHash: seedOf('block'), branches: [] },
  ...{ coinb1: seedOf('job'), coinb2: new Uint8Array(0) },
});

async function read(
  rows: readonly LedgerEntry[],
  from: number,
  to: number,
  body: string | undefined = JOB,
) {
  const ledger = new MemoryLedger();
  // A ledger whose rows are as somebody left them.
  ledger.readLog = async (_kind, _stream, seq) =>
    rows
      .flatMap((row) =>
        row.type === 'log' ? [{ ...row, seq: 1, atMs: 0, body: row.body as Uint8Array }] : [],
      )
      .filter(({ first, count }) => first + count > seq);
  const segment = new EvidenceSegment(noEvidence());
  const jobBody = async (): Promise<string | undefined> => body;
  const judged: number[] = [];
  const end = await readSegment(segment, { ledger, stream: STREAM, jobBody }, { from, to }, (seq) => {
    judged.push(seq);
    return seq === 3 ? 'skip' : seq === 90 ? 'end' : 'credit';
  }).catch(codeOf);
  return { end, judged, segment };
}

describe('a segment of the own log', () => {
  it('is read from the middle of a row to the middle of another, and what is refused is left out', async () => {
    const rows = [rowOf(0, [0, 1, 2]), rowOf(3, [3, 4, 5, 6])];
    const { end, judged, segment } = await read(rows, 1, 6);
    expect([end, judged]).toEqual([6, [1, 2, 3, 4, 5]]);
    const tree = new ShareTree();
    for (const seq of [1, 2, 4, 5]) tree.append(seedOf(`share ${seq}`));
    expect(segment.end(6).tree.root()).toEqual(tree.root());
    expect(segment.workHashes).toBe(4n * WORK);
  });

  it('ends at its end, and where it is told to', async () => {
    const { end, judged } = await read([rowOf(89, [89, 90, 91])], 89, 92);
    expect([end, judged]).toEqual([89 + 1, [89, 90]]);
    expect((await read([], 5, 5)).end).toBe(5);
    expect((await read([rowOf(0, [0, 1])], 0, 2)).end).toBe(2);
  });

  it('with a gap, a torn row or a job that is missing is corrupt', async () => {
    expect((await read([rowOf(0, [0]), rowOf(2, [2])], 0, 3)).end).toBe('ledger_corrupt');
    expect((await read([rowOf(0, [0, 1], 3)], 0, 3)).end).toBe('ledger_corrupt');
    expect((await read([], 0, 1)).end).toBe('ledger_corrupt');
    const ledger = new MemoryLedger();
    await ledger.append([rowOf(0, [0])]);
    const source = { ledger, stream: STREAM, jobBody: async () => undefined };
    const lost = readSegment(new EvidenceSegment(noEvidence()), source, { from: 0, to: 1 }, () => 'credit');
    expect(await lost.then(() => 'read', codeOf)).toBe('ledger_corrupt');
  });
});

describe('an award', () => {
  it('is of a channel that is there', async () => {
    const none = { contractId: 'c', contract: undefined, assembled: undefined };
    expect(() => awardEntry(none, bondSpend, {})).toThrow('channel_before_award');
    const deps = { ledger: new MemoryLedger(), signer: {} as never, log: silentLogger };
    for (const store of [
      none,
      { ...none, contract: { channelIndex: 7 } },
      { ...none, assembled: {} as never },
    ]) {
      const award = takeAuditorAward({ role: 'miner', store }, bondSpend, '', deps);
      expect(await award.then(() => 'taken', codeOf)).toBe('unknown_channel');
    }
  });
});

describe('blobs in memory', () => {
  it('are as those in files', async () => {
    const blobs = blobsInMemory();
    expect(await blobs.read('a')).toBeUndefined();
    await blobs.replace('a', 'x');
    await blobs.replace('b', 'y');
    await blobs.remove('a');
    expect([await blobs.read('a'), await blobs.read('b')]).toEqual([undefined, 'y']);
  });
});
