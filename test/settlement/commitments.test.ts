import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { codeOf } from '../../src/base/errors.ts';
import { signCommitment, verifyCommitment } from '../../src/channel/commitment.ts';
import { EMPTY_FAULT_LOG, type Fault, faultLogHead } from '../../src/channel/fault-log.ts';
import { ShareTree } from '../../src/channel/share-tree.ts';
import { NO_WEIGHTS, weighedRoot } from '../../src/channel/share-weights.ts';
import { signState } from '../../src/channel/states.ts';
import { headOfState } from '../../src/contract/event-chain.ts';
import type { LedgerEntry } from '../../src/ledger/ledger.ts';
import { MakerCommitments } from '../../src/maker/maker-commitments.ts';
import { MinerCommitments } from '../../src/miner/miner-commitments.ts';
import type { CommitmentOffer } from '../../src/peer/commitment-codecs.ts';
import {
  type CommitmentFormat,
  commitmentEntry,
  commitmentOf,
  isOfFormat,
  loadCommitments,
} from '../../src/settlement/commitments.ts';
import { shareTargetOf } from '../../src/shares/share.ts';
import {
  JOB_KIND,
  type JobRecord,
  jobDocument,
  jobDocumentId,
  packRecords,
  SHARE_KIND,
  type ShareRecord,
} from '../../src/work/evidence.ts';
import { makeParams, makerSigner, makeTerms, minerSigner, seedOf } from '../channel/fixtures.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';

const SHARE_WORK = shareTargetOf(1).workHashes;
const STREAM = 'stream';

function jobOf(id: number): JobRecord {
  return {
    id,
    wireId: id.toString(16),
    stream: STREAM,
    ...{ version: 1, versionMask: 0, bits: 1, time: 1, extranonceSize: 0, upstreamDifficulty: 1 },
    ...{ prevHash: seedOf('block'), coinb1: seedOf(`job ${id}`), coinb2: new Uint8Array(0), branches: [] },
  };
}

function shareOf(seq: number, jobId: number): ShareRecord {
  return {
    jobId,
    difficulty: 1,
    extranonce1: new Uint8Array(0),
    extranonce2: new Uint8Array(0),
    ...{ ntime: 0, nonce: seq, version: 1, hash: seedOf(`share ${seq}`) },
  };
}

/** Both sides of a contract with their ledgers, as far as commitments go. */
const NEWEST: CommitmentFormat = { hasFaultLog: true, isWeighed: true, hasEvents: true };

class Pair {
  readonly params;
  readonly minerLedger = new MemoryLedger();
  readonly makerLedger = new MemoryLedger();
  maker = MakerCommitments.create();
  miner = MinerCommitments.create();
  readonly #jobs = new Set<number>();
  sent = 0;
  credited = 0;
  n = 0;
  /** Whether the connection at hand has fault logs. */
  hasFaultLog = true;
  isWeighed = true;
  hasEvents = true;

  get format(): CommitmentFormat {
    const { hasFaultLog, isWeighed, hasEvents } = this;
    return { hasFaultLog, isWeighed, hasEvents };
  }

  constructor(shares = 1000n) {
    const workTotalHashes = shares * SHARE_WORK;
    this.params = makeParams({}, makeTerms({ workTotalHashes, stepHashes: 1n }));
  }

  /** A share, which the maker takes or refuses with a code. */
  async work(jobId: number, isTaken = true, code = 'share_low', isHeard = true): Promise<void> {
    const share = shareOf(this.sent, jobId);
    const entryOf = (first: number) =>
      ({
        type: 'log',
        kind: SHARE_KIND,
        stream: STREAM,
        first,
        count: 1,
        body: packRecords([share]),
      }) as const;
    if (!this.#jobs.has(jobId)) {
      this.#jobs.add(jobId);
      const body = jobDocument(jobOf(jobId));
      const entry = { type: 'insert', kind: JOB_KIND, id: jobDocumentId(jobId), body } as const;
      await this.minerLedger.append([entry]);
      await this.makerLedger.append([entry]);
    }
    await this.minerLedger.append([entryOf(this.sent)]);
    if (isTaken) {
      await this.makerLedger.append([entryOf(this.credited)]);
      this.credited += 1;
    } else {
      const { contractId } = this.params;
      // Of jobs above 100 the maker knows nothing.
      const job = jobId > 100 ? undefined : jobOf(jobId);
      const refused = { seq: this.sent, code, share, job, workHashes: SHARE_WORK };
      const { entries, done } = this.maker.withRefused(contractId, [refused]);
      await this.makerLedger.append(entries);
      done();
      this.miner.heard(this.sent, isHeard ? [refused] : []);
      if (isHeard) await this.minerLedger.append([this.miner.heardEntry(contractId)]);
    }
    this.sent += 1;
  }

