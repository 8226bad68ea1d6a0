import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { assert } from '../base/assert.ts';
import type { Timer, Timers } from '../base/clock.ts';
import { CodedError, codeOf, httpStatus } from '../base/errors.ts';
import { listen } from '../base/listen.ts';
import type { Logger } from '../log/logger.ts';
import type { Metrics } from '../metrics/metrics.ts';
import { isExpectedHost, isOwnOrigin } from './host.ts';
import { errorReply, Refused, type Reply, SECURITY_HEADERS, send, textReply } from './reply.ts';

/** True, or in a few words what is wrong (shown to whoever may reach the listener). */
export type ReadyCheck = () => true | string | Promise<true | string>;

/** Answers what stands under `/api/`. The body of the request is whole. Throws coded errors. */
export type Api = (request: Request, caller: { readonly address: string }) => Promise<Response>;

/**
 * What a browser shows, by path; undefined where nothing stands.
 * @param known what it takes packed, and has already
 */
export type Page = (
  path: string,
  known: { readonly encodings: string; readonly etags: readonly string[] },
) => Promise<Reply | undefined>;

export type OpsServerOptions = {
  /** Port 0 takes any free one. */
  readonly listen: { readonly host: string; readonly port: number };
  /** Names, beside localhost and addresses, by which it may be called. */
  readonly allowedHosts?: readonly string[];
  /** The checks without which those whom the daemon is for are not served: those of `/healthz`. */
  readonly serving?: readonly string[];
  /** A check that has not answered by then counts as failed. Default 2 s. */
  readonly checkTimeoutMs?: number;
};

