import { describe, expect, it } from 'vitest';
import { concat, fromHex, reversed, toHex } from '../../src/base/bytes.ts';
import { codeOf } from '../../src/base/errors.ts';
import { sha256d } from '../../src/base/hash.ts';
import { displayHash, headerHash, swapWords } from '../../src/bitcoin/header.ts';
import { merkleRootFromBranches } from '../../src/bitcoin/merkle.ts';
import { targetToHex, workOfTarget } from '../../src/bitcoin/target.ts';
import { MemoryLedger } from '../../src/ledger/memory-ledger.ts';
import { shareTargetOf } from '../../src/shares/share.ts';
import { jobDocument } from '../../src/work/evidence.ts';
import { evidenceLines, readShares } from '../../src/work/evidence-lines.ts';
import { Meters } from '../../src/work/meters.ts';
import { blockVector } from '../vectors.ts';
import { sampleJob, sampleShare } from './samples.ts';

type Line = Readonly<Record<string, unknown>> & { readonly type: string };

async function collect<T>(source: AsyncIterable<T>): Promise<T[]> {
  const out: T[] = [];
  for await (const item of source) out.push(item);
  return out;
}
const parsed = async (source: AsyncIterable<string>): Promise<Line[]> =>
  (await collect(source)).map((line) => JSON.parse(line) as Line);

const D1 = shareTargetOf(1);
const D7 = shareTargetOf(7.25);

async function threeBatches(): Promise<{ readonly ledger: MemoryLedger; readonly meters: Meters }> {
  const ledger = new MemoryLedger();
  const meters = new Meters();
  const [a, b, other] = [sampleJob(10), sampleJob(11), sampleJob(12, 'other')];
  await meters.commit(ledger, [sampleShare(a, D1, 0), sampleShare(other, D7, 1), sampleShare(a, D7, 2)]);
  await meters.commit(ledger, [sampleShare(b, D1, 3), sampleShare(a, D1, 4)]);
  await meters.commit(ledger, [sampleShare(b, D7, 5)]);
  return { ledger, meters };
}

describe('evidenceLines', () => {
  it('tells each job before its first share, and every share once, in order', async () => {
    const { ledger, meters } = await threeBatches();
    const lines = await parsed(evidenceLines(ledger, 'own:pool'));
    expect(
      lines.map((line) =>
        line.type === 'job' ? `job ${line['job']}` : `${line['seq']} of ${line['job']}`,
      ),
    ).toEqual(['job a', '0 of a', '1 of a', 'job b', '2 of b', '3 of a', '4 of b']);
    const shares = lines.filter((line) => line.type === 'share');
    const work = shares.reduce((sum, line) => sum + BigInt(String(line['work'])), 0n);
    expect(work).toBe(meters.total('own:pool').workHashes);
    expect(work).toBe(3n * D1.workHashes + 2n * D7.workHashes);
    expect(await collect(evidenceLines(ledger, 'nothing'))).toEqual([]);
  });

  it('writes the fields as documented', async () => {
    const { ledger } = await threeBatches();
    const [job, share] = await parsed(evidenceLines(ledger, 'own:pool', { fromSeq: 1, toSeq: 2 }));
    const sample = sampleJob(10);
    expect(job).toEqual({
      type: 'job',
      job: 'a',
      version: '20000000',
      prevhash: toHex(swapWords(sample.prevHash)),
      coinb1: toHex(sample.coinb1),
      coinb2: toHex(sample.coinb2),
      merkle_branches: sample.branches.map(toHex),
      nbits: '1d00ffff',
    });
    const { submission, hash } = sampleShare(sample, D7, 2);
    expect(share).toEqual({
      type: 'share',
      seq: 1,
      job: 'a',
      extranonce1: toHex(submission.extranonce.subarray(0, 4)),
      extranonce2: toHex(submission.extranonce.subarray(4)),
      ntime: submission.ntime.toString(16).padStart(8, '0'),
      nonce: submission.nonce.toString(16).padStart(8, '0'),
      version: submission.version.toString(16).padStart(8, '0'),
      target: targetToHex(D7.target),
      work: workOfTarget(D7.target).toString(),
      hash: toHex(reversed(hash)),
    });
  });

  it('reads on over many rows and from any share', async () => {
    const ledger = new MemoryLedger();
    const meters = new Meters();
    const job = sampleJob(1);
    for (let number = 0; number < 300; number += 3) {
      await meters.commit(
        ledger,
        [0, 1, 2].map((offset) => sampleShare(job, D1, number + offset)),
      );
    }
    const seqs = async (fromSeq: number, toSeq?: number): Promise<number[]> =>
      (
        await collect(
          readShares(ledger, 'own:pool', { fromSeq, ...(toSeq === undefined ? {} : { toSeq }) }),
        )
      ).map(({ seq }) => seq);
    expect(await seqs(0)).toEqual(Array.from({ length: 300 }, (_, index) => index));
    expect(await seqs(200)).toEqual(Array.from({ length: 100 }, (_, index) => 200 + index));
    expect(await seqs(190, 197)).toEqual([190, 191, 192, 193, 194, 195, 196]);
    expect(await seqs(300)).toEqual([]);
  });

  it('finds jobs where it is told to look', async () => {
    const { ledger } = await threeBatches();
    await ledger.append([{ op: 'put', kind: 'job', id: 'own:pool/10', body: jobDocument(sampleJob(99)) }]);
    const source = evidenceLines(ledger, 'own:pool', {
      toSeq: 1,
      jobKey: (stream, jobId) => `${stream}/${jobId}`,
    });
    expect((await parsed(source))[0]).toMatchObject({ type: 'job', job: '63' });
  });

  it.each([
    ['a job that is missing', 10, async (_ledger: MemoryLedger) => {}],
    [
      'a job that cannot be read',
      10,
      (ledger: MemoryLedger) =>
        ledger.append([{ op: 'put', kind: 'job', id: '000000000000000a', body: '{"job":"a"}' }]),
    ],
  ])('reports %s', async (_name, jobId, damage) => {
    const ledger = new MemoryLedger();
    const credit = new Meters().credit([sampleShare(sampleJob(jobId), D1, 0)]);
    await ledger.append(credit.entries.filter((entry) => entry.op === 'log'));
    await damage(ledger);
    const error: unknown = await collect(evidenceLines(ledger, 'own:pool')).catch(
      (thrown: unknown) => thrown,
    );
    expect(codeOf(error)).toBe('ledger_corrupt');
  });

  it.each([
    ['a row of another size', { count: 2, size: 80 }],
    ['bytes that are no share', { count: 1, size: 80 }],
  ])('reports %s', async (_name, { count, size }) => {
    const ledger = new MemoryLedger();
    const body = new Uint8Array(size);
    await ledger.append([{ op: 'log', kind: 'share', stream: 's', first: 0, count, body }]);
    const error: unknown = await collect(readShares(ledger, 's')).catch((thrown: unknown) => thrown);
    expect(codeOf(error)).toBe('ledger_corrupt');
  });
});

