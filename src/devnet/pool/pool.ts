import { concat, fromHex, toHex, u32hex } from '../../base/bytes.ts';
import type { Clock } from '../../base/clock.ts';
import { workOfTarget } from '../../bitcoin/target.ts';
import type { Logger } from '../../log/logger.ts';
import { contractTag } from '../../settlement/contract-tag.ts';
import { ANYONE_SCRIPT_HEX, type DevnetChain } from '../chain/chain.ts';
import { type HashedSolution, hashSolution, notifyParams, submitSolved } from '../chain/work.ts';
import { type LinePeer, type LineServer, startLineServer } from '../net/line-server.ts';
import { opened } from '../net/opened.ts';
import { noFaults, type ReplyFaults } from '../net/reply-faults.ts';
import { parseStratumRequest, type StratumRequest } from '../net/stratum-request.ts';
import { parseSubmitFields, rolledVersion, type SubmitFields } from '../net/submit-fields.ts';
import { type PoolErrorShape, type PoolRefusal, refusalReply } from './pool-errors.ts';
import { type PoolJob, PoolJobs } from './pool-jobs.ts';
import {
  configurePool,
  isPoolReady,
  JobScoped,
  type PoolExtranonce,
  type PoolSession,
  poolDifficulty,
  ResumableSessions,
} from './pool-session.ts';
import { PoolVardiff, type PoolVardiffOptions } from './pool-vardiff.ts';

export type DevnetPoolOptions = {
  readonly host?: string;
  /** Default 0: any free port. */
  readonly port?: number;
  readonly name?: string;
  /** Share difficulty at the start. Default 0.001. */
  readonly difficulty?: number;
  /** Each session's difficulty follows its rate. Default: it stays. */
  readonly vardiff?: PoolVardiffOptions;
  /** Difficulties for everyone at set times after the start. */
  readonly difficultySteps?: readonly { readonly afterMs: number; readonly difficulty: number }[];
  readonly poolScriptHex?: string;
  /** A new notify at least this often. Default 30 000. */
  readonly notifyMs?: number;
  readonly minTransactions?: number;
  /** Default 1fffe000; 0 refuses version rolling. */
  readonly versionMask?: number;
  /** Sends `mining.set_version_mask` after a configure that asked for version rolling. Default false. */
  readonly pushVersionMask?: boolean;
  /** A worker name this refuses is not authorised. Default: all are. */
  readonly acceptsWorker?: (worker: string) => boolean;
  /** A session may be resumed for this long after its connection ended. Default 600 000; 0 never. */
  readonly resumeMs?: number;
  /** Bytes. Default 4 and 8. */
  readonly extranonce1Size?: number;
  readonly extranonce2Size?: number;
  /** Takes ntime and nonce without their leading zeros, as few pools do. Default false. */
  readonly unpaddedNumbers?: boolean;
  /** Default `array`. */
  readonly errorShape?: PoolErrorShape;
  /** How it writes what most write as a boolean and as a number. Default: as most. */
  readonly writes?: {
    readonly cleanJobs?: 'number' | 'missing';
    readonly difficulty?: 'text';
  };
  /** Keeps the header hash of every accepted share. Default false. */
  readonly trackAccepted?: boolean;
  /** Draws the random ones among the faults; from 0 up to 1. */
  readonly faultRandom?: () => number;
};

export type PoolCredit = { shares: number; workHashes: bigint; rejected: Record<number, number> };

/** A share the pool accepted. */
export type PoolShare = {
  /** As displayed. */
  readonly hash: string;
  readonly worker: string;
  readonly workHashes: bigint;
};

