import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { CodedError, codeOf } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { signCommitment } from '../../src/channel/commitment.ts';
import type { MeteringTerms } from '../../src/contract/metering.ts';
import { contractIdOf, type TermsV3 } from '../../src/contract/terms.ts';
import { DEFAULT_BATCH_VERIFIER_OPTIONS } from '../../src/maker/batch-verifier.ts';
import { NO_CONTRACT_LUCK } from '../../src/maker/contract-luck.ts';
import { makerJobKey } from '../../src/maker/credit-entries.ts';
import { MakerCommitments } from '../../src/maker/maker-commitments.ts';
import { MakerMeter } from '../../src/maker/maker-meter.ts';
import { ShareVerifier } from '../../src/maker/verification.ts';
import { handler } from '../../src/peer/calls.ts';
import type { CommitmentRecord } from '../../src/peer/commitment-codecs.ts';
import { type FeatureSet, NO_FEATURES } from '../../src/peer/features.ts';
import type { Params, Result } from '../../src/peer/messages.ts';
import { DEFAULT_RPC, RpcPeer } from '../../src/peer/rpc-peer.ts';
import { commitmentEntry, commitmentOf } from '../../src/settlement/commitments.ts';
import { loadMetering, meteringEntry } from '../../src/settlement/metering-records.ts';
import { shareTargetOf } from '../../src/shares/share.ts';
import { jobRecordOf } from '../../src/work/evidence.ts';
import { ShareRows } from '../../src/work/share-rows.ts';
import { MemoryServer } from '../auditor/memory-links.ts';
import { VirtualTime } from '../base/virtual-time.ts';
import { recorder } from '../chain/log-recorder.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';
import { CURRENT, kernel, mine, W, world } from './batch-stand.ts';
import { meteringTerms } from './metering-stand.ts';
import { MortalLedger } from './world.ts';

/** Four shares are a step. */
const STEP = 4n * W;

type Signing = (total: Params<'meter.sign'>) => Promise<Result<'meter.sign'>>;

/** One metering of a maker, with its connections, its time and its disk in hand. */
class Stand {
  readonly time = new VirtualTime();
  readonly terms: MeteringTerms;
  readonly contractId: string;
  readonly ledger: MortalLedger;
  readonly lines = recorder();
  readonly job = world.job();
  readonly peers: RpcPeer[] = [];
  readonly offered: Params<'meter.sign'>[] = [];
  features: FeatureSet = NO_FEATURES;
  meter!: MakerMeter;
  changes = 0;
  ends = 0;
  /** What the miner does with a total that is offered; by default it signs it. */
  sign: Signing | undefined;
  /** What it does when it is told of the end. */
  end: () => Promise<Result<'meter.end'>> = async () => ({});

  constructor(changes: Partial<TermsV3> = {}, store = new MemoryLedger()) {
    this.terms = meteringTerms(world.terms, changes);
    this.contractId = contractIdOf(this.terms);
    this.ledger = new MortalLedger(store);
    this.time.setWall(this.job.time * 1000 - this.time.clock.nowMs());
  }

  async start(): Promise<this> {
    const { terms, contractId, ledger } = this;
    const [minerSignature, makerSignature] = ['00'.repeat(64), '00'.repeat(64)];
    if ((await ledger.get('metering', contractId)) === undefined)
      await ledger.append([
        meteringEntry(contractId, { version: 1, role: 'maker', terms, minerSignature, makerSignature }),
      ]);
    await this.load();
    return this;
  }

  async load(ledger = this.ledger): Promise<void> {
    const { clock, timers } = this.time;
    const options = { ...DEFAULT_BATCH_VERIFIER_OPTIONS, unknownBlockWaitMs: 0 };
    this.meter = (await MakerMeter.load(this.contractId, options, {
      ...{ ledger, clock, timers, log: this.lines.log, signer: world.makerSigner },
      view: { standing: async () => CURRENT },
      verifier: new ShareVerifier({ kernel }),
      onChange: () => {
        this.changes += 1;
      },
    }))!;
  }