  source(side: 'miner' | 'maker') {
    const ledger = side === 'miner' ? this.minerLedger : this.makerLedger;
    const jobBody = (jobId: number): Promise<string | undefined> =>
      ledger.get(JOB_KIND, jobDocumentId(jobId));
    return { ledger, stream: STREAM, jobBody };
  }

  /** The next state over everything credited, and what the maker commits to with it. */
  async sign(
    credited = this.credited,
  ): Promise<{ state: ReturnType<typeof signState>; offer?: CommitmentOffer }> {
    this.n += 1;
    const { params } = this;
    const total = params.terms.workTotalHashes;
    const work = BigInt(credited) * SHARE_WORK;
    const state = signState(params, this.n, work < total ? work : total, makerSigner);
    const basis = { ...this.source('maker'), params, evidenceSeq: this.credited, nextSeq: this.sent };
    const record = await this.maker.make(basis, state, this.format, makerSigner);
    if (record !== undefined) await this.makerLedger.append([commitmentEntry(params.contractId, record)]);
    this.maker.keep(record);
    const offer = this.maker.offerOf(this.n, this.format);
    return offer === undefined ? { state } : { state, offer };
  }

  countersign(state: ReturnType<typeof signState>, offer: CommitmentOffer): Promise<string | undefined> {
    const write = (entries: readonly LedgerEntry[]) => this.minerLedger.appendNow(entries);
    const log = { format: this.format, durableSeq: this.sent };
    const check = { ...this.source('miner'), params: this.params, ...log, write };
    return this.miner.countersign(offer, state, check, minerSigner);
  }

  async acked(n: number, signature: string | undefined): Promise<void> {
    const { entries, done } = this.maker.withSignature(this.params, n, signature);
    await this.makerLedger.append(entries);
    done();
  }

  /** Both sides anew from what is stored. */
  async restart(): Promise<void> {
    const { contractId } = this.params;
    this.maker = await MakerCommitments.load(this.makerLedger, contractId, this.n);
    this.miner = await MinerCommitments.load(this.minerLedger, contractId, this.n);
  }
}

async function refusal(run: Promise<unknown>): Promise<string> {
  return run.then(
    () => 'taken',
    (error: unknown) => codeOf(error),
  );
}

