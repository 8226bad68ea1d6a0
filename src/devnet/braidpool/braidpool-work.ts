import { concat, equal, fromHex, u32le } from '../../base/bytes.ts';
import type { Clock, Random } from '../../base/clock.ts';
import { sha256d } from '../../base/hash.ts';
import { displayHash, parseHeader } from '../../bitcoin/header.ts';
import { MAX_TARGET, targetOfDifficulty } from '../../bitcoin/target.ts';
import type { Logger } from '../../log/logger.ts';
import type { DevnetChain } from '../chain/chain.ts';
import { fillMempool } from '../chain/traffic.ts';
import {
  buildWork,
  type HashedSolution,
  hashSolution,
  notifyParams,
  submitSolved,
  type Work,
} from '../chain/work.ts';
import { parseSubmitFields, rolledVersion, type SubmitFields } from '../net/submit-fields.ts';
import {
  type Bead,
  buildBead,
  type CommittedMetadata,
  compactAtLeast,
  encodeCommitted,
  PLACEHOLDER_PUBLIC_KEY,
  PLACEHOLDER_TARGET,
} from './bead.ts';
import type { Braid } from './braid.ts';
import {
  type BraidpoolBackend,
  type BraidpoolHub,
  type BraidpoolReply,
  type BraidpoolSession,
  configureLocally,
  invalidParams,
  rustError,
} from './braidpool-backend.ts';
import { BRAIDPOOL_COMMITMENT, BRAIDPOOL_TEMPLATES, type BraidpoolQuirks } from './braidpool-profile.ts';

export type BraidpoolWorkOptions = {
  readonly quirks: BraidpoolQuirks;
  readonly poolScriptHex: string;
  readonly minTransactions: number;
  readonly weakTargetDifficulty: number | undefined;
  readonly tipIntervalMs: number | undefined;
  readonly peerBeadsPerTip: number;
};

type Deps = {
  readonly chain: DevnetChain;
  readonly braid: Braid;
  readonly hub: BraidpoolHub;
  readonly log: Logger;
  readonly clock: Clock;
  readonly random: Random;
  /** The payout address of a share's bead, by its worker name. */
  readonly payeeOf: (worker: string) => string;
  readonly stats: { blocks: number; weakShares: number; refusedBlocks: number; peerBeads: number };
};

type Job = {
  readonly work: Work;
  readonly parents: readonly string[];
  /** Without the coinbase. */
  readonly transactionIds: readonly string[];
  readonly sentAtSeconds: number;
  /** Where it commits to the bead of its shares. */
  readonly committed: Committed | undefined;
};

/** What a job commits to, and whose it is. */
type Committed = {
  readonly session: BraidpoolSession;
  readonly metadata: CommittedMetadata;
  readonly encoded: Uint8Array;
  readonly commitment: Uint8Array;
};

type Share = {
  /** The payout address of its bead. */
  readonly payee: string;
  readonly minerIp: string;
  readonly job: Job;
  readonly extranonce1: Uint8Array;
  readonly extranonce2: Uint8Array;
  readonly solved: HashedSolution;
};

/** What a simulated peer asks of its own beads: every other hash. */
const PEER_TARGET = MAX_TARGET;

/**
 * The node's own templates: shares that meet nBits become blocks and beads, weaker ones beads if asked for.
 */
export class BraidpoolWork implements BraidpoolBackend {
  readonly #options: BraidpoolWorkOptions;
  readonly #deps: Deps;
  readonly #quirks: BraidpoolQuirks;
  readonly #weakTarget: bigint | undefined;
  readonly #jobs = new Map<string, Job>();
  #latest: Job;
  #clean = true;
  #jobCounter = 0;
  #extranonceCounter = 0n;
  /** The tips as simulated peers know them: one interval old. */
  #peerTips: readonly string[];
  readonly #stops: (() => void)[] = [];

