import { concat, fromHex, toHex, u32hex, u32le } from '../base/bytes.ts';
import type { Clock, Random } from '../base/clock.ts';
import { isRecord } from '../base/json.ts';
import { targetOfDifficulty } from '../bitcoin/target.ts';
import type { Logger } from '../log/logger.ts';
import { startBlockTimer } from './block-timer.ts';
import { type Bead, Braid } from './braid.ts';
import {
  BRAIDPOOL_COMMITMENT,
  BRAIDPOOL_MAX_LINE_BYTES,
  BRAIDPOOL_PROFILES,
  BRAIDPOOL_TEMPLATES,
  BRAIDPOOL_VERSION_MASK,
  type BraidpoolProfileName,
  type BraidpoolQuirks,
} from './braidpool-profile.ts';
import { ANYONE_SCRIPT_HEX, type DevnetChain } from './chain.ts';
import { type LinePeer, type LineServer, startLineServer } from './line-server.ts';
import { parseSubmitFields, rolledVersion, type SubmitFields } from './submit-fields.ts';
import { fillMempool } from './traffic.ts';
import {
  buildWork,
  type HashedSolution,
  hashSolution,
  notifyParams,
  submitSolved,
  type Work,
} from './work.ts';

export type BraidpoolNodeOptions = {
  readonly host?: string;
  /** Default 0: any free port. */
  readonly port?: number;
  /** Default `asIs`. */
  readonly profile?: BraidpoolProfileName;
  /** Changes single quirks of the profile. */
  readonly quirks?: Partial<BraidpoolQuirks>;
  /** Paid by every block. Default: anyone can spend. */
  readonly poolScriptHex?: string;
  /**
   * Sends `set_difficulty` and takes shares of this difficulty as beads. Default: none, only blocks
   * count.
   */
  readonly weakTargetDifficulty?: number;
  /** Mines a block by itself when nobody found one for this long. Default: never. */
  readonly blockIntervalMs?: number;
  /**
   * Transactions in a template at least, as far as the chain has filler coins; 8 make four branches.
   * Default 8.
   */
  readonly minTransactions?: number;
};

export type BraidpoolNode = {
  readonly host: string;
  readonly port: number;
  readonly stats: BraidpoolNodeStats;
  /**
   * Faults to play: connections dropped as during the initial block download; requests read but not
   * answered.
   */
  readonly faults: { initialBlockDownload: boolean; silent: boolean };
  beads(): Bead[];
  bead(hash: string): Bead | undefined;
  tips(): string[];
  disconnectAll(): void;
  close(): Promise<void>;
};

export type BraidpoolNodeStats = {
  connections: number;
  unanswered: number;
  submits: number;
  blocks: number;
  weakShares: number;
  refusedBlocks: number;
};

type Deps = {
  readonly chain: DevnetChain;
  readonly log: Logger;
  readonly clock: Clock;
  readonly random: Random;
};

type Job = { readonly work: Work; readonly parents: readonly string[] };
type Session = {
  readonly extranonce1: Uint8Array;
  mask?: number;
  subscribed: boolean;
  authorized: boolean;
};
type Request = { readonly id: unknown; readonly method: string; readonly params: readonly unknown[] };
/** `bare` goes out as it is, without id. */
type Reply = { readonly result: unknown } | { readonly error: string } | { readonly bare: object };

/** Starts a simulated Braidpool node: the Stratum v1 port of `braidpool.md` 1.2 on a devnet chain. */
export async function startBraidpoolNode(
  options: BraidpoolNodeOptions,
  deps: Deps,
): Promise<BraidpoolNode> {
  const node = new Node(options, deps);
  await node.start();
  return node;
}

