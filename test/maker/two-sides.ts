import { fromHex } from '../../src/base/bytes.ts';
import type { Clock } from '../../src/base/clock.ts';
import { sha256 } from '../../src/base/hash.ts';
import { buildCoinbase } from '../../src/bitcoin/coinbase.ts';
import { displayHash } from '../../src/bitcoin/header.ts';
import { targetToHex } from '../../src/bitcoin/target.ts';
import type { ChainHeader, ChainSource, ChainTip } from '../../src/chain/source.ts';
import { TipTracker } from '../../src/chain/tip-tracker.ts';
import { type ContractTerms, contractIdOf, type TermsV1or2 } from '../../src/contract/terms.ts';
import { termsV3From } from '../../src/contract/terms-upgrade.ts';
import type { SentJob } from '../../src/downstream/session/prepared-job.ts';
import { extranonceOf, refusalOf } from '../../src/downstream/session/submit-checks.ts';
import type { Job } from '../../src/jobs/job.ts';
import { JobTable } from '../../src/jobs/job-table.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { BatchVerifier, DEFAULT_BATCH_VERIFIER_OPTIONS } from '../../src/maker/batch-verifier.ts';
import { coinbaseBinding } from '../../src/maker/job-binding.ts';
import { MakerStore, makerJobKey } from '../../src/maker/maker-store.ts';
import { ShareVerifier } from '../../src/maker/verification.ts';
import { blobsInMemory } from '../../src/settlement/peer-blobs.ts';
import { type ContractRecord, contractEntry } from '../../src/settlement/records.ts';
import { DuplicateSet } from '../../src/shares/duplicates.ts';
import { ShareEngine } from '../../src/shares/engine.ts';
import type { ShareKernel } from '../../src/shares/kernel/kernel.ts';
import { ntimeInWindow, SELLER_FUTURE_SECONDS } from '../../src/shares/rules.ts';
import { type AcceptedShare, type Submission, shareTargetOf } from '../../src/shares/share.ts';
import { NO_VERSION_BITS, SubmitFields } from '../../src/stratum/submit-parser.ts';
import {
  BIP323_VERSION_MASK,
  DEFAULT_VERSION_MASK,
  rolledVersion,
} from '../../src/stratum/version-rolling.ts';
import { jobRecordOf, SharePacker } from '../../src/work/evidence.ts';
import { rememberShares } from '../../src/work/recent-shares.ts';
import { ShareRows } from '../../src/work/share-rows.ts';
import { VirtualTime } from '../base/virtual-time.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';
import { SeededRandom } from '../sim/random.ts';
import { MAKER_SCRIPT_HEX, World } from './world.ts';

/** One hash in two is a share. */
const SHARE = shareTargetOf(2 ** -31);
/** What a proxy grants after a clean job (`mining.ts`). */
const PROXY_GRACE_MS = 500;
const CLOCK_ERROR_MS = 60_000;
const BLOCK_SECONDS = 600;
const SESSION_ID = 7;
const MASKS = [0, DEFAULT_VERSION_MASK, BIP323_VERSION_MASK];
const world = new World();

type Block = {
  /** Internal order. */
  readonly hash: Uint8Array;
  readonly height: number;
  readonly parent: Block | undefined;
  readonly timeSeconds: number;
};

/** What one party knows of the chain. */
class View {
  readonly known = new Map<string, Block>();
  tip: Block;

  constructor(genesis: Block) {
    this.tip = genesis;
    this.known.set(displayHash(genesis.hash), genesis);
  }

  /** @returns true where it is the new tip: of equal height the first one stays */
  hear(block: Block): boolean {
    this.known.set(displayHash(block.hash), block);
    if (block.height <= this.tip.height) return false;
    this.tip = block;
    return true;
  }

