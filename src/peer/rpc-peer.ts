import {
  createJSONRPCErrorResponse,
  isJSONRPCRequest,
  isJSONRPCResponse,
  JSONRPCClient,
  JSONRPCErrorException,
  JSONRPCServer,
  JSONRPCServerAndClient,
} from 'json-rpc-2.0';
import { InvariantError } from '../base/assert.ts';
import type { Timer, Timers } from '../base/clock.ts';
import { CodedError, codeOf, ERROR_TABLE, type ErrorCode, rpcNumber } from '../base/errors.ts';
import { isRecord, type Json } from '../base/json.ts';
import { LIMITS } from '../base/limits.ts';
import type { Logger } from '../log/logger.ts';
import { type FeatureSet, NO_FEATURES } from './features.ts';
import { termMembers, toldData, toldMessage } from './told-error.ts';
import type { PeerLink } from './transport.ts';

/** A handler of one method; throws `CodedError` to refuse. Parameters are unparsed. */
export type RpcHandler = (params: unknown) => Promise<Json>;
/** Handlers by method name. */
export type RpcHandlers = Readonly<Record<string, RpcHandler>>;

export type RpcOptions = {
  /** Time in ms after which an unanswered request ends the connection with `peer_timeout`. */
  readonly requestTimeoutMs: number;
  /** Time in ms between two `ping`s, which keep the connection from falling silent. */
  readonly pingIntervalMs: number;
};

/** Default timeouts: 30 s for an answer, a `ping` every 15 s. */
export const DEFAULT_RPC: RpcOptions = { requestTimeoutMs: 30_000, pingIntervalMs: 15_000 };

export type RpcPeerDeps = { readonly log: Logger; readonly timers: Timers };

/** Refused requests of one connection that are logged. */
const LOGGED_REFUSALS = 32;
/** Errors that the peer reports and that are logged; an honest one reports the last before it goes. */
const LOGGED_REPORTS = 4;
/** Greatest depth of JSON, above that of any message of `messages.ts`. */
const MAX_DEPTH = 12;
const INTERNAL_ERROR = -32603;

/**
 * A JSON-RPC 2.0 peer, both client and server over one connection. One message a line; batches,
 * notifications other than `error`, deep JSON and anything that is no JSON-RPC message are refused. Errors
 * carry our code as `data.code`.
 */
export class RpcPeer {
  readonly connection: PeerLink;
  /** Resolves with the reason once the connection has ended; never rejects. */
  readonly closed: Promise<CodedError>;
  /** The features that both sides announced, set by the handshake. */
  features: FeatureSet = NO_FEATURES;
  readonly stats = { requestsSent: 0, requestsServed: 0, refused: 0, ignored: 0 };
  readonly #options: RpcOptions;
  readonly #log: Logger;
  readonly #timers: Timers;
  readonly #rpc: JSONRPCServerAndClient;
  readonly #settleClosed: (reason: CodedError) => void;
  readonly #pinger: Timer;
  #handlers: RpcHandlers = {};
  #unknownMethod: ErrorCode = 'unauthenticated';
  #sending = 0;
  #serving = 0;
  #refusals = 0;
  #reports = 0;
  #reason: CodedError | undefined;

