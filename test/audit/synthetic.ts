import type { Frame, FrameKind } from '../../src/audit/frames.ts';
import {
  EVIDENCE_FORMAT,
  parseRecord,
  parseShares,
  printJob,
  printRecord,
  printShares,
} from '../../src/audit/records.ts';
import { concat, toHex } from '../../src/base/bytes.ts';
import { sha256d } from '../../src/base/hash.ts';
import { buildCoinbase } from '../../src/bitcoin/coinbase.ts';
import { serializeHeader } from '../../src/bitcoin/header.ts';
import { hashToNumber, targetOfCompact, targetToHex } from '../../src/bitcoin/target.ts';
import { signCommitment } from '../../src/channel/commitment.ts';
import { EvidenceSegment, jobLeaf } from '../../src/channel/evidence-point.ts';
import {
  EMPTY_FAULT_LOG,
  type FaultEvidence,
  type FaultRange,
  FaultRecount,
  faultLogHead,
} from '../../src/channel/fault-log.ts';
import type { ChannelParams } from '../../src/channel/params.ts';
import type { Signer } from '../../src/channel/signer.ts';
import { signState } from '../../src/channel/states.ts';
import type { ContractTerms, TermsV3 } from '../../src/contract/terms.ts';
import { termsV3From } from '../../src/contract/terms-upgrade.ts';
import type { CommitmentRecord } from '../../src/peer/commitment-codecs.ts';
import { unpackWireShares, type WireShare } from '../../src/peer/packed-shares.ts';
import { commitmentOf, eventsHeadAfter, pointAfter } from '../../src/settlement/commitments.ts';
import { signTerms } from '../../src/settlement/opening.ts';
import {
  firstTipHead,
  TIPS_PER_DOCUMENT,
  type TipEntry,
  tipHeadAfter,
  tipHeadDigest,
} from '../../src/settlement/tip-log.ts';
import { createKernel } from '../../src/shares/kernel/create-kernel.ts';
import { meets } from '../../src/shares/rules.ts';
import { type ShareTarget, shareTargetOf } from '../../src/shares/share.ts';
import { verifyShares } from '../../src/shares/verify.ts';
import { printJobId } from '../../src/stratum/job-id.ts';
import type { JobRecord } from '../../src/work/evidence.ts';
import { keysOf, makeParams, makerSigner, makeTerms, minerSigner, seedOf } from '../channel/fixtures.ts';
import type { SeededRandom } from '../sim/random.ts';

/** Every second hash meets it, so that shares need no search. */
export const EASY = shareTargetOf(2 ** -40);
/** Every eighth does. */
export const HARD = shareTargetOf(2 ** -29);
const BLOCK = 1024;

export type SyntheticOptions = {
  readonly shares: number;
  readonly sharesPerState: number;
  readonly sharesPerJob: number;
  readonly branches: number;
  /** Commitments cover what each share is credited for. */
  readonly isWeighed?: boolean;
  /** Commitments have the head of the events. */
  readonly hasEvents?: boolean;
  /** Each so many-th share is of `HARD`. */
  readonly hardEvery?: number;
  /** Seq of a share that is the one before again. */
  readonly repeats?: number;
  /** Shares that the maker refuses, by seq: the code, and whether they are no work. */
  readonly refused?: ReadonlyMap<number, { readonly code: string; readonly isBad?: boolean }>;
  /** States of which the miner signs no commitment. */
  readonly alone?: ReadonlySet<number>;
  /** The terms of version 3 that it is of, made of those of version 1. */
  readonly version3?: (terms: TermsV3) => TermsV3;
  /** So many shares, the first, are kept in `blocks`. By default all. */
  readonly kept?: number;
  /** Jobs that are on one block of the chain. */
  readonly jobsPerBlock?: number;
  /** As of a maker that lost what it refused. */
  readonly evidence?: FaultEvidence;
};

/** Headers of a regtest chain, the first above a block that is not there. */
const CHAIN: Uint8Array[] = [];

/** The header of a block of the chain that jobs are on. */
export function blockHeader(at: number): Uint8Array {
  while (CHAIN.length <= at) {
    const before = CHAIN.at(-1);
    const prevHash = before === undefined ? seedOf('below') : sha256d(before);
    const merkleRoot = seedOf(`block ${CHAIN.length}`);
    const fields = { version: 0x2000_0000, prevHash, merkleRoot, bits: 0x207f_ffff };
    const time = 1_700_000_000 + 600 * CHAIN.length;
    let nonce = 0;
    let header = serializeHeader({ ...fields, time, nonce });
    while (hashToNumber(sha256d(header)) > targetOfCompact(fields.bits)) {
      nonce += 1;
      header = serializeHeader({ ...fields, time, nonce });
    }
    CHAIN.push(header);
  }
  return CHAIN[at]!;
}

