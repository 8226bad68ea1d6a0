import { Transaction } from 'bitcoinjs-lib';
import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../src/base/bytes.ts';
import { CodedError } from '../../src/base/errors.ts';
import { sha256d } from '../../src/base/hash.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { buildCoinbase } from '../../src/bitcoin/coinbase.ts';
import { merkleRootFromBranches } from '../../src/bitcoin/merkle.ts';
import { shortIdOf } from '../../src/bitcoin/short-id.ts';
import type { BlockMaking, TemplateTransaction } from '../../src/chain/block-template.ts';
import { branchesOf } from '../../src/chain/template-watch.ts';
import { blockOf, type SampleDeps, type SampleResult, sampleJob } from '../../src/maker/template-sample.ts';
import type { Params } from '../../src/peer/messages.ts';
import type { JobRecord } from '../../src/work/evidence.ts';
import { VirtualTime } from '../base/virtual-time.ts';

const CONTRACT = 'ab'.repeat(32);
const COMMITMENT = fromHex(`6a24aa21a9ed${'11'.repeat(32)}`);

/** Another transaction for each number; of any size. */
function transaction(number: number, bytes = 10): TemplateTransaction {
  const made = new Transaction();
  made.addInput(new Uint8Array(32).fill(1), number);
  made.addOutput(new Uint8Array(bytes).fill(0x51), BigInt(number));
  return { txid: made.getId(), hex: made.toHex() };
}

const THREE = [transaction(1), transaction(2), transaction(3)];

function jobOf(transactions: readonly TemplateTransaction[], isSegwit = true): JobRecord {
  const { coinb1, coinb2 } = buildCoinbase({
    ...{ height: 100, extranonceSize: 8, tag: new Uint8Array(4) },
    outputs: [
      { script: fromHex(`0014${'ab'.repeat(20)}`), valueSat: 5n },
      ...(isSegwit ? [{ script: COMMITMENT, valueSat: 0n }] : []),
    ],
  });
  return {
    ...{ id: 7, wireId: '7', stream: CONTRACT, version: 0x20000000, versionMask: 0, coinb1, coinb2 },
    ...{ prevHash: new Uint8Array(32).fill(3), branches: branchesOf(transactions.map(({ txid }) => txid)) },
    ...{ extranonceSize: 8, bits: 0x1d00ffff, time: 1_700_000_000, upstreamDifficulty: 1 },
  };
}

type World = {
  /** Of the template that the miner names. */
  named?: readonly TemplateTransaction[];
  /** Transactions that it shows at once. */
  shows?: (places: readonly number[]) => readonly string[];
  known?: readonly TemplateTransaction[];
  mempool?: readonly TemplateTransaction[];
  fault?: (block: string) => string | undefined;
  answerTakesMs?: number;
  nodeTakesMs?: number;
};

const away = async (): Promise<never> => {
  throw new CodedError('chain_unreachable');
};

function stand(world: World, blocks: Partial<BlockMaking> = {}) {
  const time = new VirtualTime();
  const asked: unknown[] = [];
  const proposed: string[] = [];
  const named = world.named ?? THREE;
  const wait = (ms = 0): Promise<void> =>
    ms === 0 ? Promise.resolve() : new Promise((resolve) => void time.timers.after(ms, resolve));
  const ask = async (method: string, params: unknown): Promise<never> => {
    asked.push(method === 'work.template' ? params : (params as Params<'work.transactions'>).places);
    await wait(world.answerTakesMs);
    if (method === 'work.template') return { shortIds: named.map(({ txid }) => shortIdOf(txid)) } as never;
    const { places } = params as Params<'work.transactions'>;
    const shown = world.shows?.(places) ?? places.map((place) => named[place]!.hex);
    return { transactions: shown } as never;
  };
  const deps: SampleDeps = {
    ...{
      ask: ask as SampleDeps['ask'],
      clock: time.clock,
      timers: time.timers,
      known: () => world.known ?? [],
    },
    blocks: {
      mempoolTxids: async () => {
        await wait(world.nodeTakesMs);
        return (world.mempool ?? []).map(({ txid }) => txid);
      },
      mempoolTransaction: async (txid: string) => world.mempool?.find((each) => each.txid === txid)?.hex,
      proposalFault: async (block: string) => {
        proposed.push(block);
        return world.fault?.(block);
      },
      ...blocks,
    } as BlockMaking,
  };
  const sample = async (job: JobRecord = jobOf(named), answerMs = 1000): Promise<Sampled> => {
    const result = await sampleJob(CONTRACT, job, answerMs, deps);
    if (result.type !== 'good') return result;
    expect(result.transactions.map(({ hex }) => hex)).toEqual(named.map(({ hex }) => hex));
    return GOOD;
  };
  return { time, asked, proposed, sample };
}

