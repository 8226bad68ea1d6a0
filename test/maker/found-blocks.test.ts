import { Transaction } from 'bitcoinjs-lib';
import { describe, expect, it } from 'vitest';
import { concat, fromHex } from '../../src/base/bytes.ts';
import { CodedError } from '../../src/base/errors.ts';
import { sha256d } from '../../src/base/hash.ts';
import { buildCoinbase } from '../../src/bitcoin/coinbase.ts';
import { serializeHeader } from '../../src/bitcoin/header.ts';
import { merkleRootFromBranches } from '../../src/bitcoin/merkle.ts';
import { shortIdOf } from '../../src/bitcoin/short-id.ts';
import { hashToNumber, targetOfCompact } from '../../src/bitcoin/target.ts';
import type { TemplateTransaction } from '../../src/chain/block-template.ts';
import { FoundBlocks, OWN_NODE } from '../../src/maker/found-blocks.ts';
import { PoolBook } from '../../src/maker/pool-book.ts';
import { createPortableKernel } from '../../src/shares/kernel/portable-kernel.ts';
import type { JobRecord } from '../../src/work/evidence.ts';
import { VirtualTime } from '../base/virtual-time.ts';
import { recorder } from '../chain/log-recorder.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';
import { casesOf, type ShareCase } from './share-cases.ts';

/** Half of all hashes are blocks. */
const EASIEST = 0x207fffff;
const ONE: TemplateTransaction = { txid: 'ab'.repeat(32), hex: '0e' };
const OTHER: TemplateTransaction = { txid: 'cd'.repeat(32), hex: '0f' };

/** A job whose block has these transactions, one at most. */
function jobWith(transactions: readonly TemplateTransaction[]): JobRecord {
  const { coinb1, coinb2 } = buildCoinbase({
    ...{ height: 900_000, extranonceSize: 8, tag: new Uint8Array(4) },
    outputs: [{ script: fromHex('51'), valueSat: 1n }],
  });
  return {
    ...{ id: 1, wireId: '1', stream: 's', version: 0x20000000, versionMask: 0, coinb1, coinb2 },
    branches: transactions.map(({ txid }) => fromHex(txid).toReversed()),
    ...{ prevHash: new Uint8Array(32).fill(1), bits: EASIEST, time: 1000, extranonceSize: 8 },
    upstreamDifficulty: 1,
  };
}

function solved(job: JobRecord) {
  const extranonce = new Uint8Array(8);
  const coinbase = sha256d(concat(job.coinb1, extranonce, job.coinb2));
  const { version, prevHash, branches, bits, time } = job;
  for (let nonce = 0; ; nonce += 1) {
    const merkleRoot = merkleRootFromBranches(coinbase, branches);
    const header = serializeHeader({ version, prevHash, merkleRoot, time, bits, nonce });
    if (hashToNumber(sha256d(header)) <= targetOfCompact(bits))
      return { contractId: 'c', job, extranonce, ntime: time, nonce, version };
  }
}

/** The blocks of one contract, and a node that says this of each in turn. */
function stood(...says: readonly (string | undefined)[]) {
  const time = new VirtualTime();
  const { clock, timers } = time;
  const { log, lines } = recorder();
  const ledger = new MemoryLedger();
  const book = new PoolBook([OWN_NODE]);
  const around = {
    hasBlocks: true,
    isTold: true,
    known: [] as readonly TemplateTransaction[],
    template: undefined as readonly TemplateTransaction[] | undefined,
    shows: undefined as readonly TemplateTransaction[] | undefined,
    takesMs: 0,
  };
  const submitted: string[] = [];
  let asked = 0;
  const answers = [...says];
  const submitBlock = async (hex: string): Promise<string | undefined> => {
    submitted.push(hex.slice(162));
    await time.advance(around.takesMs);
    return answers.shift();
  };
  const chain = {
    get blocks() {
      return around.hasBlocks ? { submitBlock, mempoolTxids: async () => [] } : undefined;
    },
  };
  const templates = {
    get transactions() {
      return around.known;
    },
    transactionsOf: () => around.template,
  };
  const blocks = new FoundBlocks('c', 0, {
    ...{ kernel: createPortableKernel(4), clock, timers, log, book, ledger },
    isTold: () => around.isTold,
    chain: chain as never,
    templates: templates as never,
    ask: ((method: string, { places }: { readonly places: readonly number[] }) => {
      asked += 1;
      const { shows } = around;
      if (shows === undefined) return Promise.reject(new CodedError('peer_closed'));
      return Promise.resolve(
        method === 'work.template'
          ? { shortIds: shows.map(({ txid }) => shortIdOf(txid)) }
          : { transactions: places.map((place) => shows[place]!.hex) },
      );
    }) as never,
  });
  return { blocks, book, submitted, around, lines, ledger, time, asked: () => asked };
}