describe('commitments of both sides', () => {
  it('agree whatever was refused, whichever states were countersigned, and over restarts', async () => {
    const step = fc.oneof(
      fc.record({
        type: fc.constant('work' as const),
        job: fc.constantFrom(0, 1, 2, 101),
        isTaken: fc.boolean(),
        code: fc.constantFrom('share_low', 'stale_race'),
        isHeard: fc.boolean(),
      }),
      fc.record({ type: fc.constant('sign' as const), isAcked: fc.boolean() }),
      fc.record({
        type: fc.constant('restart' as const),
        hasFaultLog: fc.boolean(),
        isWeighed: fc.boolean(),
      }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const pair = new Pair();
        let signedAt = 0;
        for (const each of steps) {
          if (each.type === 'work') await pair.work(each.job, each.isTaken, each.code, each.isHeard);
          else if (each.type === 'restart') {
            await pair.restart();
            pair.hasFaultLog = each.hasFaultLog;
            pair.isWeighed = each.isWeighed;
          } else if (pair.credited > signedAt) {
            const { state, offer } = await pair.sign();
            signedAt = pair.credited;
            expect(offer).toBeDefined();
            if (!each.isAcked) continue;
            const signature = await pair.countersign(state, offer!);
            expect(signature).toBeDefined();
            expect(isOfFormat(offer!, pair.format)).toBe(true);
            expect(await pair.countersign(state, offer!)).toBe(signature);
            await pair.acked(state.n, signature);
            const record = pair.miner.newest!;
            verifyCommitment(pair.params, commitmentOf(record), 'maker', record.makerSignature);
            verifyCommitment(pair.params, commitmentOf(record), 'miner', record.minerSignature!);
            expect(record.tree.count).toBe(pair.credited);
            const { contractId } = pair.params;
            const [ours, theirs] = await Promise.all(
              [pair.makerLedger, pair.minerLedger].map((ledger) =>
                loadCommitments(ledger, contractId, pair.n),
              ),
            );
            expect(commitmentOf(ours!.base!)).toEqual(commitmentOf(theirs!.base!));
          }
        }
      }),
      { numRuns: 60 },
    );
  });

  it('of a state that is sent again are the same, and acked again with the same signature', async () => {
    const pair = new Pair();
    await pair.work(1);
    const { state, offer } = await pair.sign();
    const signature = await pair.countersign(state, offer!);
    await pair.restart();
    expect(pair.maker.offerOf(1, NEWEST)).toEqual(offer);
    expect(await pair.countersign(state, offer!)).toBe(signature);
    await pair.acked(1, signature);
    expect(pair.maker.offerOf(1, NEWEST)).toBeUndefined();
  });

  it('cap at the work of the contract, and end at the share that reaches it', async () => {
    const pair = new Pair(2n);
    await pair.work(1);
    await pair.work(1, false);
    await pair.work(2);
    await pair.work(2, false);
    const { state, offer } = await pair.sign();
    expect(offer).toMatchObject({
      nextSeq: 3,
      refused: [],
      faults: [{ first: 1, count: 1, code: 'share_low' }],
    });
    expect(await pair.countersign(state, offer!)).toBeDefined();
  });

  it('cover the part of the evidence that a state pays, where a claim came before more work', async () => {
    const pair = new Pair();
    for (const job of [1, 1, 2]) await pair.work(job);
    const { state, offer } = await pair.sign(2);
    expect(offer).toMatchObject({ nextSeq: 2, baseN: 0 });
    await pair.acked(state.n, await pair.countersign(state, offer!));
    const next = await pair.sign();
    expect(next.offer).toMatchObject({ nextSeq: 3, baseN: 1 });
    expect(await pair.countersign(next.state, next.offer!)).toBeDefined();
  });
});