export type OpsServerDeps = {
  readonly metrics: Pick<Metrics, 'contentType' | 'text'>;
  /** `/readyz` is 200 while all of these are true. */
  readonly checks: Readonly<Record<string, ReadyCheck>>;
  readonly api?: Api;
  readonly page?: Page;
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

/** Longest wait for a client to take more of a stream. */
const STALL_MS = 30_000;

const API = '/api/';
/** What of the headers an API knows. `x-forwarded-for` and `forwarded` say that a proxy stands before it. */
const ASKED_HEADERS = [
  ...['accept', 'authorization', 'content-type', 'if-none-match', 'last-event-id'],
  ...['forwarded', 'x-forwarded-for'],
] as const;
const EVENT_STREAM = 'text/event-stream';

/**
 * Health, metrics and the API over HTTP, on a listener of its own so that a busy Stratum port cannot hide it.
 * `/livez` looks at nothing but the event loop: a dependency that is down must not restart
 * the process. `/healthz` is for whoever sends miners elsewhere: 503 while they are not served here.
 */
export class OpsServer {
  /** `cut`: connections ended for being slow, or the idlest of too many. */
  readonly stats = { requests: 0, refused: 0, failed: 0, cut: 0 };
  readonly #options: OpsServerOptions;
  readonly #deps: OpsServerDeps;
  #names: ReadonlySet<string>;
  readonly #server: Server;
  /** Ends the streams that are being sent. */
  readonly #streams = new Set<() => void>();
  /** The one that was answered longest ago, or never, is the first. */
  readonly #connections = new Set<Socket>();

  constructor(options: OpsServerOptions, deps: OpsServerDeps) {
    this.#options = options;
    this.#deps = deps;
    this.#names = namesOf(options);
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

  /** Names, beside localhost and addresses, by which it may be called from now on. */
  setAllowedHosts(names: readonly string[]): void {
    this.#names = namesOf({ ...this.#options, allowedHosts: names });
  }

  get allowedHosts(): ReadonlySet<string> {
    return this.#names;
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
    for (const end of this.#streams) end();
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
  #limitAnswer({ socket }: IncomingMessage, response: ServerResponse): Timer {
    const late = this.#deps.timers.after(ANSWER_MS, () => this.#cut(socket));
    response.once('close', () => {
      late.cancel();
      if (this.#connections.delete(socket) && !socket.destroyed) this.#connections.add(socket);
    });
    return late;
  }

  #cut(socket: Socket): void {
    this.stats.cut += 1;
    this.#connections.delete(socket);
    socket.destroy();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.stats.requests += 1;
    const late = this.#limitAnswer(request, response);
    let reply: Reply | Response;
    try {
      reply = await this.#route(request);
    } catch (error) {
      reply = this.#replyTo(error, request);
    }
    if (!request.complete || !this.#server.listening) response.setHeader('connection', 'close');
    if (!(reply instanceof Response)) return send(request, response, reply);
    late.cancel();
    await this.#stream(request, response, reply);
  }

  #replyTo(error: unknown, request: IncomingMessage): Reply {
    const isRefused = error instanceof CodedError && httpStatus(error.code) < 500;
    if (isRefused) this.stats.refused += 1;
    else {
      this.stats.failed += 1;
      this.#deps.log.warn({ code: codeOf(error), error, path: pathOf(request) }, 'request failed');
    }
    return errorReply(error);
  }

  /** Sends what comes, as fast as the client takes it, until either side has enough. */
  async #stream(request: IncomingMessage, response: ServerResponse, answer: Response): Promise<void> {
    const reader = answer.body!.getReader();
    const end = (): void => void reader.cancel().catch(() => {});
    this.#streams.add(end);
    response.once('close', end);
    try {
      response.writeHead(200, { ...SECURITY_HEADERS, ...Object.fromEntries(answer.headers) });
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        if (response.write(part.value)) continue;
        const stalled = this.#deps.timers.after(STALL_MS, () => this.#cut(request.socket));
        await takenOf(response);
        stalled.cancel();
      }
    } catch (error) {
      this.#replyTo(error, request);
    }
    this.#streams.delete(end);
    response.end();
  }

  async #route(request: IncomingMessage): Promise<Reply | Response> {
    if (!isExpectedHost(request.headers.host, this.#names)) throw new Refused('forbidden_host');
    if (!isOwnOrigin(request.headers.origin, request.headers.host)) throw new Refused('forbidden_origin');
    const path = pathOf(request);
    switch (path) {
      case '/livez':
        allow(request);
        return textReply(200, 'ok\n');
      case '/healthz':
      case '/readyz': {
        allow(request);
        const names = path === '/healthz' ? (this.#options.serving ?? []) : Object.keys(this.#deps.checks);
        return await this.#ready(names, new URLSearchParams(request.url?.split('?')[1]).has('verbose'));
      }
      case '/metrics':
        allow(request);
        return textReply(200, await this.#deps.metrics.text(), this.#deps.metrics.contentType);
      default:
        if (!path.startsWith(API)) return await this.#show(path, request);
        if (this.#deps.api === undefined) throw new Refused('not_found');
        return await this.#ask(this.#deps.api, request);
    }
  }

  async #show(path: string, request: IncomingMessage): Promise<Reply> {
    const { 'accept-encoding': encodings, 'if-none-match': known = '' } = request.headers;
    const etags = known.split(/\s*,\s*/);
    const reply = await this.#deps.page?.(path, { encodings: String(encodings ?? ''), etags });
    if (reply === undefined) throw new Refused('not_found');
    allow(request);
    return reply;
  }

  async #ask(api: Api, request: IncomingMessage): Promise<Reply | Response> {
    const { method = '', headers, socket } = request;
    const url = URL.parse(request.url ?? '', 'http://localhost');
    if (url === null) throw new Refused('bad_request', 'the path is none');
    const isRead = method === 'GET' || method === 'HEAD';
    if (!isRead && method !== 'POST')
      throw new Refused('method_not_allowed', undefined, { allow: 'GET, HEAD, POST' });
    const body = isRead ? {} : { body: await readBody(request) };
    const named = ASKED_HEADERS.flatMap((name): [string, string][] => {
      const value = headers[name];
      return typeof value === 'string' ? [[name, value]] : [];
    });
    const asked = new Request(url, { method: isRead ? 'GET' : 'POST', headers: named, ...body });
    const answer = await api(asked, { address: socket.remoteAddress ?? '' });
    const { 'content-type': type = 'text/plain', ...others } = Object.fromEntries(answer.headers);
    if (type.startsWith(EVENT_STREAM) && method === 'GET') return answer;
    return { status: answer.status, type, body: await answer.text(), headers: others };
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
}

function namesOf({ listen, allowedHosts = [] }: OpsServerOptions): ReadonlySet<string> {
  return new Set([listen.host, ...allowedHosts].map((name) => name.toLowerCase()));
}

function pathOf(request: IncomingMessage): string {
  return (request.url ?? '').split('?')[0]!.slice(0, 200);
}

/** For what is only read. */
function allow({ method = '' }: IncomingMessage): void {
  if (method !== 'GET' && method !== 'HEAD')
    throw new Refused('method_not_allowed', undefined, { allow: 'GET, HEAD' });
}

/** Resolves when the client took what was sent, or is gone. */
async function takenOf(response: ServerResponse): Promise<void> {
  const gone = new AbortController();
  const stop = (): void => gone.abort();
  response.once('close', stop);
  await once(response, 'drain', { signal: gone.signal }).catch(() => {});
  response.off('close', stop);
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

/** The body, bounded. */
async function readBody(request: IncomingMessage): Promise<Buffer<ArrayBuffer>> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    size += (chunk as Buffer).length;
    if (size > MAX_BODY_BYTES) throw new Refused('too_large');
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks);
}