  /** A header that is known, before its block is. */
  header(block: Block): ChainHeader {
    const { hash, height, parent, timeSeconds } = block;
    let next: Block | undefined;
    let at: Block | undefined = this.tip;
    for (; at !== undefined && at.height > height; at = at.parent) next = at;
    const isOnChain = at === block;
    return {
      ...{ height, timeSeconds, bits: 0x207fffff, hash: displayHash(hash) },
      previousHash: parent === undefined ? '00'.repeat(32) : displayHash(parent.hash),
      confirmations: isOnChain ? this.tip.height - height + 1 : -1,
      ...(isOnChain && next !== undefined ? { nextHash: displayHash(next.hash) } : {}),
    };
  }
}

export type Disagreement = { readonly code: string; readonly detail: string };

export type Outcome = {
  acked: number;
  credited: number;
  /** Acked shares that were not credited, by code. */
  readonly refused: Record<string, number>;
  readonly samples: Disagreement[];
  blocks: number;
  forks: number;
  restarts: number;
  outages: number;
};

export type Circumstances = {
  readonly staleGraceSeconds: number;
  /** The most by which one side hears of a block after it was found, ms. */
  readonly blockLagMs: number;
  /** One block in so many has a rival. */
  readonly forksOneIn: number;
};

/**
 * A proxy and a maker that are honest, with nothing alike but the terms: each has its own clock, up to a
 * minute wrong and set now and then, and its own view of the chain. Miners send what the proxy may take at
 * all, ntime and version at their limits too. The proxy's half are the checks of a session, the job table
 * and the share engine; the maker's is its verifier of batches on a ledger that outlives restarts.
 */
export class TwoSides {
  readonly outcome: Outcome = {
    ...{ acked: 0, credited: 0, refused: {}, samples: [] },
    ...{ blocks: 0, forks: 0, restarts: 0, outages: 0 },
  };
  readonly #random: SeededRandom;
  readonly #time = new VirtualTime();
  readonly #kernel: ShareKernel;
  readonly #with: Circumstances;
  readonly #terms: ContractTerms;
  readonly #contractId: string;
  readonly #ledger: MemoryLedger;
  readonly #genesis: Block;
  readonly #makerView: View;
  readonly #poolView: View;
  /** Headers that the maker's node has before their blocks. */
  readonly #headers = new Map<string, Block>();
  readonly #table: JobTable;
  readonly #engine: ShareEngine<Submission>;
  readonly #jobs: Job[] = [];
  readonly #announced = new Set<number>();
  readonly #versionMask: number;
  readonly #isOwnExtranonce: boolean;
  readonly #pending: AcceptedShare[] = [];
  readonly #last: Submission[] = [];
  #proxyErrorMs = 0;
  #makerErrorMs = 0;
  #poolErrorMs = 0;
  #openHashes = 0n;
  #maker!: { batches: BatchVerifier; view: TipTracker; store: MakerStore };
  #isLinked = false;
  #isBusy = false;
  #sentSeq = 0;
  #template = 0;
  /** What ended a batch or a start that should not have failed. */
  #fault: unknown;
  #nonce = 0;
  /** Until the maker has heard of the newest block. */
  #newsUntilMs = 0;

