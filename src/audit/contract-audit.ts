import { smaller } from '../base/bigints.ts';
import { equal, toHex } from '../base/bytes.ts';
import { CodedError, type ErrorCode } from '../base/errors.ts';
import { workOfTarget } from '../bitcoin/target.ts';
import { commitmentHash, verifyCommitment } from '../channel/commitment.ts';
import { EvidenceSegment, jobLeaf } from '../channel/evidence-point.ts';
import type { ChannelParams } from '../channel/params.ts';
import { type SignedState, sameState, verifyAck, verifySignedState } from '../channel/states.ts';
import { contractIdOf } from '../contract/terms.ts';
import { easiestTarget, fixedPriceMsatPerEh } from '../contract/terms-access.ts';
import type { CommitmentRecord } from '../peer/commitment-codecs.ts';
import { commitmentOf, pointAfter } from '../settlement/commitments.ts';
import { verifyTermsSignature } from '../settlement/opening.ts';
import type { ShareKernel } from '../shares/kernel/kernel.ts';
import type { Blame, Finding } from './finding.ts';
import type { Frame } from './frames.ts';
import { type EvidenceHead, parseJob, parseRecord, parseShares, type ShareBlock } from './records.ts';
import { RefusalAudit } from './refusal-audit.ts';
import { type AuditedBlock, ShareAudit, type ShareFault, workOf } from './share-audit.ts';

/** Disagreements kept of one file; the first is what counts. */
const FINDINGS_KEPT = 100;

/** A state of a file as two files are compared. */
export type AuditPoint = {
  readonly n: number;
  readonly state: SignedState;
  /** What the state commits to, where it does: its hash, and who signed it. */
  readonly commitment: { readonly hashHex: string; readonly isByMiner: boolean } | undefined;
};

/** What a file holds. */
export type AuditCounts = {
  shares: number;
  /** Shares of these that a commitment covers, that the maker refused, and behind the last commitment. */
  committed: number;
  refused: number;
  unsigned: number;
  jobs: number;
  states: number;
  /** States that commit to their evidence, and those of them that both signed. */
  commitments: number;
  countersigned: number;
};

type Channel = {
  readonly params: ChannelParams;
  readonly shares: ShareAudit;
  readonly refusals: RefusalAudit;
};

/** The segment of evidence at hand: from the newest commitment that both signed. */
type Open = {
  readonly record: CommitmentRecord;
  readonly isAdopted: boolean;
  fault: ShareFault | undefined;
};

/**
 * The audit of one file, a frame at a time: every share, sat and signature is recomputed from it alone.
 * Throws `bad_evidence` for frames that no export has in this order.
 */
export class ContractAudit {
  readonly findings: Finding[] = [];
  readonly counts: AuditCounts = {
    ...{ shares: 0, committed: 0, refused: 0, unsigned: 0 },
    ...{ jobs: 0, states: 0, commitments: 0, countersigned: 0 },
  };
  readonly #kernel: ShareKernel;
  #head: EvidenceHead | undefined;
  #contract: ReturnType<typeof parseContract> | undefined;
  #channel: Channel | undefined;
  #base: CommitmentRecord | undefined;
  #segment = new EvidenceSegment(pointAfter(undefined));
  #open: Open | undefined;
  /** The commitment whose state comes next. */
  #closed: CommitmentRecord | undefined;
  #last: SignedState | undefined;
  #nextSeq = 0;
  #unsignedWork = 0n;

  /** @param kernel of at least `LIMITS.peerBatchShares`; used in turns by all audits of a process */
  constructor(kernel: ShareKernel) {
    this.#kernel = kernel;
  }

  /** Whose ledger the file was made of. Throws `bad_evidence` before it is known. */
  get head(): EvidenceHead {
    return this.#head ?? refuse('does not begin with what it is');
  }

  /** Throws `bad_evidence` before it is known. */
  get params(): ChannelParams {
    return this.#channel?.params ?? refuse('names no channel');
  }

  /** The newest state. */
  get last(): SignedState | undefined {
    return this.#last;
  }

  /** Work behind the newest commitment that no signed state covers, hashes. */
  get unsignedWork(): bigint {
    return this.#unsignedWork;
  }

