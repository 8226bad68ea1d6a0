import { concat, fromHex, toHex, u32hex } from '../base/bytes.ts';
import type { Clock } from '../base/clock.ts';
import { isRecord } from '../base/json.ts';
import { targetOfDifficulty, workOfTarget } from '../bitcoin/target.ts';
import type { Logger } from '../log/logger.ts';
import { ANYONE_SCRIPT_HEX, type DevnetChain } from './chain.ts';
import { type LinePeer, type LineServer, startLineServer } from './line-server.ts';
import { parseSubmitFields, rolledVersion } from './submit-fields.ts';
import { fillMempool } from './traffic.ts';
import { buildWork, hashSolution, notifyParams, submitSolved, type Work } from './work.ts';

export type DevnetPoolOptions = {
  readonly host?: string;
  /** Default 0: any free port. */
  readonly port?: number;
  /** Share difficulty. Default 0.001. */
  readonly difficulty?: number;
  readonly poolScriptHex?: string;
  /** A new notify at least this often. Default 30 000. */
  readonly notifyMs?: number;
  readonly minTransactions?: number;
  /** Default 1fffe000; 0 refuses version rolling. */
  readonly versionMask?: number;
  /** A worker name this refuses is not authorised. Default: all are. */
  readonly acceptsWorker?: (worker: string) => boolean;
};

export type PoolCredit = { shares: number; workHashes: bigint; rejected: Record<number, number> };

export type DevnetPool = {
  readonly host: string;
  readonly port: number;
  readonly stats: { connections: number; shares: number; blocks: number };
  /** By worker name. */
  credits(): ReadonlyMap<string, PoolCredit>;
  /** From the next notify, which goes out at once. */
  setDifficulty(difficulty: number): void;
  disconnectAll(): void;
  close(): Promise<void>;
};

type Deps = { readonly chain: DevnetChain; readonly log: Logger; readonly clock: Clock };
type Job = { readonly work: Work; readonly difficulty: number; readonly target: bigint };
type Session = {
  readonly extranonce1: Uint8Array;
  mask: number;
  subscribed: boolean;
  worker: string | undefined;
};
type Request = { readonly id: unknown; readonly method: string; readonly params: readonly unknown[] };
type Refusal = readonly [code: number, message: string];

const EXTRANONCE1_SIZE = 4;
const EXTRANONCE2_SIZE = 8;
const MAX_LINE_BYTES = 16 * 1024;
const MAX_SEEN = 1_000_000;
const NTIME_AHEAD_SECONDS = 7200;

/**
 * Starts a pool of the ordinary kind (ckpool's manners: 4+8 extranonce, numbered errors) on a devnet
 * chain.
 */
export async function startDevnetPool(options: DevnetPoolOptions, deps: Deps): Promise<DevnetPool> {
  const pool = new Pool(options, deps);
  await pool.start();
  return pool;
}

class Pool implements DevnetPool {
  readonly stats = { connections: 0, shares: 0, blocks: 0 };
  readonly #options: DevnetPoolOptions;
  readonly #deps: Deps;
  readonly #sessions = new Map<LinePeer, Session>();
  readonly #jobs = new Map<string, Job>();
  readonly #credits = new Map<string, PoolCredit>();
  /** Header hashes of this block's shares. */
  readonly #seen = new Set<string>();
  #latest: Job | undefined;
  #difficulty: number;
  #jobCounter = 0;
  #server: LineServer | undefined;
  #timer: NodeJS.Timeout | undefined;
  #stopListening = (): void => {};

  constructor(options: DevnetPoolOptions, deps: Deps) {
    this.#options = options;
    this.#deps = deps;
    this.#difficulty = options.difficulty ?? 0.001;
  }

