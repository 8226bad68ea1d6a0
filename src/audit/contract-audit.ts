import { assert } from '../base/assert.ts';
import { smaller } from '../base/bigints.ts';
import { equal, toHex } from '../base/bytes.ts';
import { CodedError, type ErrorCode } from '../base/errors.ts';
import { workOfTarget } from '../bitcoin/target.ts';
import {
  type CommitmentScope,
  commitmentHash,
  isMetered,
  type StateCommitment,
  verifyCommitment,
} from '../channel/commitment.ts';
import { EvidenceSegment, jobLeaf } from '../channel/evidence-point.ts';
import type { ChannelParams } from '../channel/params.ts';
import { type SignedState, sameState, verifyAck, verifySignedState } from '../channel/states.ts';
import { isMetering } from '../contract/metering.ts';
import type { SignedLog } from '../contract/minute-ruling.ts';
import { contractIdOf } from '../contract/terms.ts';
import { easiestTarget } from '../contract/terms-access.ts';
import type { CommitmentRecord } from '../peer/commitment-codecs.ts';
import { unpackWireShares } from '../peer/packed-shares.ts';
import { commitmentOf, eventsHeadAfter, pointAfter } from '../settlement/commitments.ts';
import { verifyTermsSignature } from '../settlement/opening.ts';
import type { ShareKernel } from '../shares/kernel/kernel.ts';
import type { AuditCounts, AuditedTotal, AuditPoint } from './audit-point.ts';
import type { ShareFault } from './block-hasher.ts';
import {
  type DisputedFrame,
  disputedContent,
  disputedRecord,
  disputeOf,
  hasShareRoot,
  ruleDisputed,
} from './disputed-audit.ts';
import type { Blame, Finding } from './finding.ts';
import type { Frame } from './frames.ts';
import type { Hashed } from './hashing.ts';
import { MinuteAudit } from './minute-audit.ts';
import { PriceAudit } from './price-audit.ts';
import { type EvidenceHead, parseJob, parseRecord, parseShares, type ShareBlock } from './records.ts';
import { RefusalAudit } from './refusal-audit.ts';
import { type AuditedBlock, ShareAudit, workOf } from './share-audit.ts';
import { TipAudit } from './tip-audit.ts';

/** Disagreements kept of one file; the first is what counts. */
const FINDINGS_KEPT = 100;

/** What a file is of: a channel, or a contract without one. */
type Scope = {
  readonly params: CommitmentScope;
  readonly shares: ShareAudit;
  readonly refusals: RefusalAudit;
  readonly minutes: MinuteAudit;
  readonly tips: TipAudit;
  readonly prices: PriceAudit;
};