  /** True where a share that was sold twice may not have been seen, for want of memory. */
  get hasForgotten(): boolean {
    return this.#channel?.shares.seen.hasForgotten ?? false;
  }

  /** Takes the next frame; returns the state that is complete with it. */
  take(frame: Frame): AuditPoint | undefined {
    switch (frame.kind) {
      case 'head':
        if (this.#head !== undefined) refuse('has two heads');
        this.#head = parseRecord('head', frame);
        return undefined;
      case 'contract':
        this.#takeContract(frame);
        return undefined;
      case 'channel':
        this.#takeChannel(frame);
        return undefined;
      case 'job':
        this.counts.jobs += 1;
        this.#of().shares.addJob(parseJob(frame));
        return undefined;
      case 'shares':
        this.#takeShares(parseShares(frame));
        return undefined;
      case 'commitment':
        this.#takeCommitment(parseRecord('commitment', frame));
        return undefined;
      case 'state':
        return this.#takeState(parseRecord('state', frame));
      case 'ack':
        this.#takeAck(parseRecord('ack', frame));
        return undefined;
      case 'proof':
        this.#takeProof(frame);
        return undefined;
      case 'end':
        this.#takeEnd(frame);
        return undefined;
      default:
        return frame.kind satisfies never;
    }
  }

  #find(blame: Blame, code: ErrorCode, words: string, where: { n?: number; seq?: number } = {}): void {
    if (this.findings.length < FINDINGS_KEPT) this.findings.push({ blame, code, words, ...where });
  }

