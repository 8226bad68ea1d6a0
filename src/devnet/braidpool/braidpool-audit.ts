import { address as addresses, networks } from 'bitcoinjs-lib';
import { concat, fromHex, isHex, toHex } from '../../base/bytes.ts';
import type { Clock } from '../../base/clock.ts';
import { sha256d } from '../../base/hash.ts';
import { compareHashes, displayHash, parseHeader } from '../../bitcoin/header.ts';
import {
  DIFFICULTY_1_TARGET,
  hashToNumber,
  targetOfCompact,
  targetOfDifficulty,
} from '../../bitcoin/target.ts';
import type { Logger } from '../../log/logger.ts';
import { type AsicJob, asicHeader, parseAsicJob } from '../asic/asic-job.ts';
import { StratumClient, type StratumReply } from '../asic/stratum-client.ts';
import type { LinePeer } from '../net/line-server.ts';
import { parseSubmitFields, rolledVersion, type SubmitFields } from '../net/submit-fields.ts';
import { type Bead, buildBead, compactAtLeast, compositeHash } from './bead.ts';
import type { Braid } from './braid.ts';
import {
  type BraidpoolBackend,
  type BraidpoolHub,
  type BraidpoolReply,
  type BraidpoolSession,
  invalidParams,
  isHex8,
  rustError,
} from './braidpool-backend.ts';
import { BRAIDPOOL_TEMPLATES, BRAIDPOOL_VERSION_MASK, type BraidpoolQuirks } from './braidpool-profile.ts';
import { bigFromBe } from './braidpool-work.ts';

export type BraidpoolAuditOptions = {
  readonly upstream: {
    readonly host: string;
    readonly port: number;
    readonly username: string;
    readonly password?: string;
  };
  /** Sent to miners instead of the upstream's difficulty. */
  readonly minerDifficulty?: number;
  /** As in the node, a difficulty below 1 counts as 1. Default false: a devnet has no such hashrate. */
  readonly clampDifficulty?: boolean;
  /** As in the node, the user name must begin with a mainnet address. Default false. */
  readonly mainnetAddresses?: boolean;
};

/** What the node keeps of each share it took. */
export type AuditRecord = {
  readonly shareId: string;
  readonly workerName: string;
  readonly minerIp: string;
  readonly jobId: string;
  /** Hex. */
  readonly commitment: string;
  /** Met the upstream's difficulty and was forwarded. */
  readonly upstreamEligible: boolean;
  /** Unknown until the upstream answers. */
  upstreamAccepted: boolean | undefined;
};

export type BraidpoolAudit = {
  /** Subscribed upstream, with a job: miners are let in. */
  readonly ready: boolean;
  /** Five bytes, hex. */
  readonly commitment: string;
  readonly stats: { forwarded: number; upstreamAccepted: number; upstreamRejected: number; stale: number };
  records(): readonly AuditRecord[];
  /** Drops the upstream connection; it is made anew. */
  dropUpstream(): void;
};

type Deps = {
  readonly braid: Braid;
  readonly hub: BraidpoolHub;
  readonly log: Logger;
  readonly clock: Clock;
};

type Upstream = { readonly extranonce1: Uint8Array; readonly extranonce2Size: number };
type Sibling = { readonly composite: Uint8Array; readonly hash: string };
type Job = { readonly params: readonly unknown[]; readonly job: AsicJob; readonly sentAtSeconds: number };
type Found = {
  readonly session: BraidpoolSession;
  readonly job: Job;
  readonly fields: SubmitFields;
  readonly extranonce1: Uint8Array;
  readonly header: Uint8Array;
  readonly hash: Uint8Array;
};

const PREFIX_BYTES = 2;
const COMMITMENT_BYTES = 5;
const MAX_PREFIX = 65_535;
const EXTRANONCE_HISTORY = 5;
const MAX_RECORDS = 200_000;

/**
 * Audit mode: the node as a Stratum proxy before another pool, which commits each share to the braid by five
 * bytes of extranonce1: upstream's || 2 bytes for the miner || first 5 bytes of the generation hash.
 */
export class BraidpoolAuditWork implements BraidpoolBackend, BraidpoolAudit {
  readonly stats = { forwarded: 0, upstreamAccepted: 0, upstreamRejected: 0, stale: 0 };
  readonly #options: BraidpoolAuditOptions;
  readonly #quirks: BraidpoolQuirks;
  readonly #deps: Deps;
  readonly #client: StratumClient;
  readonly #prefixes = new Map<string, number>();
  readonly #records = new Map<string, AuditRecord>();
  readonly #jobs = new Map<string, Job>();
  #freePrefixes: number[] = [];
  #nextPrefix = 1;
  #upstream: Upstream | undefined;
  #latest: Job | undefined;
  #difficulty: number | undefined;
  #sentDifficulty: number | undefined;
  #configured: Promise<StratumReply | undefined> | undefined;
  #parents: readonly Sibling[];
  #siblings: Sibling[] = [];
  #commitment: Uint8Array;