  /** One more connection of the miner: what the maker has of it. */
  async connect(): Promise<RpcPeer> {
    const server = new MemoryServer();
    const { timers } = this.time;
    const ends: RpcPeer[] = [];
    const own = (connection: RpcPeer['connection'], isMiner: boolean): void => {
      const peer = new RpcPeer(connection, DEFAULT_RPC, { timers, log: this.lines.log });
      peer.features = this.features;
      peer.serve(isMiner ? this.#handlers : { ping: async () => ({}) }, 'unknown_method');
      ends.push(peer);
    };
    const deps = { timers, log: this.lines.log };
    await server.open({ ...deps, onConnection: (connection) => own(connection, false) }).listen();
    own(await server.connect({} as never, deps as never), true);
    this.peers.push(...ends);
    return ends[0]!;
  }

  get #handlers() {
    return {
      ping: async () => ({}),
      'meter.sign': handler('meter.sign', (total) => {
        this.offered.push(total);
        return (this.sign ?? ((asked) => this.signed(asked)))(total);
      }),
      'meter.end': handler('meter.end', () => {
        this.ends += 1;
        return this.end();
      }),
    };
  }

  /** The commitment of a total as it lies on the maker's disk. */
  async record(n: number): Promise<CommitmentRecord> {
    const { base, pending } = await MakerCommitments.load(this.ledger.store, this.contractId, n);
    return (pending ?? base)!;
  }

  /** The miner's signature of a total. */
  async signed({ n }: { readonly n: number }): Promise<{ readonly signature: string }> {
    const scope = { contractId: this.contractId, terms: this.terms };
    return { signature: signCommitment(scope, commitmentOf(await this.record(n)), world.minerSigner) };
  }

  /** All that goes on without time goes on: writes, lines, and what follows from them. */
  async rest(): Promise<void> {
    for (let turn = 0; turn < 20; turn += 1) await this.time.settle();
  }

  /** Attached over a new connection. */
  async attach(total?: CommitmentRecord): Promise<RpcPeer> {
    const peer = await this.connect();
    const { contractId } = this;
    await this.meter.attach(peer, total === undefined ? { contractId } : { contractId, total });
    await this.rest();
    return peer;
  }

  /** Takes so many real shares. */
  async sell(peer: RpcPeer, count: number): Promise<void> {
    const { contractId, meter, job } = this;
    await meter.announce(peer, { contractId, job: jobRecordOf(job) });
    const firstSeq = meter.delivery.nextSeq;
    await meter.takeBatch(peer, {
      contractId,
      firstSeq,
      shares: ShareRows.of(mine(job, count)),
      workTotal: 0n,
    });
    await this.rest();
  }

  /** Appends that went to the disk while this was done. */
  async appends(work: () => Promise<unknown>): Promise<number> {
    const before = this.ledger.appends;
    await work();
    await this.rest();
    return this.ledger.appends - before;
  }

  get warnings(): unknown[] {
    return this.lines.lines.flatMap(([level, { code }, text]) => (level === 'warn' ? [[code, text]] : []));
  }

  get told(): unknown[] {
    return this.lines.lines.flatMap(([, fields, text]) => (text === 'metering' ? [fields] : []));
  }
}

let stand: Stand;
beforeEach(async () => {
  stand = await new Stand().start();
});
afterEach(async () => {
  for (const peer of stand.peers) peer.close();
  await stand.meter.stop();
});

