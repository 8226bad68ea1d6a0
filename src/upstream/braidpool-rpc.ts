import { toHex } from '../base/bytes.ts';
import type { Timers } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { JsonRpcClient } from '../base/json-rpc-client.ts';
import { LIMITS } from '../base/limits.ts';
import { metadataAnswer } from '../jobs/bead-metadata.ts';
import { type Bead, count, fromText, hash, hashes, list, parseBead, record, text, work } from './bead.ts';
import { parseJsonBigint } from './json-bigint.ts';

export type BraidpoolRpcOptions = {
  /** `http://127.0.0.1:6682`. The port has no authentication: it must not be reachable by others. */
  readonly url: string;
  readonly timeoutMs?: number;
};

export type BraidpoolRpcStats = {
  requests: number;
  /** No answer, or none in time. */
  unreachable: number;
  /** Answers that are errors. */
  errors: number;
};

/** The node's error numbers and those of JSON-RPC itself, by meaning. */
export type BraidpoolErrorKind =
  | 'bad_input'
  | 'internal'
  | 'not_found'
  | 'invalid_bead'
  | 'unavailable'
  | 'out_of_range'
  | 'empty'
  | 'unknown_method'
  | 'other';

const KINDS: ReadonlyMap<number, BraidpoolErrorKind> = new Map([
  [1, 'bad_input'],
  [2, 'internal'],
  [3, 'not_found'],
  [4, 'invalid_bead'],
  [5, 'unavailable'],
  [6, 'out_of_range'],
  [7, 'empty'],
  [-32_601, 'unknown_method'],
  [-32_602, 'bad_input'],
]);

/** The `meta` of a `braidpool_rpc` error that the node gave. */
export type BraidpoolFailure = {
  readonly kind: BraidpoolErrorKind;
  readonly rpcCode: number;
};

export type BraidInfo = {
  readonly beadCount: number;
  readonly cohortCount: number;
  readonly orphanCount: number;
  readonly tips: readonly string[];
  readonly genesisBeads: readonly string[];
  /** Expected hashes, from the nBits of the beads: no measure of pay. */
  readonly totalWork: bigint;
};

const DEFAULT_TIMEOUT_MS = 10_000;

/**
 * The JSON-RPC of a Braidpool node over HTTP. Every method throws `braidpool_unreachable` when there is no
 * answer in time, and `braidpool_rpc` when it is an error (then with a `BraidpoolFailure` as meta) or has
 * another shape. Older nodes' results, which are JSON as text, are taken too (`BRAIDPOOL.md`: A6, A7).
 */
export class BraidpoolRpc {
  readonly stats: BraidpoolRpcStats = { requests: 0, unreachable: 0, errors: 0 };
  readonly #client: JsonRpcClient;
  #inFlight = 0;