export type DevnetPool = {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly stats: PoolStats;
  readonly faults: ReplyFaults;
  /** By worker name. */
  credits(): ReadonlyMap<string, PoolCredit>;
  /** In the order they came; needs `trackAccepted`. */
  acceptedShares(): readonly PoolShare[];
  /**
   * For all sessions and new ones, from the next notify, which goes out at once unless `notify` is false.
   */
  setDifficulty(difficulty: number, options?: { readonly notify: boolean }): void;
  /** Sends new work to everyone. */
  announce(clean: boolean): void;
  /** Names a contract in each coinbase from now on, which its seal needs; undefined: none. */
  nameContract(contractId: string | undefined): void;
  /** `mining.set_version_mask` to all that configured; in force at once. */
  setVersionMask(mask: number): void;
  /**
   * `mining.set_extranonce` with a new extranonce1 to every session, asked for or not, and then a notify
   * unless `notify` is false: it is in force from the next one.
   */
  changeExtranonces(options?: { readonly notify: boolean }): void;
  /** `client.reconnect` to everyone, to the same address unless another is given. */
  sendReconnect(to?: { readonly host: string; readonly port: number; readonly waitSeconds: number }): void;
  setErrorShape(shape: PoolErrorShape): void;
  disconnectAll(): void;
  /**
   * Closes the port, waits, and opens it again. Sessions and jobs are forgotten, credits are kept. Default
   * 100 ms.
   */
  restart(downMs?: number): Promise<void>;
  close(): Promise<void>;
};

export type PoolStats = {
  connections: number;
  shares: number;
  blocks: number;
  resumed: number;
  unanswered: number;
  restarts: number;
};

type Deps = { readonly chain: DevnetChain; readonly log: Logger; readonly clock: Clock };
type Answer = { readonly result: unknown } | { readonly refusal: PoolRefusal };

const MAX_LINE_BYTES = 16 * 1024;
const MAX_SEEN = 1_000_000;
const NTIME_AHEAD_SECONDS = 7000;
const DEFAULT_DOWN_MS = 100;

/** Starts a pool of the ordinary kind, with ckpool's manners, on a devnet chain. */
export async function startDevnetPool(options: DevnetPoolOptions, deps: Deps): Promise<DevnetPool> {
  const pool = new Pool(options, deps);
  return opened(pool);
}

class Pool implements DevnetPool {
  readonly name: string;
  readonly stats: PoolStats = {
    connections: 0,
    shares: 0,
    blocks: 0,
    resumed: 0,
    unanswered: 0,
    restarts: 0,
  };
  readonly faults: ReplyFaults = noFaults();
  readonly #options: DevnetPoolOptions;
  readonly #deps: Deps;
  readonly #sessions = new Map<LinePeer, PoolSession>();
  readonly #resumable: ResumableSessions;
  readonly #jobs: PoolJobs;
  readonly #credits = new Map<string, PoolCredit>();
  readonly #accepted: PoolShare[] = [];
  /** Header hashes of this block's shares. */
  readonly #seenHashes = new Set<string>();
  readonly #timers: NodeJS.Timeout[] = [];
  readonly #extranonce1Size: number;
  readonly #extranonce2Size: number;
  #errorShape: PoolErrorShape;
  #difficulty: number;
  #extranonces = 0;
  #server: LineServer | undefined;
  #stopListening = (): void => {};

