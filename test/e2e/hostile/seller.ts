import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { equal, fromHex, toHex } from '../../../src/base/bytes.ts';
import type { Json } from '../../../src/base/json.ts';
import { jobLeaf } from '../../../src/channel/evidence-point.ts';
import { FaultRecount, type RefusedContent } from '../../../src/channel/fault-log.ts';
import type { UpstreamJob } from '../../../src/jobs/job.ts';
import { JobTable } from '../../../src/jobs/job-table.ts';
import { DeliveryGate } from '../../../src/miner/delivery-gate.ts';
import { Mining } from '../../../src/mining/mining.ts';
import { codecsOf } from '../../../src/peer/messages.ts';
import { packedSharesCodec, type WireShare } from '../../../src/peer/packed-shares.ts';
import { RpcPeer } from '../../../src/peer/rpc-peer.ts';
import { shareTargetOf } from '../../../src/shares/share.ts';
import { printJobId } from '../../../src/stratum/job-id.ts';

import type { Destination, DestinationListener } from '../../../src/upstream/destination.ts';
import { ShareRows } from '../../../src/work/share-rows.ts';
import { JOB_TRICKS } from './job-tricks.ts';
import type { TakeOrder } from './orders.ts';

/** What was sold by one trick, by what the buyer said of it. */
export type Sold = {
  shares: number;
  credited: number;
  /** Ids of the own jobs, and how many of them shares were credited of. */
  readonly ids: string[];
  jobs: number;
  /** Of them those that were first sold once a refusal had said that the trick was found. */
  jobsOnceFound: number;
  readonly refused: Record<string, number>;
};

/** What is sold in the place of found shares. */
const SHARE_TRICKS: Readonly<Record<string, (share: WireShare) => WireShare>> = {
  'harder share': (share) => ({ ...share, difficulty: share.difficulty * 4 }),
  'easier share': (share) => ({ ...share, difficulty: share.difficulty / 4 }),
};

/** Solutions that first come in a batch, or so late that the batch is first. */
const LATE_BY_MS: Readonly<Record<string, number>> = {
  'solution withheld': Number.POSITIVE_INFINITY,
  'solution late': 2_000,
};

type Kept = { readonly announced: Json; readonly shares: string };

type Sent = { readonly share: WireShare; readonly leaf: Uint8Array };

const contentOf = ({ jobId, extranonce1, extranonce2, ntime, nonce, version }: RefusedContent): string =>
  [jobId, toHex(extranonce1), toHex(extranonce2), ntime, nonce, version].join(':');

/** True where the buyer refused a share for what its job is. */
const isFound = ({ refused }: Sold): boolean => 'share_unbound' in refused || 'share_unshown' in refused;

const ACCEPTED = { outcome: 'accepted', code: undefined, reason: '', rttMs: 1 } as const;
const keyOf = ({ ntime, nonce }: Pick<WireShare, 'ntime' | 'nonce'>): string => `${ntime}:${nonce}`;

/**
 * What was sold in the place of found shares, over the starts of its process: who sells other shares than
 * those of its log knows so, and signs for what the buyer's fault log has of them as for its own.
 */
class SoldInPlace {
  readonly #file: string;
  readonly #sold = new Map<string, Sent>();

  constructor(file: string) {
    this.#file = file;
    const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n') : [];
    for (const line of lines.filter((each) => each !== '')) {
      const [own, packed, leaf] = JSON.parse(line) as [string, string, string];
      this.#sold.set(own, { share: packedSharesCodec.parse(packed).share(0), leaf: fromHex(leaf) });
    }
  }