  constructor(options: BraidpoolRpcOptions, deps: { readonly timers: Timers }) {
    const { url, timeoutMs = DEFAULT_TIMEOUT_MS } = options;
    this.#client = new JsonRpcClient(deps, {
      ...{ url, timeoutMs, unreachable: 'braidpool_unreachable', parse: parseJsonBigint },
      maxReplyBytes: LIMITS.braidpoolReplyBytes,
    });
  }

  /** Null when the node does not know it. The hash is checked against the bead's header. */
  async getBead(beadHash: string): Promise<Bead | undefined> {
    try {
      const bead = parseBead(await this.call('getbead', [beadHash]));
      if (bead.hash !== beadHash.toLowerCase())
        throw new CodedError('braidpool_rpc', 'getbead: another bead than the one asked for');
      return bead;
    } catch (error) {
      if (kindOf(error) === 'not_found') return undefined;
      throw error;
    }
  }

  /** What a job commits to, encoded; it hashes to the commitment (`BRAIDPOOL.md`, A13). */
  async getCommittedMetadata(commitment: Uint8Array): Promise<Uint8Array> {
    return metadataAnswer(commitment, await this.call('getcommittedmetadata', [toHex(commitment)]));
  }

  async getTips(): Promise<string[]> {
    return hashes(fromText(await this.call('gettips', [])), 'gettips');
  }

  async getBeadCount(): Promise<number> {
    return count(await this.call('getbeadcount', []), 'getbeadcount');
  }

  async getCohortCount(): Promise<number> {
    return count(await this.call('getcohortcount', []), 'getcohortcount');
  }

  /** @param id 0 is the cohort of the genesis bead */
  async getCohortById(id: number): Promise<string[]> {
    return hashes(fromText(await this.call('getcohortbyid', [id])), 'getcohortbyid');
  }

  async getParents(beadHash: string): Promise<string[]> {
    return hashes(fromText(await this.call('getparents', [beadHash])), 'getparents');
  }

  async getChildren(beadHash: string): Promise<string[]> {
    return hashes(fromText(await this.call('getchildren', [beadHash])), 'getchildren');
  }

  /** The heaviest chain of beads, newest last as the node orders it. @param length 1 to 255 */
  async getHighestWorkPath(length: number): Promise<string[]> {
    const result = await this.call('gethighestworkpathbycount', [length]);
    return hashes(fromText(result), 'gethighestworkpathbycount');
  }

  async getGenesis(): Promise<string> {
    return hash(await this.call('getgenesis', []), 'getgenesis');
  }

  /** `ip:port` of the miners connected to the node. */
  async getMinerInfo(): Promise<string[]> {
    const result = fromText(await this.call('getminerinfo', []));
    return list(result, 'getminerinfo').map((item) => text(item, 'getminerinfo'));
  }

  /** From what older nodes tell, where they have no such method: then without orphans, genesis and work. */
  async getBraidInfo(): Promise<BraidInfo> {
    let answer: unknown;
    try {
      answer = await this.call('getbraidinfo', []);
    } catch (error) {
      if (kindOf(error) !== 'unknown_method') throw error;
      const [beadCount, cohortCount] = [await this.getBeadCount(), await this.getCohortCount()];
      const tips = await this.getTips();
      return { beadCount, cohortCount, orphanCount: 0, tips, genesisBeads: [], totalWork: 0n };
    }
    const info = record(fromText(answer), 'getbraidinfo');
    return {
      beadCount: count(info['bead_count'], 'bead_count'),
      cohortCount: count(info['cohort_count'], 'cohort_count'),
      orphanCount: count(info['orphan_count'] ?? 0, 'orphan_count'),
      tips: hashes(info['tips'] ?? [], 'tips'),
      genesisBeads: hashes(info['genesis_beads'] ?? [], 'genesis_beads'),
      totalWork: work(info['total_work'], 'total_work'),
    };
  }

  /** Any method; the result as parsed JSON in which large integers are bigints. */
  async call(method: string, params: readonly unknown[]): Promise<unknown> {
    if (this.#inFlight >= LIMITS.braidpoolRequestsInFlight)
      throw new CodedError('braidpool_unreachable', `${method}: too many requests are unanswered`);
    this.stats.requests += 1;
    this.#inFlight += 1;
    const { result, error } = await this.#client
      .call(method, params)
      .catch((error: unknown) => {
        this.stats.unreachable += 1;
        throw error;
      })
      .finally(() => {
        this.#inFlight -= 1;
      });
    if (error === undefined) return result as unknown;
    this.stats.errors += 1;
    throw failureOf(method, error);
  }

  /** Ends what is in flight; calls from now on fail. */
  close(): void {
    this.#client.close();
  }
}

/** What a `braidpool_rpc` error means; undefined for any other. */
export function kindOf(error: unknown): BraidpoolErrorKind | undefined {
  if (!(error instanceof CodedError) || error.code !== 'braidpool_rpc') return undefined;
  return (error.meta as Partial<BraidpoolFailure>).kind;
}

/** An error answer as an error of ours. */
export function failureOf(
  method: string,
  error: { readonly code: number; readonly message: string },
): CodedError {
  const failure: BraidpoolFailure = { kind: KINDS.get(error.code) ?? 'other', rpcCode: error.code };
  return new CodedError('braidpool_rpc', `${method}: ${error.message} (${error.code})`, { ...failure });
}