  constructor(options: DevnetPoolOptions, deps: Deps) {
    this.#options = options;
    this.#deps = deps;
    this.name = options.name ?? 'pool';
    this.#difficulty = options.difficulty ?? 0.001;
    this.#errorShape = options.errorShape ?? 'array';
    this.#resumable = new ResumableSessions(options.resumeMs ?? 600_000);
    this.#extranonce1Size = options.extranonce1Size ?? 4;
    this.#extranonce2Size = options.extranonce2Size ?? 8;
    this.#jobs = new PoolJobs(
      {
        poolScriptHex: options.poolScriptHex ?? ANYONE_SCRIPT_HEX,
        minTransactions: options.minTransactions ?? 8,
        extranonceSize: this.#extranonce1Size + this.#extranonce2Size,
      },
      deps.chain,
    );
  }

  async start(): Promise<void> {
    const { host = '127.0.0.1', port = 0, notifyMs = 30_000, difficultySteps = [] } = this.#options;
    this.#jobs.make(this.#nowMs());
    this.#stopListening = this.#deps.chain.onTip(() => this.#onTip());
    this.#timers.push(setInterval(() => this.announce(false), notifyMs));
    for (const { afterMs, difficulty } of difficultySteps) {
      this.#timers.push(setTimeout(() => this.setDifficulty(difficulty), afterMs));
    }
    const random = this.#options.faultRandom ?? Math.random;
    this.#server = await startLineServer(
      { host, port, maxLineBytes: MAX_LINE_BYTES, faults: this.faults, random },
      {
        onOpen: (peer) => {
          this.stats.connections += 1;
          this.#sessions.set(peer, this.#newSession());
          return true;
        },
        onLine: (peer, line) => this.#onLine(peer, line),
        onClose: (peer) => this.#onClose(peer),
      },
      { log: this.#deps.log },
    );
  }

  get host(): string {
    return this.#server!.host;
  }

  get port(): number {
    return this.#server!.port;
  }

  credits(): ReadonlyMap<string, PoolCredit> {
    return this.#credits;
  }

  acceptedShares(): readonly PoolShare[] {
    return this.#accepted;
  }

  setDifficulty(difficulty: number, { notify } = { notify: true }): void {
    this.#difficulty = difficulty;
    for (const [peer, session] of this.#sessions) this.#changeDifficulty(peer, session, difficulty);
    if (notify) this.announce(false);
  }

  announce(clean: boolean): void {
    this.#jobs.make(this.#nowMs());
    for (const [peer, session] of this.#sessions) if (isPoolReady(session)) this.#notify(peer, clean);
  }

  nameContract(contractId: string | undefined): void {
    this.#jobs.dataScripts = contractId === undefined ? [] : [contractTag(contractId)];
    this.announce(true);
  }

  setVersionMask(mask: number): void {
    for (const [peer, session] of this.#sessions) {
      if (!session.configured) continue;
      session.mask = mask;
      peer.send({ id: null, method: 'mining.set_version_mask', params: [u32hex(mask)] });
    }
  }

  changeExtranonces({ notify } = { notify: true }): void {
    for (const [peer, session] of this.#sessions) {
      if (!session.subscribed) continue;
      const next = this.#newExtranonce();
      session.extranonce.set(this.#jobs.next, next);
      const params = [toHex(next.extranonce1), next.extranonce2Size];
      peer.send({ id: null, method: 'mining.set_extranonce', params });
    }
    if (notify) this.announce(true);
  }

  sendReconnect(to?: { readonly host: string; readonly port: number; readonly waitSeconds: number }): void {
    const params = to === undefined ? [] : [to.host, to.port, to.waitSeconds];
    for (const peer of this.#sessions.keys()) peer.send({ id: null, method: 'client.reconnect', params });
  }

  setErrorShape(shape: PoolErrorShape): void {
    this.#errorShape = shape;
  }

  disconnectAll(): void {
    this.#server!.disconnectAll();
  }

  async restart(downMs = DEFAULT_DOWN_MS): Promise<void> {
    this.stats.restarts += 1;
    const back = this.#server!.restart(downMs);
    this.#jobs.clear();
    this.#jobs.make(this.#nowMs());
    await back;
    this.#resumable.clear();
  }

  async close(): Promise<void> {
    this.#stopListening();
    for (const timer of this.#timers) clearTimeout(timer);
    await this.#server?.close();
  }

  #newSession(): PoolSession {
    const { vardiff } = this.#options;
    const extranonce = this.#newExtranonce();
    return {
      id: toHex(extranonce.extranonce1).padStart(8, '0'),
      extranonce: new JobScoped(extranonce),
      difficulty: new JobScoped(poolDifficulty(this.#difficulty)),
      vardiff: vardiff === undefined ? undefined : new PoolVardiff(vardiff, this.#nowMs()),
      mask: 0,
      configured: false,
      subscribed: false,
      workers: new Set(),
    };
  }

  #newExtranonce(): PoolExtranonce {
    this.#extranonces += 1;
    const extranonce1 = fromHex(this.#extranonces.toString(16).padStart(this.#extranonce1Size * 2, '0'));
    return { extranonce1, extranonce2Size: this.#extranonce2Size };
  }

  #onClose(peer: LinePeer): void {
    const session = this.#sessions.get(peer);
    this.#sessions.delete(peer);
    if (session?.subscribed === true) this.#resumable.keep(session, this.#nowMs());
  }

  #onTip(): void {
    this.#jobs.retire();
    this.#seenHashes.clear();
    this.announce(true);
  }

  #notify(peer: LinePeer, clean: boolean): void {
    const params = notifyParams(this.#jobs.latest.work, clean);
    const { cleanJobs } = this.#options.writes ?? {};
    if (cleanJobs === 'number') params[8] = clean ? 1 : 0;
    else if (cleanJobs === 'missing') params.pop();
    peer.send({ id: null, method: 'mining.notify', params });
  }

  #changeDifficulty(peer: LinePeer, session: PoolSession, difficulty: number): void {
    session.difficulty.set(this.#jobs.next, poolDifficulty(difficulty));
    if (isPoolReady(session)) this.#sendDifficulty(peer, difficulty);
  }

  #sendDifficulty(peer: LinePeer, difficulty: number): void {
    peer.send({
      id: null,
      method: 'mining.set_difficulty',
      params: [this.#options.writes?.difficulty === 'text' ? String(difficulty) : difficulty],
    });
  }

  #onLine(peer: LinePeer, line: string): void {
    const session = this.#sessions.get(peer);
    if (session === undefined) return;
    if (this.faults.silent) {
      this.stats.unanswered += 1;
      return;
    }
    const request = parseStratumRequest(line);
    if (request === undefined) {
      peer.reply(refusalReply(null, { code: 20, message: 'Invalid JSON' }, this.#errorShape));
      return;
    }
    const wasReady = isPoolReady(session);
    const answer = this.#handle(peer, session, request);
    if ('refusal' in answer) peer.reply(refusalReply(request.id, answer.refusal, this.#errorShape));
    else peer.reply({ id: request.id, result: answer.result, error: null });
    const current = this.#sessions.get(peer);
    if (current === undefined) return;
    if (
      request.method === 'mining.configure' &&
      this.#options.pushVersionMask === true &&
      current.configured
    ) {
      peer.send({ id: null, method: 'mining.set_version_mask', params: [u32hex(current.mask)] });
    }
    if (isPoolReady(current) && !wasReady) this.#onReady(peer, current);
  }

  /** The latest job goes out with what is in force now, whatever it was when the job was made. */
  #onReady(peer: LinePeer, { difficulty, extranonce }: PoolSession): void {
    const { number } = this.#jobs.latest;
    difficulty.set(number, difficulty.latest);
    extranonce.set(number, extranonce.latest);
    this.#sendDifficulty(peer, difficulty.latest.difficulty);
    this.#notify(peer, true);
  }

  #handle(peer: LinePeer, session: PoolSession, { method, params }: StratumRequest): Answer {
    switch (method) {
      case 'mining.configure':
        return { result: configurePool(session, params, this.#options.versionMask ?? 0x1fffe000) };
      case 'mining.subscribe':
        return { result: this.#subscribe(peer, session, params) };
      case 'mining.authorize': {
        const [worker] = params;
        const accepts = this.#options.acceptsWorker ?? (() => true);
        if (typeof worker !== 'string' || worker === '' || !accepts(worker)) return { result: false };
        session.workers.add(worker);
        return { result: true };
      }
      case 'mining.submit':
        return this.#submit(peer, session, params);
      case 'mining.suggest_difficulty':
      case 'mining.extranonce.subscribe':
        return { result: true };
      default:
        return refused(20, 'Unsupported method');
    }
  }

  /** The second parameter may name a session that ended: it goes on with the same extranonce1. */
  #subscribe(peer: LinePeer, fresh: PoolSession, params: readonly unknown[]): unknown {
    const old = fresh.subscribed ? undefined : this.#resumable.take(params[1], this.#nowMs());
    let session = fresh;
    if (old !== undefined) {
      this.stats.resumed += 1;
      const { mask, configured } = fresh;
      session = { ...old, mask, configured, workers: new Set(fresh.workers) };
      this.#sessions.set(peer, session);
    }
    session.subscribed = true;
    const { extranonce1, extranonce2Size } = session.extranonce.latest;
    return [[['mining.notify', session.id]], toHex(extranonce1), extranonce2Size];
  }

  #submit(peer: LinePeer, session: PoolSession, params: readonly unknown[]): Answer {
    if (session.workers.size === 0) return refused(24, 'Unauthorized worker');
    if (!session.subscribed) return refused(25, 'Not subscribed');
    const [worker] = params;
    const isRefused = this.faults.refuseShares;
    const answer = isRefused ? refused(20, 'Refused') : this.#judge(peer, session, params);
    if ('refusal' in answer) {
      const name = typeof worker === 'string' && session.workers.has(worker) ? worker : firstOf(session);
      const { rejected } = this.#creditOf(name);
      rejected[answer.refusal.code] = (rejected[answer.refusal.code] ?? 0) + 1;
    }
    return answer;
  }

  #judge(peer: LinePeer, session: PoolSession, params: readonly unknown[]): Answer {
    const { extranonce2Size } = session.extranonce.latest;
    const unpadded = this.#options.unpaddedNumbers ?? false;
    const fields = parseSubmitFields(params, extranonce2Size, { unpadded });
    if (fields === undefined) return refused(20, 'Invalid params');
    if (!session.workers.has(fields.worker)) return refused(20, 'Worker mismatch');
    const job = this.#jobs.get(fields.jobId);
    if (job === undefined) return refused(21, 'Invalid JobID');
    const bits = fields.versionBits ?? 0;
    if ((bits & ~session.mask) !== 0) return refused(20, 'Invalid version mask');
    const { template } = job.work;
    const solved = hashSolution(job.work, {
      extranonce: concat(session.extranonce.at(job.number).extranonce1, fields.extranonce2),
      ntime: fields.ntime,
      nonce: fields.nonce,
      version: rolledVersion(template.version, session.mask, bits),
    });
    const isBlock = solved.hashNumber <= job.work.networkTarget;
    if (isBlock && !this.faults.withholdBlocks) queueMicrotask(() => this.#submitBlock(job, solved));
    if (this.#jobs.isStale(job)) return refused(21, 'Stale');
    if (fields.ntime < template.minTime || fields.ntime > template.time + NTIME_AHEAD_SECONDS) {
      return refused(20, 'Ntime out of range');
    }
    const { difficulty, target } = session.difficulty.at(job.number);
    if (!isBlock && solved.hashNumber > target) return refused(23, 'Above target');
    if (this.#seenHashes.has(solved.hash)) return refused(22, 'Duplicate');
    this.#accept(fields, solved, target);
    const next = session.vardiff?.onShare(difficulty, session.difficulty.latest.difficulty, this.#nowMs());
    if (next !== undefined) this.#changeDifficulty(peer, session, next);
    return { result: true };
  }

  #accept({ worker }: SubmitFields, { hash }: HashedSolution, target: bigint): void {
    if (this.#seenHashes.size < MAX_SEEN) this.#seenHashes.add(hash);
    const workHashes = workOfTarget(target);
    const credit = this.#creditOf(worker);
    credit.shares += 1;
    credit.workHashes += workHashes;
    this.stats.shares += 1;
    if (this.#options.trackAccepted === true) this.#accepted.push({ hash, worker, workHashes });
  }

  #submitBlock(job: PoolJob, solved: HashedSolution): void {
    if (submitSolved(this.#deps.chain, job.work, solved).accepted) this.stats.blocks += 1;
  }

  #creditOf(worker: string): PoolCredit {
    let credit = this.#credits.get(worker);
    if (credit === undefined) {
      credit = { shares: 0, workHashes: 0n, rejected: {} };
      this.#credits.set(worker, credit);
    }
    return credit;
  }

  #nowMs(): number {
    return this.#deps.clock.nowMs();
  }
}

function firstOf(session: PoolSession): string {
  for (const worker of session.workers) return worker;
  return '';
}

function refused(code: number, message: string): Answer {
  return { refusal: { code, message } };
}
