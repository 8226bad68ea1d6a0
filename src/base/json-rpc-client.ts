import { JSONRPCClient, type JSONRPCResponse } from 'json-rpc-2.0';
import { type Timers, withTimeout } from './clock.ts';
import { CodedError } from './errors.ts';
import { type HttpAnswer, post } from './http-post.ts';
import { isRecord } from './json.ts';
import { printable } from './text.ts';

/** The code of the error where there is no answer. */
type Unreachable = 'chain_unreachable' | 'braidpool_unreachable';

export type JsonRpcClientOptions = {
  readonly url: string;
  readonly timeoutMs: number;
  readonly unreachable: Unreachable;
  /** Throws for what is not JSON. */
  readonly parse: (text: string) => unknown;
  /** Default: whatever comes is read. */
  readonly maxReplyBytes?: number;
  /** The `Authorization` header; none without it. */
  readonly authorization?: () => Promise<string | undefined>;
  /** The server answered 401: true when another try has other credentials. */
  readonly onRefused?: () => boolean;
};

/**
 * JSON-RPC over HTTP, in both dialects: 2.0 with status 200, and the older one with errors in a 500. What the
 * answers mean is for its owner.
 */
export class JsonRpcClient {
  readonly #options: JsonRpcClientOptions;
  readonly #timers: Timers;
  readonly #client: JSONRPCClient;
  readonly #closing = new AbortController();
  /** Of the calls with a timeout of their own. */
  readonly #timeouts = new Map<unknown, number>();
  /** Requests that got no answer: the client library would turn their errors into answers. */
  readonly #unanswered = new Map<unknown, unknown>();
  #lastId = 0;

  constructor(deps: { readonly timers: Timers }, options: JsonRpcClientOptions) {
    this.#timers = deps.timers;
    this.#options = options;
    this.#client = new JSONRPCClient(async (payload: { readonly id: number }) => {
      try {
        this.#client.receive(await this.#exchange(payload));
      } catch (error) {
        this.#unanswered.set(payload.id, error);
        throw error;
      }
    });
  }

  /** Resolves with the answer, an error of the server too. Throws `unreachable` where there is none. */
  async call(method: string, params: readonly unknown[], timeoutMs?: number): Promise<JSONRPCResponse> {
    this.#lastId += 1;
    const id = this.#lastId;
    if (timeoutMs !== undefined) this.#timeouts.set(id, timeoutMs);
    const response = await this.#client.requestAdvanced({
      jsonrpc: '2.0',
      id,
      method,
      params: [...params],
    });
    this.#timeouts.delete(id);
    const cause = this.#unanswered.get(id);
    if (!this.#unanswered.delete(id)) return response;
    if (cause instanceof CodedError) throw cause;
    throw new CodedError(this.#options.unreachable, `${method}: ${reasonOf(cause)}`, {}, { cause });
  }

  /** Ends what is in flight; calls from now on fail. */
  close(): void {
    this.#closing.abort();
  }

  async #exchange(payload: { readonly id: number }): Promise<JSONRPCResponse> {
    const { unreachable, parse, onRefused } = this.#options;
    let { status, text } = await this.#post(payload);
    if (status === 401 && onRefused?.() === true) ({ status, text } = await this.#post(payload));
    if (status === 401 || status === 403)
      throw new CodedError(unreachable, `the node refuses the credentials (status ${status})`);
    let answer: unknown;
    try {
      answer = parse(text);
    } catch {
      throw new CodedError(unreachable, `status ${status}, not JSON: ${printable(text.slice(0, 80), ' ')}`);
    }
    return responseOf(payload.id, answer, unreachable);
  }

  async #post(payload: { readonly id: number }): Promise<HttpAnswer> {
    const { url, maxReplyBytes } = this.#options;
    const timeoutMs = this.#timeouts.get(payload.id) ?? this.#options.timeoutMs;
    const authorization = await this.#options.authorization?.();
    const headers = {
      'content-type': 'application/json',
      ...(authorization === undefined ? {} : { authorization }),
    };
    const ask = (signal: AbortSignal): Promise<HttpAnswer> =>
      post(
        {
          ...{ url, headers, signal, body: JSON.stringify(payload) },
          ...(maxReplyBytes === undefined ? {} : { maxBytes: maxReplyBytes }),
        },
        { timers: this.#timers },
      );
    return withTimeout(this.#timers, timeoutMs, ask, this.#closing.signal);
  }
}

/** A parsed answer as JSON-RPC 2.0. Throws `unreachable` when it is none. */
export function responseOf(id: number, answer: unknown, unreachable: Unreachable): JSONRPCResponse {
  if (!isRecord(answer)) throw new CodedError(unreachable, 'the answer is not JSON-RPC');
  const error = answer['error'];
  if (isRecord(error)) {
    const code = typeof error['code'] === 'number' ? error['code'] : 0;
    return {
      jsonrpc: '2.0',
      id,
      error: { code, message: printable(String(error['message']).slice(0, 500), ' ') },
    };
  }
  if (!('result' in answer)) throw new CodedError(unreachable, 'an answer without a result');
  return { jsonrpc: '2.0', id, result: answer['result'] };
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}