/** The segment of evidence at hand: from the newest commitment that both signed. */
type Open = {
  readonly record: CommitmentRecord;
  readonly content: StateCommitment;
  readonly isAdopted: boolean;
  /** Of one that the miner did not sign, since its log contradicts it. */
  readonly disputed?: DisputedFrame;
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
  #scope: Scope | undefined;
  #base: CommitmentRecord | undefined;
  #segment = new EvidenceSegment(pointAfter(undefined));
  #open: Open | undefined;
  /** The commitment whose state comes next. */
  #closed: Open | undefined;
  /** The newest commitment, and its hash. */
  #newest: { readonly n: number; readonly hashHex: string } | undefined;
  #isDisputed = false;
  #last: AuditedTotal | undefined;
  #state: SignedState | undefined;
  #nextSeq = 0;
  /** The maker's shares are not those of the miner's log, less what was refused. */
  #hasAdopted = false;
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
  get params(): CommitmentScope {
    return this.#of().params;
  }

  /** The newest state; of metering the newest total that both signed. */
  get last(): AuditedTotal | undefined {
    return this.#last;
  }

  /** Prices that follow from blocks of the file, msat per EH. */
  get recomputedPrices(): ReadonlySet<bigint> {
    return this.#of().prices.recomputed;
  }

  /** Work behind the newest commitment that no signed state covers, hashes. */
  get unsignedWork(): bigint {
    return this.#unsignedWork;
  }

  /** True where a share that was sold twice may not have been seen, for want of memory. */
  get hasForgotten(): boolean {
    return this.#scope?.shares.seen.hasForgotten ?? false;
  }

  /**
   * Takes the next frame; returns the state that is complete with it.
   * @param hashed what hashing made of it, where it has shares
   */
  take(frame: Frame, hashed: Hashed): AuditPoint | undefined {
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
        this.#takeShares(parseShares(frame), hashed);
        return this.#takeTotal();
      case 'commitment':
        this.#takeCommitment(parseRecord('commitment', frame));
        return this.#takeTotal();
      case 'state':
        return this.#takeState(parseRecord('state', frame));
      case 'ack':
        this.#takeAck(parseRecord('ack', frame));
        return undefined;
      case 'proof':
        this.#takeProof(frame);
        return undefined;
      case 'tips':
        this.#of().tips.take(parseRecord('tips', frame));
        return undefined;
      case 'disputed':
        this.#takeDisputed(parseRecord('disputed', frame));
        return undefined;
      case 'end':
        this.#takeEnd(frame);
        return undefined;
      case 'prices': {
        const found = this.#of().prices.take(parseRecord('prices', frame));
        if (found !== undefined) this.#keep(found);
        return undefined;
      }
      case 'minutes':
        this.#of().minutes.take(frame);
        return undefined;
      default:
        return frame.kind satisfies never;
    }
  }

  #find(blame: Blame, code: ErrorCode, words: string, where: { n?: number; seq?: number } = {}): void {
    this.#keep({ blame, code, words, ...where });
  }

  #keep(finding: Finding): void {
    if (this.findings.length < FINDINGS_KEPT) this.findings.push(finding);
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

  #of(): Scope {
    return this.#scope ?? refuse('has evidence before its channel');
  }

  /** Throws `bad_evidence` for metering, which has none. */
  #channel(): ChannelParams {
    const { params } = this;
    return isMetered(params) ? refuse('has a state of a contract without a channel') : params;
  }

  #begin(params: CommitmentScope): void {
    const { contractId, terms } = params;
    const parts = { shares: new ShareAudit(), refusals: new RefusalAudit(terms) };
    const tips = new TipAudit(contractId, terms, this.head.role);
    const prices = new PriceAudit(terms);
    this.#scope = { params, ...parts, minutes: new MinuteAudit(contractId, terms), tips, prices };
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
    if (isMetering(terms)) this.#begin({ contractId, terms });
  }

  #takeChannel(frame: Frame): void {
    if (this.#contract === undefined || this.#scope !== undefined) refuse('has a channel out of place');
    const params = parseRecord('channel', frame);
    if (params.contractId !== this.head.contractId) refuse('has the channel of another contract');
    this.#begin(params);
  }

  #takeCommitment(record: CommitmentRecord): void {
    const { params } = this.#of();
    const { n } = record;
    if (this.#open !== undefined || this.#closed !== undefined || this.#isDisputed)
      refuse('has a commitment out of place');
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
      this.#hasAdopted = true;
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
    this.#open = { record, content, isAdopted, fault: undefined };
    this.#of().refusals.begin(record);
    if (record.logSeq === this.#nextSeq) this.#close();
  }

  /** What the maker signed and the miner did not: recomputed where the file has its shares. */
  #takeDisputed(disputed: DisputedFrame): void {
    const { n, offer } = disputed;
    if (this.head.role !== 'miner' || this.#open !== undefined || this.#closed !== undefined)
      refuse('has a disputed commitment out of place');
    const { params } = this.#of();
    const content = disputedContent(disputed);
    if (!this.#check('file', { n }, () => verifyCommitment(params, content, 'maker', offer.signature)))
      return;
    const hashHex = toHex(commitmentHash(params, content));
    const ruling = ruleDisputed(disputed, {
      ...{ isAgain: this.#newest?.n === n, isSame: this.#newest?.hashHex === hashHex },
      ...{ base: this.#base, nextSeq: this.#nextSeq, lastN: this.#last?.n ?? -1 },
    });
    if (ruling !== 'recompute') {
      for (const each of ruling) this.#keep(each);
      return;
    }
    const record = disputedRecord(disputed);
    this.#open = { record, content, isAdopted: false, disputed, fault: undefined };
    this.#isDisputed = true;
    this.#of().refusals.begin(record);
  }

  #takeShares(block: ShareBlock, hashed: Hashed): void {
    const channel = this.#of();
    if (block.first !== this.#nextSeq) refuse(`has share ${block.first} where ${this.#nextSeq} is due`);
    if (hashed instanceof Error) throw hashed;
    assert(hashed !== undefined, 'audit_hashed_before');
    const audited = channel.shares.take(block.first, hashed);
    const open = this.#open;
    this.#nextSeq += audited.count;
    this.counts.shares += audited.count;
    channel.refusals.delivered(workOf(audited, 0, audited.count));
    if (open === undefined) {
      this.counts.unsigned += audited.count;
      this.#unsignedWork += workOf(audited, 0, audited.count);
      for (const place of audited.faults.keys()) this.#unsignedWork -= workOf(audited, place, place + 1);
      return;
    }
    if (this.#nextSeq > open.record.logSeq) refuse('has shares of two commitments in one block');
    this.#credit(audited, open, block);
    if (this.#nextSeq === open.record.logSeq) this.#close();
  }

  /** Adds a block to the segment, less what was refused. */
  #credit(audited: AuditedBlock, open: Open, block: ShareBlock): void {
    const { refusals } = this.#of();
    const { count, first, hashes, kinds, kindOf, faults } = audited;
    const isRefused = this.head.role === 'miner' ? refusals.within(open.record, first, count) : undefined;
    const shares = isRefused === undefined ? [] : unpackWireShares(block.packed);
    let from = 0;
    const flush = (to: number, next = to): void => {
      const part = hashes.subarray(from * 32, to * 32);
      if (to > from) this.#segment.creditAll(part, kinds[kindOf[from]!]!.target.workHashes, this.#kernel);
      this.counts.committed += to - from;
      from = next;
    };
    let kind: number | undefined;
    for (let place = 0; place < count; place += 1) {
      if (isRefused?.(first + place)) {
        flush(place, place + 1);
        this.counts.refused += 1;
        const { job, target } = kinds[kindOf[place]!]!;
        const share = shares[place]!;
        const credited = this.counts.committed;
        refusals.take({ seq: first + place, share, job, target, credited, fault: faults.get(place) });
      } else if (kindOf[place] !== kind) {
        kind = kindOf[place]!;
        const { job, target } = kinds[kind]!;
        if (place > from && kinds[kindOf[from]!]!.target.workHashes !== target.workHashes) flush(place);
        if (this.#segment.lacksJob(job.id)) this.#segment.addJob(job.id, jobLeaf(job));
      }
    }
    flush(count);
    for (const [place, fault] of faults)
      if (open.fault === undefined && !isRefused?.(first + place)) open.fault = fault;
  }

  /** Compares what was recomputed with what was signed. */
  #close(): void {
    const open = this.#open!;
    const { record, content, isAdopted } = open;
    this.#open = undefined;
    this.#closed = open;
    this.#newest = { n: record.n, hashHex: toHex(commitmentHash(this.params, content)) };
    if (!isAdopted) this.#compare(open);
    this.#of().refusals.end();
    if (record.minerSignature === undefined) return;
    this.#base = record;
    this.#segment = new EvidenceSegment(pointAfter(record));
  }

  #compare({ record, fault, disputed }: Open): void {
    const { terms } = this.#of().params;
    const { n } = record;
    const point = this.#segment.end(record.nextSeq);
    const { refusals } = this.#of();
    const hasLog = refusals.isHead(record, this.#base, this.head.role === 'miner', disputed !== undefined);
    const differs = (what: string): void => {
      if (disputed !== undefined) {
        this.#keep(disputeOf(disputed, `for other ${what} than those of the file`));
        return;
      }
      const near = fault === undefined ? '' : `; share ${fault.seq}: ${fault.words}`;
      const words = `the file's ${what} are not those that commitment ${n} was signed for${near}`;
      this.#find('file', 'bad_commitment', words, {
        n,
        ...(fault === undefined ? {} : { seq: fault.seq }),
      });
    };
    const hasShares =
      disputed === undefined ? equal(point.tree.root(), record.tree.root()) : hasShareRoot(point, disputed);
    const isWeighed = record.weightsHead !== undefined;
    const hasWeights = !isWeighed || equal(point.weightsHead, record.weightsHead!);
    const hasJobs = equal(point.jobSetRoot, record.jobSetRoot);
    if (!hasShares) differs('shares');
    else if (!hasWeights) differs('difficulties');
    else if (!hasJobs) differs('jobs');
    else if (!hasLog) differs('refusals');
    else if (
      disputed === undefined &&
      (point.workHashes !== record.creditedHashes || point.tree.count !== record.tree.count)
    )
      differs('sums');
    if (hasLog) for (const each of refusals.convictions()) this.#keep(each);
    if (!hasShares || !hasWeights || !hasJobs) return;
    const owedHashes = smaller(point.workHashes, terms.workTotalHashes);
    // Where nobody signed its difficulty a share is worth its target at least, whatever the file gives it.
    const leastHashes = isWeighed
      ? point.workHashes
      : BigInt(point.tree.count) * workOfTarget(easiestTarget(terms));
    if (record.workHashes < smaller(leastHashes, terms.workTotalHashes)) {
      const words = `the maker signed ${record.workHashes} hashes for shares of ${owedHashes}`;
      this.#find('maker', 'bad_amount', words, { n });
    } else if (record.workHashes !== owedHashes) differs('difficulties');
    else if (!this.#hasEvents(record)) differs('events');
    else if (disputed !== undefined && hasLog) this.#keep(disputeOf(disputed, 'for what the file has'));
    if (fault === undefined) return;
    const isByMiner = record.minerSignature !== undefined;
    const who = isByMiner ? 'the miner sold and signed' : 'the maker took';
    const words = `${who} share ${fault.seq}, which is none: ${fault.words}`;
    const blame = isByMiner ? 'miner' : 'undecided';
    const isProven = fault.isProven || (isWeighed && fault.code === 'share_low');
    this.#find(isProven ? blame : 'file', fault.code, words, { n, seq: fault.seq });
  }

  /** Whether the head of the events behind a commitment is what terms, updates and states make it. */
  #hasEvents(record: CommitmentRecord): boolean {
    const { eventsHead } = record;
    return eventsHead === undefined || equal(eventsHead, eventsHeadAfter(this.params, this.#base, record));
  }

  /** The total that is complete with all of its shares. */
  #takeTotal(): AuditPoint | undefined {
    const committed = this.#closed;
    if (committed === undefined || !isMetered(this.params)) return undefined;
    this.#closed = undefined;
    const { n, workHashes, minerSignature } = committed.record;
    const before = this.#last;
    if (before !== undefined && workHashes <= before.workHashes) {
      const words = `the maker signed ${workHashes} hashes in total ${n}, after ${before.workHashes}`;
      this.#find('maker', 'not_monotone', words, { n });
    }
    if (minerSignature !== undefined) this.#last = { n, workHashes, paidSat: 0n };
    return { n, state: undefined, commitment: this.#signedFor(committed) };
  }

  #signedFor({ record, content }: Open): NonNullable<AuditPoint['commitment']> {
    const hashHex = toHex(commitmentHash(this.params, content));
    return { hashHex, isByMiner: record.minerSignature !== undefined };
  }

  #takeState(state: SignedState): AuditPoint | undefined {
    const params = this.#channel();
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
    this.#state = state;
    const committed = this.#closed;
    this.#closed = undefined;
    if (committed === undefined) return { n, state, commitment: undefined };
    const { record } = committed;
    if (record.n !== n) refuse(`has commitment ${record.n} and no such state`);
    if (record.workHashes !== state.workHashes) {
      const words = `the maker signed ${state.workHashes} hashes in state ${n} and ${record.workHashes} in its commitment`;
      this.#find('maker', 'bad_amount', words, { n });
    }
    return { n, state, commitment: this.#signedFor(committed) };
  }

  #takeAck({ n, signature }: { readonly n: number; readonly signature: string }): void {
    const params = this.#channel();
    const state = this.#state;
    if (state?.n !== n) refuse(`has an ack of state ${n} out of place`);
    this.#check('file', { n }, () => verifyAck(params, state, signature));
  }

  #takeProof(frame: Frame): void {
    const params = this.#channel();
    const { held, shown } = parseRecord('proof', frame);
    const { n } = held;
    const isSigned = [held, shown].every((state) =>
      this.#check('file', { n }, () => verifySignedState(params, state)),
    );
    if (!isSigned || shown.n !== n || sameState(held, shown)) return;
    this.#find('maker', 'equivocation', twoContents(held, shown), { n });
  }

  /** The minute logs of both sides, as far as each signed them. */
  get logs(): readonly SignedLog[] {
    return this.#scope?.minutes.logs(this.head.role) ?? [];
  }

  #takeEnd(frame: Frame): void {
    const { jobs, shares, commitments, states } = parseRecord('end', frame);
    const { counts } = this;
    if (this.#open !== undefined) refuse(`ends before the shares of commitment ${this.#open.record.n}`);
    if (this.#closed !== undefined) refuse(`has commitment ${this.#closed.record.n} and no such state`);
    if (
      jobs !== counts.jobs ||
      shares !== counts.shares ||
      commitments !== counts.commitments ||
      states !== counts.states
    )
      refuse('does not have as much as it says');
    this.#check('file', {}, () => this.#of().tips.end(shares));
  }

  /** The tip log of the file, as far as anything follows from it. */
  get tips(): TipAudit | undefined {
    const { tips } = this.#of();
    return tips.hasLog && tips.flaw === undefined && !this.#hasAdopted ? tips : undefined;
  }

  /** Why the tip log of the file is left out; undefined where it is not, or there is none. */
  get tipsFlaw(): string | undefined {
    return this.#of().tips.flaw;
  }

  /** What the tip logs of both sides make of what was refused: of the miner's file, once all was read. */
  lateFindings(maker: TipAudit | undefined): readonly Finding[] {
    return this.#of().refusals.findings(this.tips, maker);
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
