import type { Frame, FrameKind } from '../../src/audit/frames.ts';
import { EVIDENCE_FORMAT, printJob, printRecord, printShares } from '../../src/audit/records.ts';
import { concat } from '../../src/base/bytes.ts';
import { buildCoinbase } from '../../src/bitcoin/coinbase.ts';
import { targetToHex } from '../../src/bitcoin/target.ts';
import { signCommitment } from '../../src/channel/commitment.ts';
import { EMPTY_FAULT_LOG, EvidenceSegment, jobLeaf } from '../../src/channel/evidence-point.ts';
import type { ChannelParams } from '../../src/channel/params.ts';
import { signState } from '../../src/channel/states.ts';
import type { CommitmentRecord } from '../../src/peer/commitment-codecs.ts';
import type { WireShare } from '../../src/peer/packed-shares.ts';
import { commitmentOf, pointAfter } from '../../src/settlement/commitments.ts';
import { signTerms } from '../../src/settlement/opening.ts';
import { createKernel } from '../../src/shares/kernel/create-kernel.ts';
import { meets } from '../../src/shares/rules.ts';
import { shareTargetOf } from '../../src/shares/share.ts';
import { verifyShares } from '../../src/shares/verify.ts';
import { printJobId } from '../../src/stratum/job-id.ts';
import type { JobRecord } from '../../src/work/evidence.ts';
import { makeParams, makerSigner, makeTerms, minerSigner, seedOf } from '../channel/fixtures.ts';
import type { SeededRandom } from '../sim/random.ts';

/** Every second hash meets it, so that shares need no search. */
export const EASY = shareTargetOf(2 ** -40);
const BLOCK = 1024;

export type SyntheticOptions = {
  readonly shares: number;
  readonly sharesPerState: number;
  readonly sharesPerJob: number;
  readonly branches: number;
  /** Seq of a share that is the one before again. */
  readonly repeats?: number;
};

function jobOf(id: number, branches: number): JobRecord {
  const outputs = [{ script: Uint8Array.of(0x51), valueSat: 1n }];
  return {
    ...{ id, wireId: printJobId(id), stream: 'stream', extranonceSize: 8, upstreamDifficulty: 1 },
    ...{ version: 0x2000_0000, versionMask: 0x1fff_e000, bits: 0x1d00_ffff, time: 1_700_000_000 },
    ...buildCoinbase({ height: 800_000 + id, extranonceSize: 8, tag: seedOf('tag'), outputs }),
    prevHash: seedOf(`block ${Math.floor(id / 20)}`),
    branches: Array.from({ length: branches }, (_, index) => seedOf(`branch ${id} ${index}`)),
  };
}

/** A contract as an export of either side has it, of shares made up of nothing, with all signatures. */
export class SyntheticContract {
  readonly params: ChannelParams;
  readonly frames: Frame[] = [];
  readonly jobs: JobRecord[] = [];
  readonly blocks: WireShare[][] = [];
  readonly #options: SyntheticOptions;
  readonly #random: SeededRandom;
  readonly #kernel = createKernel(BLOCK);
  #base: CommitmentRecord | undefined;
  #states = 0;

  constructor(options: SyntheticOptions, random: SeededRandom) {
    this.#options = options;
    this.#random = random;
    const workTotalHashes = 2n * BigInt(options.shares) * EASY.workHashes;
    const price = { priceMsatPerEh: 10n ** 18n, budgetSat: 10n ** 9n };
    const terms = makeTerms({
      ...price,
      workTotalHashes,
      maxTargetHex: targetToHex(EASY.target),
      stepHashes: 1n,
    });
    this.params = makeParams({}, terms);
    const { contractId } = this.params;
    const head = {
      format: EVIDENCE_FORMAT,
      version: 1,
      role: 'miner',
      network: 'regtest',
      contractId,
    } as const;
    this.#add('head', printRecord('head', { ...head, madeAtMs: 0, program: 'test' }));
    const minerSignature = signTerms(terms, minerSigner);
    const makerSignature = signTerms(terms, makerSigner);
    this.#add('contract', printRecord('contract', { terms, minerSignature, makerSignature }));
    this.#add('channel', printRecord('channel', this.params));
    this.#add('state', printRecord('state', signState(this.params, 0, 0n, makerSigner)));
    for (let seq = 0; seq < options.shares; seq += options.sharesPerState)
      this.#step(seq, Math.min(options.shares, seq + options.sharesPerState));
    const { shares } = options;
    const counts = { jobs: this.jobs.length, shares, commitments: this.#states, states: this.#states + 1 };
    this.#add('end', printRecord('end', counts));
  }

  #add(kind: FrameKind, payload: Uint8Array): void {
    this.frames.push({ kind, payload });
  }

