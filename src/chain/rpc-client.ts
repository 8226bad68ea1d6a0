import * as fs from 'node:fs/promises';
import { JSONRPCClient, type JSONRPCResponse } from 'json-rpc-2.0';
import { type Timers, withTimeout } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { isRecord } from '../base/json.ts';
import { parseExactJson } from './amounts.ts';

export type RpcClientOptions = {
  readonly url: string;
  readonly user?: string;
  readonly password?: string;
  /**
   * bitcoind's `.cookie`; read again when the node refuses it, since each start of the node writes a new
   * one.
   */
  readonly cookieFile?: string;
  readonly timeoutMs: number;
};

export type RpcClientStats = { requests: number; failures: number };

/** What the node answered instead of a result. Always inside a `chain_rpc` error, as its `meta`. */
export type RpcFailure = { readonly rpcCode: number; readonly rpcMessage: string };

/** bitcoind: the address, block or transaction is not known. */
export const RPC_NOT_FOUND = -5;
export const RPC_METHOD_NOT_FOUND = -32601;

/**
 * JSON-RPC over HTTP to a bitcoin node, in both dialects (2.0 with status 200, and the older one with
 * errors in a 500).
 * Numbers in results that are not safe integers come as their source text.
 */
export class ChainRpcClient {
  readonly stats: RpcClientStats = { requests: 0, failures: 0 };
  readonly timers: Timers;
  readonly #options: RpcClientOptions;
  readonly #client: JSONRPCClient;
  readonly #closing = new AbortController();
  /** Requests that got no answer: the client library would turn their errors into answers. */
  readonly #unanswered = new Map<unknown, unknown>();
  #authorization: string | undefined;

  constructor(options: RpcClientOptions, deps: { readonly timers: Timers }) {
    this.#options = options;
    this.timers = deps.timers;
    this.#client = new JSONRPCClient(async (payload: { readonly id: number }) => {
      try {
        this.#client.receive(await this.#exchange(payload));
      } catch (error) {
        this.#unanswered.set(payload.id, error);
        throw error;
      }
    });
  }

  /**
   * Throws `chain_unreachable` when there is no answer, `chain_rpc` (meta: `RpcFailure`) when it is an
   * error.
   */
  async call(method: string, params: readonly unknown[]): Promise<unknown> {
    this.stats.requests += 1;
    const id = this.stats.requests;
    const response = await this.#client.requestAdvanced({
      jsonrpc: '2.0',
      id,
      method,
      params: [...params],
    });
    if (response.error === undefined) return response.result as unknown;
    this.stats.failures += 1;
    const cause = this.#unanswered.get(id);
    if (this.#unanswered.delete(id)) {
      if (cause instanceof CodedError) throw cause;
      throw new CodedError('chain_unreachable', `${method}: ${reasonOf(cause)}`, {}, { cause });
    }
    const { code: rpcCode, message: rpcMessage } = response.error;
    const failure: RpcFailure = { rpcCode, rpcMessage };
    throw new CodedError('chain_rpc', `${method}: ${rpcMessage} (${rpcCode})`, { ...failure });
  }

  close(): void {
    this.#closing.abort();
  }

  async #exchange(payload: { readonly id: number }): Promise<JSONRPCResponse> {
    let { status, text } = await this.#post(payload);
    if (status === 401 && this.#options.cookieFile !== undefined) {
      this.#authorization = undefined;
      ({ status, text } = await this.#post(payload));
    }
    if (status === 401 || status === 403) {
      throw new CodedError('chain_unreachable', `the node refuses the credentials (status ${status})`);
    }
    return normalizedResponse(payload.id, status, text);
  }

  async #post(payload: object): Promise<{ status: number; text: string }> {
    const authorization = await this.#credentials();
    const ask = async (signal: AbortSignal): Promise<{ status: number; text: string }> => {
      const response = await fetch(this.#options.url, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          ...(authorization === undefined ? {} : { authorization }),
        },
        body: JSON.stringify(payload),
        signal,
      });
      return { status: response.status, text: await response.text() };
    };
    return withTimeout(this.timers, this.#options.timeoutMs, ask, this.#closing.signal);
  }

  async #credentials(): Promise<string | undefined> {
    this.#authorization ??= basic(await this.#userAndPassword());
    return this.#authorization;
  }

  async #userAndPassword(): Promise<string | undefined> {
    const { user, password, cookieFile } = this.#options;
    if (cookieFile !== undefined) return (await fs.readFile(cookieFile, 'utf8')).trim();
    return user === undefined ? undefined : `${user}:${password ?? ''}`;
  }
}

function basic(userAndPassword: string | undefined): string | undefined {
  return userAndPassword === undefined
    ? undefined
    : `Basic ${Buffer.from(userAndPassword).toString('base64')}`;
}

/** Both dialects as JSON-RPC 2.0. */
function normalizedResponse(id: number, status: number, text: string): JSONRPCResponse {
  let body: unknown;
  try {
    body = parseExactJson(text);
  } catch {
    throw new CodedError('chain_unreachable', `status ${status}, not JSON: ${text.slice(0, 80)}`);
  }
  if (!isRecord(body)) throw new CodedError('chain_unreachable', 'the answer is not a JSON-RPC response');
  const error = body['error'];
  if (isRecord(error)) {
    const code = typeof error['code'] === 'number' ? error['code'] : -1;
    return { jsonrpc: '2.0', id, error: { code, message: String(error['message']).slice(0, 500) } };
  }
  if (body['result'] === undefined) {
    throw new CodedError('chain_unreachable', `status ${status} without a result`);
  }
  return { jsonrpc: '2.0', id, result: body['result'] };
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}