  constructor(options: BraidpoolAuditOptions, quirks: BraidpoolQuirks, deps: Deps) {
    this.#options = options;
    this.#quirks = quirks;
    this.#deps = deps;
    this.#parents = this.#tips();
    this.#commitment = generationCommitment(this.#parents);
    this.#client = new StratumClient(options.upstream, {
      onUp: () => void this.#onUp(),
      onDown: () => this.#onDown(),
      onNotification: (method, params) => this.#onNotification(method, params),
    });
    this.#client.connect();
  }

  get ready(): boolean {
    return this.#upstream !== undefined && this.#latest !== undefined;
  }

  get commitment(): string {
    return toHex(this.#commitment);
  }

  records(): readonly AuditRecord[] {
    return [...this.#records.values()];
  }

  dropUpstream(): void {
    this.#client.drop();
  }

  reset(): void {
    this.#jobs.clear();
    this.#prefixes.clear();
    this.#freePrefixes = [];
    this.#nextPrefix = 1;
    this.#parents = this.#tips();
    this.#siblings = [];
    this.#client.drop();
  }

  async stop(): Promise<void> {
    this.#client.close();
  }

  open(peer: LinePeer): { readonly extranonce1: Uint8Array; readonly extranonce2Size: number } | undefined {
    const upstream = this.#upstream;
    if (upstream === undefined || this.#latest === undefined) return undefined;
    const extranonce2Size = upstream.extranonce2Size - PREFIX_BYTES - COMMITMENT_BYTES;
    const prefix = this.#freePrefixes.shift() ?? this.#nextPrefix++;
    if (extranonce2Size < 1 || prefix > MAX_PREFIX) return undefined;
    this.#prefixes.set(peer.address, prefix);
    return { extranonce1: this.#extranonce1Of(peer), extranonce2Size };
  }

  closed({ peer }: BraidpoolSession): void {
    const prefix = this.#prefixes.get(peer.address);
    if (prefix === undefined) return;
    this.#prefixes.delete(peer.address);
    this.#freePrefixes.push(prefix);
  }

  /** Asked of the upstream once, and answered from memory after. */
  async configure(session: BraidpoolSession, params: readonly unknown[]): Promise<BraidpoolReply> {
    this.#configured ??= this.#client.request('mining.configure', params);
    const reply = await this.#configured;
    if (reply === undefined) {
      this.#configured = undefined;
      return rustError('UpstreamShareForwardFailed', { error: 'Timeout waiting for upstream response' });
    }
    const { result } = reply;
    const mask = (result as Record<string, unknown> | null)?.['version-rolling.mask'];
    if (isHex8(mask)) session.mask = Number.parseInt(mask, 16);
    return { result };
  }

  suggestDifficulty(): BraidpoolReply {
    if (this.#difficulty === undefined) {
      return rustError('UpstreamNotReady', { error: 'Upstream pool difficulty not available yet' });
    }
    return { bare: { method: 'mining.set_difficulty', params: [Math.floor(this.#difficulty)] } };
  }

  difficulty(): { readonly value: number; readonly after: 'subscribe' } | undefined {
    if (this.#difficulty === undefined) return undefined;
    return { value: this.#options.minerDifficulty ?? this.#difficulty, after: 'subscribe' };
  }

  job(): readonly unknown[] | undefined {
    return this.#latest?.params;
  }

  async #onUp(): Promise<void> {
    const { username, password = 'x' } = this.#options.upstream;
    const [subscribed] = await Promise.all([
      this.#client.request('mining.subscribe', ['Braidpool/1.0.0']),
      this.#client.request('mining.authorize', [username, password]),
    ]);
    const [, extranonce1, size] = Array.isArray(subscribed?.result) ? subscribed.result : [];
    if (!isHex(extranonce1) || typeof size !== 'number') {
      this.#client.drop();
      return;
    }
    this.#upstream = { extranonce1: fromHex(extranonce1), extranonce2Size: size };
  }

  #onDown(): void {
    this.#upstream = undefined;
    this.#latest = undefined;
    this.#difficulty = undefined;
    this.#sentDifficulty = undefined;
    this.#configured = undefined;
    this.#deps.hub.disconnectAllWithMessage('Upstream pool connection lost');
  }

  #onNotification(method: string, params: readonly unknown[]): void {
    if (method === 'mining.notify') this.#onNotify(params);
    if (method === 'mining.set_difficulty' && typeof params[0] === 'number') this.#onDifficulty(params[0]);
    if (method === 'mining.set_extranonce' && isHex(params[0]) && typeof params[1] === 'number') {
      this.#upstream = { extranonce1: fromHex(params[0]), extranonce2Size: params[1] };
      this.#sendExtranonces();
    }
  }

  #onDifficulty(difficulty: number): void {
    this.#difficulty = difficulty;
    const { hub } = this.#deps;
    const sent = this.#options.minerDifficulty ?? difficulty;
    if (sent === this.#sentDifficulty) return;
    this.#sentDifficulty = sent;
    for (const { peer } of hub.sessions()) peer.send(hub.notification('mining.set_difficulty', [sent]));
  }

  /** A new job of the upstream ends the generation: the shares found meanwhile are the next parents. */
  #onNotify(params: readonly unknown[]): void {
    const job = parseAsicJob(params, {
      extranonce1: new Uint8Array(0),
      extranonce2Size: 0,
      difficulty: 0,
      target: 0n,
    });
    if (job === undefined) return;
    if (this.#siblings.length > 0) this.#parents = this.#siblings;
    this.#siblings = [];
    const commitment = generationCommitment(this.#parents);
    const changed = toHex(commitment) !== toHex(this.#commitment);
    this.#commitment = commitment;
    if (changed || this.#quirks.repeatedSetExtranonce) this.#sendExtranonces();
    this.#latest = { params, job, sentAtSeconds: this.#nowSeconds() };
    this.#jobs.set(job.jobId, this.#latest);
    for (const oldest of this.#jobs.keys()) {
      if (this.#jobs.size <= BRAIDPOOL_TEMPLATES) break;
      this.#jobs.delete(oldest);
    }
    this.#deps.hub.notifyAll(this.#quirks.notifiesUnsubscribed ? 'all' : 'ready');
  }

  #sendExtranonces(): void {
    const { hub } = this.#deps;
    if (this.#upstream === undefined) return;
    for (const session of hub.sessions()) {
      const extranonce1 = this.#extranonce1Of(session.peer);
      if (toHex(extranonce1) !== toHex(session.extranonce1)) {
        session.extranonceHistory.unshift(session.extranonce1);
        session.extranonceHistory.splice(EXTRANONCE_HISTORY);
        session.extranonce1 = extranonce1;
      }
      session.peer.send({ id: null, method: 'mining.set_extranonce', params: [toHex(extranonce1), 1] });
    }
  }

  #extranonce1Of(peer: LinePeer): Uint8Array {
    const prefix = this.#prefixes.get(peer.address) ?? 0;
    return concat(this.#upstream!.extranonce1, Uint8Array.of(prefix >> 8, prefix & 0xff), this.#commitment);
  }

  submit(session: BraidpoolSession, params: readonly unknown[]): BraidpoolReply {
    if (params.length < 5 || !session.authorized) return invalidParams('mining.submit');
    const options = { unpadded: this.#quirks.unpaddedNumbers };
    const fields = parseSubmitFields(params, session.extranonce2Size, options);
    if (fields === undefined) return invalidParams('mining.submit');
    const job = this.#jobs.get(fields.jobId);
    if (job === undefined) return { ...rustError('MiningJobNotFound', { job_id: fields.jobId }), code: 21 };
    const found = this.#find(session, job, fields);
    if (found === undefined) return { result: false };
    if (!this.#isPayable(session)) return invalidParams('mining.submit: invalid payout address');
    return { result: this.#take(found) };
  }

  /** The share under the current extranonce1 or one of the last five, if it meets the miner's target. */
  #find(session: BraidpoolSession, job: Job, fields: SubmitFields): Found | undefined {
    const target = this.#targetOf(this.#options.minerDifficulty ?? this.#difficulty ?? 100);
    const mask = session.mask ?? BRAIDPOOL_VERSION_MASK;
    const { version } = job.job;
    const rolled =
      fields.versionBits === undefined ? version : rolledVersion(version, mask, fields.versionBits);
    for (const extranonce1 of [session.extranonce1, ...session.extranonceHistory]) {
      const work = { ...job.job, extranonce1, ntime: fields.ntime };
      const header = asicHeader(work, fields.extranonce2, rolled);
      new DataView(header.buffer).setUint32(76, fields.nonce, true);
      const hash = sha256d(header);
      if (hashToNumber(hash) <= target) return { session, job, fields, extranonce1, header, hash };
    }
    return undefined;
  }

  #take(found: Found): boolean {
    const { session, fields, extranonce1, hash } = found;
    const commitment = extranonce1.subarray(extranonce1.length - COMMITMENT_BYTES);
    if (toHex(commitment) !== this.commitment) {
      this.stats.stale += 1;
      this.#deps.log.info(
        { worker: fields.worker },
        'Stale commitment: share used previous bead commitment',
      );
      return false;
    }
    const bead = this.#beadOf(found);
    const shareId = displayHash(hash);
    const known = this.#deps.braid.get(shareId) !== undefined;
    if (known || this.#deps.braid.add(bead, true) !== 'BeadAdded') return false;
    this.#siblings.push({ composite: compositeHash(bead), hash: shareId });
    const upstreamTarget = this.#targetOf(this.#difficulty ?? Number.POSITIVE_INFINITY);
    const record: AuditRecord = {
      shareId,
      workerName: fields.worker,
      minerIp: session.peer.address,
      jobId: fields.jobId,
      commitment: toHex(commitment),
      upstreamEligible: hashToNumber(hash) <= upstreamTarget,
      upstreamAccepted: undefined,
    };
    if (this.#records.size < MAX_RECORDS) this.#records.set(shareId, record);
    if (record.upstreamEligible) void this.#forward(found, record);
    return true;
  }

  /** The miner has its `true` already: the upstream's verdict is only noted. */
  async #forward({ extranonce1, fields }: Found, record: AuditRecord): Promise<void> {
    this.stats.forwarded += 1;
    const own = extranonce1.subarray(extranonce1.length - PREFIX_BYTES - COMMITMENT_BYTES);
    const bits = fields.versionBits?.toString(16).padStart(8, '0');
    const reply = await this.#client.request('mining.submit', [
      this.#options.upstream.username,
      fields.jobId,
      toHex(concat(own, fields.extranonce2)),
      fields.ntime.toString(16).padStart(8, '0'),
      fields.nonce.toString(16).padStart(8, '0'),
      ...(bits === undefined ? [] : [bits]),
    ]);
    if (reply === undefined) return;
    record.upstreamAccepted = reply.result === true;
    if (record.upstreamAccepted) this.stats.upstreamAccepted += 1;
    else this.stats.upstreamRejected += 1;
  }

  #beadOf({ session, job, fields, extranonce1, header }: Found): Bead {
    const { braid } = this.#deps;
    const own = extranonce1.length - PREFIX_BYTES - COMMITMENT_BYTES;
    const second = concat(extranonce1.subarray(own), fields.extranonce2);
    const timeOf = (hash: string): number => braid.get(hash)!.bead.committed_metadata.start_timestamp;
    const parents = this.#parents.map((parent) => parent.hash).sort(compareHashes);
    const minerTarget = this.#targetOf(this.#options.minerDifficulty ?? this.#difficulty ?? 100);
    return buildBead({
      header: parseHeader(header),
      transactionIds: [],
      parents: parents.map((hash) => ({ hash, startTimestamp: timeOf(hash) })),
      payoutAddress: payoutOf(session.userName),
      startTimestamp: job.sentAtSeconds,
      broadcastTimestamp: this.#nowSeconds(),
      minTarget:
        this.#difficulty === undefined ? job.job.bits : compactAtLeast(this.#targetOf(this.#difficulty)),
      weakTarget: compactAtLeast(minerTarget),
      minerIp: session.peer.address,
      extranonce1: bigFromBe(extranonce1.subarray(0, own)),
      extranonce2: bigFromBe(second.subarray(0, 8)),
    });
  }

  #targetOf(difficulty: number): bigint {
    if (difficulty === Number.POSITIVE_INFINITY)
      return targetOfCompact(this.#latest?.job.bits ?? 0x1d00ffff);
    if (this.#options.clampDifficulty === true && difficulty < 1) return DIFFICULTY_1_TARGET;
    return targetOfDifficulty(difficulty);
  }

  #isPayable({ userName }: BraidpoolSession): boolean {
    if (this.#options.mainnetAddresses !== true) return true;
    try {
      addresses.toOutputScript(payoutOf(userName), networks.bitcoin);
      return true;
    } catch {
      return false;
    }
  }

  #tips(): Sibling[] {
    const { braid } = this.#deps;
    return braid.tips().map((hash) => ({ hash, composite: compositeHash(braid.get(hash)!.bead) }));
  }

  #nowSeconds(): number {
    return Math.floor(this.#deps.clock.nowMs() / 1000);
  }
}

/** The part before the last dot. */
function payoutOf(userName: string): string {
  const dot = userName.lastIndexOf('.');
  return dot === -1 ? userName : userName.slice(0, dot);
}

/** The first bytes of sha256d over the parents' composite hashes, sorted. */
function generationCommitment(parents: readonly Sibling[]): Uint8Array {
  const sorted = parents.map((parent) => parent.composite).sort(Buffer.compare);
  return sha256d(concat(...sorted)).subarray(0, COMMITMENT_BYTES);
}