/** A good one without its transactions. */
type Sampled = Exclude<SampleResult, { type: 'good' }> | { readonly type: 'good'; readonly why?: never };

const GOOD: Sampled = { type: 'good' };

describe('the block of a job', () => {
  const solution = { extranonce: new Uint8Array(8).fill(9), ntime: 5, nonce: 6, version: 7 };

  it('is its header, the coinbase with a witness, and the transactions in their order', () => {
    const job = jobOf(THREE);
    const block = Buffer.from(blockOf(job, solution, THREE), 'hex');
    const coinbase = Buffer.concat([job.coinb1, solution.extranonce, job.coinb2]);
    const root = merkleRootFromBranches(sha256d(coinbase), job.branches);
    const header = Buffer.concat([u32(7), job.prevHash, root, u32(5), u32(job.bits), u32(6)]);
    expect(block.subarray(0, 80).equals(header)).toBe(true);
    expect(block[80]).toBe(4);
    const witnessed = Transaction.fromBuffer(block.subarray(81, 81 + coinbase.length + 2 + 34));
    expect(witnessed.getId()).toBe(Transaction.fromBuffer(coinbase).getId());
    expect(witnessed.ins[0]!.witness.map((each) => toHex(each))).toEqual(['00'.repeat(32)]);
    const rest = block.subarray(81 + coinbase.length + 2 + 34);
    expect(rest.toString('hex')).toBe(THREE.map(({ hex }) => hex).join(''));
  });

  it('has no witness where the coinbase commits to none', () => {
    const job = jobOf([], false);
    const block = blockOf(job, solution, []);
    expect(block.slice(160)).toBe(`01${toHex(job.coinb1)}${'09'.repeat(8)}${toHex(job.coinb2)}`);
  });
});