  constructor(seed: number, kernel: ShareKernel, circumstances: Circumstances) {
    this.#random = new SeededRandom(seed);
    this.#kernel = kernel;
    this.#with = circumstances;
    const terms: TermsV1or2 = {
      ...world.terms,
      maxTargetHex: targetToHex(SHARE.target),
      staleGraceSeconds: circumstances.staleGraceSeconds,
      priceMsatPerEh: 10n ** 15n,
      workTotalHashes: 10n ** 9n,
      stepHashes: 50n * SHARE.workHashes,
      maxUnpaidSteps: 3,
    };
    this.#terms = this.#random.once(2) ? termsV3From(terms, 500) : terms;
    this.#contractId = contractIdOf(this.#terms);
    this.#ledger = new MemoryLedger({}, { clock: this.#makerClock, timers: this.#time.timers });
    this.#genesis = this.#block(undefined, 0);
    this.#makerView = new View(this.#genesis);
    this.#poolView = new View(this.#genesis);
    this.#versionMask = this.#random.pick(MASKS);
    this.#isOwnExtranonce = this.#random.once(4);
    this.#table = new JobTable({
      ...{ run: 1, sessionIdSize: 4, minerExtranonce2Size: 4, versionMask: this.#versionMask },
      staleGraceMs: PROXY_GRACE_MS,
    });
    this.#engine = new ShareEngine<Submission>(
      {},
      {
        ...{ kernel, duplicates: new DuplicateSet({ maxHashes: 1_000_000 }), log: silentLogger },
        ...{ clock: this.#time.clock, timers: this.#time.timers },
        isStale: (job) => this.#table.isStale(job, this.#now),
        // As the gate of the miner's half does: no more than may be unpaid.
        admits: () => this.#openHashes < 3n * this.#terms.stepHashes,
        forward: () => {},
        commit: async (shares) => this.#take(shares),
        settle: () => {},
      },
    );
    for (const side of ['proxy', 'maker', 'pool'] as const) this.#setClock(side);
  }

  /** Runs until so many shares were acked. */
  async run(shares: number): Promise<Outcome> {
    const stored = this.#ledger.append([contractEntry(this.#contractId, this.#contract)]);
    await this.#time.settle();
    await stored;
    await this.#startMaker();
    this.#link();
    this.#newJob();
    for (let step = 0; this.outcome.acked < shares && step < 20 * shares; step += 1) {
      await this.#time.advance(1 + this.#random.below(2000));
      this.#happen();
      for (let count = this.#random.below(4); count > 0; count -= 1) this.#submit();
      await this.#time.settle();
      if (this.#fault !== undefined) throw this.#fault;
    }
    if (!this.#isLinked) this.#link();
    for (let wait = 0; wait < 200 && (this.#pending.length > 0 || this.#isBusy); wait += 1)
      await this.#time.advance(5_000);
    return this.outcome;
  }

  #failed(error: unknown): void {
    this.#fault = error;
  }

  get #now(): number {
    return this.#time.clock.monotonicMs();
  }

  get #proxyClock(): Clock {
    const { clock } = this.#time;
    return { monotonicMs: clock.monotonicMs, nowMs: () => clock.nowMs() + this.#proxyErrorMs };
  }

  get #makerClock(): Clock {
    const { clock } = this.#time;
    return { monotonicMs: clock.monotonicMs, nowMs: () => clock.nowMs() + this.#makerErrorMs };
  }

  get #contract(): ContractRecord {
    const signatures = { minerSignature: '00'.repeat(64), makerSignature: '00'.repeat(64) };
    return { version: 1, role: 'maker', channelIndex: 0, terms: this.#terms, ...signatures };
  }

  #setClock(side: 'proxy' | 'maker' | 'pool'): void {
    const error = this.#random.once(4)
      ? this.#random.pick([-CLOCK_ERROR_MS, CLOCK_ERROR_MS])
      : this.#random.below(2 * CLOCK_ERROR_MS + 1) - CLOCK_ERROR_MS;
    if (side === 'proxy') this.#proxyErrorMs = error;
    else if (side === 'maker') this.#makerErrorMs = error;
    else this.#poolErrorMs = error;
  }

  /** What may happen in a step beside shares. */
  #happen(): void {
    const random = this.#random;
    if (random.once(BLOCK_SECONDS)) this.#mineBlock(this.#makerView.tip, this.#with.forksOneIn);
    if (random.once(30)) this.#newJob();
    if (random.once(60)) {
      const job = this.#table.refresh('pool', this.#now);
      if (job !== undefined) this.#jobs.push(job);
    }
    if (random.once(3000)) this.#setClock(random.pick(['proxy', 'maker', 'pool'] as const));
    if (random.once(1500) && this.#isLinked) this.#loseLink(random.once(2));
    this.#table.expire(this.#now);
    while (this.#jobs.length > 0 && !this.#table.isKnown(this.#jobs[0]!)) this.#jobs.shift();
  }

  #block(parent: Block | undefined, agoMs: number): Block {
    const hash = sha256(this.#random.bytes(16));
    const timeSeconds = Math.floor((this.#time.clock.nowMs() + this.#poolErrorMs - agoMs) / 1000);
    return { hash, height: (parent?.height ?? 99) + 1, parent, timeSeconds };
  }

  #mineBlock(parent: Block, forksOneIn: number): void {
    const random = this.#random;
    // One that is found before all heard of the one before is its rival, and no more frequent than others.
    const isRival = this.#now <= this.#newsUntilMs;
    if (isRival && !random.once(forksOneIn)) return;
    const rivals = !isRival && random.once(forksOneIn) ? 2 : 1;
    this.outcome.blocks += 1;
    if (isRival || rivals === 2) this.outcome.forks += 1;
    for (let rival = 0; rival < rivals; rival += 1) {
      const block = this.#block(parent, random.below(60_000));
      const makerMs = 1 + random.below(this.#with.blockLagMs);
      this.#newsUntilMs = Math.max(this.#newsUntilMs, this.#now + makerMs);
      // The header may be there first.
      this.#time.timers.after(random.below(makerMs + 1), () =>
        this.#headers.set(displayHash(block.hash), block),
      );
      this.#time.timers.after(makerMs, () => {
        if (this.#makerView.hear(block)) this.#maker?.view.onTip(this.#makerTip);
      });
      this.#time.timers.after(1 + random.below(this.#with.blockLagMs), () => {
        if (this.#poolView.hear(block)) this.#newJob();
      });
    }
  }

  get #makerTip(): ChainTip {
    const { height, hash, timeSeconds } = this.#makerView.tip;
    return { height, hash: displayHash(hash), timeSeconds };
  }

  #newJob(): void {
    const random = this.#random;
    this.#template += 1;
    const extranonce1 = random.bytes(random.below(9));
    const extranonce2Size = this.#isOwnExtranonce ? 2 + random.below(7) : 8 + random.below(5);
    const { coinb1, coinb2 } = buildCoinbase({
      height: this.#poolView.tip.height + 1,
      extranonceSize: extranonce1.length + extranonce2Size,
      tag: random.bytes(8),
      outputs: [{ script: fromHex(MAKER_SCRIPT_HEX), valueSat: 5_000_000_000n }],
    });
    // Ahead of every clock where the blocks before it were (F21), or in step with the pool's.
    const aheadSeconds = random.once(5) ? random.below(SELLER_FUTURE_SECONDS) : 0;
    const seconds = Math.floor((this.#time.clock.nowMs() + this.#poolErrorMs) / 1000);
    const job = this.#table.add(
      'pool',
      this.#contractId,
      {
        ...{ upstreamJobId: `u${this.#template}`, prevHash: this.#poolView.tip.hash, coinb1, coinb2 },
        ...{ branches: [random.bytes(32)], version: 0x20000000 | random.below(2 ** 29), bits: 0x207fffff },
        ...{ time: seconds + aheadSeconds, clean: false, extranonce1, extranonce2Size },
        ...{ target: 1n, versionMask: random.pick([0, 0xffffffff, 0x1fffe000, random.next()]) },
      },
      this.#now,
      SHARE.difficulty,
      this.#isOwnExtranonce ? { minerExtranonce1Size: extranonce1.length } : undefined,
    );
    this.#jobs.push(job);
  }

  /** One submit, of a kind that a miner may send. */
  #submit(): void {
    const random = this.#random;
    if (this.#jobs.length === 0) return;
    const job = random.once(4) ? random.pick(this.#jobs) : this.#jobs.at(-1)!;
    const fields = this.#fieldsFor(job);
    const sent = { job } as SentJob;
    const context = { extranonce2Size: 4, jobs: this.#table, nowMs: this.#proxyClock.nowMs() };
    const sessionMask = random.once(8) ? random.next() & this.#versionMask : this.#versionMask;
    if (refusalOf(fields, true, sent, sessionMask, context as never) !== undefined) return;
    const submission: Submission = {
      ...{ job, assigned: SHARE, ntime: fields.ntime, nonce: fields.nonce },
      extranonce: extranonceOf(job, SESSION_ID, fields),
      version:
        fields.versionBits === NO_VERSION_BITS
          ? job.version
          : rolledVersion(job.version, sessionMask & job.versionMask, fields.versionBits),
    };
    if (this.#last.push(submission) > 16) this.#last.shift();
    this.#engine.submit(submission);
  }

  #fieldsFor(job: Job): SubmitFields {
    const random = this.#random;
    const fields = new SubmitFields();
    const size = job.minerExtranonce1Size === undefined ? 4 : job.extranonceSize;
    const again = random.once(50) ? random.pick([undefined, ...this.#last]) : undefined;
    if (again !== undefined && again.extranonce.length === job.extranonceSize) {
      fields.extranonce2.set(again.extranonce.slice(job.extranonceSize - size));
      fields.nonce = again.nonce;
      fields.ntime = again.ntime;
    } else {
      fields.extranonce2.set(random.bytes(size));
      this.#nonce += 1;
      fields.nonce = this.#nonce;
      fields.ntime = this.#ntimeFor(job);
    }
    fields.extranonce2Size = size;
    const bits = random.next() & job.versionMask;
    fields.versionBits = random.once(3) ? NO_VERSION_BITS : bits >>> 0;
    return fields;
  }

  #ntimeFor(job: Job): number {
    const random = this.#random;
    const nowSeconds = Math.floor(this.#proxyClock.nowMs() / 1000);
    const last = nowSeconds + SELLER_FUTURE_SECONDS;
    const ntime = random.pick([
      job.time,
      job.time + random.below(600),
      nowSeconds,
      last,
      last + 1,
      job.time - 1,
    ]);
    // Half of those outside are of no use here: the proxy refuses them.
    return ntimeInWindow(ntime, job.time, this.#proxyClock.nowMs(), SELLER_FUTURE_SECONDS) || random.once(2)
      ? ntime
      : job.time;
  }

  #take(shares: readonly AcceptedShare[]): void {
    this.outcome.acked += shares.length;
    for (const share of shares) {
      this.#openHashes += share.submission.assigned.workHashes;
      this.#pending.push(share);
    }
    this.#pump();
  }

  /** Sends what waits, after the interval of batches and the delay of the link; one batch at a time. */
  #pump(): void {
    if (this.#isBusy || !this.#isLinked || this.#pending.length === 0) return;
    this.#isBusy = true;
    this.#time.timers.after(50 + this.#random.below(1000), () => {
      if (!this.#isLinked) this.#isBusy = false;
      else this.#sendBatch().catch((error: unknown) => this.#failed(error));
    });
  }

  async #sendBatch(): Promise<void> {
    const { batches, store } = this.#maker;
    const sent = this.#pending.slice(0, 256);
    const packer = new SharePacker(sent.length, 4);
    for (const share of sent) packer.add(share);
    for (const { submission } of sent) {
      if (this.#announced.has(submission.job.id)) continue;
      this.#announced.add(submission.job.id);
      await batches.announce(jobRecordOf(submission.job));
    }
    batches.contactAtMonotonicMs = this.#now;
    const firstSeq = this.#sentSeq;
    const before = batches.stats.sharesCredited;
    const shares = ShareRows.read(packer.bytes);
    const batch = { contractId: this.#contractId, firstSeq, shares, workTotal: 0n };
    const { refused, nextSeq } = await batches.take(batch);
    this.#pending.splice(0, sent.length);
    this.#sentSeq = nextSeq;
    this.#openHashes -= BigInt(sent.length) * SHARE.workHashes;
    this.outcome.credited += batches.stats.sharesCredited - before;
    for (const { seq, code } of refused) this.#note(code, sent[seq - firstSeq]!, store);
    this.#isBusy = false;
    this.#pump();
  }

  #note(code: string, { submission }: AcceptedShare, store: MakerStore): void {
    const { refused, samples } = this.outcome;
    refused[code] = (refused[code] ?? 0) + 1;
    if (samples.length >= 20 || code === 'stale_race') return;
    const { job, ntime, version } = submission;
    const facts = [
      `ntime ${ntime - job.time} after its job, ${ntime - this.#time.clock.nowMs() / 1000} after now`,
      `version ${(version ^ job.version).toString(16)} in ${job.versionMask.toString(16)}`,
      `block ${displayHash(job.prevHash).slice(0, 8)}, tip of the maker ${this.#makerTip.hash.slice(0, 8)}`,
      `proxy ${this.#proxyErrorMs} ms off, maker ${this.#makerErrorMs}, seq ${store.delivery.nextSeq}`,
    ];
    samples.push({ code, detail: facts.join('; ') });
  }

  #loseLink(isRestart: boolean): void {
    this.#isLinked = false;
    this.outcome.outages += 1;
    const restarted = isRestart && !this.#isBusy;
    if (restarted) this.outcome.restarts += 1;
    this.#time.timers.after(1000 + this.#random.below(180_000), () => {
      if (!restarted) return this.#link();
      // Clocks are set while a machine starts.
      this.#setClock('maker');
      this.#startMaker().then(
        () => this.#link(),
        (error: unknown) => this.#failed(error),
      );
    });
  }

  #link(): void {
    this.#isLinked = true;
    this.#maker.batches.openBacklog();
    this.#pump();
  }

  async #startMaker(): Promise<void> {
    const clock = this.#makerClock;
    const { timers } = this.#time;
    const chain = {
      tip: async () => this.#makerTip,
      header: async (hash: string) => {
        const block = this.#makerView.known.get(hash) ?? this.#headers.get(hash);
        return block === undefined ? undefined : this.#makerView.header(block);
      },
    } as unknown as ChainSource;
    const deps = { ledger: this.#ledger, clock, timers, log: silentLogger, signer: world.makerSigner };
    const store = await MakerStore.load(this.#contractId, { ...deps, blobFiles: blobsInMemory() } as never);
    const verifier = new ShareVerifier({ kernel: this.#kernel });
    const memory = { memoryMs: 24 * 3_600_000, jobKey: makerJobKey };
    await rememberShares(this.#ledger, memory, (generation, bytes, at, contractId) =>
      verifier.remember(contractId, generation, bytes, at),
    );
    const view = new TipTracker({ chain, clock });
    view.onTip(this.#makerTip);
    const batches = new BatchVerifier(
      store!,
      { ...DEFAULT_BATCH_VERIFIER_OPTIONS, fixedTarget: true },
      {
        ...{ view, verifier, clock, timers, restored: { heightFor: () => 0 } },
        binding: coinbaseBinding(this.#terms),
      },
    );
    this.#announced.clear();
    this.#maker = { batches, view, store: store! };
  }
}

/** A contract as offered by default; rivals come once in some thousand blocks, too seldom for a rate here. */
export const USUAL: Circumstances = { staleGraceSeconds: 30, blockLagMs: 5_000, forksOneIn: 1e9 };

/** Others: little grace or none, slow news of blocks, and many rivals. */
export const CIRCUMSTANCES: readonly Circumstances[] = [
  USUAL,
  { staleGraceSeconds: 10, blockLagMs: 5_000, forksOneIn: 1000 },
  { staleGraceSeconds: 60, blockLagMs: 20_000, forksOneIn: 10 },
  { staleGraceSeconds: 0, blockLagMs: 8_000, forksOneIn: 10 },
  { staleGraceSeconds: 2, blockLagMs: 20_000, forksOneIn: 3 },
];
