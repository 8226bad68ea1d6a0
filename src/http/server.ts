import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { assert } from '../base/assert.ts';
import type { Timers } from '../base/clock.ts';
import { codeOf } from '../base/errors.ts';
import { listen } from '../base/listen.ts';
import type { Logger } from '../log/logger.ts';
import type { Metrics } from '../metrics/metrics.ts';
import { isExpectedHost, isOwnOrigin } from './host.ts';
import { errorReply, jsonReply, type Refusal, type Reply, refusal, send, textReply } from './reply.ts';
import { isAuthorized } from './token.ts';

/** True, or in a few words what is wrong (shown to whoever may reach the listener). */
export type ReadyCheck = () => true | string | Promise<true | string>;

/**
 * An administrative action: takes the parsed JSON body (undefined without one), answers what is sent back as
 * JSON.
 */
export type Action = (input: unknown) => unknown;

export type OpsServerOptions = {
  /** Port 0 takes any free one. */
  readonly listen: { readonly host: string; readonly port: number };
  /** Names, beside localhost and addresses, by which it may be called. */
  readonly allowedHosts?: readonly string[];
  /** What a caller of an action must present. */
  readonly token: string;
  /** The checks without which those whom the daemon is for are not served: those of `/healthz`. */
  readonly serving?: readonly string[];
  /** A check that has not answered by then counts as failed. Default 2 s. */
  readonly checkTimeoutMs?: number;
};

export type OpsServerDeps = {
  readonly metrics: Pick<Metrics, 'contentType' | 'text'>;
  /** `/readyz` is 200 while all of these are true. */
  readonly checks: Readonly<Record<string, ReadyCheck>>;
  /** `/api/v1/status`; bigints become decimal strings. */
  readonly status: () => unknown;
  /** `GET /api/v1/<name>`: what is too much for the status. */
  readonly views?: Readonly<Record<string, () => unknown>>;
  /** `POST /api/v1/<name>`. */
  readonly actions?: Readonly<Record<string, Action>>;
  readonly log: Logger;
  readonly timers: Timers;
};

const MAX_BODY_BYTES = 64 * 1024;
const MAX_CONNECTIONS = 64;
const HEADERS_TIMEOUT_MS = 5_000;
const REQUEST_TIMEOUT_MS = 10_000;
/** How often those are looked at. */
const TIMEOUT_CHECK_MS = 1_000;
/** For an action that waits for a peer, and for the client to read. */
const ANSWER_MS = 120_000;
const CHECK_TIMEOUT_MS = 2_000;
/** How long a stop waits for answers that are on their way. */
const LINGER_MS = 1_000;

const API = '/api/v1/';

class Refused extends Error {
  readonly reply: Reply;
  constructor(code: Refusal, headers?: Readonly<Record<string, string>>) {
    super(code);
    this.reply = refusal(code, headers);
  }
}

/**
 * Health, metrics, status and administration over HTTP, on a listener of its own so that a busy Stratum port
 * cannot hide it. `/livez` looks at nothing but the event loop: a dependency that is down must not restart
 * the process. `/healthz` is for whoever sends miners elsewhere: 503 while they are not served here.
 */
export class OpsServer {
  /** `cut`: connections ended for being slow, or the idlest of too many. */
  readonly stats = { requests: 0, refused: 0, failed: 0, cut: 0 };
  readonly #options: OpsServerOptions;
  readonly #deps: OpsServerDeps;
  readonly #names: ReadonlySet<string>;
  readonly #server: Server;
  /** The one that was answered longest ago, or never, is the first. */
  readonly #connections = new Set<Socket>();