  /** @param announced of the job of the sold share */
  keep(own: RefusedContent, share: WireShare, announced: Json): void {
    const leaf = jobLeaf(codecsOf('job.announce').params.parse(announced).job);
    const key = contentOf(own);
    this.#sold.set(key, { share, leaf });
    const line = [key, packedSharesCodec.print(ShareRows.of([share])), toHex(leaf)];
    appendFileSync(this.#file, `${JSON.stringify(line)}\n`);
  }

  soldFor(own: RefusedContent): Sent | undefined {
    return this.#sold.get(contentOf(own));
  }
}

class Seller {
  readonly #sold = new Map<string, Sold>();
  readonly #jobsCredited = new Map<string, Set<number>>();
  readonly #places: {
    readonly setup: { readonly name: string; readonly role: string };
    at: Destination;
    listener: DestinationListener;
  }[] = [];
  /** What is mined in the place of each job, by trick. */
  readonly #tricked = new WeakMap<UpstreamJob, Map<string, UpstreamJob>>();
  readonly #trickOf = new WeakMap<UpstreamJob, string>();
  readonly #trickOfOwnJob = new Map<number, string>();
  readonly #lateShares = new Map<string, string>();
  readonly #announced = new Map<number, Json>();
  readonly #creditedShares: WireShare[] = [];
  readonly #memory: SoldInPlace;
  #trick: string | undefined;
  #known = { ownScript: '' };
  #isBegun = false;
  #oldJob: UpstreamJob | undefined;
  /** When another block came after it, by the monotonic clock. */
  #oldSinceMs = Number.POSITIVE_INFINITY;
  #elsewhere: { readonly announced: Json; readonly shares: readonly WireShare[] } | undefined;
  #again = 0;

  constructor(memory: SoldInPlace) {
    this.#memory = memory;
  }