describe('a block that the miner shows', () => {
  it('is built of the transactions of a sample, where one is of its job', async () => {
    const { blocks, submitted, asked } = stood();
    blocks.keep([ONE]);
    blocks.keep([OTHER]);
    expect(await blocks.show(solved(jobWith([ONE])))).toMatchObject({ outcome: 'accepted' });
    expect(submitted.map((hex) => hex.endsWith(ONE.hex))).toEqual([true]);
    expect([asked(), blocks.status.verdicts.accepted]).toEqual([0, 1]);
  });

  it('is asked about where nothing of its job is here', async () => {
    const { blocks, submitted, asked } = stood();
    // Of the newest two samples alone.
    for (const each of [ONE, OTHER, OTHER]) blocks.keep([each]);
    expect(await blocks.show(solved(jobWith([ONE])))).toMatchObject({ outcome: 'lost' });
    expect([submitted, asked()]).toEqual([[], 1]);
  });

  it.each([
    ['duplicate', 'accepted', 0],
    ['inconclusive-not-best-prevblk', 'refused', 0],
    ['prev-blk-not-found', 'refused', 0],
    ['high-hash', 'refused', 0],
    // Another witness of the same transaction may be good.
    ['bad-witness-merkle-match', 'lost', 1],
  ])('of which the own node says %s is %s', async (fault, outcome, times) => {
    const { blocks, asked } = stood(fault);
    blocks.keep([ONE]);
    expect(await blocks.show(solved(jobWith([ONE])))).toMatchObject({ outcome });
    expect(asked()).toBe(times);
  });

  it('of nothing but its coinbase is asked about no more, whatever the node says', async () => {
    const { blocks, asked } = stood('bad-witness-merkle-match');
    blocks.keep([]);
    expect(await blocks.show(solved(jobWith([])))).toMatchObject({ outcome: 'refused' });
    expect([asked(), blocks.status.lastFault]).toEqual([0, 'bad-witness-merkle-match']);
  });
});

/** A real transaction, of which each number has another. */
function transaction(lockTime: number, witness = 0): TemplateTransaction {
  const made = new Transaction();
  made.version = 2;
  made.locktime = lockTime;
  made.addInput(new Uint8Array(32).fill(7), 0);
  made.addOutput(fromHex('51'), 1n);
  if (witness > 0) made.setWitness(0, [Uint8Array.of(witness)]);
  return { txid: made.getId(), hex: made.toHex() };
}

describe('a block that is not built of a sample', () => {
  it('is built of the template that has its branches, and the miner is not asked', async () => {
    const { blocks, submitted, around, asked } = stood();
    around.template = [ONE];
    expect(await blocks.show(solved(jobWith([ONE])))).toMatchObject({ outcome: 'accepted' });
    expect([submitted.map((hex) => hex.endsWith(ONE.hex)), asked()]).toEqual([[true], 0]);
  });

  it('is built of what the miner shows, where that is of its job alone', async () => {
    const [one, other] = [transaction(1), transaction(2)];
    const { blocks, submitted, around } = stood();
    around.shows = [one];
    expect(await blocks.show(solved(jobWith([one])))).toMatchObject({ outcome: 'accepted' });
    expect(submitted.map((hex) => hex.endsWith(one.hex))).toEqual([true]);
    around.shows = [other];
    const { outcome, reason } = await blocks.show(solved({ ...jobWith([one]), time: 1_001 }));
    expect([outcome, reason]).toEqual([
      'lost',
      'unknown_job: the transactions that the miner shows are not those of the job',
    ]);
    expect(submitted).toHaveLength(1);
  });

  it('is tried again with the witnesses that the miner shows, where those here may be others', async () => {
    const [here, theirs] = [transaction(1, 1), transaction(1, 2)];
    expect(here.txid).toBe(theirs.txid);
    // Once as it is in the template, once as it is in the mempool, once as the miner has it.
    const { blocks, submitted, around } = stood('bad-witness-merkle-match', 'bad-witness-merkle-match');
    Object.assign(around, { template: [here], known: [here], shows: [theirs] });
    expect(await blocks.show(solved(jobWith([here])))).toMatchObject({ outcome: 'accepted' });
    expect(submitted.map((hex) => hex.endsWith(theirs.hex))).toEqual([false, false, true]);
    // A verdict that no witness changes is the last.
    const final = stood('bad-witness-merkle-match', 'prev-blk-not-found');
    Object.assign(final.around, { template: [here], known: [here], shows: [theirs] });
    expect(await final.blocks.show(solved(jobWith([here])))).toMatchObject({
      ...{ outcome: 'refused', reason: 'prev-blk-not-found' },
    });
    expect(final.submitted).toHaveLength(2);
  });

  it('is lost where the own node makes none, and says so; no error of ours is one of the node', async () => {
    const { blocks, around, lines, submitted } = stood();
    around.hasBlocks = false;
    blocks.keep([ONE]);
    expect(await blocks.show(solved(jobWith([ONE])))).toMatchObject({ outcome: 'lost' });
    expect(submitted).toEqual([]);
    const { verdicts, lastFault } = blocks.status;
    expect(verdicts).toEqual({ accepted: 0, refused: 0, timeout: 0, lost: 1 });
    expect(lastFault).toBe('chain_rpc: the own node makes no blocks');
    expect(lines).toEqual([
      [
        'warn',
        { contract: 'c', job: '1', parent: '01'.repeat(32), reason: lastFault },
        'a block of the miner could not be published here',
      ],
    ]);
  });
});