  /** The shares of one state, after what it commits to. */
  #step(from: number, to: number): void {
    const segment = new EvidenceSegment(pointAfter(this.#base));
    const frames: Frame[] = [];
    for (let seq = from; seq < to; ) {
      const id = Math.floor(seq / this.#options.sharesPerJob);
      const end = Math.min(to, seq + BLOCK, (id + 1) * this.#options.sharesPerJob);
      if (this.jobs.length <= id) {
        this.jobs.push(jobOf(id, this.#options.branches));
        frames.push({ kind: 'job', payload: printJob(this.jobs[id]!) });
      }
      const { shares, hashes } = this.#find(id, end - seq, seq);
      this.blocks.push(shares);
      if (segment.lacksJob(id)) segment.addJob(id, jobLeaf(this.jobs[id]!));
      segment.creditAll(hashes, EASY.workHashes * BigInt(shares.length), this.#kernel);
      frames.push({ kind: 'shares', payload: printShares(seq, 1_700_000_000_000, shares) });
      seq = end;
    }
    this.#states += 1;
    const point = segment.end(to);
    const unsigned: CommitmentRecord = {
      ...{ version: 1, n: this.#states, baseN: this.#base?.n ?? 0, nextSeq: to, logSeq: to, refused: [] },
      ...{ workHashes: point.workHashes, creditedHashes: point.workHashes, faultLogHead: EMPTY_FAULT_LOG },
      ...{ tree: point.tree, jobSetRoot: point.jobSetRoot, makerSignature: '', minerSignature: undefined },
    };
    const content = commitmentOf(unsigned);
    const record = {
      ...unsigned,
      makerSignature: signCommitment(this.params, content, makerSigner),
      minerSignature: signCommitment(this.params, content, minerSigner),
    };
    this.#add('commitment', printRecord('commitment', record));
    this.frames.push(...frames);
    const state = signState(this.params, this.#states, point.workHashes, makerSigner);
    this.#add('state', printRecord('state', state));
    this.#base = record;
  }

  #find(jobId: number, count: number, first: number): { shares: WireShare[]; hashes: Uint8Array } {
    const shares: WireShare[] = [];
    const hashes = new Uint8Array(count * 32);
    while (shares.length < count) {
      const tried = Array.from({ length: count }, () => this.#share(jobId));
      const inputs = tried.map((share) => {
        return { ...share, job: 0, extranonce: concat(share.extranonce1, share.extranonce2) };
      });
      const found = verifyShares(this.#kernel, [this.jobs[jobId]!], inputs);
      tried.forEach((share, index) => {
        if (shares.length === count || !meets(found, index * 32, EASY.words)) return;
        hashes.set(found.subarray(index * 32, index * 32 + 32), shares.length * 32);
        shares.push(share);
      });
    }
    const again = (this.#options.repeats ?? -1) - first;
    if (again > 0 && again < count) {
      shares[again] = shares[again - 1]!;
      hashes.copyWithin(again * 32, (again - 1) * 32, again * 32);
    }
    return { shares, hashes };
  }

  #share(jobId: number): WireShare {
    const bytes = this.#random.bytes(12);
    const nonce = new DataView(bytes.buffer, bytes.byteOffset).getUint32(8);
    const { difficulty } = EASY;
    const extranonces = { extranonce1: bytes.slice(0, 4), extranonce2: bytes.slice(4, 8) };
    return { jobId, difficulty, ...extranonces, ntime: 1_700_000_000, nonce, version: 0x2000_0000 };
  }
}
