import { codeOf } from '../../src/base/errors.ts';
import { signState } from '../../src/channel/states.ts';
import type { LedgerEntry } from '../../src/ledger/ledger.ts';
import { MakerCommitments } from '../../src/maker/maker-commitments.ts';
import { MinerCommitments } from '../../src/miner/miner-commitments.ts';
import type { CommitmentOffer } from '../../src/peer/commitment-codecs.ts';
import { type CommitmentFormat, commitmentEntry } from '../../src/settlement/commitments.ts';
import { shareTargetOf } from '../../src/shares/share.ts';
import {
  JOB_KIND,
  type JobRecord,
  jobDocument,
  jobDocumentId,
  SHARE_KIND,
  type ShareRecord,
} from '../../src/work/evidence.ts';
import { ShareRows } from '../../src/work/share-rows.ts';
import { makeParams, makerSigner, makeTerms, minerSigner, seedOf } from '../channel/fixtures.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';

export const SHARE_WORK = shareTargetOf(1).workHashes;
export const STREAM = 'stream';

export function jobOf(id: number): JobRecord {
  return {
    id,
    wireId: id.toString(16),
    stream: STREAM,
    ...{ version: 1, versionMask: 0, bits: 1, time: 1, extranonceSize: 0, upstreamDifficulty: 1 },
    ...{ prevHash: seedOf('block'), coinb1: seedOf(`job ${id}`), coinb2: new Uint8Array(0), branches: [] },
  };
}

export function shareOf(seq: number, jobId: number): ShareRecord {
  return {
    jobId,
    difficulty: 1,
    extranonce1: new Uint8Array(0),
    extranonce2: new Uint8Array(0),
    ...{ ntime: 0, nonce: seq, version: 1, hash: seedOf(`share ${seq}`) },
  };
}

export const NEWEST: CommitmentFormat = { hasFaultLog: true, isWeighed: true, hasEvents: true };

/** Both sides of a contract with their ledgers, as far as commitments go. */
export class Pair {
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
        body: ShareRows.of([share]).body,
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

export async function refusal(run: Promise<unknown>): Promise<string> {
  return run.then(
    () => 'taken',
    (error: unknown) => codeOf(error),
  );
}