describe('what became of the blocks of a contract', () => {
  it('is counted by verdict, with the time that it took, and the last fault stays', async () => {
    const { blocks, book, around, lines } = stood('high-hash', undefined);
    blocks.keep([]);
    around.takesMs = 30;
    expect(await blocks.show(solved(jobWith([])))).toEqual({
      ...{ outcome: 'refused', reason: 'high-hash', rttMs: 30 },
    });
    const next = { ...jobWith([]), time: 1_001 };
    expect(await blocks.show(solved(next))).toEqual({ outcome: 'accepted', rttMs: 30 });
    // What is shown again is one block.
    expect(await blocks.show(solved(next))).toEqual({ outcome: 'accepted', rttMs: 30 });
    expect(blocks.status).toMatchObject({
      ...{ verdicts: { accepted: 1, refused: 1, timeout: 0, lost: 0 }, lastFault: 'high-hash' },
    });
    expect(book.figures[0]!.solutions).toMatchObject({ accepted: 1, refused: 1 });
    expect(lines.map(([level]) => level)).toEqual(['warn', 'info']);
  });

  /** What is in a batch: the share of a solution, hashed. */
  const shareOf = (of: ReturnType<typeof solved>, changes: Partial<ShareCase> = {}): ShareCase => {
    const { extranonce, ntime, nonce, version, job } = of;
    const merkleRoot = merkleRootFromBranches(
      sha256d(concat(job.coinb1, extranonce, job.coinb2)),
      job.branches,
    );
    const { prevHash, bits } = job;
    const hash = sha256d(serializeHeader({ version, prevHash, merkleRoot, time: ntime, bits, nonce }));
    const [extranonce1, extranonce2] = [extranonce.slice(0, 4), extranonce.slice(4)];
    const share = { jobId: 1, difficulty: 1, extranonce1, extranonce2, ntime, nonce, version };
    return { share, job, code: undefined, target: { workHashes: 5n } as never, hash, ...changes };
  };

  it('that first come in a batch are published then, and late where the miner shows others', async () => {
    const { blocks, around, submitted, time, book } = stood();
    blocks.keep([]);
    const shown = solved(jobWith([]));
    await blocks.show(shown);
    const [untold, late] = [1, 2].map((each) => solved({ ...jobWith([]), time: 1_000 + each }));
    blocks.judge(casesOf([shareOf(shown)]));
    expect(blocks.status).toMatchObject({ solutions: 1, lateSolutions: 0, isPaused: false });
    around.isTold = false;
    blocks.judge(casesOf([shareOf(untold!)]));
    expect(blocks.status).toMatchObject({ solutions: 2, lateSolutions: 0 });
    around.isTold = true;
    blocks.judge(casesOf([shareOf(late!), shareOf(late!, { job: undefined, hash: undefined })]));
    expect(blocks.status).toMatchObject({ solutions: 3, lateSolutions: 1, isPaused: false });
    await time.settle();
    expect([submitted.length, blocks.status.verdicts.accepted]).toEqual([3, 3]);
    blocks.judged(casesOf([shareOf(shown), shareOf(late!, { code: 'share_low' })]));
    expect(book.figures[0]).toMatchObject({
      ...{ creditedWorkHashes: 5n, lateSolutions: 1 },
      verdicts: { weAcceptedTheyAccepted: 1, weRejectedTheyAccepted: 1 },
    });
  });

  it('goes on after a start with the count of solutions, which is written once there is one', async () => {
    const { blocks, ledger } = stood();
    await blocks.load();
    expect([blocks.counts(), blocks.status.solutions]).toEqual([[], 0]);
    blocks.keep([]);
    blocks.judge(casesOf([shareOf(solved(jobWith([])))]));
    const entries = blocks.counts();
    expect(entries).toHaveLength(1);
    await ledger.append(entries);
    const { blocks: next } = stood();
    await next.load();
    expect(next.status.solutions).toBe(0);
    const again = new FoundBlocks('c', 0, {
      ...{ kernel: createPortableKernel(4), clock: new VirtualTime().clock, ledger },
    } as never);
    await again.load();
    expect(again.status).toMatchObject({ solutions: 1, lateSolutions: 1, isPaused: false });
  });
});

it('what is credited stands in the book of the own node, and what is refused does not', () => {
  const { blocks, book } = stood();
  const target = { workHashes: 5n } as ShareCase['target'];
  const each = {
    share: undefined,
    job: undefined,
    code: undefined,
    target,
    hash: undefined,
  } as unknown as ShareCase;
  blocks.judged(casesOf([each, { ...each, code: 'share_low' }, each]));
  expect(book.figures[0]!.creditedWorkHashes).toBe(10n);
});