function jobOf(id: number, branches: number, jobsPerBlock: number): JobRecord {
  const outputs = [{ script: Uint8Array.of(0x51), valueSat: 1n }];
  return {
    ...{ id, wireId: printJobId(id), stream: 'stream', extranonceSize: 8, upstreamDifficulty: 1 },
    ...{ version: 0x2000_0000, versionMask: 0x1fff_e000, bits: 0x1d00_ffff, time: 1_700_000_000 },
    ...buildCoinbase({ height: 800_000 + id, extranonceSize: 8, tag: seedOf('tag'), outputs }),
    prevHash: sha256d(blockHeader(Math.floor(id / jobsPerBlock))),
    branches: Array.from({ length: branches }, (_, index) => seedOf(`branch ${id} ${index}`)),
  };
}

function makeParamsOf(terms: ContractTerms): ChannelParams {
  return makeParams({ keys: keysOf(terms) }, terms);
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
  #segment: EvidenceSegment | undefined;
  #refused: { seq: number; code: string; share: WireShare }[] = [];

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
      // What the jobs pay.
      ...(options.version3 && { binding: { type: 'coinbase', scriptHex: '51' } }),
    });
    const { version3 } = options;
    this.params = makeParamsOf(version3 === undefined ? terms : version3(termsV3From(terms, 500)));
    const { contractId } = this.params;
    const head = {
      format: EVIDENCE_FORMAT,
      version: 1,
      role: 'miner',
      network: 'regtest',
      contractId,
    } as const;
    this.#add('head', printRecord('head', { ...head, madeAtMs: 0, program: 'test' }));
    const signed = this.params.terms;
    const minerSignature = signTerms(signed, minerSigner);
    const makerSignature = signTerms(signed, makerSigner);
    this.#add('contract', printRecord('contract', { terms: signed, minerSignature, makerSignature }));
    this.#add('channel', printRecord('channel', this.params));
    this.#add('state', printRecord('state', signState(this.params, 0, 0n, makerSigner)));
    for (let seq = 0; seq < options.shares; seq += options.sharesPerState)
      this.#step(seq, Math.min(options.shares, seq + options.sharesPerState));
    const { shares } = options;
    const counts = { jobs: this.jobs.length, shares, commitments: this.#states, states: this.#states + 1 };
    this.#add('end', printRecord('end', counts));
  }

  /** The file of a side, with its tip log. */
  file(
    role: 'miner' | 'maker',
    log: readonly TipEntry[],
    signer = role === 'miner' ? minerSigner : makerSigner,
  ): Frame[] {
    const own = role === 'miner' ? this.frames : makerFrames(this);
    return [...own.slice(0, -1), ...tipFrames(this.params.contractId, role, log, signer), own.at(-1)!];
  }

  #add(kind: FrameKind, payload: Uint8Array): void {
    this.frames.push({ kind, payload });
  }

  /** The shares of one state, after what it commits to. */
  #step(from: number, to: number): void {
    const segment = this.#segment ?? new EvidenceSegment(pointAfter(this.#base));
    const frames: Frame[] = [];
    for (let seq = from; seq < to; ) {
      const id = Math.floor(seq / this.#options.sharesPerJob);
      const end = Math.min(to, seq + BLOCK, (id + 1) * this.#options.sharesPerJob);
      if (this.jobs.length <= id) {
        this.jobs.push(jobOf(id, this.#options.branches, this.#options.jobsPerBlock ?? 20));
        frames.push({ kind: 'job', payload: printJob(this.jobs[id]!) });
      }
      const { shares, hashes } = this.#find(id, end - seq, seq);
      if (seq < (this.#options.kept ?? Number.POSITIVE_INFINITY)) this.blocks.push(shares);
      if (segment.lacksJob(id)) segment.addJob(id, jobLeaf(this.jobs[id]!));
      shares.forEach((share, index) => {
        const refused = this.#options.refused?.get(seq + index);
        if (refused === undefined)
          segment.credit(
            id,
            hashes.subarray(index * 32, index * 32 + 32),
            this.#targetOf(seq + index).workHashes,
          );
        else this.#refused.push({ seq: seq + index, code: refused.code, share });
      });
      frames.push({ kind: 'shares', payload: printShares(seq, 1_700_000_000_000, shares) });
      seq = end;
    }
    this.#states += 1;
    const point = segment.end(to);
    const unsigned: CommitmentRecord = {
      ...{ version: 1, n: this.#states, baseN: this.#base?.n ?? 0, nextSeq: to, logSeq: to, refused: [] },
      ...{ workHashes: point.workHashes, creditedHashes: point.workHashes, ...this.#log() },
      ...{ tree: point.tree, jobSetRoot: point.jobSetRoot, makerSignature: '', minerSignature: undefined },
      ...(this.#options.isWeighed === true ? { weightsHead: point.weightsHead } : {}),
      ...this.#events({ n: this.#states, workHashes: point.workHashes }),
    };
    const content = commitmentOf(unsigned);
    const isAlone = this.#options.alone?.has(this.#states) ?? false;
    const record = {
      ...unsigned,
      makerSignature: signCommitment(this.params, content, makerSigner),
      minerSignature: isAlone ? undefined : signCommitment(this.params, content, minerSigner),
    };
    this.#add('commitment', printRecord('commitment', record));
    this.frames.push(...frames);
    const state = signState(this.params, this.#states, point.workHashes, makerSigner);
    this.#add('state', printRecord('state', state));
    this.#segment = isAlone ? segment : undefined;
    if (isAlone) return;
    this.#base = record;
    this.#refused = [];
  }

  #events(state: { readonly n: number; readonly workHashes: bigint }): {
    readonly eventsHead?: Uint8Array;
  } {
    if (this.#options.hasEvents !== true) return {};
    return { eventsHead: eventsHeadAfter(this.params, this.#base, state) };
  }

  /** The fault log with what was refused since the base. */
  #log(): Pick<CommitmentRecord, 'faults' | 'faultLogHead'> {
    const before = this.#base?.faultLogHead ?? EMPTY_FAULT_LOG;
    const { evidence = 'shares' } = this.#options;
    const ranges: FaultRange[] = this.#refused.map(({ seq, code }) => {
      return { code, first: seq, count: 1, evidence };
    });
    const recount = new FaultRecount(ranges);
    for (const { seq, share } of this.#refused)
      recount.take(
        recount.rangeOf(seq)!,
        share,
        jobLeaf(this.jobs[share.jobId]!),
        this.#targetOf(seq).workHashes,
      );
    const { faults } = recount;
    return { faults, faultLogHead: faultLogHead(before, faults) };
  }

  #targetOf(seq: number): ShareTarget {
    const { hardEvery } = this.#options;
    return hardEvery !== undefined && seq % hardEvery === 0 ? HARD : EASY;
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
        const seq = first + shares.length;
        const { words, difficulty } = this.#targetOf(seq);
        const isBad = this.#options.refused?.get(seq)?.isBad ?? false;
        if (shares.length === count || meets(found, index * 32, words) === isBad) return;
        hashes.set(found.subarray(index * 32, index * 32 + 32), shares.length * 32);
        shares.push({ ...share, difficulty });
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

/** A tip log, as an export has it. */
export function tipFrames(
  contractId: string,
  role: 'miner' | 'maker',
  log: readonly TipEntry[],
  signer: Pick<Signer, 'signSchnorr'>,
): Frame[] {
  const head = log.reduce(tipHeadAfter, firstTipHead(contractId, role));
  const signature = toHex(signer.signSchnorr('node', tipHeadDigest(head)));
  const frames: Frame[] = [];
  for (let at = 0; at < log.length; at += TIPS_PER_DOCUMENT) {
    const isLast = at + TIPS_PER_DOCUMENT >= log.length;
    const entries = log.slice(at, at + TIPS_PER_DOCUMENT);
    const payload = printRecord('tips', { version: 1, entries, ...(isLast ? { signature } : {}) });
    frames.push({ kind: 'tips', payload });
  }
  return frames;
}

/** What the maker's ledger has of a contract: its head, credited shares alone, and the same signatures. */
function makerFrames({ frames }: SyntheticContract): Frame[] {
  let [seq, refused, written] = [0, new Set<number>(), 0];
  return frames.map((frame): Frame => {
    const { kind } = frame;
    if (kind === 'head')
      return { kind, payload: printRecord(kind, { ...parseRecord(kind, frame), role: 'maker' }) };
    if (kind === 'end')
      return { kind, payload: printRecord(kind, { ...parseRecord(kind, frame), shares: written }) };
    if (kind === 'commitment') {
      const record = parseRecord(kind, frame);
      refused = new Set((record.faults ?? []).flatMap(({ first, count }) => range(first, count)));
      const logSeq = written + (record.logSeq - seq) - refused.size;
      return { kind, payload: printRecord(kind, { ...record, logSeq }) };
    }
    if (kind !== 'shares') return frame;
    const { packed, atMs } = parseShares(frame);
    const shares = unpackWireShares(packed);
    const kept = shares.filter((_, index) => !refused.has(seq + index));
    seq += shares.length;
    written += kept.length;
    return { kind, payload: printShares(written - kept.length, atMs, kept) };
  });
}

function range(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, index) => first + index);
}
