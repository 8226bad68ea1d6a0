import { fromHex, isHex, toHex, u32hex } from '../../base/bytes.ts';
import { CodedError } from '../../base/errors.ts';
import { sha256d } from '../../base/hash.ts';
import { isRecord } from '../../base/json.ts';
import { displayHash } from '../../bitcoin/header.ts';
import { targetOfDifficulty, workOfTarget } from '../../bitcoin/target.ts';
import type { Grinder } from '../hashing/grinder.ts';
import { type AsicJob, asicHeader, parseAsicJob } from './asic-job.ts';
import { AsicLink } from './asic-link.ts';
import { AsicMisdeeds } from './asic-misdeeds.ts';
import { type AsicReport, type AsicSpec, DEFAULT_HASHES_PER_SECOND } from './asic-spec.ts';

/** One extranonce2 and version to search nonces of. */
type Unit = {
  readonly job: AsicJob;
  readonly extranonce2: Uint8Array;
  readonly versionBits: number;
  readonly header: Uint8Array;
  readonly startedAtMs: number;
  nextNonce: number;
};

type Share = {
  readonly params: readonly string[];
  readonly hash: string;
  readonly target: bigint;
};

const VERSION_MASK = 0x1fffe000;
/** A new extranonce2 and version this often, long before 2^32 nonces are used up. */
const UNIT_MS = 500;
const STALE_MS = 10_000;
const DUPLICATE_EACH = 5;
const LOW_EACH = 3;
const NONCE_RANGE = 2 ** 32;
/** Where extranonce2 has fewer bytes than this, it is changed only with the job: few values, many nonces. */
const ROOMY_EXTRANONCE2 = 4;

/** One simulated ASIC: speaks Stratum v1 over TCP and hashes for real at a fixed rate. */
export class AsicMachine {
  readonly #spec: AsicSpec;
  readonly #grinder: Grinder;
  readonly #random: () => number;
  readonly #link: AsicLink;
  readonly #misdeeds: AsicMisdeeds;
  /** Submits without an answer yet, by request id. */
  readonly #pending = new Map<number, Share>();
  readonly #rejected: Record<string, number> = {};
  #accepted: string[] = [];
  #unanswered: string[] = [];
  #workHashes = 0n;
  readonly #counts = { submitted: 0, accepted: 0, unanswered: 0, hashes: 0, jobs: 0 };
  #hashesPerSecond: number;
  #handshake = { configure: 0, subscribe: 0, authorize: 0 };
  #mask = 0;
  #extranonce1: Uint8Array | undefined;
  #extranonce2Size = 0;
  #difficulty: number;
  #job: AsicJob | undefined;
  /** What a `stale` ASIC ought to work on already. */
  #nextJob: { readonly job: AsicJob; readonly dueMs: number } | undefined;
  #unit: Unit | undefined;
  #extranonce2Counter: bigint;
  #credit = 0;
  #sharesFound = 0;