  constructor(options: BraidpoolWorkOptions, deps: Deps) {
    this.#options = options;
    this.#deps = deps;
    this.#quirks = options.quirks;
    const weak = options.weakTargetDifficulty;
    this.#weakTarget = weak === undefined ? undefined : targetOfDifficulty(weak);
    this.#peerTips = deps.braid.tips();
    this.#latest = this.#newJob();
    this.#stops.push(deps.chain.onTip(() => this.announce(true)));
    if (options.tipIntervalMs !== undefined) {
      const timer = setInterval(() => this.#onInterval(), options.tipIntervalMs);
      this.#stops.push(() => clearInterval(timer));
    }
  }

  /** A new template to everyone, as on a new tip. */
  announce(clean: boolean): void {
    this.#latest = this.#newJob();
    this.#clean = clean;
    this.#deps.hub.notifyAll('ready');
    this.#clean = true;
  }

  /** The txids a miner has in its block beside the coinbase. */
  latestWork(): Work {
    return this.#latest.work;
  }

  reset(): void {
    this.#jobs.clear();
    this.#jobCounter = 0;
    this.#latest = this.#newJob();
  }

  async stop(): Promise<void> {
    for (const stop of this.#stops) stop();
  }

  open(): { readonly extranonce1: Uint8Array; readonly extranonce2Size: number } {
    return { extranonce1: this.#nextExtranonce1(), extranonce2Size: this.#quirks.extranonce2Size };
  }

  closed(): void {}

  configure(session: BraidpoolSession, params: readonly unknown[]): BraidpoolReply {
    return configureLocally(session, params, this.#quirks);
  }

  suggestDifficulty(difficulty: unknown): BraidpoolReply {
    return { bare: { method: 'mining.set_difficulty', params: [difficulty] } };
  }

  difficulty(): { readonly value: number; readonly after: 'ready' } | undefined {
    const value = this.#options.weakTargetDifficulty;
    return value === undefined ? undefined : { value, after: 'ready' };
  }

  job(session: BraidpoolSession): readonly unknown[] {
    const job = this.#quirks.commitsMetadata ? this.#newJob(session) : this.#latest;
    return notifyParams(job.work, this.#clean && !this.#quirks.neverClean);
  }

  /** What a job commits to, encoded, by its hash; undefined where no job does. */
  metadataBy(commitment: Uint8Array): Uint8Array | undefined {
    const found = [...this.#jobs.values()].find(
      ({ committed }) => committed !== undefined && equal(committed.commitment, commitment),
    );
    return found?.committed?.encoded;
  }

  #nextExtranonce1(): Uint8Array {
    const size = this.#quirks.extranonce1Size;
    if (this.#quirks.randomExtranonce1) return this.#deps.random.bytes(size);
    this.#extranonceCounter += 1n;
    return fromHex(this.#extranonceCounter.toString(16).padStart(size * 2, '0'));
  }

  /** @param session whose bead it commits to; without one it commits to none */
  #newJob(session?: BraidpoolSession): Job {
    const { chain, braid } = this.#deps;
    fillMempool(chain, this.#options.minTransactions);
    this.#jobCounter += 1;
    const template = chain.template();
    const transactionIds = template.transactions.map((transaction) => transaction.getId());
    const parents = braid.tips();
    const committed = session === undefined ? undefined : this.#commit(session, parents, transactionIds);
    const commitment = concat(
      committed?.commitment ?? new TextEncoder().encode(BRAIDPOOL_COMMITMENT),
      concat(u32le(this.#jobCounter), u32le(0)),
    );
    const work = buildWork(template, {
      jobId: this.#jobCounter.toString(),
      poolScript: fromHex(this.#options.poolScriptHex),
      extranonceSize: this.#quirks.extranonce1Size + this.#quirks.extranonce2Size,
      tag: new TextEncoder().encode('/braidpool-devnet/'),
      extraOutputs: [{ script: concat(Uint8Array.of(0x6a, commitment.length), commitment), valueSat: 0n }],
    });
    const job: Job = {
      work,
      parents,
      transactionIds,
      sentAtSeconds: this.#nowSeconds(),
      committed,
    };
    this.#jobs.set(work.jobId, job);
    for (const oldest of this.#jobs.keys()) {
      if (this.#jobs.size <= BRAIDPOOL_TEMPLATES * (committed === undefined ? 1 : this.#sessionCount))
        break;
      this.#jobs.delete(oldest);
    }
    return job;
  }

  get #sessionCount(): number {
    return Math.max(1, [...this.#deps.hub.sessions()].length);
  }

  #commit(
    session: BraidpoolSession,
    tips: readonly string[],
    transactionIds: readonly string[],
  ): Committed {
    const { braid, payeeOf } = this.#deps;
    const parents = tips.length === 0 ? braid.genesis() : tips;
    const target = this.#targetBits(this.#weakTarget);
    const metadata: CommittedMetadata = {
      ...{ transaction_ids: transactionIds, parents },
      parent_bead_timestamps: parents.map((hash) => this.#startOf(hash)),
      payout_address: payeeOf(session.userName),
      start_timestamp: this.#nowSeconds(),
      comm_pub_key: PLACEHOLDER_PUBLIC_KEY,
      ...{ min_target: target, weak_target: target, miner_ip: session.peer.address },
    };
    const encoded = encodeCommitted(metadata);
    return { session, metadata, encoded, commitment: sha256d(encoded) };
  }

  #startOf(bead: string): number {
    return this.#deps.braid.get(bead)!.bead.committed_metadata.start_timestamp;
  }

  #targetBits(target: bigint | undefined): number {
    if (this.#quirks.placeholderTargets) return PLACEHOLDER_TARGET;
    return target === undefined ? this.#deps.chain.bits : compactAtLeast(target);
  }

  /** The tips move all the time: other miners' beads arrive, and a template upon the new tips goes out. */
  #onInterval(): void {
    const seen = this.#peerTips;
    this.#peerTips = this.#deps.braid.tips();
    for (let left = this.#options.peerBeadsPerTip; left > 0; left -= 1) this.#addPeerBead(seen);
    this.announce(false);
  }

  #addPeerBead(parents: readonly string[]): void {
    const job = this.#latest;
    const extranonce1 = this.#deps.random.bytes(this.#quirks.extranonce1Size);
    const extranonce2 = this.#deps.random.bytes(this.#quirks.extranonce2Size);
    for (let nonce = 0; ; nonce += 1) {
      const solved = hashSolution(job.work, {
        extranonce: concat(extranonce1, extranonce2),
        ntime: job.work.template.time,
        nonce,
        version: job.work.template.version,
      });
      if (solved.hashNumber > PEER_TARGET) continue;
      const share: Share = { payee: 'peer', minerIp: '10.0.0.1:0', job, extranonce1, extranonce2, solved };
      if (this.#deps.braid.add(this.#beadOf(share, parents, PEER_TARGET), true) === 'BeadAdded') {
        this.#deps.stats.peerBeads += 1;
      }
      return;
    }
  }

  submit(session: BraidpoolSession, params: readonly unknown[]): BraidpoolReply {
    if (params.length < 5 || !session.authorized) return invalidParams('mining.submit');
    const { unpaddedNumbers, versionBitsMandatory } = this.#quirks;
    const fields = parseSubmitFields(params, session.extranonce2Size, { unpadded: unpaddedNumbers });
    if (fields === undefined) return invalidParams('mining.submit');
    const job = this.#findJob(fields.jobId);
    if (job === undefined || (job.committed !== undefined && job.committed.session !== session))
      return { ...rustError('MiningJobNotFound', { job_id: fields.jobId }), code: 21 };
    const { mask } = session;
    if (mask !== undefined && fields.versionBits === undefined && versionBitsMandatory) {
      return rustError('ParamNotFound', { param: 'rolled_version_bits', method: 'mining.submit' });
    }
    if (mask !== undefined && ((fields.versionBits ?? 0) & ~mask) !== 0) {
      return rustError('MaskNotValid', {
        error: 'version_bits & !mask_version_bits must be equal to Zero',
      });
    }
    const solved = hashSolution(job.work, {
      extranonce: concat(session.extranonce1, fields.extranonce2),
      ntime: fields.ntime,
      nonce: fields.nonce,
      version: versionOf(job, mask, fields),
    });
    return this.#judge({
      payee: this.#deps.payeeOf(fields.worker),
      minerIp: session.peer.address,
      job,
      extranonce1: session.extranonce1,
      extranonce2: fields.extranonce2,
      solved,
    });
  }

  /** A job id is looked up as it is, then as a decimal, then as a hexadecimal number. */
  #findJob(jobId: string): Job | undefined {
    return (
      this.#jobs.get(jobId) ??
      this.#jobs.get(Number.parseInt(jobId, 10).toString()) ??
      this.#jobs.get(Number.parseInt(jobId, 16).toString())
    );
  }

  #judge(share: Share): BraidpoolReply {
    const { job, solved } = share;
    const isBlock = solved.hashNumber <= job.work.networkTarget;
    const isWeak = this.#weakTarget !== undefined && solved.hashNumber <= this.#weakTarget;
    if (!isBlock && !isWeak) {
      if (this.#quirks.falseWhenAboveTarget) return { result: false };
      return { error: 'Above target', code: 23 };
    }
    const { braid, stats } = this.#deps;
    const parents = this.#quirks.parentsAtSubmit ? braid.tips() : job.parents;
    const target = isWeak ? this.#weakTarget! : job.work.networkTarget;
    const usable = parents.length === 0 ? braid.genesis() : parents;
    const known = braid.get(solved.hash) !== undefined;
    const isNew = !known && braid.add(this.#beadOf(share, usable, target), !isBlock) === 'BeadAdded';
    if (!isNew) {
      return this.#quirks.duplicatesAccepted ? { result: true } : { error: 'Duplicate share', code: 22 };
    }
    if (isBlock) queueMicrotask(() => this.#submitBlock(job.work, solved));
    else stats.weakShares += 1;
    return { result: true };
  }

  #beadOf(share: Share, parents: readonly string[], weakTarget: bigint): Bead {
    const { job, solved } = share;
    const weakBits = this.#targetBits(weakTarget);
    const bead = buildBead({
      header: parseHeader(solved.header),
      transactionIds: [displayHash(sha256d(solved.coinbase)), ...job.transactionIds],
      parents: parents.map((hash) => ({
        hash,
        startTimestamp: this.#startOf(hash),
      })),
      payoutAddress: share.payee,
      startTimestamp: job.sentAtSeconds,
      minTarget: weakBits,
      weakTarget: weakBits,
      minerIp: share.minerIp,
      broadcastTimestamp: this.#nowSeconds(),
      extranonce1: bigFromBe(share.extranonce1),
      extranonce2: bigFromBe(share.extranonce2),
    });
    return job.committed === undefined ? bead : { ...bead, committed_metadata: job.committed.metadata };
  }

  #submitBlock(work: Work, solved: HashedSolution): void {
    const { chain, log, stats } = this.#deps;
    const verdict = submitSolved(chain, work, solved);
    if (verdict.accepted) {
      stats.blocks += 1;
      log.info({ height: verdict.height, hash: verdict.hash }, 'block found');
    } else {
      stats.refusedBlocks += 1;
      log.info({ reason: verdict.reason, hash: solved.hash }, 'block not taken');
    }
  }

  #nowSeconds(): number {
    return Math.floor(this.#deps.clock.nowMs() / 1000);
  }
}

export function bigFromBe(bytes: Uint8Array): bigint {
  let value = 0n;
  for (const byte of bytes) value = (value << 8n) | BigInt(byte);
  return value;
}

function versionOf(job: Job, mask: number | undefined, fields: SubmitFields): number {
  const { version } = job.work.template;
  if (mask === undefined || fields.versionBits === undefined) return version;
  return rolledVersion(version, mask, fields.versionBits);
}