describe('the miner', () => {
  it('refuses what its own log does not bear out, and signs none of it', async () => {
    const pair = new Pair();
    for (const [job, isTaken] of [
      [1, true],
      [1, false],
      [2, true],
    ] as const)
      await pair.work(job, isTaken);
    const { state, offer } = await pair.sign();
    const resigned = async (changes: Partial<CommitmentOffer>): Promise<string> => {
      const other = { ...offer!, ...changes };
      const { n, workHashes } = state;
      const signature = signCommitment(pair.params, { ...other, n, workHashes }, makerSigner);
      return refusal(pair.countersign(state, { ...other, signature }));
    };
    expect(await resigned({ shareRoot: seedOf('x') })).toBe('bad_commitment');
    // The first is kept, with the signature, whatever comes after it.
    const kept = pair.miner.disputed!;
    const { n, workHashes } = kept;
    expect(kept).toMatchObject({
      n: state.n,
      workHashes: state.workHashes,
      offer: { shareRoot: seedOf('x') },
    });
    verifyCommitment(pair.params, { ...kept.offer, n, workHashes }, 'maker', kept.offer.signature);
    expect(await resigned({ jobSetRoot: seedOf('x') })).toBe('bad_commitment');
    expect(await resigned({ faultLogHead: seedOf('x') })).toBe('bad_commitment');
    expect(await resigned({ nextSeq: 2 })).toBe('bad_commitment');
    const root = pair.maker.pending!.tree.root();
    const weightsHead = offer!.weightsHead!;
    expect(weighedRoot(root, weightsHead)).toEqual(offer!.shareRoot);
    expect(await resigned({ shareRoot: root })).toBe('bad_commitment');
    expect(await resigned({ shareRoot: weighedRoot(seedOf('x'), weightsHead) })).toBe('bad_commitment');
    expect(await resigned({ shareRoot: weighedRoot(root, NO_WEIGHTS) })).toBe('bad_commitment');
    expect(await resigned({ nextSeq: 4 })).toBe('bad_commitment');
    const [fault] = offer!.faults!;
    for (const faults of [
      [],
      [{ ...fault!, first: 0 }],
      [{ ...fault!, count: 9 }],
      [{ ...fault!, evidence: 'jobless' as const }],
      [{ ...fault!, evidence: 'none' as const }],
      [{ ...fault!, code: 'stale_race' }],
    ])
      expect(await resigned({ faults })).toBe('bad_commitment');
    expect(await resigned({ refused: [{ first: 1, count: 1 }] })).toBe('bad_commitment');
    expect(await refusal(pair.countersign(state, { ...offer!, shareRoot: seedOf('x') }))).toBe(
      'bad_signature',
    );
    expect(pair.miner.newest).toBeUndefined();
    expect(await resigned({})).toBe('taken');
    expect(await resigned({ nextSeq: 3, shareRoot: seedOf('x') })).toBe('bad_commitment');
    await pair.restart();
    const { signature, shareRoot } = kept.offer;
    expect(pair.miner.disputed).toMatchObject({
      n,
      workHashes,
      why: kept.why,
      offer: { signature, shareRoot },
    });
  });

  it('refuses a fault log with another reason than it was answered, also after a crash', async () => {
    for (const isHeard of [true, false]) {
      const pair = new Pair();
      await pair.work(1);
      await pair.work(1, false, 'share_low', isHeard);
      await pair.work(1);
      await pair.restart();
      const { state, offer } = await pair.sign();
      const lied = offer!.faults!.map((fault) => ({
        ...fault,
        code: 'stale_race',
      })) as unknown as readonly Fault[];
      const head = faultLogHead(EMPTY_FAULT_LOG, lied);
      const { n, workHashes } = state;
      const other = { ...offer!, faults: lied, faultLogHead: head };
      const signature = signCommitment(pair.params, { ...other, n, workHashes }, makerSigner);
      const signed = await refusal(pair.countersign(state, { ...other, signature }));
      expect(signed).toBe(isHeard ? 'bad_commitment' : 'taken');
    }
  });

  it('names what was refused in runs where the other side has no fault logs', async () => {
    const pair = new Pair();
    pair.hasFaultLog = false;
    for (const isTaken of [true, false, false, true, false, true]) await pair.work(1, isTaken);
    const { state, offer } = await pair.sign();
    expect(offer).toMatchObject({
      refused: [
        { first: 1, count: 2 },
        { first: 4, count: 1 },
      ],
    });
    expect(await pair.countersign(state, offer!)).toBeDefined();
  });

  it('signs no commitment that denies what was refused, nor one without a log where both have them', async () => {
    const pair = new Pair();
    await pair.work(1);
    await pair.work(1, false);
    await pair.work(1);
    pair.hasFaultLog = false;
    const first = await pair.sign();
    expect(first.offer).toMatchObject({ refused: [{ first: 1, count: 1 }] });
    pair.hasFaultLog = true;
    expect(await pair.countersign(first.state, first.offer!)).toBeUndefined();
    await pair.work(1);
    const second = await pair.sign();
    expect(second.offer).toMatchObject({ baseN: 0, faults: [{ first: 1, count: 1 }] });
    pair.hasFaultLog = false;
    expect(await refusal(pair.countersign(second.state, second.offer!))).toBe('bad_commitment');
    expect(pair.maker.offerOf(second.state.n, { ...NEWEST, hasFaultLog: false })).toBeUndefined();
    pair.hasFaultLog = true;
    expect(await pair.countersign(second.state, second.offer!)).toBeDefined();
    expect(
      pair.miner.shownTo(new Set(['state_commitments', 'share_weights', 'event_log'])),
    ).not.toHaveProperty('faults');
    expect(pair.miner.shownTo(new Set(['state_commitments', 'fault_log']))).toBeUndefined();
  });

  it('signs no commitment without what shares are credited for, where both can have that signed', async () => {
    const pair = new Pair();
    await pair.work(1);
    pair.isWeighed = false;
    const first = await pair.sign();
    pair.isWeighed = true;
    expect(await pair.countersign(first.state, first.offer!)).toBeUndefined();
    await pair.work(1);
    const second = await pair.sign();
    pair.isWeighed = false;
    expect(pair.maker.offerOf(second.state.n, pair.format)).toBeUndefined();
    expect(await refusal(pair.countersign(second.state, second.offer!))).toBe('bad_commitment');
    pair.isWeighed = true;
    await pair.acked(second.state.n, await pair.countersign(second.state, second.offer!));
    await pair.work(2);
    pair.isWeighed = false;
    const third = await pair.sign();
    expect(third.offer!.weightsHead).toBeUndefined();
    expect(await pair.countersign(third.state, third.offer!)).toBeDefined();
  });

  it('signs the head of the events with each state, where both know it, and no other head', async () => {
    const pair = new Pair();
    await pair.work(1);
    pair.hasEvents = false;
    const first = await pair.sign();
    expect(first.offer!.eventsHead).toBeUndefined();
    await pair.acked(1, await pair.countersign(first.state, first.offer!));
    pair.hasEvents = true;
    await pair.work(1);
    const second = await pair.sign();
    const { contractId, terms } = pair.params;
    // Behind a commitment without a head it begins anew.
    expect(second.offer!.eventsHead).toEqual(headOfState(contractId, terms, undefined, second.state));
    // Signed with another head it is another commitment.
    const other = { ...second.offer!, eventsHead: seedOf('other') };
    expect(await refusal(pair.countersign(second.state, other))).toBe('bad_signature');
    const signature = signCommitment(pair.params, { ...other, ...second.state }, makerSigner);
    expect(await refusal(pair.countersign(second.state, { ...other, signature }))).toBe('bad_commitment');
    await pair.acked(2, await pair.countersign(second.state, second.offer!));
    await pair.work(2);
    const third = await pair.sign();
    const signed = { workHashes: second.state.workHashes, eventsHead: second.offer!.eventsHead! };
    expect(third.offer!.eventsHead).toEqual(headOfState(contractId, terms, signed, third.state));
    // One that is signed is not shown, and one that waits not offered, where it cannot be read.
    const older = new Set(['state_commitments', 'share_weights', 'fault_log'] as const);
    expect(pair.miner.shownTo(older)).toBeUndefined();
    pair.hasEvents = false;
    expect(pair.maker.offerOf(third.state.n, pair.format)).toBeUndefined();
    expect(await refusal(pair.countersign(third.state, third.offer!))).toBe('bad_commitment');
  });

  it('says nothing of a commitment that builds on one it does not have', async () => {
    const pair = new Pair();
    await pair.work(1);
    const first = await pair.sign();
    await pair.acked(1, await pair.countersign(first.state, first.offer!));
    pair.miner = MinerCommitments.create();
    await pair.work(1);
    const next = await pair.sign();
    expect(await pair.countersign(next.state, next.offer!)).toBeUndefined();
  });
});