  async start(): Promise<void> {
    const { host = '127.0.0.1', port = 0, notifyMs = 30_000 } = this.#options;
    this.#newJob();
    this.#stopListening = this.#deps.chain.onTip(() => this.#onTip());
    this.#timer = setInterval(() => this.#announce(false), notifyMs);
    this.#server = await startLineServer(
      { host, port, maxLineBytes: MAX_LINE_BYTES },
      {
        onOpen: (peer) => {
          this.stats.connections += 1;
          const extranonce1 = fromHex(u32hex(this.stats.connections), EXTRANONCE1_SIZE);
          this.#sessions.set(peer, { extranonce1, mask: 0, subscribed: false, worker: undefined });
          return true;
        },
        onLine: (peer, line) => this.#onLine(peer, line),
        onClose: (peer) => this.#sessions.delete(peer),
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

  setDifficulty(difficulty: number): void {
    this.#difficulty = difficulty;
    for (const [peer, session] of this.#sessions) if (isReady(session)) this.#sendDifficulty(peer);
    this.#announce(false);
  }

  disconnectAll(): void {
    this.#server!.disconnectAll();
  }

  async close(): Promise<void> {
    this.#stopListening();
    clearInterval(this.#timer);
    await this.#server!.close();
  }

  #onTip(): void {
    this.#jobs.clear();
    this.#seen.clear();
    this.#announce(true);
  }

  #announce(clean: boolean): void {
    this.#newJob();
    for (const [peer, session] of this.#sessions) if (isReady(session)) this.#notify(peer, clean);
  }

  #newJob(): void {
    fillMempool(this.#deps.chain, this.#options.minTransactions ?? 8);
    this.#jobCounter += 1;
    const work = buildWork(this.#deps.chain.template(), {
      jobId: this.#jobCounter.toString(16).padStart(16, '0'),
      poolScript: fromHex(this.#options.poolScriptHex ?? ANYONE_SCRIPT_HEX),
      extranonceSize: EXTRANONCE1_SIZE + EXTRANONCE2_SIZE,
      tag: new TextEncoder().encode('/devnet-pool/'),
    });
    this.#latest = { work, difficulty: this.#difficulty, target: targetOfDifficulty(this.#difficulty) };
    this.#jobs.set(work.jobId, this.#latest);
  }

  #notify(peer: LinePeer, clean: boolean): void {
    peer.send({ id: null, method: 'mining.notify', params: notifyParams(this.#latest!.work, clean) });
  }

  #sendDifficulty(peer: LinePeer): void {
    peer.send({ id: null, method: 'mining.set_difficulty', params: [this.#difficulty] });
  }

  #onLine(peer: LinePeer, line: string): void {
    const session = this.#sessions.get(peer);
    const request = parseRequest(line);
    if (session === undefined) return;
    if (request === undefined) {
      peer.send({ id: null, result: null, error: [20, 'Invalid JSON', null] });
      return;
    }
    const wasReady = isReady(session);
    const reply =
      request.method === 'mining.submit'
        ? this.#submit(session, request.params)
        : this.#handle(session, request);
    if (Array.isArray(reply) && request.method !== 'mining.subscribe') {
      peer.send({ id: request.id, result: null, error: [...reply, null] });
    } else {
      peer.send({ id: request.id, result: reply, error: null });
    }
    if (isReady(session) && !wasReady) {
      this.#sendDifficulty(peer);
      this.#notify(peer, true);
    }
  }

  /** A result, or a refusal (an array) for anything but subscribe. */
  #handle(session: Session, { method, params }: Request): unknown {
    switch (method) {
      case 'mining.configure':
        return this.#configure(session, params);
      case 'mining.subscribe':
        session.subscribed = true;
        return [
          [['mining.notify', toHex(session.extranonce1)]],
          toHex(session.extranonce1),
          EXTRANONCE2_SIZE,
        ];
      case 'mining.authorize': {
        const [worker] = params;
        const accepts = this.#options.acceptsWorker ?? (() => true);
        if (typeof worker !== 'string' || worker === '' || !accepts(worker)) return false;
        session.worker = worker;
        return true;
      }
      case 'mining.suggest_difficulty':
      case 'mining.extranonce.subscribe':
        return true;
      default:
        return [20, 'Unsupported method'] satisfies Refusal;
    }
  }

  /** Answers what was asked for and nothing else. */
  #configure(session: Session, params: readonly unknown[]): Record<string, unknown> {
    const [extensions, values] = params;
    const result: Record<string, unknown> = {};
    for (const extension of Array.isArray(extensions) ? extensions : []) result[String(extension)] = false;
    if (result['version-rolling'] === undefined) return result;
    const asked = isRecord(values) ? values['version-rolling.mask'] : undefined;
    const requested = typeof asked === 'string' ? Number.parseInt(asked, 16) : 0xffffffff;
    session.mask = (requested & (this.#options.versionMask ?? 0x1fffe000)) >>> 0;
    if (session.mask === 0) return result;
    return { ...result, 'version-rolling': true, 'version-rolling.mask': u32hex(session.mask) };
  }

  #submit(session: Session, params: readonly unknown[]): true | Refusal {
    if (session.worker === undefined) return [24, 'Unauthorized worker'];
    if (!session.subscribed) return [25, 'Not subscribed'];
    const verdict = this.#judge(session, params);
    const credit = this.#creditOf(session.worker);
    if (verdict !== true) {
      const [code] = verdict;
      credit.rejected[code] = (credit.rejected[code] ?? 0) + 1;
    }
    return verdict;
  }

  #judge(session: Session, params: readonly unknown[]): true | Refusal {
    const fields = parseSubmitFields(params, EXTRANONCE2_SIZE);
    if (fields === undefined) return [20, 'Invalid params'];
    if (fields.worker !== session.worker) return [20, 'Worker mismatch'];
    const job = this.#jobs.get(fields.jobId);
    if (job === undefined) return [21, 'Stale'];
    const bits = fields.versionBits ?? 0;
    if ((bits & ~session.mask) !== 0) return [20, 'Invalid version mask'];
    const { template } = job.work;
    if (fields.ntime < template.minTime || fields.ntime > template.time + NTIME_AHEAD_SECONDS) {
      return [20, 'Ntime out of range'];
    }
    const solved = hashSolution(job.work, {
      extranonce: concat(session.extranonce1, fields.extranonce2),
      ntime: fields.ntime,
      nonce: fields.nonce,
      version: rolledVersion(template.version, session.mask, bits),
    });
    const isBlock = solved.hashNumber <= job.work.networkTarget;
    if (!isBlock && solved.hashNumber > job.target) return [23, 'Above target'];
    if (this.#seen.has(solved.hash)) return [22, 'Duplicate'];
    if (this.#seen.size < MAX_SEEN) this.#seen.add(solved.hash);
    const credit = this.#creditOf(session.worker);
    credit.shares += 1;
    credit.workHashes += workOfTarget(job.target);
    this.stats.shares += 1;
    if (isBlock && submitSolved(this.#deps.chain, job.work, solved).accepted) this.stats.blocks += 1;
    return true;
  }

  #creditOf(worker: string): PoolCredit {
    let credit = this.#credits.get(worker);
    if (credit === undefined) {
      credit = { shares: 0, workHashes: 0n, rejected: {} };
      this.#credits.set(worker, credit);
    }
    return credit;
  }
}

function isReady(session: Session): boolean {
  return session.subscribed && session.worker !== undefined;
}

function parseRequest(line: string): Request | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (!isRecord(value) || typeof value['method'] !== 'string') return undefined;
  const { id = null, params } = value;
  return { id, method: value['method'], params: Array.isArray(params) ? params : [] };
}