describe('a real block', () => {
  it('can be hashed again from its evidence alone', async () => {
    const { notify, submit } = blockVector('block 413567');
    const ledger = new MemoryLedger();
    const job = sampleJob(1, 'own:pool', {
      prevHash: swapWords(fromHex(notify[1])),
      coinb1: fromHex(notify[2]),
      coinb2: fromHex(notify[3]),
      branches: notify[4].map((branch) => fromHex(branch)),
      version: Number.parseInt(notify[5], 16),
      bits: Number.parseInt(notify[6], 16),
      extranonceSize: 12,
    });
    const [, , extranonce2, ntime, nonce] = submit;
    const extranonce = concat(new Uint8Array(4), fromHex(extranonce2));
    const submission = {
      job,
      assigned: shareTargetOf(65536),
      extranonce,
      ntime: Number.parseInt(ntime, 16),
      nonce: Number.parseInt(nonce, 16),
      version: job.version,
    };
    const root = merkleRootFromBranches(sha256d(concat(job.coinb1, extranonce, job.coinb2)), job.branches);
    const { prevHash, bits } = job;
    const hash = headerHash({ ...submission, prevHash, merkleRoot: root, time: submission.ntime, bits });
    await new Meters().commit(ledger, [{ submission, hash }]);
    const [jobLine, shareLine] = await parsed(evidenceLines(ledger, 'own:pool'));
    const hex = (line: Line | undefined, key: string): Uint8Array => fromHex(String(line![key]));
    const u32 = (line: Line | undefined, key: string): number => Number.parseInt(String(line![key]), 16);
    const coinbase = concat(
      hex(jobLine, 'coinb1'),
      hex(shareLine, 'extranonce1'),
      hex(shareLine, 'extranonce2'),
      hex(jobLine, 'coinb2'),
    );
    const branches = (jobLine!['merkle_branches'] as string[]).map((branch) => fromHex(branch));
    const again = headerHash({
      version: u32(shareLine, 'version'),
      prevHash: swapWords(hex(jobLine, 'prevhash')),
      merkleRoot: merkleRootFromBranches(sha256d(coinbase), branches),
      time: u32(shareLine, 'ntime'),
      bits: u32(jobLine, 'nbits'),
      nonce: u32(shareLine, 'nonce'),
    });
    expect(displayHash(again)).toBe(shareLine!['hash']);
    expect(BigInt(`0x${shareLine!['hash']}`)).toBeLessThanOrEqual(job.networkTarget);
  });
});