describe('the maker', () => {
  it('commits to nothing that its own log cannot show', async () => {
    const pair = new Pair();
    await pair.work(1);
    await pair.work(1);
    // More was judged than is credited or known to be refused.
    pair.sent += 1;
    expect((await pair.sign()).offer).toBeUndefined();
    pair.sent -= 1;
    expect((await pair.sign()).offer).toBeDefined();
    // A state of other work, as after a restore.
    const state = signState(pair.params, 3, SHARE_WORK + 1n, makerSigner);
    const basis = { ...pair.source('maker'), params: pair.params, evidenceSeq: 2, nextSeq: 2 };
    expect(await pair.maker.make(basis, state, NEWEST, makerSigner)).toBeUndefined();
  });

  it('reads its log only so far back for one that was never countersigned', async () => {
    const pair = new Pair();
    await pair.work(1);
    const state = signState(pair.params, 1, SHARE_WORK, makerSigner);
    const basis = { ...pair.source('maker'), params: pair.params, evidenceSeq: 262_145, nextSeq: 262_145 };
    const within = { ...basis, evidenceSeq: 262_144, nextSeq: 262_144 };
    expect(await pair.maker.make(basis, state, NEWEST, makerSigner)).toBeUndefined();
    // One less and it looks, and finds that they are not there.
    expect(await refusal(pair.maker.make(within, state, NEWEST, makerSigner))).toBe('ledger_corrupt');
  });

  it('goes on from the commitment of the miner after its own ledger was restored', async () => {
    const pair = new Pair();
    for (const job of [1, 2]) await pair.work(job);
    const { state, offer } = await pair.sign();
    await pair.acked(1, await pair.countersign(state, offer!));
    // The ledger of the maker is an old one, without any of it.
    pair.maker = MakerCommitments.create();
    const shown = pair.miner.newest!;
    await pair.work(2);
    pair.credited = 0;
    const lost = { lastN: 1, nextSeq: 3, evidenceSeq: 0 };
    expect(pair.maker.restored(pair.params, shown, { ...lost, lastN: 2 }).entries).toEqual([]);
    const forged = { ...shown, minerSignature: shown.makerSignature };
    expect(await refusal((async () => pair.maker.restored(pair.params, forged, lost))())).toBe(
      'bad_signature',
    );
    const { entries, done } = pair.maker.restored(pair.params, shown, lost);
    expect(entries).toHaveLength(2);
    done();
    expect(pair.maker.restored(pair.params, shown, lost).entries).toEqual([]);
    // Share 2 was judged and is lost; the next is the first of the new log.
    const makerLog = new MemoryLedger();
    const share = shareOf(3, 2);
    await pair.minerLedger.append([
      { type: 'log', kind: SHARE_KIND, stream: STREAM, first: 3, count: 1, body: packRecords([share]) },
    ]);
    await makerLog.append([
      { type: 'log', kind: SHARE_KIND, stream: STREAM, first: 0, count: 1, body: packRecords([share]) },
    ]);
    const source = { ...pair.source('maker'), ledger: makerLog };
    const next = signState(pair.params, 2, 3n * SHARE_WORK, makerSigner);
    const basis = { ...source, params: pair.params, evidenceSeq: 1, nextSeq: 4 };
    const record = await pair.maker.make(basis, next, NEWEST, makerSigner);
    expect(record).toMatchObject({ baseN: 1, nextSeq: 4, logSeq: 1, faults: [{ first: 2, count: 1 }] });
    expect(record!.faults).toMatchObject([{ code: 'maker_restored', evidence: 'none' }]);
    pair.maker.keep(record);
    pair.sent = 4;
    expect(await pair.countersign(next, pair.maker.offerOf(2, NEWEST)!)).toBeDefined();
  });

  it('takes over a commitment that credits some of what an older copy of its ledger refused', async () => {
    const pair = new Pair();
    for (const job of [1, 2]) await pair.work(job);
    const { state, offer } = await pair.sign();
    await pair.countersign(state, offer!);
    const { contractId } = pair.params;
    pair.maker = MakerCommitments.create();
    const reasons = { code: 'maker_restored', job: jobOf(1), workHashes: SHARE_WORK };
    const refused = [0, 1, 2].map((seq) => ({ seq, share: shareOf(seq, 1), ...reasons }));
    pair.maker.withRefused(contractId, refused).done();
    const lost = { lastN: 1, nextSeq: 3, evidenceSeq: 0 };
    const { entries, done } = pair.maker.restored(pair.params, pair.miner.newest!, lost);
    expect(entries).toHaveLength(2);
    done();
    expect(pair.maker.base).toMatchObject({ n: 1, nextSeq: 2, logSeq: 0 });
  });

  it('takes over what the miner shows of the newest state alone, where it is newer and both signed it', async () => {
    const pair = new Pair();
    for (const job of [1, 2]) await pair.work(job);
    const { state, offer } = await pair.sign();
    const { pending } = pair.maker;
    const signature = (await pair.countersign(state, offer!))!;
    const shown = pair.miner.newest!;
    const now = { lastN: 1, nextSeq: 2, evidenceSeq: 2 };
    const restored = (of: typeof shown, at = now) => pair.maker.restored(pair.params, of, at);
    // Its own offer waits: the signature is all that it lacked.
    const { minerSignature: _none, ...unsigned } = shown;
    expect(restored({ ...unsigned, minerSignature: undefined }).entries).toEqual([]);
    expect(restored(shown, { ...now, lastN: 2 }).entries).toEqual([]);
    expect(restored(shown, { ...now, nextSeq: 1 }).entries).toEqual([]);
    for (const forged of [{ makerSignature: signature }, { minerSignature: shown.makerSignature }])
      expect(await refusal((async () => restored({ ...shown, ...forged }))())).toBe('bad_signature');
    expect(pair.maker.base).toBe(undefined);
    const waited = restored(shown);
    expect(waited.entries.map(({ kind }) => kind)).toEqual(['commitment']);
    waited.done();
    expect([pair.maker.base, pair.maker.pending]).toEqual([
      { ...pending, minerSignature: signature },
      undefined,
    ]);
    // What is known already is nothing new, and nothing older is taken for it.
    expect(restored(shown).entries).toEqual([]);
    await pair.work(2);
    const next = await pair.sign();
    await pair.acked(2, await pair.countersign(next.state, next.offer!));
    expect(restored(shown, { lastN: 1, nextSeq: 3, evidenceSeq: 3 }).entries).toEqual([]);
  });

  it('with another content for a commitment that it has is a proof against both', async () => {
    const pair = new Pair();
    await pair.work(1);
    const { state, offer } = await pair.sign();
    await pair.acked(1, await pair.countersign(state, offer!));
    const held = pair.miner.newest!;
    const twice = (changes: Partial<typeof held>): Promise<string> => {
      const other = { ...held, ...changes };
      const both = {
        ...other,
        makerSignature: signCommitment(pair.params, commitmentOf(other), makerSigner),
        minerSignature: signCommitment(pair.params, commitmentOf(other), minerSigner),
      };
      const now = { lastN: 1, nextSeq: 1, evidenceSeq: 1 };
      return refusal((async () => pair.maker.restored(pair.params, both, now))());
    };
    expect(await twice({})).toBe('taken');
    expect(await twice({ jobSetRoot: seedOf('x') })).toBe('equivocation');
    const tree = new ShareTree();
    tree.append(seedOf('another share'));
    expect(await twice({ tree })).toBe('equivocation');
  });

  it('that judged nothing since has nothing to count as lost', async () => {
    const pair = new Pair();
    await pair.work(1);
    const { state, offer } = await pair.sign();
    await pair.countersign(state, offer!);
    pair.maker = MakerCommitments.create();
    const now = { lastN: 1, nextSeq: 1, evidenceSeq: 0 };
    const { entries, done } = pair.maker.restored(pair.params, pair.miner.newest!, now);
    await pair.makerLedger.append(entries);
    expect(JSON.parse((entries[1] as { readonly body: string }).body)).toEqual({ version: 2, faults: [] });
    done();
    // All of it is on disk, and goes on from there after a start.
    await pair.restart();
    expect(pair.maker.base).toMatchObject({ n: 1, nextSeq: 1, logSeq: 0 });
    expect(pair.maker.withRefused(pair.params.contractId, [])).toMatchObject({ entries: [], bytes: 0 });
  });

  it('reads runs of refused shares of before reasons were kept, so many, and adds to them', async () => {
    const loaded = async (ranges: unknown): Promise<string | undefined> => {
      const pair = new Pair();
      const { contractId } = pair.params;
      const body = JSON.stringify({ version: 1, ranges });
      await pair.makerLedger.append([{ type: 'put', kind: 'refusals', id: contractId, body }]);
      await pair.restart();
      const share = { seq: 9_999, code: 'share_low', share: shareOf(9, 1), job: jobOf(1) };
      const more = pair.maker.withRefused(contractId, [{ ...share, workHashes: SHARE_WORK }]);
      return (more.entries[0] as { readonly body: string } | undefined)?.body;
    };
    const faults = JSON.parse((await loaded([{ first: 1, count: 2 }]))!) as {
      readonly faults: readonly unknown[];
    };
    expect(faults.faults).toHaveLength(2);
    expect(JSON.stringify(faults.faults[0])).toContain('unlogged');
    // Too many of them are none that could be told any more.
    expect(await loaded(null)).toBe(undefined);
  });

  it('commits to nothing once it cannot tell any more what it refused', async () => {
    const pair = new Pair();
    const { contractId } = pair.params;
    const every2nd = Array.from({ length: 2049 }, (_, index) => {
      const share = shareOf(2 * index, 1);
      return { seq: 2 * index, code: 'share_low', share, job: jobOf(1), workHashes: SHARE_WORK };
    });
    const { entries, done } = pair.maker.withRefused(contractId, every2nd);
    await pair.makerLedger.append(entries);
    done();
    await pair.work(1);
    expect((await pair.sign()).offer).toBeUndefined();
    await pair.restart();
    expect((await pair.sign()).offer).toBeUndefined();
  });
});
