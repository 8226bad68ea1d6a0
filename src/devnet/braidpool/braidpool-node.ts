import { toHex } from '../../base/bytes.ts';
import type { Clock, Random } from '../../base/clock.ts';
import type { Logger } from '../../log/logger.ts';
import { startBlockTimer } from '../chain/block-timer.ts';
import { ANYONE_SCRIPT_HEX, type DevnetChain } from '../chain/chain.ts';
import { type JsonRpcServer, type JsonRpcStats, startJsonRpcServer } from '../net/json-rpc-server.ts';
import { opened } from '../net/opened.ts';
import { noFaults, type ReplyFaults } from '../net/reply-faults.ts';
import { genesisBead } from './bead.ts';
import { Braid, type BraidBead } from './braid.ts';
import { type BraidpoolAudit, type BraidpoolAuditOptions, BraidpoolAuditWork } from './braidpool-audit.ts';
import type { BraidpoolBackend } from './braidpool-backend.ts';
import {
  BRAIDPOOL_PROFILES,
  type BraidpoolProfileName,
  type BraidpoolQuirks,
} from './braidpool-profile.ts';
import { braidpoolRpcMethods, braidpoolRpcSubscriptions } from './braidpool-rpc.ts';
import { BraidpoolStratum } from './braidpool-stratum.ts';
import { BraidpoolWork } from './braidpool-work.ts';

export type BraidpoolNodeOptions = {
  readonly host?: string;
  /** Default 0: any free port. */
  readonly port?: number;
  /** JSON-RPC over HTTP and WebSocket. Default 0: any free port. */
  readonly rpcPort?: number;
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
  /** False begins without the genesis bead: the first bead found is it. Default true. */
  readonly genesis?: boolean;
  /**
   * The tips move this often, and with them a new template goes out that is not clean; the specification
   * has 150 to 1000. Default: templates come on new blocks only.
   */
  readonly tipIntervalMs?: number;
  /** Beads of other miners that arrive at each such interval, one interval behind the tips. Default 0. */
  readonly peerBeadsPerTip?: number;
  /** Makes the node a proxy before another pool, in audit mode: it has no templates of its own then. */
  readonly audit?: BraidpoolAuditOptions;
  /** Draws the random ones among the faults; from 0 up to 1. */
  readonly faultRandom?: () => number;
};

export type BraidpoolNode = {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly rpcPort: number;
  /** `http://...`; the WebSocket is at the same address. */
  readonly rpcUrl: string;
  readonly stats: BraidpoolNodeStats;
  readonly rpcStats: JsonRpcStats;
  /** Faults to play on the Stratum port; `refusing` is the initial block download. */
  readonly faults: ReplyFaults;
  /** Faults to play on the RPC port. */
  readonly rpcFaults: ReplyFaults;
  /** Whom a part of the beads pays instead of their miner, as where somebody changes its worker name. */
  theft: BeadTheft | undefined;
  /** Undefined unless the node is in audit mode. */
  readonly audit: BraidpoolAudit | undefined;
  readonly braid: Braid;
  /** In order of arrival, the genesis bead not counted. */
  beads(): BraidBead[];
  bead(hash: string): BraidBead | undefined;
  tips(): string[];
  /** Connected miners and their extranonce1 (hex), in order of arrival. */
  connections(): readonly { readonly address: string; readonly extranonce1: string }[];
  /** Sends a new template to everyone, as when a transaction was removed. Not in audit mode. */
  announce(): void;
  disconnectAll(): void;
  /** Tells every miner why, as `[20, reason, null]` without id, and closes. */
  disconnectAllWithMessage(reason: string): void;
  /**
   * Closes both ports, waits, and opens them again: connections and jobs are lost and job ids begin anew,
   * the braid stays. Default 100 ms.
   */
  restart(downMs?: number): Promise<void>;
  close(): Promise<void>;
};

/** The part of the beads, from 0 to 1, one in so many, and the payout address that they get. */
export type BeadTheft = { readonly part: number; readonly payoutAddress: string };

export type BraidpoolNodeStats = {
  stolenBeads: number;
  connections: number;
  unanswered: number;
  submits: number;
  blocks: number;
  weakShares: number;
  refusedBlocks: number;
  peerBeads: number;
  restarts: number;
};

type Deps = {
  readonly chain: DevnetChain;
  readonly log: Logger;
  readonly clock: Clock;
  readonly random: Random;
};

const DEFAULT_DOWN_MS = 100;
const AUDIT_READY_TRIES = 250;
const AUDIT_READY_POLL_MS = 20;

/**
 * Starts a simulated Braidpool node on a devnet chain: its Stratum v1 port, in normal or audit mode
 * (`WIRE.md`), and its JSON-RPC port. In audit mode it resolves when the upstream has sent a job.
 */
export async function startBraidpoolNode(
  options: BraidpoolNodeOptions,
  deps: Deps,
): Promise<BraidpoolNode> {
  const node = new Node(options, deps);
  return opened(node);
}

class Node implements BraidpoolNode {
  readonly name = 'braidpool';
  readonly stats: BraidpoolNodeStats = {
    connections: 0,
    unanswered: 0,
    submits: 0,
    blocks: 0,
    weakShares: 0,
    refusedBlocks: 0,
    peerBeads: 0,
    stolenBeads: 0,
    restarts: 0,
  };
  readonly faults: ReplyFaults = noFaults();
  readonly rpcFaults: ReplyFaults = noFaults();
  theft: BeadTheft | undefined;
  /** Beads that are to be stolen and were not yet. */
  #theftDue = 0;
  readonly braid: Braid;
  readonly #options: BraidpoolNodeOptions;
  readonly #deps: Deps;
  readonly #quirks: BraidpoolQuirks;
  readonly #random: () => number;
  readonly #stratum: BraidpoolStratum;
  #work: BraidpoolWork | undefined;
  #auditWork: BraidpoolAuditWork | undefined;
  #rpc: JsonRpcServer | undefined;
  #stopBlocks: (() => Promise<void>) | undefined;