  readonly take: TakeOrder = (order) => {
    switch (order.do) {
      case 'know':
        this.#known = { ...this.#known, ...order };
        return this.#begin();
      case 'play':
        this.#play(order['trick'] as string | undefined);
        return {};
      case 'sold':
        return this.#soldBy(String(order['trick']));
      case 'age':
        return Math.max(0, performance.now() - this.#oldSinceMs);
      case 'keep':
        return this.#keep(String(order['file']));
      case 'bring':
        return this.#bring(String(order['file']));
      default:
        throw new Error(`no order ${order.do}`);
    }
  };

  /** Wraps a place to mine to: its jobs are others, and what solves those goes nowhere. */
  place(
    setup: { readonly name: string; readonly role: string },
    listener: DestinationListener,
    make: (listener: DestinationListener) => Destination,
  ): Destination {
    const at = make({
      ...listener,
      onJob: (from, job) => {
        if (setup.role === 'contract') this.#see(job);
        listener.onJob?.(from, this.#inPlaceOf(setup, job));
      },
    });
    const honest = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(at), 'lastJob')!.get!;
    const submit = at.submit.bind(at);
    Object.defineProperty(at, 'lastJob', {
      get: () => {
        const job = honest.call(at) as UpstreamJob | undefined;
        return job && this.#inPlaceOf(setup, job);
      },
    });
    Object.assign(at, {
      submit: (...words: Parameters<Destination['submit']>) => {
        const [share, done] = words;
        const lateMs = setup.role === 'contract' ? LATE_BY_MS[this.#trick ?? ''] : undefined;
        if (lateMs !== undefined) this.#lateShares.set(keyOf(share), this.#trick!);
        if (lateMs !== undefined && Number.isFinite(lateMs)) setTimeout(() => submit(...words), lateMs);
        else if (lateMs !== undefined || this.#trickOf.has(share.job)) setImmediate(() => done?.(ACCEPTED));
        else submit(...words);
      },
    });
    this.#places.push({ setup, at, listener });
    return at;
  }

  /** Work on blocks from before the channel may be of the time before the maker was there. */
  #begin(): object {
    this.#isBegun = true;
    this.#oldJob = this.#places.find(({ setup }) => setup.role === 'contract')?.at.lastJob;
    return {};
  }

  #see(job: UpstreamJob): void {
    if (!this.#isBegun) return;
    this.#oldJob ??= job;
    if (!equal(this.#oldJob.prevHash, job.prevHash))
      this.#oldSinceMs = Math.min(this.#oldSinceMs, performance.now());
  }

  ownJob(upstream: UpstreamJob, id: number): void {
    const trick = this.#trickOf.get(upstream);
    if (trick !== undefined) this.#trickOfOwnJob.set(id, trick);
  }

  announced(id: number, params: Json): void {
    this.#announced.set(id, params);
  }

  /** Sells a batch, or another in its place. */
  async sell(
    ask: (method: string, params: Json) => Promise<unknown>,
    params: Record<string, Json>,
  ): Promise<unknown> {
    const found = packedSharesCodec.parse(params['packed']).shares();
    const { name, shares } = await this.#inPlaceOfBatch(ask, found);
    const foundBefore = new Set([...this.#sold].flatMap(([trick, sold]) => (isFound(sold) ? [trick] : [])));
    for (const [at, share] of shares.entries()) {
      const own = found[at]!;
      const announced = this.#announced.get(share.jobId);
      const isOther = share !== own || this.#memory.soldFor(own) !== undefined;
      if (isOther && announced !== undefined) this.#memory.keep(own, share, announced);
    }
    const answer = await ask('work.batch', {
      ...params,
      packed: packedSharesCodec.print(ShareRows.of(shares)),
    });
    const { refused } = codecsOf('work.batch').result.parse(answer);
    const codes = new Map(refused.map(({ seq, code }) => [seq, code]));
    const firstSeq = Number(params['first_seq']);
    for (const [at, share] of shares.entries()) {
      const of = name ?? this.#nameOf(share);
      this.#count(of, share, codes.get(firstSeq + at), foundBefore.has(of));
    }
    return answer;
  }

  #nameOf(share: WireShare): string {
    return this.#trickOfOwnJob.get(share.jobId) ?? this.#lateShares.get(keyOf(share)) ?? 'honest';
  }

  #count(name: string, share: WireShare, code: string | undefined, wasFound: boolean): void {
    const sold = this.#soldBy(name);
    this.#sold.set(name, sold);
    sold.shares += 1;
    const id = printJobId(share.jobId);
    if (!sold.ids.includes(id)) sold.ids.push(id);
    if (code !== undefined) {
      sold.refused[code] = (sold.refused[code] ?? 0) + 1;
      return;
    }
    sold.credited += 1;

    const jobs = this.#jobsCredited.get(name) ?? new Set();
    if (wasFound && !jobs.has(share.jobId)) sold.jobsOnceFound += 1;
    this.#jobsCredited.set(name, jobs.add(share.jobId));
    sold.jobs = jobs.size;
    if (name === 'honest') this.#creditedShares.push(share);
  }

  async #inPlaceOfBatch(
    ask: (method: string, params: Json) => Promise<unknown>,
    found: readonly WireShare[],
  ): Promise<{ readonly name?: string; readonly shares: readonly WireShare[] }> {
    const name = this.#trick;
    if (name === undefined) return { shares: found };
    const change = SHARE_TRICKS[name];
    if (change !== undefined) return { name, shares: found.map(change) };
    if (name === 'same shares again' && this.#creditedShares.length > 0)
      return { name, shares: found.map((_, at) => this.#creditedShares.at(-1 - (at % 8))!) };
    if (name === 'shares of another contract' && this.#elsewhere !== undefined) {
      const { announced, shares } = this.#elsewhere;
      await ask('job.announce', announced);
      return { name, shares: found.map((_, at) => shares[at % shares.length]!) };
    }
    return { shares: found };
  }

  #soldBy(trick: string): Sold {
    return (
      this.#sold.get(trick) ?? { shares: 0, credited: 0, ids: [], jobs: 0, jobsOnceFound: 0, refused: {} }
    );
  }

  #play(trick: string | undefined): void {
    this.#trick = trick;
    // Work that is given out again has another time, or the miners would find the same shares.
    this.#again += 1;
    for (const { setup, at, listener } of this.#places) {
      if (setup.role !== 'contract') continue;
      const { lastJob } = at;
      if (lastJob === undefined) continue;
      const again = { ...lastJob, clean: true, time: lastJob.time + this.#again };
      const name = this.#trickOf.get(lastJob);
      if (name !== undefined) this.#trickOf.set(again, name);
      listener.onJob?.(at, again);
    }
  }

  #inPlaceOf({ role }: { readonly role: string }, job: UpstreamJob): UpstreamJob {
    const trick = this.#trick;
    if (role !== 'contract' || trick === undefined) return job;
    const change = JOB_TRICKS[trick];
    if (change === undefined) return job;
    const known = this.#tricked.get(job) ?? new Map<string, UpstreamJob>();
    this.#tricked.set(job, known);
    const ownPoolJob = this.#places.find(({ setup }) => setup.role !== 'contract')?.at.lastJob;
    const oldJob = this.#oldJob && !equal(this.#oldJob.prevHash, job.prevHash) ? this.#oldJob : undefined;
    const tricked = known.get(trick) ?? change(job, { ...this.#known, ownPoolJob, oldJob });
    if (tricked === undefined) return job;
    known.set(trick, tricked);
    this.#trickOf.set(tricked, trick);
    return tricked;
  }

  /** What was paid, to be sold once more by another process. */
  #keep(file: string): number {
    const last = this.#creditedShares.at(-1);
    if (last === undefined) throw new Error('nothing was credited');
    const shares = this.#creditedShares.filter(({ jobId }) => jobId === last.jobId);
    const kept: Kept = {
      announced: this.#announced.get(last.jobId)!,
      shares: packedSharesCodec.print(ShareRows.of(shares)) as string,
    };
    writeFileSync(file, JSON.stringify(kept));
    return shares.length;
  }

  #bring(file: string): object {
    const { announced, shares } = JSON.parse(readFileSync(file, 'utf8')) as Kept;
    const { contract_id } = [...this.#announced.values()].at(-1) as { contract_id: string };
    const { job } = announced as { job: Record<string, Json> };
    // Under an id of its own, and as if it were no job of another maker.
    const jobId = 0xffff_ffff;
    const mine = { contract_id, job: { ...job, job: printJobId(jobId) } };
    this.#announced.set(jobId, mine);
    this.#elsewhere = {
      announced: mine,
      shares: packedSharesCodec
        .parse(shares)
        .shares()
        .map((share) => ({ ...share, jobId })),
    };
    return {};
  }
}

/**
 * Makes this process a seller that mines and sells what it is told to, and stops at no bound.
 * @param memoryFile what it remembers over its starts
 */
export function arm(memoryFile: string): TakeOrder {
  const memory = new SoldInPlace(memoryFile);
  const seller = new Seller(memory);
  const { addDestination, setContract } = Mining.prototype;
  Mining.prototype.addDestination = function (setup, make, node) {
    return addDestination.call(this, setup, (listener) => seller.place(setup, listener, make), node);
  };
  // It sells on, whatever is unpaid, and whatever it would not be paid for.
  const begun = new Set<string>();
  Mining.prototype.setContract = function ({ unpaidReason: _reason, ...contract }) {
    if (contract.isDelivering) begun.add(contract.contractId);
    return setContract.call(this, { ...contract, isDelivering: begun.has(contract.contractId) });
  };
  const { admits } = DeliveryGate.prototype;
  DeliveryGate.prototype.admits = function (workHashes) {
    admits.call(this, workHashes);
    return true;
  };
  const { add } = JobTable.prototype;
  JobTable.prototype.add = function (...words) {
    const job = add.apply(this, words);
    seller.ownJob(words[2], job.id);
    return job;
  };
  const { request } = RpcPeer.prototype;
  RpcPeer.prototype.request = function (method, params) {
    if (method === 'job.announce') {
      const { job } = params as { job: { job: string } };
      seller.announced(Number.parseInt(job.job, 16), params);
    }
    if (method !== 'work.batch') return request.call(this, method, params);
    return seller.sell((asked, what) => request.call(this, asked, what), params as Record<string, Json>);
  };
  const { take } = FaultRecount.prototype;
  FaultRecount.prototype.take = function (range, own, ...rest) {
    const sold = memory.soldFor(own);
    if (sold === undefined) return take.call(this, range, own, ...rest);
    return take.call(this, range, sold.share, sold.leaf, shareTargetOf(sold.share.difficulty).workHashes);
  };
  return seller.take;
}