describe('a sample', () => {
  it('asks the miner for what is not here, and judges the block with nothing found for it yet', async () => {
    const { sample, asked, proposed } = stand({ known: [THREE[0]!], mempool: [THREE[2]!] });
    const job = jobOf(THREE);
    expect(await sample(job)).toEqual(GOOD);
    expect(asked).toEqual([{ contractId: CONTRACT, jobId: 7 }, [1]]);
    const trial = { extranonce: new Uint8Array(8), ntime: job.time, nonce: 0, version: job.version };
    expect(proposed).toEqual([blockOf(job, trial, THREE)]);
  });

  it('asks nobody for what is known, and the miner for all where the node does not answer', async () => {
    const all = stand({ known: THREE }, { mempoolTxids: away });
    expect([await all.sample(), all.asked.length]).toEqual([GOOD, 1]);
    const none = stand({ known: [THREE[0]!] }, { mempoolTxids: away });
    expect([await none.sample(), none.asked[1]]).toEqual([GOOD, [0, 1, 2]]);
    const empty = stand({ named: [] }, { mempoolTxids: away });
    expect([await empty.sample(), empty.asked.length, empty.proposed.length]).toEqual([GOOD, 1, 1]);
  });

  it('asks for what left the mempool meanwhile, and for what two have the id of', async () => {
    const gone = stand({ mempool: THREE }, { mempoolTransaction: async () => undefined });
    expect([await gone.sample(), gone.asked[1]]).toEqual([GOOD, [0, 1, 2]]);
    const twice = stand({ known: [THREE[1]!, THREE[1]!], mempool: [] });
    expect([await twice.sample(), twice.asked[1]]).toEqual([GOOD, [0, 1, 2]]);
    const waiting = stand({ known: THREE.slice(1), mempool: [THREE[0]!, THREE[0]!] });
    expect([await waiting.sample(), waiting.asked[1]]).toEqual([GOOD, [0]]);
  });

  it('asks the node sixteen questions at once at most', async () => {
    const many = Array.from({ length: 40 }, (_, number) => transaction(number));
    let [now, most] = [0, 0];
    const mempoolTransaction = async (txid: string): Promise<string> => {
      now += 1;
      most = Math.max(most, now);
      await new Promise(setImmediate);
      now -= 1;
      return many.find((each) => each.txid === txid)!.hex;
    };
    const { sample, asked } = stand({ named: many, mempool: many }, { mempoolTransaction });
    expect([await sample(), asked.length, most]).toEqual([GOOD, 1, 16]);
  });

  it('takes the transactions in parts, as many as come', async () => {
    const two = stand({ shows: (places) => places.slice(0, 2).map((place) => THREE[place]!.hex) });
    expect([await two.sample(), two.asked.slice(1)]).toEqual([GOOD, [[0, 1, 2], [2]]]);
    const more = stand({
      shows: (places) => [...places.map((place) => THREE[place]!.hex), 'no transaction'],
    });
    expect(await more.sample()).toEqual(GOOD);
  });

  it('is judged again, of what the miner shows alone, before a block is bad', async () => {
    const twin = { txid: THREE[0]!.txid, hex: transaction(9).hex };
    const isTrue = (block: string): string | undefined =>
      block.includes(THREE.map(({ hex }) => hex).join('')) ? undefined : 'bad-witness-merkle-match';
    const saved = stand({ known: [twin, ...THREE.slice(1)], fault: isTrue });
    expect([await saved.sample(), saved.asked.slice(1), saved.proposed.length]).toEqual([
      GOOD,
      [[0, 1, 2]],
      2,
    ]);
    const half = stand({ known: [twin], fault: isTrue });
    expect([await half.sample(), half.asked.slice(1)]).toEqual([
      GOOD,
      [
        [1, 2],
        [0, 1, 2],
      ],
    ]);
    const bad = stand({ known: THREE, fault: () => 'bad-cb-amount' });
    expect(await bad.sample()).toEqual({ type: 'bad', why: 'the own node says bad-cb-amount' });
    expect(bad.proposed).toHaveLength(2);
    // What the miner showed whole is not asked for again.
    const shown = stand({ fault: () => 'bad-cb-amount' });
    expect([(await shown.sample()).type, shown.asked.length, shown.proposed.length]).toEqual(['bad', 2, 1]);
    const unheard = stand({ known: [THREE[0]!], fault: () => 'bad-cb-amount' }, { mempoolTxids: away });
    expect([(await unheard.sample()).type, unheard.asked.length]).toEqual(['bad', 2]);
  });

  it.each([
    ['one more', [...THREE, transaction(4)]],
    ['one less', THREE.slice(1)],
    ['one other', [THREE[0]!, transaction(4), THREE[2]!]],
    ['another order', THREE.toReversed()],
    ['none', []],
  ])('with %s than its branches have is bad, and asks no node', async (_, of) => {
    const { sample, proposed } = stand({});
    const why = 'its merkle branches are not those of the transactions shown';
    expect(await sample(jobOf(of))).toEqual({ type: 'bad', why });
    expect(proposed).toEqual([]);
  });

  it.each([
    ['inconclusive', false],
    ['inconclusive-not-best-prevblk', true],
    ['duplicate', false],
    ['duplicate-invalid', false],
  ])('is not judged where the node says %s; its block was replaced: %s', async (said, isReplaced) => {
    const { sample, proposed } = stand({ known: THREE, fault: () => said });
    expect(await sample()).toEqual({ type: 'inconclusive', why: `the own node says ${said}`, isReplaced });
    expect(proposed).toHaveLength(1);
  });

  it('is not judged where the node says nothing, and is bad for words that only end so', async () => {
    const silent = stand({ known: THREE }, { proposalFault: away });
    const why = 'the own node did not judge it';
    expect(await silent.sample()).toEqual({ type: 'inconclusive', why, isReplaced: false });
    const ends = stand({ fault: () => 'bad-txns-duplicate' });
    expect((await ends.sample()).type).toBe('bad');
    const bug = stand({}, { proposalFault: async () => Promise.reject(new Error('a bug')) });
    await expect(bug.sample()).rejects.toThrow('a bug');
  });

  it.each<[string, NonNullable<World['shows']>, string]>([
    ['another transaction', () => [THREE[1]!.hex], 'another transaction than was asked for'],
    ['what is none', () => ['00'], 'no transaction'],
  ])('in which %s is shown breaks the protocol', async (_, shows, why) => {
    await expect(stand({ shows }).sample()).rejects.toThrow(`protocol: ${why}`);
  });

  it('takes twice the bytes of a block in all, and no more', async () => {
    const most = 2 * LIMITS.templateBytes;
    const small = transaction(1).hex.length / 2;
    const big = transaction(2, 1000);
    const overhead = big.hex.length / 2 - 1000;
    const filler = (bytes: number): TemplateTransaction => transaction(2, bytes - overhead - 2);
    const exact = [transaction(1), filler(most - small)];
    const size = exact.reduce((sum, { hex }) => sum + hex.length / 2, 0);
    expect(size).toBe(most);
    expect(await stand({ named: exact }).sample()).toEqual(GOOD);
    const beyond = [transaction(1), filler(most - small + 1)];
    await expect(stand({ named: beyond }).sample()).rejects.toThrow(
      'protocol: more bytes than a block has',
    );
  });

  it('has one budget of time for all answers of the miner, and none for those of the node', async () => {
    const outcomeOf = async (world: World, answerMs: number, passMs: number): Promise<unknown> => {
      const { time, sample } = stand(world);
      let outcome: unknown = 'waits';
      const told = (what: unknown): void => {
        outcome = what;
      };
      void sample(jobOf(THREE), answerMs).then(
        ({ type }) => told(type),
        (error: Error) => told(error.message),
      );
      await time.settle();
      await time.advance(passMs);
      await time.settle();
      return outcome;
    };
    const slow = { answerTakesMs: 400 };
    expect(await outcomeOf(slow, 1000, 799)).toBe('waits');
    expect(await outcomeOf(slow, 1000, 800)).toBe('good');
    expect(await outcomeOf(slow, 801, 800)).toBe('good');
    expect(await outcomeOf(slow, 700, 699)).toBe('waits');
    expect(await outcomeOf(slow, 700, 700)).toBe('peer_timeout: the transactions of a job');
    expect(await outcomeOf(slow, 300, 300)).toBe('peer_timeout: the transactions of a job');
    const onlyFirst = (places: readonly number[]): string[] => [THREE[places[0]!]!.hex];
    const parts = { answerTakesMs: 200, shows: onlyFirst };
    expect(await outcomeOf(parts, 801, 800)).toBe('good');
    expect(await outcomeOf(parts, 799, 800)).toContain('peer_timeout');
    expect(await outcomeOf({ ...slow, nodeTakesMs: 5000 }, 801, 5800)).toBe('good');
  });
});

function u32(value: number): Buffer {
  const out = Buffer.alloc(4);
  out.writeUInt32LE(value);
  return out;
}