  constructor(options: BraidpoolNodeOptions, deps: Deps) {
    const { host = '127.0.0.1', port = 0, genesis = true } = options;
    this.#options = options;
    this.#deps = deps;
    this.#quirks = { ...BRAIDPOOL_PROFILES[options.profile ?? 'asIs'], ...options.quirks };
    this.#random = options.faultRandom ?? Math.random;
    this.braid = new Braid({ work: this.#quirks.workFromNetworkTarget ? 'network' : 'weak' });
    if (genesis) this.braid.add(genesisBead(deps.chain.bits, deps.chain.blockAt(0)!.hash));
    this.#stratum = new BraidpoolStratum(
      { host, port, quirks: this.#quirks, faults: this.faults },
      { log: deps.log, random: this.#random, stats: this.stats },
    );
  }

  async start(): Promise<void> {
    const { chain, log } = this.#deps;
    const { host = '127.0.0.1', rpcPort = 0, blockIntervalMs } = this.#options;
    await this.#stratum.listen(this.#startBackend());
    this.#rpc = await startJsonRpcServer(
      { host, port: rpcPort, faults: this.rpcFaults, random: this.#random },
      {
        methods: braidpoolRpcMethods({
          braid: this.braid,
          quirks: this.#quirks,
          miners: () => this.connections().map(({ address }) => address),
          metadataBy: (commitment) => this.#work?.metadataBy(commitment),
          staged: () => this.#work?.latestWork().template.transactions ?? [],
        }),
        subscriptions: braidpoolRpcSubscriptions(this.braid),
        log,
      },
    );
    if (blockIntervalMs !== undefined) {
      const scriptHex = this.#options.poolScriptHex ?? ANYONE_SCRIPT_HEX;
      this.#stopBlocks = startBlockTimer({ intervalMs: blockIntervalMs, scriptHex }, { chain, log });
    }
    await this.#auditReady();
  }

  #startBackend(): BraidpoolBackend {
    const { audit, tipIntervalMs, weakTargetDifficulty } = this.#options;
    const deps = {
      ...{ ...this.#deps, braid: this.braid, hub: this.#stratum, stats: this.stats },
      payeeOf: (worker: string) => this.#payeeOf(worker),
    };
    if (audit !== undefined) {
      this.#auditWork = new BraidpoolAuditWork(audit, this.#quirks, deps);
      return this.#auditWork;
    }
    const options = {
      quirks: this.#quirks,
      poolScriptHex: this.#options.poolScriptHex ?? ANYONE_SCRIPT_HEX,
      minTransactions: this.#options.minTransactions ?? 8,
      peerBeadsPerTip: this.#options.peerBeadsPerTip ?? 0,
      weakTargetDifficulty,
      tipIntervalMs,
    };
    this.#work = new BraidpoolWork(options, deps);
    return this.#work;
  }

  #payeeOf(worker: string): string {
    const { fixedPayoutAddress } = this.#quirks;
    if (fixedPayoutAddress !== undefined) return fixedPayoutAddress;
    if (this.theft === undefined) return worker;
    this.#theftDue += this.theft.part;
    if (this.#theftDue < 1) return worker;
    this.#theftDue -= 1;
    this.stats.stolenBeads += 1;
    return this.theft.payoutAddress;
  }

  async #auditReady(): Promise<void> {
    if (this.#auditWork === undefined) return;
    for (let left = AUDIT_READY_TRIES; left > 0 && !this.#auditWork.ready; left -= 1) {
      await new Promise((resolve) => setTimeout(resolve, AUDIT_READY_POLL_MS));
    }
  }

  get host(): string {
    return this.#stratum.server.host;
  }

  get port(): number {
    return this.#stratum.server.port;
  }

  get rpcPort(): number {
    return this.#rpc!.port;
  }

  get rpcUrl(): string {
    return `http://${this.#rpc!.host}:${this.#rpc!.port}`;
  }

  get rpcStats(): JsonRpcStats {
    return this.#rpc!.stats;
  }

  get audit(): BraidpoolAudit | undefined {
    return this.#auditWork;
  }

  beads(): BraidBead[] {
    return this.braid.beads.filter((entry) => entry.minerIp !== 'system');
  }

  bead(hash: string): BraidBead | undefined {
    return this.braid.get(hash);
  }

  tips(): string[] {
    return this.braid.tips();
  }

  connections(): readonly { readonly address: string; readonly extranonce1: string }[] {
    return [...this.#stratum.sessions()].map(({ peer, extranonce1 }) => ({
      address: peer.address,
      extranonce1: toHex(extranonce1),
    }));
  }

  announce(): void {
    this.#work?.announce(false);
  }

  disconnectAll(): void {
    this.#stratum.server.disconnectAll();
  }

  disconnectAllWithMessage(reason: string): void {
    this.#stratum.disconnectAllWithMessage(reason);
  }

  async restart(downMs = DEFAULT_DOWN_MS): Promise<void> {
    this.stats.restarts += 1;
    const back = Promise.all([this.#stratum.server.restart(downMs), this.#rpc!.restart(downMs)]);
    this.#work?.reset();
    this.#auditWork?.reset();
    await back;
    await this.#auditReady();
  }

  async close(): Promise<void> {
    await this.#stopBlocks?.();
    await this.#work?.stop();
    await this.#auditWork?.stop();
    await Promise.all([this.#stratum.close(), this.#rpc?.close()]);
  }
}