describe('a miner that attaches', () => {
  it('hears where the metering stands before anything is offered to it', async () => {
    const peer = await stand.connect();
    const { meter, contractId } = stand;
    const answer = meter.attach(peer, { contractId });
    expect(await answer).toEqual({ nextSeq: 0, verifiedWork: 0n, isEnded: false });
    expect([meter.connected, meter.state.isConnected]).toEqual([true, false]);
    await stand.rest();
    expect(meter.state.isConnected).toBe(true);
    await stand.sell(peer, 5);
    expect(await meter.attach(peer, { contractId })).toEqual({
      ...{ nextSeq: 5, verifiedWork: 5n * W, isEnded: false },
    });
    // The same connection is no other, and hears of it anew.
    expect([peer.isClosed, meter.state.isConnected]).toEqual([false, false]);
    await stand.rest();
    expect(meter.state.isConnected).toBe(true);
  });

  it('anew has its older connection closed, whose end is none of the newer', async () => {
    const [older, newer] = [await stand.attach(), await stand.attach()];
    expect([older.isClosed, newer.isClosed, stand.meter.connected]).toEqual([true, false, true]);
    expect(stand.meter.state.isConnected).toBe(true);
    const { contractId, meter } = stand;
    const job = jobRecordOf(stand.job);
    expect(await meter.announce(older, { contractId, job }).catch(codeOf)).toBe('protocol');
    const batch = { contractId, firstSeq: 0, shares: ShareRows.empty(0), workTotal: 0n };
    expect(await meter.takeBatch(older, batch).catch(codeOf)).toBe('protocol');
    expect(await meter.end(older).catch(codeOf)).toBe('protocol');
    expect(await meter.announce(newer, { contractId, job })).toEqual({});
    newer.close();
    await stand.rest();
    expect([stand.meter.connected, stand.meter.state.isConnected]).toEqual([false, false]);
  });

  it('and is gone before its turn is not connected', async () => {
    const peer = await stand.connect();
    await stand.meter.attach(peer, { contractId: stand.contractId });
    const other = await stand.connect();
    await stand.meter.attach(other, { contractId: stand.contractId });
    other.close();
    await stand.rest();
    expect([stand.meter.connected, stand.meter.state.isConnected]).toEqual([false, false]);
  });

  it('is told of to who watches as it comes, and as it goes, and not by each batch', async () => {
    const seen = async (work: () => unknown): Promise<number> => {
      const before = stand.changes;
      await work();
      await stand.rest();
      return stand.changes - before;
    };
    let peer!: RpcPeer;
    expect(
      await seen(async () => {
        peer = await stand.attach();
      }),
    ).toBe(1);
    expect(await seen(() => stand.sell(peer, 3))).toBe(0);
    // A step: it is offered.
    expect(await seen(() => stand.sell(peer, 1))).toBe(1);
    expect(stand.meter.state.signed).toEqual({ n: 1, workHashes: STEP });
    expect(await seen(() => peer.close())).toBe(1);
  });

  it('is one that was heard of, by each batch and each touch, while it is connected', async () => {
    const { meter, time } = stand;
    const at = (): number | undefined => meter.batchVerifier.contactAtMonotonicMs;
    const before = at();
    await time.advance(1_000);
    meter.touch();
    expect(at()).toBe(before);
    const peer = await stand.attach();
    expect(at()).toBe(1_000);
    await time.advance(1_000);
    meter.touch();
    expect(at()).toBe(2_000);
    await time.advance(1_000);
    await stand.sell(peer, 1);
    expect(at()).toBe(3_000);
    peer.close();
    await stand.rest();
    await time.advance(1_000);
    meter.touch();
    expect(at()).toBe(3_000);
  });
});