  constructor(options: OpsServerOptions, deps: OpsServerDeps) {
    this.#options = options;
    this.#deps = deps;
    this.#names = new Set(
      [options.listen.host, ...(options.allowedHosts ?? [])].map((name) => name.toLowerCase()),
    );
    this.#server = createServer(
      {
        ...{ headersTimeout: HEADERS_TIMEOUT_MS, requestTimeout: REQUEST_TIMEOUT_MS },
        ...{ connectionsCheckingInterval: TIMEOUT_CHECK_MS, maxHeaderSize: 8192 },
      },
      (request, response) => void this.#serve(request, response),
    );
    this.#server.on('connection', (socket) => this.#onConnection(socket));
    this.#server.keepAliveTimeout = HEADERS_TIMEOUT_MS;
    this.#server.on('clientError', (_error, socket) => socket.destroy());
  }

  /** Resolves with where it listens. Throws as `listen`, and may be called again then. */
  async start(): Promise<{ readonly host: string; readonly port: number }> {
    const { address, port } = await listen(this.#server, this.#options.listen);
    return { host: address, port };
  }

  /**
   * Stops listening, drops idle connections, and lets requests that are being answered end: for a moment, as
   * a client may never send the rest of a request, nor read its answer.
   */
  async close(): Promise<void> {
    if (!this.#server.listening) return;
    const cut = this.#deps.timers.after(LINGER_MS, () => this.#server.closeAllConnections());
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeIdleConnections();
    });
    cut.cancel();
  }

  /** Clients that are silent or slow make room for others: whoever asks is heard. */
  #onConnection(socket: Socket): void {
    this.#connections.add(socket);
    socket.once('close', () => this.#connections.delete(socket));
    const [idlest] = this.#connections;
    if (this.#connections.size > MAX_CONNECTIONS && idlest !== undefined) this.#cut(idlest);
  }

  /** An answer that is not taken in time is cut off; a connection that took its own comes last again. */
  #limitAnswer({ socket }: IncomingMessage, response: ServerResponse): void {
    const late = this.#deps.timers.after(ANSWER_MS, () => this.#cut(socket));
    response.once('close', () => {
      late.cancel();
      if (this.#connections.delete(socket) && !socket.destroyed) this.#connections.add(socket);
    });
  }

  #cut(socket: Socket): void {
    this.stats.cut += 1;
    this.#connections.delete(socket);
    socket.destroy();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.stats.requests += 1;
    this.#limitAnswer(request, response);
    let reply: Reply;
    try {
      reply = await this.#route(request);
    } catch (error) {
      reply = this.#replyTo(error, request);
    }
    if (!request.complete || !this.#server.listening) response.setHeader('connection', 'close');
    send(request, response, reply);
  }

  #replyTo(error: unknown, request: IncomingMessage): Reply {
    if (error instanceof Refused) {
      this.stats.refused += 1;
      return error.reply;
    }
    this.stats.failed += 1;
    this.#deps.log.warn({ code: codeOf(error), error, path: pathOf(request) }, 'request failed');
    return errorReply(error);
  }

  async #route(request: IncomingMessage): Promise<Reply> {
    if (!isExpectedHost(request.headers.host, this.#names)) throw new Refused('forbidden_host');
    if (!isOwnOrigin(request.headers.origin, request.headers.host)) throw new Refused('forbidden_origin');
    const path = pathOf(request);
    switch (path) {
      case '/livez':
        allow(request, 'GET');
        return textReply(200, 'ok\n');
      case '/healthz':
      case '/readyz': {
        allow(request, 'GET');
        const names = path === '/healthz' ? (this.#options.serving ?? []) : Object.keys(this.#deps.checks);
        return await this.#ready(names, new URLSearchParams(request.url?.split('?')[1]).has('verbose'));
      }
      case '/metrics':
        allow(request, 'GET');
        return textReply(200, await this.#deps.metrics.text(), this.#deps.metrics.contentType);
      case `${API}status`:
        allow(request, 'GET');
        return jsonReply(200, await this.#deps.status());
      default:
        return await this.#view(path, request);
    }
  }

  async #ready(names: readonly string[], verbose: boolean): Promise<Reply> {
    const limit = this.#options.checkTimeoutMs ?? CHECK_TIMEOUT_MS;
    const results = await Promise.all(
      names.map(async (name) => {
        const check = this.#deps.checks[name];
        assert(check !== undefined, 'ready_check_known', name);
        return { name, result: await settled(check, limit, this.#deps.timers) };
      }),
    );
    const failed = results.some(({ result }) => result !== true);
    const lines = results.map(({ name, result }) =>
      result === true ? `[+]${name} ok` : `[-]${name} ${result}`,
    );
    const verdict = failed ? 'not ready' : 'ready';
    return textReply(failed ? 503 : 200, `${[...(verbose ? lines : []), verdict].join('\n')}\n`);
  }

  async #view(path: string, request: IncomingMessage): Promise<Reply> {
    const views = this.#deps.views ?? {};
    const name = path.startsWith(API) ? path.slice(API.length) : '';
    const view = Object.hasOwn(views, name) ? views[name] : undefined;
    if (view === undefined) return await this.#act(name, request);
    allow(request, 'GET');
    return jsonReply(200, await view());
  }

  async #act(name: string, request: IncomingMessage): Promise<Reply> {
    const actions = this.#deps.actions ?? {};
    const action = Object.hasOwn(actions, name) ? actions[name] : undefined;
    if (action === undefined) throw new Refused('not_found');
    allow(request, 'POST');
    if (!isAuthorized(request.headers.authorization, this.#options.token)) {
      throw new Refused('unauthorized', { 'www-authenticate': 'Bearer' });
    }
    const result = await action(await readJson(request));
    this.#deps.log.info({ action: name }, 'action done');
    return jsonReply(200, result ?? null);
  }
}

function pathOf(request: IncomingMessage): string {
  return (request.url ?? '').split('?')[0]!.slice(0, 200);
}

function allow(request: IncomingMessage, method: 'GET' | 'POST'): void {
  const allowed = method === 'GET' ? ['GET', 'HEAD'] : ['POST'];
  if (!allowed.includes(request.method ?? ''))
    throw new Refused('method_not_allowed', { allow: allowed.join(', ') });
}

async function settled(check: ReadyCheck, timeoutMs: number, timers: Timers): Promise<true | string> {
  const late = Promise.withResolvers<string>();
  const timer = timers.after(timeoutMs, () => late.resolve('failed: no answer'));
  try {
    const result = await Promise.race([check(), late.promise]);
    return result === true
      ? true
      : `failed: ${result.replace(/^failed: /, '').replaceAll(/\p{Cc}/gu, ' ')}`;
  } catch {
    return 'failed';
  } finally {
    timer.cancel();
  }
}

/** The body as JSON, bounded; undefined when there is none. */
async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    size += (chunk as Buffer).length;
    if (size > MAX_BODY_BYTES) throw new Refused('too_large');
    chunks.push(chunk as Buffer);
  }
  if (size === 0) return undefined;
  if (!/^application\/json\s*(;|$)/i.test(request.headers['content-type'] ?? '')) {
    throw new Refused('unsupported_media_type');
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8')) as unknown;
  } catch {
    throw new Refused('bad_request');
  }
}