  constructor(connection: PeerLink, options: RpcOptions, deps: RpcPeerDeps) {
    this.connection = connection;
    this.#options = options;
    this.#log = deps.log;
    this.#timers = deps.timers;
    const { promise, resolve } = Promise.withResolvers<CodedError>();
    this.closed = promise;
    this.#settleClosed = resolve;
    const silent = { errorListener: () => {} };
    const client = new JSONRPCClient((payload) => connection.send(JSON.stringify(payload)));
    this.#rpc = new JSONRPCServerAndClient(new JSONRPCServer(silent), client, silent);
    this.#rpc.server.mapErrorToJSONRPCErrorResponse = (id, error) => this.#errorResponse(id, error);
    this.#rpc.server.handleMethodNotFound = (request) => {
      this.stats.refused += 1;
      const error = new CodedError(this.#unknownMethod, request.method.slice(0, 60));
      return Promise.resolve(this.#errorResponse(request.id ?? null, error));
    };
    this.#pinger = deps.timers.every(options.pingIntervalMs, () => this.#ping());
  }

  get isClosed(): boolean {
    return this.#reason !== undefined;
  }

  /**
   * Starts to serve. Methods not in the table are answered with `unknownMethod`. May be called again to
   * replace the table.
   */
  serve(handlers: RpcHandlers, unknownMethod: ErrorCode): void {
    const first = Object.keys(this.#handlers).length === 0;
    for (const method of Object.keys(this.#handlers)) this.#rpc.removeMethod(method);
    this.#handlers = handlers;
    this.#unknownMethod = unknownMethod;
    for (const [method, handler] of Object.entries(handlers)) this.#rpc.addMethod(method, handler);
    if (!first) return;
    this.connection.listen({
      onLine: (line) => this.#receive(line),
      onClose: (reason) => this.#ended(reason),
    });
  }

  /**
   * Sends a request and returns the unparsed result. Throws the peer's error as a `CodedError` with
   * `meta.remote`; `peer_timeout` or `peer_closed` when no answer came, `overload` when too many requests
   * wait.
   */
  async request(method: string, params: Json): Promise<unknown> {
    if (this.#reason !== undefined) throw this.#reason;
    if (this.#sending >= LIMITS.peerRequestsInFlight)
      throw new CodedError('overload', 'requests to the peer');
    this.#sending += 1;
    this.stats.requestsSent += 1;
    const timer = this.#timers.after(this.#options.requestTimeoutMs, () => {
      const reason = new CodedError('peer_timeout', `no answer to ${method}`);
      this.close(reason);
      this.#ended(reason);
    });
    try {
      return await this.#rpc.client.request(method, params);
    } catch (error) {
      throw this.#reason ?? errorFromPeer(error);
    } finally {
      timer.cancel();
      this.#sending -= 1;
    }
  }

  /** Ends the connection after an `error` notification with the reason. */
  closeWithError(error: CodedError): void {
    if (this.#reason !== undefined) return;
    this.#rpc.notify('error', { code: error.code, message: toldMessage(error) });
    this.close(error);
  }

  /** Ends the connection without telling the peer why. */
  close(reason?: CodedError): void {
    this.connection.close(reason);
  }

  #ended(reason: CodedError): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    this.#pinger.cancel();
    this.#rpc.rejectAllPendingRequests('closed');
    this.#settleClosed(reason);
  }

  #ping(): void {
    this.request('ping', {}).catch(() => {});
  }

  #receive(line: string): void {
    let payload: unknown;
    try {
      payload = parseBoundedJson(line);
    } catch (error) {
      this.#violation(error as CodedError);
      return;
    }
    if (isRecord(payload) && isJSONRPCResponse(payload)) {
      this.#rpc.client.receive(payload);
      return;
    }
    if (!isRecord(payload) || !isJSONRPCRequest(payload) || typeof payload.method !== 'string') {
      this.#violation(new CodedError('protocol', 'one JSON-RPC 2.0 message a line; no batches'));
      return;
    }
    if (payload.id === undefined || payload.id === null) {
      this.#notified(payload.method, payload.params);
      return;
    }
    if (this.#serving >= LIMITS.peerRequestsInFlight) {
      this.stats.refused += 1;
      this.#send(this.#errorResponse(payload.id, new CodedError('overload', 'requests from the peer')));
      return;
    }
    this.#serving += 1;
    this.stats.requestsServed += 1;
    this.#rpc
      .receiveAndSend(payload, undefined, undefined)
      .then(undefined, (error: unknown) => this.#log.warn({ error: String(error) }, 'reply not sent'))
      .finally(() => {
        this.#serving -= 1;
      });
  }

  #notified(method: string, params: unknown): void {
    this.stats.ignored += 1;
    if (method !== 'error' || this.#reports >= LOGGED_REPORTS) return;
    this.#reports += 1;
    const code = isRecord(params) ? String(params['code']).slice(0, 60) : '';
    const text = isRecord(params) ? String(params['message']).slice(0, 300) : '';
    this.#log.warn({ code, text, peer: this.connection.remoteAddress }, 'the peer reports an error');
  }

  #violation(error: CodedError): void {
    this.stats.refused += 1;
    this.#send(this.#errorResponse(null, error));
    this.close(error);
  }

  #send(payload: unknown): void {
    this.connection.send(JSON.stringify(payload));
  }

  /** The own log has the reason in full; of a peer that is refused again and again, no more than that. */
  #logRefusal({ code, message: detail }: CodedError): void {
    this.#refusals += 1;
    if (this.#refusals <= LOGGED_REFUSALS)
      this.#log.info({ code, detail }, 'a request of the peer is refused');
  }

  #errorResponse(
    id: string | number | null,
    error: unknown,
  ): ReturnType<typeof createJSONRPCErrorResponse> {
    if (error instanceof CodedError) {
      const data = toldData(error);
      this.#logRefusal(error);
      return createJSONRPCErrorResponse(id, rpcNumber(error.code), toldMessage(error), data);
    }
    if (error instanceof InvariantError) {
      queueMicrotask(() => {
        throw error;
      });
    }
    this.#log.error({ error: String(error), code: codeOf(error) }, 'a peer request failed inside');
    return createJSONRPCErrorResponse(id, INTERNAL_ERROR, 'internal');
  }
}

/** The error that a peer answered, as our own. An unknown code becomes `protocol`. */
function errorFromPeer(error: unknown): CodedError {
  if (!(error instanceof JSONRPCErrorException)) {
    return new CodedError('protocol', 'the answer is no JSON-RPC response', { remote: true });
  }
  const data: unknown = error.data;
  const code = isRecord(data) ? data['code'] : undefined;
  const text = String(error.message).slice(0, 300);
  const known = typeof code === 'string' && Object.hasOwn(ERROR_TABLE, code);
  const terms = code === 'bad_terms' && isRecord(data) ? termMembers(data) : {};
  const meta = { ...terms, remote: true };
  return new CodedError(known ? (code as ErrorCode) : 'protocol', `peer: ${text}`, meta);
}

/** Parses JSON from a peer. Throws `malformed` for bad JSON, and for nesting beyond any message of ours. */
export function parseBoundedJson(text: string): unknown {
  let depth = 0;
  for (let at = 0; at < text.length; at += 1) {
    const char = text.charCodeAt(at);
    if (char === 0x22) at = endOfString(text, at);
    else if (char === 0x5b || char === 0x7b) {
      depth += 1;
      if (depth > MAX_DEPTH) throw new CodedError('malformed', 'JSON is nested too deep');
    } else if (char === 0x5d || char === 0x7d) depth -= 1;
  }
  try {
    return JSON.parse(text);
  } catch {
    throw new CodedError('malformed', 'not JSON');
  }
}

/** Where a JSON string ends that begins at a quote: most of a batch is one, which is searched natively. */
function endOfString(text: string, start: number): number {
  for (let at = text.indexOf('"', start + 1); at >= 0; at = text.indexOf('"', at + 1)) {
    let escapes = 0;
    while (text.charCodeAt(at - 1 - escapes) === 0x5c) escapes += 1;
    if (escapes % 2 === 0) return at;
  }
  return text.length;
}
