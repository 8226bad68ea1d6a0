import { type Clock, sleep, type Timers } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { displayHash } from '../bitcoin/header.ts';
import type { NetworkName } from '../bitcoin/network.ts';
import { canFollow } from '../bitcoin/next-bits.ts';
import { hashToNumber, targetOfCompact, workOfTarget } from '../bitcoin/target.ts';
import { workerScriptHex } from '../bitcoin/worker-address.ts';
import type { TipTracker } from '../chain/tip-tracker.ts';
import { BEAD_PARTS, beadParts } from '../contract/bead-odds.ts';
import type { BindingV3 } from '../contract/binding.ts';
import type { ContractTerms } from '../contract/terms.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Logger } from '../log/logger.ts';
import { checkJob, type ShareCode } from '../settlement/share-rules.ts';
import { shareTargetOf } from '../shares/share.ts';
import type { Bead } from '../upstream/bead.ts';
import { BEAD_WATCH_OPTIONS, BeadWatch } from '../upstream/bead-watch.ts';
import { type JobRecord, parseJobDocument, SHARE_KIND, unpackShares } from '../work/evidence.ts';
import type { StreamTotal } from '../work/meters.ts';
import {
  BEAD_DOUBT,
  type BeadCreditEvent,
  type BeadCreditOptions,
  type BeadCreditState,
  NO_BEADS,
  stopOf,
  transition,
  withCredited,
} from './bead-credit.ts';
import { beadCountEntry, loadBeadCount } from './bead-record.ts';
import type { BeadStatus, JobBinding } from './job-binding.ts';
import type { ShareCases } from './share-cases.ts';

export type BeadBindingDeps = {
  readonly node: BeadSource;
  readonly view: Pick<TipTracker, 'standing'>;
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Logger;
};

/** The own Braidpool node, as far as bindings ask it. */
export type BeadSource = {
  /** Undefined when the node does not know the bead; rejects when it cannot be asked. */
  getBead(hash: string): Promise<Bead | undefined>;
  /** Calls back on each new bead, until the returned function is called. Some may be left out. */
  onBead(tell: (bead: Bead) => void): () => void;
};

/** No node: every answer is still to come. */
export const NO_BEAD_NODE: BeadSource = {
  getBead: () => Promise.reject(new CodedError('braidpool_unreachable', 'no [braidpool] is configured')),
  onBead: () => () => {},
};

/** What the binding asks of its contract's store. */
export type BeadStore = {
  readonly contractId: string;
  readonly terms: ContractTerms;
  readonly evidence: StreamTotal;
  storedJob(jobId: number): Promise<string | undefined>;
};

export type StatisticalBinding = Extract<BindingV3, { readonly type: 'bead' }>;

/** A bead that comes late is looked for for so long, ever less often. */
const WATCH = { ...BEAD_WATCH_OPTIONS, timeoutMs: 3_600_000, maxRetryMs: 60_000 };
/** Time in ms that one batch waits for beads of it before shares of it are refused. */
const BATCH_WAIT_MS = 5_000;
const POLL_MS = 100;
/** Shares after which the count is written though no bead came; so many are read again at a start. */
const SAVE_SHARES = 4096;
const ROWS_PER_READ = 64;

/** A share as the rule sees it. */
type Weighed = { readonly parts: bigint; readonly beadHash: string | undefined };

/**
 * The binding by statistics of beads: a share is credited while beads that pay the script of the terms come
 * as often as the credited work says. The own node is asked for each credited share that should be a bead;
 * its first answer counts (`BRAIDPOOL.md`: A3, A10).
 */
export class BeadBinding implements JobBinding {
  readonly #store: BeadStore;
  readonly #binding: StatisticalBinding;
  readonly #network: NetworkName;
  readonly #options: BeadCreditOptions;
  readonly #deps: BeadBindingDeps;
  readonly #watch: BeadWatch;
  readonly #stopBeads: () => void;
  readonly #asPaid: <T extends Bead | undefined>(bead: T) => T;
  #state: BeadCreditState | undefined;
  #loading: Promise<void> | undefined;
  /** Worth of shares that were judged and are not on disk yet. */
  #aheadParts = 0n;
  #aheadHashes = new Set<string>();
  /** Beads of a batch whose write failed: they are counted, and its shares come again. */
  #countedHashes: ReadonlySet<string> = new Set();
  #isDirty = false;
  #savedSeq = 0;
  #toldStop: ShareCode | undefined;