describe('a total', () => {
  it('is on disk before it is offered, and so is its signature before the next', async () => {
    const written: string[] = [];
    const given: string[] = [];
    stand.ledger.deathAt = (entries) => {
      written.push(entries.map(({ kind }) => kind).join(' '));
      return undefined;
    };
    stand.sign = async (total) => {
      written.push(`offered ${total.n} of ${total.workHashes / W}`);
      const answer = await stand.signed(total);
      given.push(answer.signature);
      return answer;
    };
    const peer = await stand.attach();
    await stand.sell(peer, 5);
    expect(written.slice(-3)).toEqual([...['commitment metered', 'offered 1 of 5', 'commitment metered']]);
    expect(stand.meter.state).toMatchObject({ signed: { n: 1, workHashes: 5n * W }, isOffered: false });
    expect((await stand.record(1)).minerSignature).toBe(given[0]);
    await stand.sell(peer, 4);
    expect(stand.meter.state.signed).toEqual({ n: 2, workHashes: 9n * W });
    // So it is after a start.
    const { meter } = stand;
    await stand.load();
    expect(stand.meter.state).toEqual({ ...meter.state, isConnected: false });
    expect(stand.meter.delivery).toEqual(meter.delivery);
  });

  it.each([
    ['by its code', () => Promise.reject(new CodedError('over_budget')), 'over_budget'],
    ['without a signature', () => Promise.resolve({}), 'bad_commitment'],
    ['by a signature of nobody', () => Promise.resolve({ signature: '22'.repeat(64) }), 'bad_signature'],
  ] as const)(
    'that the miner refuses %s is said, and offered by the next connection as it is',
    async (_, sign, code) => {
      stand.sign = sign;
      let peer = await stand.attach();
      await stand.sell(peer, 5);
      expect(stand.warnings).toEqual([[code, 'a total is not signed by both']]);
      expect(stand.meter.state).toMatchObject({ isRefused: true, isOffered: false, signed: { n: 0 } });
      await stand.sell(peer, 5);
      expect(stand.offered).toHaveLength(1);
      stand.sign = undefined;
      peer = await stand.attach();
      expect(stand.offered[1]).toEqual(stand.offered[0]);
      // And what came since by the next.
      expect(stand.offered.map(({ n, workHashes }) => [n, workHashes / W])).toEqual([
        ...[
          [1, 5n],
          [1, 5n],
          [2, 10n],
        ],
      ]);
    },
  );

  it('that was made for another format is made anew of the same work', async () => {
    stand.features = new Set(['fault_log']);
    stand.sign = () => Promise.reject(new CodedError('over_budget'));
    await stand.sell(await stand.attach(), 5);
    const first = stand.offered[0]!;
    expect(first.commitment.faults).toEqual([]);
    stand.features = new Set();
    const peer = await stand.attach();
    await stand.sell(peer, 1);
    const second = stand.offered[1]!;
    expect([second.n, second.workHashes, second.commitment.faults]).toEqual([1, 5n * W, undefined]);
    expect(second.commitment.shareRoot).toEqual(first.commitment.shareRoot);
    // One of the same format is as it was: nothing is written.
    expect(await stand.appends(() => stand.attach())).toBe(0);
    expect(stand.offered[2]).toEqual(second);
    stand.sign = undefined;
    stand.features = new Set(['fault_log']);
    await stand.attach();
    expect(stand.meter.state.signed).toEqual({ n: 1, workHashes: 5n * W });
  });

  it('is not made where the own log lacks shares of it', async () => {
    const peer = await stand.attach();
    Object.assign(stand.meter, { delivery: { ...stand.meter.delivery, nextSeq: 3 } });
    await stand.sell(peer, 5);
    expect(stand.warnings).toEqual([['bad_commitment', 'a total is not signed by both']]);
    expect(stand.offered).toEqual([]);
  });

  it('that the disk has no room for is offered by the next connection', async () => {
    let peer = await stand.attach();
    stand.ledger.deathAt = (entries) =>
      entries.some(({ kind }) => kind === 'commitment') ? 'refused' : undefined;
    await stand.sell(peer, 5);
    expect([stand.warnings, stand.offered]).toEqual([[['overload', 'a total is not signed by both']], []]);
    stand.ledger.deathAt = () => undefined;
    peer = await stand.attach();
    expect(stand.meter.state.signed).toEqual({ n: 1, workHashes: 5n * W });
    peer.close();
  });

  it('is of so many shares of the easiest target at most: more comes in several, which the end waits for', async () => {
    stand = await new Stand({ workTotalHashes: 10n ** 9n }).start();
    const peer = await stand.attach();
    const { contractId, job, meter } = stand;
    await meter.announce(peer, { contractId, job: jobRecordOf(job) });
    const large = shareTargetOf((2 ** -11 * 65_535) / 65_536);
    const most = BigInt(LIMITS.commitmentShares) * W;
    expect(most).toBe(2n * large.workHashes);
    const shares = mine(job, 5).map((share, at) => ({
      ...share,
      ...{ difficulty: large.difficulty, hash: new Uint8Array(32).fill(at) },
    }));
    await meter.credit({
      ...{
        shares: ShareRows.of(shares),
        workHashes: 5n * large.workHashes,
        jobs: [jobRecordOf(job)],
        nextSeq: 5,
      },
      ...{ refused: [], ownWorkHashes: 0n, counts: [], luck: NO_CONTRACT_LUCK },
    });
    await meter.takeBatch(peer, { contractId, firstSeq: 5, shares: ShareRows.empty(0), workTotal: 0n });
    await meter.end(peer);
    expect(stand.offered.map(({ n, workHashes }) => [n, workHashes / large.workHashes])).toEqual([
      ...[
        [1, 2n],
        [2, 4n],
        [3, 5n],
      ],
    ]);
    expect(meter.state).toMatchObject({ status: 'ended', signed: { n: 3 } });
  });

  it('that is due while nobody is there waits for who comes', async () => {
    const peer = await stand.attach();
    stand.sign = () => new Promise(() => {});
    await stand.sell(peer, 5);
    peer.close();
    await stand.rest();
    expect(stand.meter.state).toMatchObject({ isOffered: false, signed: { n: 0 } });
    stand.sign = undefined;
    await stand.attach();
    expect(stand.meter.state.signed).toEqual({ n: 1, workHashes: 5n * W });
  });
});