  constructor(spec: AsicSpec, deps: { readonly grinder: Grinder; readonly random: () => number }) {
    this.#spec = spec;
    this.#grinder = deps.grinder;
    this.#random = deps.random;
    this.#hashesPerSecond = spec.hashesPerSecond ?? DEFAULT_HASHES_PER_SECOND;
    this.#difficulty = spec.initialDifficulty ?? 1;
    this.#extranonce2Counter = BigInt(Math.floor(deps.random() * NONCE_RANGE));
    this.#link = new AsicLink(spec, {
      random: deps.random,
      handlers: {
        onUp: () => this.#onUp(),
        onDown: () => this.#onDown(),
        onReply: (id, reply) => this.#onReply(id, reply),
        onNotification: (method, params) => this.#onNotification(method, params),
      },
    });
    this.#misdeeds = new AsicMisdeeds(spec.behaviour ?? 'honest', {
      link: this.#link,
      random: deps.random,
    });
  }

  get hashesPerSecond(): number {
    return this.#hashesPerSecond;
  }

  start(): void {
    this.#link.connect();
  }

  stop(): void {
    this.#link.close();
    this.#onDown();
  }

  setRate(hashesPerSecond: number): void {
    this.#hashesPerSecond = hashesPerSecond;
  }

  report(): AsicReport {
    return {
      worker: this.#spec.worker,
      behaviour: this.#spec.behaviour ?? 'honest',
      connected: this.#link.connected,
      connections: this.#link.connections,
      ...this.#counts,
      workHashes: this.#workHashes,
      misdeeds: this.#misdeeds.count,
      pending: this.#pending.size,
      rejected: { ...this.#rejected },
      difficulty: this.#job?.difficulty ?? this.#difficulty,
    };
  }

  /** Header hashes (displayed) of shares accepted since the last call. */
  takeAccepted(): string[] {
    const taken = this.#accepted;
    this.#accepted = [];
    return taken;
  }

  /** The same of submits whose connection died before the answer. */
  takeUnanswered(): string[] {
    const taken = this.#unanswered;
    this.#unanswered = [];
    return taken;
  }

  /**
   * Hashes as much as `elapsedMs` at the fixed rate allows.
   * @param scale from 0 to 1: what is left of the rate when all together ask for too much
   */
  hash(elapsedMs: number, nowMs: number, scale: number): void {
    if (this.#link.connected) this.#misdeeds.tick(nowMs);
    this.#credit += (this.#hashesPerSecond * scale * elapsedMs) / 1000;
    const budget = Math.floor(this.#credit / 4) * 4;
    this.#credit -= budget;
    if (this.#nextJob !== undefined && nowMs >= this.#nextJob.dueMs) this.#switchJob();
    const unit = this.#currentUnit(nowMs);
    if (unit === undefined || budget === 0) return;
    this.#counts.hashes += budget;
    this.#grinder.setHeader(unit.header, unit.job.target);
    const end = unit.nextNonce + budget;
    for (let from = unit.nextNonce; from < end; ) {
      const nonce = this.#grinder.search(from, end - from);
      if (nonce === undefined) break;
      this.#onShare(unit, nonce);
      from = nonce + 1;
    }
    unit.nextNonce = end;
  }

  #currentUnit(nowMs: number): Unit | undefined {
    const job = this.#job;
    if (job === undefined || !this.#link.connected) return undefined;
    const unit = this.#unit;
    const isRoomy = job.extranonce2Size >= ROOMY_EXTRANONCE2;
    if (unit?.job === job && (!isRoomy || nowMs - unit.startedAtMs < UNIT_MS)) return unit;
    this.#extranonce2Counter += 1n;
    const extranonce2 = new Uint8Array(job.extranonce2Size);
    let rest = this.#extranonce2Counter;
    for (let at = extranonce2.length - 1; at >= 0; at -= 1) {
      extranonce2[at] = Number(rest & 0xffn);
      rest >>= 8n;
    }
    const versionBits = (Math.floor(this.#random() * NONCE_RANGE) & this.#mask) >>> 0;
    const version = ((job.version & ~this.#mask) | versionBits) >>> 0;
    const header = asicHeader(job, extranonce2, version);
    const nextNonce = isRoomy ? 0 : Math.floor(this.#random() * (NONCE_RANGE / 8)) * 4;
    this.#unit = { job, extranonce2, versionBits, header, startedAtMs: nowMs, nextNonce };
    return this.#unit;
  }

  #onShare(unit: Unit, nonce: number): void {
    this.#sharesFound += 1;
    const share = this.#shareOf(unit, nonce);
    this.#submit(share);
    const { behaviour } = this.#spec;
    if (behaviour === 'duplicate' && this.#sharesFound % DUPLICATE_EACH === 0) this.#submit(share);
    if (behaviour === 'respelled' && this.#sharesFound % DUPLICATE_EACH === 0)
      this.#submit(respelled(share));
    if (behaviour === 'low_difficulty' && this.#sharesFound % LOW_EACH === 0) {
      this.#submit(this.#shareOf(unit, (nonce ^ 0x80000000) >>> 0));
    }
    if (this.#nextJob !== undefined) this.#switchJob();
  }

  #shareOf(unit: Unit, nonce: number): Share {
    const params = [
      this.#spec.worker,
      unit.job.jobId,
      toHex(unit.extranonce2),
      u32hex(unit.job.ntime),
      u32hex(nonce),
      ...(this.#mask === 0 ? [] : [u32hex(unit.versionBits)]),
    ];
    const hash = displayHash(sha256d(this.#grinder.header(nonce)));
    return { params, hash, target: unit.job.target };
  }

  #submit(share: Share): void {
    this.#counts.submitted += 1;
    this.#pending.set(this.#link.request('mining.submit', share.params), share);
  }

  #switchJob(): void {
    this.#job = this.#nextJob?.job;
    this.#nextJob = undefined;
  }

  #onUp(): void {
    const { worker, password = 'x', userAgent = 'devnet-asic/1.0', versionRolling = true } = this.#spec;
    const values = { 'version-rolling.mask': u32hex(VERSION_MASK) };
    this.#handshake = {
      configure: versionRolling ? this.#link.request('mining.configure', [['version-rolling'], values]) : 0,
      subscribe: this.#link.request('mining.subscribe', [userAgent]),
      authorize: this.#link.request('mining.authorize', [worker, password]),
    };
    if (this.#spec.extranonceSubscribe === true) this.#link.request('mining.extranonce.subscribe', []);
  }

  #onDown(): void {
    this.#counts.unanswered += this.#pending.size;
    for (const { hash } of this.#pending.values()) this.#unanswered.push(hash);
    this.#pending.clear();
    this.#job = undefined;
    this.#nextJob = undefined;
    this.#unit = undefined;
    this.#extranonce1 = undefined;
    this.#mask = 0;
    this.#difficulty = this.#spec.initialDifficulty ?? 1;
  }

  #onReply(id: number, reply: Record<string, unknown>): void {
    const { result } = reply;
    if (id === this.#handshake.configure) {
      if (isRecord(result) && result['version-rolling'] === true)
        this.#setMask(result['version-rolling.mask']);
    } else if (id === this.#handshake.subscribe) {
      if (!Array.isArray(result) || !this.#setExtranonce(result.slice(1))) this.#link.drop();
    } else if (id === this.#handshake.authorize) {
      if (result !== true) this.#link.drop();
    } else {
      this.#onVerdict(id, reply);
    }
  }

  #onVerdict(id: number, reply: Record<string, unknown>): void {
    const share = this.#pending.get(id);
    if (share === undefined) return;
    this.#pending.delete(id);
    if (reply['result'] === true) {
      this.#counts.accepted += 1;
      this.#accepted.push(share.hash);
      this.#workHashes += workOfTarget(share.target);
      return;
    }
    const reason = rejectReason(reply['error']);
    this.#rejected[reason] = (this.#rejected[reason] ?? 0) + 1;
  }

  #setMask(mask: unknown): void {
    if (isHex(mask, 4)) this.#mask = (Number.parseInt(mask, 16) & VERSION_MASK) >>> 0;
  }

  #setExtranonce([extranonce1, size]: readonly unknown[]): boolean {
    if (!isHex(extranonce1) || typeof size !== 'number' || !(size >= 1 && size <= 16)) return false;
    this.#extranonce1 = fromHex(extranonce1);
    this.#extranonce2Size = size;
    return true;
  }

  #onNotification(method: string, params: readonly unknown[]): void {
    switch (method) {
      case 'mining.set_difficulty':
        if (typeof params[0] === 'number' && params[0] > 0) this.#difficulty = params[0];
        break;
      case 'mining.set_extranonce':
        this.#setExtranonce(params);
        break;
      case 'mining.set_version_mask':
        this.#setMask(params[0]);
        break;
      case 'mining.notify':
        this.#onNotify(params);
        break;
      case 'client.reconnect':
        this.#link.drop();
        break;
      default:
        break;
    }
  }

  #onNotify(params: readonly unknown[]): void {
    if (this.#extranonce1 === undefined) return;
    const job = parseAsicJob(params, {
      extranonce1: this.#extranonce1,
      extranonce2Size: this.#extranonce2Size,
      difficulty: this.#difficulty,
      target: targetOf(this.#difficulty),
    });
    if (job === undefined) return;
    this.#link.settled();
    this.#counts.jobs += 1;
    const replaced = this.#job;
    const isNewBlock =
      job.clean || (replaced !== undefined && toHex(replaced.prevHash) !== toHex(job.prevHash));
    if (this.#spec.behaviour === 'stale' && replaced !== undefined && isNewBlock) {
      this.#nextJob ??= { job, dueMs: performance.now() + STALE_MS };
      this.#nextJob = { ...this.#nextJob, job };
    } else {
      this.#job = job;
    }
  }
}

/** The same share in other words: upper-case hex, ntime and nonce without their leading zeros. */
function respelled(share: Share): Share {
  const [worker, jobId, extranonce2, ntime, nonce, ...bits] = share.params;
  const upper = (hex: string | undefined): string => hex!.toUpperCase();
  const bare = (hex: string | undefined): string => upper(hex).replace(/^0+(?=.)/, '');
  const params = [worker!, jobId!, upper(extranonce2), bare(ntime), bare(nonce), ...bits.map(upper)];
  return { ...share, params };
}

function targetOf(difficulty: number): bigint {
  try {
    return targetOfDifficulty(difficulty);
  } catch (error) {
    if (error instanceof CodedError) return 0n;
    throw error;
  }
}

/** The number of an error array or object, the text of a string, `false` where there is no error. */
function rejectReason(error: unknown): string {
  if (Array.isArray(error)) return String(error[0]);
  if (isRecord(error)) return String(error['code']);
  return typeof error === 'string' ? error : 'false';
}