  constructor(store: BeadStore, binding: StatisticalBinding, deps: BeadBindingDeps) {
    const { node, clock, timers, log } = deps;
    this.#store = store;
    this.#binding = binding;
    this.#network = store.terms.network;
    this.#options = { ...BEAD_DOUBT, stopPpb: binding.stopPpb };
    this.#deps = { ...deps, log: log.child({ contract: store.contractId }) };
    this.#asPaid = withPaidScript(binding.scriptHex, this.#network);
    this.#watch = new BeadWatch(WATCH, {
      getBead: async (hash) => this.#asPaid(await node.getBead(hash)),
      ...{ clock, timers, log: this.#deps.log },
      onOutcome: (outcome) => this.#onOutcome(outcome),
    });
    this.#stopBeads = node.onBead((bead) => this.#watch.seen(this.#asPaid(bead)));
    this.#watch.start();
  }

  judgeJob(job: JobRecord): ShareCode | undefined {
    return checkJob(this.#store.terms, job);
  }

  /** The bits of a job say how much work a bead is: they must be those of the own chain. */
  judgeNow(job: JobRecord): Promise<ShareCode | undefined> {
    return judgeBits(this.#deps.view, this.#network, job);
  }

  async judgeShares(cases: ShareCases): Promise<void> {
    await this.#load();
    this.#forgetAhead();
    const { clock, timers } = this.#deps;
    const untilMs = clock.monotonicMs() + BATCH_WAIT_MS;
    for (let index = 0; index < cases.length; index += 1) {
      if (!cases.isGood(index)) continue;
      const { workHashes } = cases.targets[index]!;
      const weighed = this.#weigh(cases.jobs[index]!, cases.rows.hash(index), workHashes);
      while (this.#mayWait() && clock.monotonicMs() < untilMs) await sleep(timers, POLL_MS);
      cases.codes[index] = this.#take(weighed);
    }
  }

  credited(): void {
    this.#aheadParts = 0n;
    this.#aheadHashes = new Set();
    this.#countedHashes = new Set();
    if (this.#isDirty || this.#store.evidence.seq - this.#savedSeq >= SAVE_SHARES) this.#save();
  }

  get beads(): BeadStatus {
    const { worthParts, paidBeads, missingBeads, open, stolen } = this.#state ?? NO_BEADS;
    return {
      worth: Number(worthParts / (BEAD_PARTS / 1000n)) / 1000,
      ...{ paid: paidBeads, missing: missingBeads, open: open.size, stolen: stolen?.paid },
    };
  }

  stop(): void {
    this.#stopBeads();
    this.#watch.stop();
  }

  /** A batch that was judged never came to the disk: its shares will come again. */
  #forgetAhead(): void {
    if (this.#aheadParts === 0n) return;
    const state = this.#state!;
    this.#state = { ...state, worthParts: state.worthParts - this.#aheadParts };
    this.#countedHashes = new Set([...this.#countedHashes, ...this.#aheadHashes]);
    this.#aheadParts = 0n;
    this.#aheadHashes = new Set();
  }

  #mayWait(): boolean {
    const state = this.#state!;
    return (
      state.open.size > 0 && stopOf(this.#options, state, this.#deps.clock.monotonicMs()) === 'share_beads'
    );
  }

  /** A share that should be a bead is known by its own hash: A1. What a bead is, says the profile: A4, A5. */
  #weigh(job: JobRecord, hash: Uint8Array, workHashes: bigint): Weighed {
    if (this.#binding.profile === 'weak') return { parts: BEAD_PARTS, beadHash: displayHash(hash) };
    const target = targetOfCompact(job.bits);
    return {
      parts: beadParts(workHashes, workOfTarget(target)),
      beadHash: hashToNumber(hash) <= target ? displayHash(hash) : undefined,
    };
  }

  #take({ parts, beadHash }: Weighed): ShareCode | undefined {
    const isCounted = beadHash !== undefined && this.#countedHashes.has(beadHash);
    const event: BeadCreditEvent = { type: 'share', parts, beadHash: isCounted ? undefined : beadHash };
    const code = this.#on(event);
    this.#tellStop(code);
    if (code !== undefined) return code;
    this.#aheadParts += parts;
    if (beadHash !== undefined) this.#aheadHashes.add(beadHash);
    return undefined;
  }

  /** Runs the machine. Returns the code of a share that is refused. */
  #on(event: BeadCreditEvent): ShareCode | undefined {
    const { state, effects } = transition(
      this.#options,
      this.#state!,
      event,
      this.#deps.clock.monotonicMs(),
    );
    this.#state = state;
    let code: ShareCode | undefined;
    for (const effect of effects) {
      if (effect.type === 'refuse') code = effect.code;
      else if (effect.type === 'watch') this.#watch.forwarded(effect.hash, this.#binding.scriptHex);
      else if (effect.type === 'accuse') {
        const { hash: bead, paid } = effect.stolen;
        const fields = { code: 'bead_wrong_payout', bead, expected: this.#binding.scriptHex, paid };
        this.#deps.log.error(fields, 'a bead of a share that was sold pays another: no more is credited');
      }
    }
    return code;
  }

  #onOutcome({ hash, outcome, paid }: { hash: string } & Omit<OutcomeEvent, 'type' | 'hash'>): void {
    this.#on({ type: 'outcome', hash, outcome, paid });
    this.#isDirty = true;
    if (this.#aheadParts === 0n) this.#save();
  }

  #tellStop(code: ShareCode | undefined): void {
    if (code === this.#toldStop) return;
    this.#toldStop = code;
    const { worth, paid, missing, open } = this.beads;
    const fields = { worth_beads: worth, paid_beads: paid, missing_beads: missing, open_beads: open };
    if (code === undefined) this.#deps.log.info(fields, 'enough beads pay us again: work is credited');
    else if (code === 'share_beads')
      this.#deps.log.warn(
        { code, ...fields, stop_ppb: this.#options.stopPpb },
        'too few beads pay us for the work: none is credited until more do',
      );
  }

  #load(): Promise<void> {
    this.#loading ??= this.#readCount().catch((error: unknown) => {
      this.#loading = undefined;
      throw error;
    });
    return this.#loading;
  }

  /** What was written, and the shares that were credited since. */
  async #readCount(): Promise<void> {
    const { ledger, clock } = this.#deps;
    const { contractId } = this.#store;
    const nowMs = clock.monotonicMs();
    const count = await loadBeadCount(ledger, contractId, nowMs);
    let { state } = count;
    for (let seq = count.seq; seq < this.#store.evidence.seq; ) {
      const rows = await ledger.readLog(SHARE_KIND, contractId, seq, ROWS_PER_READ);
      if (rows.length === 0) break;
      for (const row of rows) {
        for (const share of unpackShares(row.body).slice(Math.max(0, seq - row.first))) {
          const job = await this.#jobOf(share.jobId);
          const { workHashes } = shareTargetOf(share.difficulty);
          const { parts, beadHash } = this.#weigh(job, share.hash, workHashes);
          state = withCredited(state, parts, beadHash, nowMs);
        }
        seq = row.first + row.count;
      }
    }
    this.#state = state;
    this.#savedSeq = count.seq;
    for (const hash of state.open.keys()) this.#watch.forwarded(hash, this.#binding.scriptHex);
  }

  async #jobOf(jobId: number): Promise<JobRecord> {
    const body = await this.#store.storedJob(jobId);
    if (body === undefined) throw new CodedError('ledger_corrupt', `job ${jobId} of a share is missing`);
    return parseJobDocument(body);
  }

  /** Not waited for: what is not on disk is read again from the shares. */
  #save(): void {
    this.#isDirty = false;
    const { contractId, evidence } = this.#store;
    this.#savedSeq = evidence.seq;
    const entry = beadCountEntry(contractId, { seq: evidence.seq, state: this.#state! });
    this.#deps.ledger.append([entry]).catch((error: unknown) => {
      if (!(error instanceof CodedError)) throw error;
      this.#isDirty = true;
    });
  }
}

/** Judges the bits of a job by the own chain. */
export async function judgeBits(
  view: BeadBindingDeps['view'],
  network: NetworkName,
  { prevHash, bits }: JobRecord,
): Promise<ShareCode | undefined> {
  const standing = await view.standing(displayHash(prevHash));
  if (standing.status === 'unknown') return 'stale_race';
  return canFollow(bits, standing, network) ? undefined : 'share_bad';
}

/** Gives a bead our script for a payout address that pays it, for the comparison. */
export function withPaidScript(
  scriptHex: string,
  network: NetworkName,
): <T extends Bead | undefined>(bead: T) => T {
  return (bead) => {
    if (bead === undefined) return bead;
    const isOurs = workerScriptHex(bead.payoutAddress, network) === scriptHex;
    return { ...bead, payoutAddress: isOurs ? scriptHex : `address ${bead.payoutAddress}` };
  };
}

type OutcomeEvent = Extract<BeadCreditEvent, { readonly type: 'outcome' }>;