describe('the end', () => {
  const stored = async () => {
    const { status, reason, n } = (await loadMetering(stand.ledger.store, stand.contractId))!;
    return { status, reason, n };
  };

  it('asked for while the miner is away is at once, on disk, and once', async () => {
    expect(await stored()).toEqual({ status: 'live', reason: undefined, n: 0 });
    await stand.meter.requestEnd();
    expect(stand.meter.state).toMatchObject({ status: 'ended', reason: 'asked' });
    expect(await stored()).toEqual({ status: 'ended', reason: 'asked', n: 0 });
    expect(stand.told).toEqual([
      { contract: stand.contractId, type: 'ending', reason: 'asked' },
      { contract: stand.contractId, type: 'ended' },
    ]);
    expect([await stand.appends(() => stand.meter.requestEnd()), stand.ends]).toEqual([0, 0]);
    await stand.load();
    expect(stand.meter.state).toMatchObject({ status: 'ended', reason: 'asked' });
    const peer = await stand.connect();
    const { contractId } = stand;
    expect(await stand.meter.attach(peer, { contractId })).toMatchObject({ isEnded: true });
    expect(await stand.sell(peer, 1).catch(codeOf)).toBe('wrong_status');
    expect(stand.meter.delivery.nextSeq).toBe(0);
  });

  it('asked for while the miner is there is told to it, which delivers and ends', async () => {
    const peer = await stand.attach();
    await stand.sell(peer, 2);
    const { meter } = stand;
    await meter.requestEnd();
    await stand.rest();
    expect([stand.ends, meter.state.status]).toEqual([1, 'ending']);
    expect(await stored()).toMatchObject({ status: 'ending', reason: 'asked', n: 1 });
    await stand.sell(peer, 1);
    expect(await meter.end(peer)).toEqual({});
    expect(meter.state).toMatchObject({ status: 'ended', signed: { workHashes: 3n * W } });
    expect(await stored()).toEqual({ status: 'ended', reason: 'asked', n: 2 });
    // Once is enough.
    expect(await stand.appends(() => meter.end(peer))).toBe(0);
  });

  it('that the miner does not take is an error to who asked for it; it stays asked for', async () => {
    await stand.attach();
    stand.end = () => Promise.reject(new CodedError('overload'));
    expect(await stand.meter.requestEnd().catch(codeOf)).toBe('overload');
    expect(stand.meter.state.status).toBe('ending');
  });

  it('of a miner waits until the rest is signed, refused, or nobody is there to sign it', async () => {
    const waiting = Promise.withResolvers<void>();
    stand.sign = async (total) => {
      await waiting.promise;
      return stand.signed(total);
    };
    const peer = await stand.attach();
    await stand.sell(peer, 3);
    let isOver = false;
    const ended = stand.meter.end(peer).then(() => {
      isOver = true;
    });
    await stand.rest();
    expect([isOver, stand.meter.state.status, stand.offered.length]).toEqual([false, 'ending', 1]);
    waiting.resolve();
    await ended;
    expect(stand.meter.state).toMatchObject({ status: 'ended', signed: { n: 1, workHashes: 3n * W } });

    stand = await new Stand().start();
    stand.sign = () => new Promise(() => {});
    const gone = await stand.attach();
    await stand.sell(gone, 3);
    const left = stand.meter.end(gone);
    await stand.rest();
    gone.close();
    await left;
    expect(stand.meter.state).toMatchObject({ status: 'ended', signed: { n: 0 } });
    // The number of the total that was offered and not signed is kept.
    expect(await stored()).toEqual({ status: 'ended', reason: 'asked', n: 1 });
  });

  it('comes with its height, is told once, and that it was not heard is said', async () => {
    const at = 8;
    for (const answer of [async () => ({}), () => Promise.reject(new CodedError('overload'))]) {
      stand = await new Stand({ expiryHeight: at, fundingByHeight: 7 }).start();
      stand.end = answer;
      await stand.attach();
      stand.meter.onTip(at - 1);
      await stand.rest();
      expect([stand.meter.state.status, stand.ends]).toEqual(['live', 0]);
      stand.meter.onTip(at);
      stand.meter.onTip(at + 1);
      await stand.rest();
      expect(stand.meter.state).toMatchObject({ status: 'ending', reason: 'expiry' });
      expect(stand.ends).toBe(1);
    }
    expect(stand.warnings).toEqual([['overload', 'the end was not heard by the miner']]);
    // With nobody there it is over.
    stand = await new Stand({ expiryHeight: at, fundingByHeight: 7 }).start();
    stand.meter.onTip(at);
    await stand.rest();
    expect(await stored()).toEqual({ status: 'ended', reason: 'expiry', n: 0 });
    const changes = stand.changes;
    stand.meter.onTip(at + 1);
    expect(stand.changes).toBe(changes);
  });

  it('comes with the total of the work', async () => {
    stand = await new Stand({ workTotalHashes: 2n * STEP }).start();
    const peer = await stand.attach();
    await stand.sell(peer, 9);
    expect(stand.meter.state).toMatchObject({
      ...{ status: 'ending', reason: 'work_total', signed: { workHashes: 2n * STEP } },
    });
    await stand.meter.end(peer);
    expect(await stored()).toMatchObject({ status: 'ended', reason: 'work_total' });
  });

  it('of the program waits for what is under way', async () => {
    const peer = await stand.attach();
    const { contractId, job, meter } = stand;
    await meter.announce(peer, { contractId, job: jobRecordOf(job) });
    void meter.takeBatch(peer, {
      contractId,
      firstSeq: 0,
      shares: ShareRows.of(mine(job, 2)),
      workTotal: 0n,
    });
    await meter.stop();
    expect(meter.delivery.nextSeq).toBe(2);
  });
});