  /** Runs a check; what it throws is a disagreement. */
  #check(blame: Blame, where: { n?: number }, check: () => void): boolean {
    try {
      check();
      return true;
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      this.#find(blame, error.code, error.message, where);
      return false;
    }
  }

  #of(): Channel {
    return this.#channel ?? refuse('has evidence before its channel');
  }

  #takeContract(frame: Frame): void {
    const { contractId, network } = this.head;
    if (this.#contract !== undefined) refuse('has two contracts');
    const contract = parseContract(frame);
    const { terms, minerSignature, makerSignature } = contract;
    if (contractIdOf(terms) !== contractId || terms.network !== network)
      refuse('has another contract than it says');
    this.#contract = contract;
    this.#check('file', {}, () => verifyTermsSignature(terms, terms.minerNodeId, minerSignature));
    this.#check('file', {}, () => verifyTermsSignature(terms, terms.makerNodeId, makerSignature));
  }

  #takeChannel(frame: Frame): void {
    if (this.#contract === undefined || this.#channel !== undefined) refuse('has a channel out of place');
    const params = parseRecord('channel', frame);
    if (params.contractId !== this.head.contractId) refuse('has the channel of another contract');
    this.#channel = {
      params,
      shares: new ShareAudit(params.terms, this.#kernel),
      refusals: new RefusalAudit(params.terms),
    };
  }

  #takeCommitment(record: CommitmentRecord): void {
    const { params } = this.#of();
    const { n } = record;
    if (this.#open !== undefined || this.#closed !== undefined) refuse('has a commitment out of place');
    if (n <= (this.#last?.n ?? -1) || record.logSeq < this.#nextSeq)
      refuse('has its commitments out of order');
    this.counts.commitments += 1;
    const content = commitmentOf(record);
    this.#check('file', { n }, () => verifyCommitment(params, content, 'maker', record.makerSignature));
    const { minerSignature } = record;
    if (minerSignature !== undefined) {
      this.counts.countersigned += 1;
      this.#check('file', { n }, () => verifyCommitment(params, content, 'miner', minerSignature));
    }
    // A maker that lost its ledger goes on from what the miner showed, without the shares before.
    const isAdopted = this.head.role === 'maker' && record.baseN !== (this.#base?.n ?? 0);
    if (isAdopted) {
      const words = `the file lacks shares that state ${n} pays for; the other side's has them`;
      this.#find('undecided', 'bad_sequence', words, { n });
    } else if (record.baseN !== (this.#base?.n ?? 0)) {
      this.#find(
        'file',
        'bad_commitment',
        `commitment ${n} builds on ${record.baseN}, which is not there`,
        { n },
      );
    }
    this.#open = { record, isAdopted, fault: undefined };
    if (record.logSeq === this.#nextSeq) this.#close();
  }

  #takeShares(block: ShareBlock): void {
    const channel = this.#of();
    if (block.first !== this.#nextSeq) refuse(`has share ${block.first} where ${this.#nextSeq} is due`);
    const audited = channel.shares.take(block);
    const open = this.#open;
    this.#nextSeq += audited.count;
    this.counts.shares += audited.count;
    channel.refusals.delivered(workOf(audited, 0, audited.count));
    if (open === undefined) {
      this.counts.unsigned += audited.count;
      for (let place = 0; place < audited.count; place += 1)
        if (!audited.faults.has(place)) this.#unsignedWork += workOf(audited, place, place + 1);
      return;
    }
    if (this.#nextSeq > open.record.logSeq) refuse('has shares of two commitments in one block');
    this.#credit(audited, open);
    if (this.#nextSeq === open.record.logSeq) this.#close();
  }

  /** Adds a block to the segment, less what was refused. */
  #credit(audited: AuditedBlock, open: Open): void {
    const { refusals } = this.#of();
    const { count, first, hashes, kinds, kindOf, faults } = audited;
    const isRefused = this.head.role === 'miner' ? refusals.within(open.record, first, count) : undefined;
    let from = 0;
    const flush = (to: number): void => {
      const part = hashes.subarray(from * 32, to * 32);
      if (to > from) this.#segment.creditAll(part, workOf(audited, from, to), this.#kernel);
      this.counts.committed += to - from;
      from = to + 1;
    };
    let kind: number | undefined;
    for (let place = 0; place < count; place += 1) {
      if (isRefused?.(first + place)) {
        flush(place);
        this.counts.refused += 1;
        refusals.take(open.record.n, first + place, workOf(audited, place, place + 1), faults.get(place));
      } else if (kindOf[place] !== kind) {
        kind = kindOf[place]!;
        const { job } = kinds[kind]!;
        if (this.#segment.lacksJob(job.id)) this.#segment.addJob(job.id, jobLeaf(job));
      }
    }
    flush(count);
    for (const [place, fault] of faults)
      if (open.fault === undefined && !isRefused?.(first + place)) open.fault = fault;
  }

  /** Compares what was recomputed with what was signed. */
  #close(): void {
    const { record, isAdopted, fault } = this.#open!;
    this.#open = undefined;
    this.#closed = record;
    if (!isAdopted) this.#compare(record, fault);
    if (record.minerSignature === undefined) return;
    this.#base = record;
    this.#segment = new EvidenceSegment(pointAfter(record));
  }

  #compare(record: CommitmentRecord, fault: ShareFault | undefined): void {
    const { terms } = this.#of().params;
    const { n } = record;
    const point = this.#segment.end(record.nextSeq);
    const { refusals } = this.#of();
    const differs = (what: string): void => {
      const near = fault === undefined ? '' : `; share ${fault.seq}: ${fault.words}`;
      const words = `the file's ${what} are not those that commitment ${n} was signed for${near}`;
      this.#find('file', 'bad_commitment', words, {
        n,
        ...(fault === undefined ? {} : { seq: fault.seq }),
      });
    };
    const hasShares = equal(point.tree.root(), record.tree.root());
    const hasJobs = equal(point.jobSetRoot, record.jobSetRoot);
    if (!hasShares) differs('shares');
    else if (!hasJobs) differs('jobs');
    else if (!refusals.isHead(record, this.#base)) differs('refusals');
    else if (point.workHashes !== record.creditedHashes || point.tree.count !== record.tree.count)
      differs('sums');
    if (!hasShares || !hasJobs) return;
    const owedHashes = smaller(point.workHashes, terms.workTotalHashes);
    // A share is worth its target at least, whatever difficulty the file gives it.
    const leastHashes = BigInt(point.tree.count) * workOfTarget(easiestTarget(terms));
    if (record.workHashes < smaller(leastHashes, terms.workTotalHashes)) {
      const words = `the maker signed ${record.workHashes} hashes for shares of ${owedHashes}`;
      this.#find('maker', 'bad_amount', words, { n });
    } else if (record.workHashes !== owedHashes) differs('difficulties');
    if (fault === undefined) return;
    const isByMiner = record.minerSignature !== undefined;
    const who = isByMiner ? 'the miner sold and signed' : 'the maker took';
    const words = `${who} share ${fault.seq}, which is none: ${fault.words}`;
    const blame = isByMiner ? 'miner' : 'undecided';
    this.#find(fault.isProven ? blame : 'file', fault.code, words, { n, seq: fault.seq });
  }

  #takeState(state: SignedState): AuditPoint | undefined {
    const { params } = this.#of();
    const { n } = state;
    if (this.#open !== undefined) refuse(`has state ${n} before its shares`);
    const before = this.#last;
    if (before !== undefined && n <= before.n) refuse('has its states out of order');
    this.counts.states += 1;
    if (!this.#check('file', { n }, () => verifySignedState(params, state))) return undefined;
    if (before !== undefined && state.workHashes <= before.workHashes) {
      const words = `the maker signed ${state.workHashes} hashes in state ${n}, after ${before.workHashes}`;
      this.#find('maker', 'not_monotone', words, { n });
    }
    this.#last = state;
    const committed = this.#closed;
    this.#closed = undefined;
    if (committed === undefined) return { n, state, commitment: undefined };
    if (committed.n !== n) refuse(`has commitment ${committed.n} and no such state`);
    if (committed.workHashes !== state.workHashes) {
      const words = `the maker signed ${state.workHashes} hashes in state ${n} and ${committed.workHashes} in its commitment`;
      this.#find('maker', 'bad_amount', words, { n });
    }
    const hashHex = toHex(commitmentHash(params, commitmentOf(committed)));
    return { n, state, commitment: { hashHex, isByMiner: committed.minerSignature !== undefined } };
  }

  #takeAck({ n, signature }: { readonly n: number; readonly signature: string }): void {
    const { params } = this.#of();
    const state = this.#last;
    if (state?.n !== n) refuse(`has an ack of state ${n} out of place`);
    this.#check('file', { n }, () => verifyAck(params, state, signature));
  }

  #takeProof(frame: Frame): void {
    const { params } = this.#of();
    const { held, shown } = parseRecord('proof', frame);
    const { n } = held;
    const isSigned = [held, shown].every((state) =>
      this.#check('file', { n }, () => verifySignedState(params, state)),
    );
    if (!isSigned || shown.n !== n || sameState(held, shown)) return;
    this.#find('maker', 'equivocation', twoContents(held, shown), { n });
  }

  #takeEnd(frame: Frame): void {
    const { jobs, shares, commitments, states } = parseRecord('end', frame);
    const { counts } = this;
    if (this.#open !== undefined) refuse(`ends before the shares of commitment ${this.#open.record.n}`);
    if (this.#closed !== undefined) refuse(`has commitment ${this.#closed.n} and no such state`);
    if (
      jobs !== counts.jobs ||
      shares !== counts.shares ||
      commitments !== counts.commitments ||
      states !== counts.states
    )
      refuse('does not have as much as it says');
    const { refusals, shares: audit } = this.#of();
    const refused = refusals.finding();
    if (refused !== undefined) this.findings.push(refused);
    audit.stop();
  }

  /** Sats that the newest state pays, and the price in msat per EH that they follow from. */
  get pay(): { readonly paidSat: bigint; readonly priceMsatPerEh: bigint } {
    const { terms } = this.params;
    return { paidSat: this.#last?.paidSat ?? 0n, priceMsatPerEh: fixedPriceMsatPerEh(terms) };
  }
}

/** The words for two states of one number. */
export function twoContents(a: SignedState, b: SignedState): string {
  return `the maker signed two contents for state ${a.n}: ${a.workHashes} and ${b.workHashes} hashes`;
}

function parseContract(frame: Frame) {
  return parseRecord('contract', frame);
}

function refuse(why: string): never {
  throw new CodedError('bad_evidence', `the file ${why}`);
}