class Node implements BraidpoolNode {
  readonly stats: BraidpoolNodeStats = {
    connections: 0,
    unanswered: 0,
    submits: 0,
    blocks: 0,
    weakShares: 0,
    refusedBlocks: 0,
  };
  readonly faults = { initialBlockDownload: false, silent: false };
  readonly #options: BraidpoolNodeOptions;
  readonly #deps: Deps;
  readonly #quirks: BraidpoolQuirks;
  readonly #weakTarget: bigint | undefined;
  readonly #braid = new Braid();
  readonly #sessions = new Map<LinePeer, Session>();
  readonly #jobs = new Map<string, Job>();
  #latest: Job | undefined;
  #jobCounter = 0;
  #extranonceCounter = 0n;
  #server: LineServer | undefined;
  #stops: (() => unknown)[] = [];

  constructor(options: BraidpoolNodeOptions, deps: Deps) {
    this.#options = options;
    this.#deps = deps;
    this.#quirks = { ...BRAIDPOOL_PROFILES[options.profile ?? 'asIs'], ...options.quirks };
    const weak = options.weakTargetDifficulty;
    this.#weakTarget = weak === undefined ? undefined : targetOfDifficulty(weak);
  }

  async start(): Promise<void> {
    const { chain, log } = this.#deps;
    this.#newJob();
    this.#stops.push(chain.onTip(() => this.#onTip()));
    const { host = '127.0.0.1', port = 0, blockIntervalMs } = this.#options;
    this.#server = await startLineServer(
      { host, port, maxLineBytes: BRAIDPOOL_MAX_LINE_BYTES },
      {
        onOpen: (peer) => this.#onOpen(peer),
        onLine: (peer, line) => this.#onLine(peer, line),
        onClose: (peer) => this.#sessions.delete(peer),
      },
      { log },
    );
    if (blockIntervalMs !== undefined) {
      const scriptHex = this.#options.poolScriptHex ?? ANYONE_SCRIPT_HEX;
      this.#stops.push(startBlockTimer({ intervalMs: blockIntervalMs, scriptHex }, { chain, log }));
    }
  }

  get host(): string {
    return this.#server!.host;
  }

  get port(): number {
    return this.#server!.port;
  }

  beads(): Bead[] {
    return this.#braid.beads;
  }

  bead(hash: string): Bead | undefined {
    return this.#braid.get(hash);
  }

  tips(): string[] {
    return this.#braid.tips();
  }

  disconnectAll(): void {
    this.#server!.disconnectAll();
  }

  async close(): Promise<void> {
    for (const stop of this.#stops) await stop();
    await this.#server!.close();
  }

  #onOpen(peer: LinePeer): boolean {
    if (this.faults.initialBlockDownload) return false;
    this.stats.connections += 1;
    this.#sessions.set(peer, {
      extranonce1: this.#nextExtranonce1(),
      subscribed: false,
      authorized: false,
    });
    return true;
  }

  #nextExtranonce1(): Uint8Array {
    const size = this.#quirks.extranonce1Size;
    if (this.#quirks.randomExtranonce1) return this.#deps.random.bytes(size);
    this.#extranonceCounter += 1n;
    return fromHex(this.#extranonceCounter.toString(16).padStart(size * 2, '0'));
  }

  #onTip(): void {
    this.#newJob();
    for (const [peer, session] of this.#sessions) this.#notify(peer, session, !this.#quirks.neverClean);
  }

  #newJob(): void {
    const { chain } = this.#deps;
    fillMempool(chain, this.#options.minTransactions ?? 8);
    this.#jobCounter += 1;
    const commitment = concat(
      new TextEncoder().encode(BRAIDPOOL_COMMITMENT),
      concat(u32le(this.#jobCounter), u32le(0)),
    );
    const work = buildWork(chain.template(), {
      jobId: this.#jobCounter.toString(),
      poolScript: fromHex(this.#options.poolScriptHex ?? ANYONE_SCRIPT_HEX),
      extranonceSize: this.#quirks.extranonce1Size + this.#quirks.extranonce2Size,
      tag: new TextEncoder().encode('/braidpool-devnet/'),
      extraOutputs: [{ script: concat(Uint8Array.of(0x6a, commitment.length), commitment), valueSat: 0n }],
    });
    this.#latest = { work, parents: this.#braid.tips() };
    this.#jobs.set(work.jobId, this.#latest);
    for (const oldest of this.#jobs.keys()) {
      if (this.#jobs.size <= BRAIDPOOL_TEMPLATES) break;
      this.#jobs.delete(oldest);
    }
  }

  #notify(peer: LinePeer, session: Session, clean: boolean): void {
    if (!session.subscribed || !session.authorized) return;
    const params = notifyParams(this.#latest!.work, clean);
    peer.send({ id: null, method: 'mining.notify', params });
  }

  #onLine(peer: LinePeer, line: string): void {
    const session = this.#sessions.get(peer);
    const request = parseRequest(line, this.#quirks.silentOnBadRequests);
    if (session === undefined || request === undefined || this.faults.silent) {
      this.stats.unanswered += 1;
      this.#deps.log.debug({ peer: peer.address, line: line.slice(0, 200) }, 'request not answered');
      return;
    }
    if (request.method === 'mining.submit') {
      this.#onSubmit(peer, session, request);
      return;
    }
    const wasReady = session.subscribed && session.authorized;
    const reply = this.#handle(session, request);
    this.#reply(peer, request.id, reply);
    if ('error' in reply) return;
    const ready = session.subscribed && session.authorized;
    if (ready && !wasReady && this.#options.weakTargetDifficulty !== undefined) {
      const params = [this.#options.weakTargetDifficulty];
      peer.send({ id: null, method: 'mining.set_difficulty', params });
    }
    if (ready && (!wasReady || this.#quirks.repeatedNotify)) {
      this.#notify(peer, session, !this.#quirks.neverClean);
    }
  }

  #reply(peer: LinePeer, id: unknown, reply: Reply): void {
    if ('result' in reply) {
      peer.send({ id, result: reply.result, error: null });
    } else if ('bare' in reply) {
      peer.send(reply.bare);
    } else {
      const error = this.#quirks.stringErrors ? reply.error : [20, reply.error, null];
      peer.send({ id, result: null, error });
    }
  }

  #handle(session: Session, request: Request): Reply {
    switch (request.method) {
      case 'mining.configure':
        return this.#configure(session, request.params);
      case 'mining.subscribe': {
        session.subscribed = true;
        const subscriptions = [
          ['mining.set_difficulty', '34'],
          ['mining.notify', '12'],
        ];
        const extranonce1 = toHex(session.extranonce1);
        return { result: [subscriptions, extranonce1, this.#quirks.extranonce2Size] };
      }
      case 'mining.authorize':
        session.authorized = true;
        return { result: true };
      case 'mining.suggest_difficulty': {
        const [wanted] = request.params;
        if (typeof wanted !== 'number' || !Number.isInteger(wanted) || wanted < 0) {
          return { error: 'InvalidParams' };
        }
        if (!this.#quirks.bareSuggestReply) return { result: true };
        return { bare: { method: 'mining.set_difficulty', params: [wanted] } };
      }
      default:
        return { error: 'InvalidMethod' };
    }
  }

  #configure(session: Session, params: readonly unknown[]): Reply {
    const values = isRecord(params[1]) ? params[1] : {};
    const asked = values['version-rolling.mask'];
    const minBits = values['version-rolling.min-bit-count'];
    if (this.#quirks.strictConfigure) {
      if (params.length !== 2) return { error: 'InvalidParams' };
      if (minBits !== undefined && !isHex8(minBits)) return { error: 'InvalidMinBitCount' };
    }
    if (asked !== undefined && !isHex8(asked)) return { error: 'InvalidMask' };
    const requested = asked === undefined ? 0xffffffff : Number.parseInt(asked, 16);
    session.mask = (requested & BRAIDPOOL_VERSION_MASK) >>> 0;
    return {
      result: {
        'minimum-difficulty': false,
        'version-rolling': true,
        'version-rolling.mask': u32hex(session.mask),
        'version-rolling.min-bit-count': 0,
      },
    };
  }

  #onSubmit(peer: LinePeer, session: Session, request: Request): void {
    this.stats.submits += 1;
    if (!session.authorized) {
      this.#reply(peer, request.id, { error: 'Unauthorized' });
      return;
    }
    const fields = parseSubmitFields(request.params, this.#quirks.extranonce2Size);
    if (fields === undefined) {
      this.#reply(peer, request.id, { error: 'InvalidParams' });
      return;
    }
    const job = this.#findJob(fields.jobId);
    if (job === undefined) {
      this.#reply(peer, request.id, { error: 'JobNotFound' });
      return;
    }
    const mask = session.mask;
    if (mask !== undefined && fields.versionBits === undefined && this.#quirks.versionBitsMandatory) {
      this.#reply(peer, request.id, { error: 'MissingVersionBits' });
      return;
    }
    if (mask !== undefined && ((fields.versionBits ?? 0) & ~mask) !== 0) {
      this.#reply(peer, request.id, { error: 'InvalidVersionBits' });
      return;
    }
    const solved = hashSolution(job.work, {
      extranonce: concat(session.extranonce1, fields.extranonce2),
      ntime: fields.ntime,
      nonce: fields.nonce,
      version: this.#versionOf(job, mask, fields),
    });
    this.#judge(peer, request.id, { job, fields, solved });
  }

  #versionOf(job: Job, mask: number | undefined, fields: SubmitFields): number {
    const { version } = job.work.template;
    if (mask === undefined || fields.versionBits === undefined) return version;
    return rolledVersion(version, mask, fields.versionBits);
  }

  /** A job id is looked up as it is, then as a decimal, then as a hexadecimal number. */
  #findJob(jobId: string): Job | undefined {
    return (
      this.#jobs.get(jobId) ??
      this.#jobs.get(Number.parseInt(jobId, 10).toString()) ??
      this.#jobs.get(Number.parseInt(jobId, 16).toString())
    );
  }

  #judge(
    peer: LinePeer,
    id: unknown,
    share: { readonly job: Job; readonly fields: SubmitFields; readonly solved: HashedSolution },
  ): void {
    const { job, fields, solved } = share;
    const isBlock = solved.hashNumber <= job.work.networkTarget;
    const isWeak = this.#weakTarget !== undefined && solved.hashNumber <= this.#weakTarget;
    if (!isBlock && !isWeak) {
      if (this.#quirks.falseWhenAboveTarget) peer.send({ id, result: false, error: null });
      else peer.send({ id, result: null, error: [23, 'Above target', null] });
      return;
    }
    const bead: Bead = {
      hash: solved.hash,
      payoutAddress: fields.worker,
      parents: job.parents,
      minerIp: peer.address,
      weak: !isBlock,
      height: job.work.template.height,
      atMs: this.#deps.clock.nowMs(),
    };
    const isNew = this.#braid.add(bead);
    if (!isNew && !this.#quirks.duplicatesAccepted) {
      peer.send({ id, result: null, error: [22, 'Duplicate share', null] });
      return;
    }
    peer.send({ id, result: true, error: null });
    if (!isBlock) {
      this.stats.weakShares += 1;
    } else if (isNew) {
      this.#submitBlock(job.work, solved);
    }
  }

  #submitBlock(work: Work, solved: HashedSolution): void {
    const verdict = submitSolved(this.#deps.chain, work, solved);
    if (verdict.accepted) {
      this.stats.blocks += 1;
      this.#deps.log.info({ height: verdict.height, hash: verdict.hash }, 'block found');
    } else {
      this.stats.refusedBlocks += 1;
      this.#deps.log.info({ reason: verdict.reason, hash: solved.hash }, 'block not taken');
    }
  }
}

function isHex8(value: unknown): value is string {
  return typeof value === 'string' && /^[0-9a-fA-F]{8}$/.test(value);
}

/** Undefined for what gets no reply. */
function parseRequest(line: string, strict: boolean): Request | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (!isRecord(value) || typeof value['method'] !== 'string') return undefined;
  const { id = null, params } = value;
  if (strict) {
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 0) return undefined;
    if (params === undefined) return undefined;
  }
  return { id, method: value['method'], params: Array.isArray(params) ? params : [] };
}