describe('a batch', () => {
  it('is on disk with its job, its shares and what was refused', async () => {
    const peer = await stand.attach();
    const { contractId, job, meter } = stand;
    await meter.announce(peer, { contractId, job: jobRecordOf(job) });
    const [good, bad] = mine(job, 2);
    const shares = ShareRows.of([good!, { ...bad!, version: bad!.version ^ 1 }]);
    const result = await meter.takeBatch(peer, { contractId, firstSeq: 0, shares, workTotal: 9n * W });
    expect(result.refused.map(({ seq }) => seq)).toEqual([1]);
    expect(meter.delivery).toMatchObject({ nextSeq: 2, verifiedWorkHashes: W, ownWorkHashes: 9n * W });
    expect(await meter.storedJob(job.id)).toBe(
      await stand.ledger.get('job', makerJobKey(contractId, job.id)),
    );
    expect(await meter.storedJob(job.id)).not.toBe(undefined);
    expect(await stand.ledger.get('refusals', contractId)).toContain('share_bad');
    const { delivery } = meter;
    await stand.load();
    expect(stand.meter.delivery).toEqual(delivery);
    expect(stand.meter.state.workHashes).toBe(W);
  });

  it('that the disk has no room for changes nothing, and is taken when it comes again', async () => {
    const peer = await stand.attach();
    const { contractId, job, meter } = stand;
    await meter.announce(peer, { contractId, job: jobRecordOf(job) });
    const batch = { contractId, firstSeq: 0, shares: ShareRows.of(mine(job, 3)), workTotal: 0n };
    const { delivery } = meter;
    stand.ledger.deathAt = () => 'refused';
    expect(await meter.takeBatch(peer, batch).catch(codeOf)).toBe('overload');
    expect([meter.delivery, meter.state.workHashes]).toEqual([delivery, 0n]);
    stand.ledger.deathAt = () => undefined;
    await meter.takeBatch(peer, batch);
    expect(meter.state.workHashes).toBe(3n * W);
    await stand.sell(peer, 1);
    expect(meter.state.signed).toEqual({ n: 1, workHashes: 4n * W });
  });

  it('says how many bytes were written for refused shares', async () => {
    const peer = await stand.attach();
    const { contractId, job, meter } = stand;
    await meter.announce(peer, { contractId, job: jobRecordOf(job) });
    const credit = {
      ...{
        shares: ShareRows.empty(0),
        workHashes: 0n,
        jobs: [],
        refused: [],
        ownWorkHashes: 0n,
        counts: [],
      },
      ...{ nextSeq: 1, luck: NO_CONTRACT_LUCK },
    };
    expect(await meter.credit(credit)).toBe(0);
    const [share] = mine(job, 1);
    const refused = [{ seq: 1, code: 'share_low', share: share!, job: undefined, workHashes: W }];
    const bytes = await meter.credit({ ...credit, nextSeq: 2, refused });
    expect(bytes).toBe((await stand.ledger.get('refusals', contractId))!.length);
  });
});

describe('the newest total of a miner', () => {
  /** What both signed before the maker lost its ledger, or a part of it. */
  async function signedOf(shares: number): Promise<{ total: CommitmentRecord; older: Stand }> {
    const older = stand;
    const peer = await older.attach();
    await older.sell(peer, shares);
    const total = await older.record(older.meter.state.signed.n);
    return { total, older };
  }
  const compare = (total: CommitmentRecord): Promise<unknown> =>
    stand.connect().then((peer) => stand.meter.attach(peer, { contractId: stand.contractId, total }));

  it('that the maker lost is taken over with its work, and the shares behind it never counted again', async () => {
    const { total } = await signedOf(5);
    stand = await new Stand().start();
    expect(await compare(total)).toEqual({ nextSeq: 5, verifiedWork: 5n * W, isEnded: false });
    await stand.rest();
    expect(stand.meter.state).toMatchObject({ workHashes: 5n * W, signed: { n: 1, workHashes: 5n * W } });
    const { delivery, state } = stand.meter;
    await stand.load();
    expect([stand.meter.delivery, stand.meter.state]).toEqual([
      ...[delivery, { ...state, isConnected: false }],
    ]);
    // The next builds on it.
    const peer = await stand.attach(total);
    await stand.sell(peer, 4);
    expect(stand.offered.at(-1)).toMatchObject({ n: 2, workHashes: 9n * W, commitment: { baseN: 1 } });
    expect(stand.meter.state.signed.n).toBe(2);
  });

  it('that is known here changes nothing', async () => {
    const { total } = await signedOf(5);
    const { state, delivery } = stand.meter;
    expect(await stand.appends(() => compare(total))).toBe(0);
    expect([stand.meter.state, stand.meter.delivery]).toEqual([state, delivery]);
  });

  it('that the maker has, and the signature of the miner not, is signed by it', async () => {
    const older = stand;
    older.sign = () => Promise.reject(new CodedError('overload'));
    const peer = await older.attach();
    await older.sell(peer, 5);
    await older.sell(peer, 1);
    const { signature } = await older.signed({ n: 1 });
    const total = { ...(await older.record(1)), minerSignature: signature };
    peer.close();
    await older.rest();
    const written: string[] = [];
    older.ledger.deathAt = (entries) => {
      written.push(entries.map(({ kind }) => kind).join(' '));
      return undefined;
    };
    await compare(total);
    expect(written).toEqual(['commitment metered']);
    await older.rest();
    expect(stand.meter.state).toMatchObject({ workHashes: 6n * W, signed: { n: 1, workHashes: 5n * W } });
    // Its shares were not lost: no delivery is set back.
    expect(stand.meter.delivery).toMatchObject({ nextSeq: 6, verifiedWorkHashes: 6n * W });
    expect((await stand.record(1)).minerSignature).toBe(signature);
  });

  it('up to the last share that was judged here is no loss', async () => {
    stand.sign = () => Promise.reject(new CodedError('overload'));
    const peer = await stand.attach();
    await stand.sell(peer, 5);
    const { signature } = await stand.signed({ n: 1 });
    const total = { ...(await stand.record(1)), minerSignature: signature };
    const written: string[] = [];
    stand.ledger.deathAt = (entries) => {
      written.push(entries.map(({ kind }) => kind).join(' '));
      return undefined;
    };
    await compare(total);
    expect(written).toEqual(['commitment metered']);
  });

  it('is taken from nobody else: another signature, another content, or a disk without room', async () => {
    const { total } = await signedOf(5);
    expect(await compare({ ...total, makerSignature: '33'.repeat(64) }).catch(codeOf)).toBe(
      'bad_signature',
    );
    expect(await compare({ ...total, workHashes: 4n * W }).catch(codeOf)).toBe('bad_signature');
    stand = await new Stand().start();
    stand.ledger.deathAt = () => 'refused';
    expect(await compare(total).catch(codeOf)).toBe('overload');
    expect([stand.meter.delivery.nextSeq, stand.meter.state.workHashes, stand.meter.connected]).toEqual([
      ...[0, 0n, false],
    ]);
    stand.ledger.deathAt = () => undefined;
    expect(await compare({ ...total, minerSignature: '33'.repeat(64) }).catch(codeOf)).toBe(
      'bad_signature',
    );
    expect(stand.meter.delivery.nextSeq).toBe(0);
    const forged = { ...total, makerSignature: '33'.repeat(64), minerSignature: undefined };
    expect(await compare(forged).catch(codeOf)).toBe('bad_signature');
    // Without the miner's own signature it proves nothing.
    expect(await compare({ ...total, minerSignature: undefined })).toMatchObject({ nextSeq: 0 });
    expect(await compare(total)).toMatchObject({ nextSeq: 5 });
  });

  it('and the number of the newest on disk follow from the ledger alone', async () => {
    const { total, older } = await signedOf(5);
    const store = new MemoryLedger();
    stand = new Stand({}, store);
    await stand.start();
    await stand.ledger.append([commitmentEntry(stand.contractId, total)]);
    await stand.load();
    expect(stand.meter.state.signed).toEqual({ n: 1, workHashes: 5n * W });
    expect(toHex(total.tree.root())).toBe(toHex((await older.record(1)).tree.root()));
  });
});

it('a metering that the ledger does not have is none', async () => {
  await stand.load(new MortalLedger(new MemoryLedger()));
  expect(stand.meter).toBe(undefined);
  await stand.load();
});
