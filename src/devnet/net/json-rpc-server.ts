import * as http from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { isRecord } from '../../base/json.ts';
import type { Logger } from '../../log/logger.ts';
import { parseJson, printJson } from './json-text.ts';
import { listenOn } from './line-server.ts';
import { FaultyReplies, noFaults, type ReplyFaults } from './reply-faults.ts';
import { acceptWebSocket, WEBSOCKET_CLOSE, type WebSocketPeer } from './websocket.ts';

/** An error the caller gets, with its code. */
export class JsonRpcError extends Error {
  readonly code: number;
  readonly data: string | undefined;

  constructor(code: number, message: string, data?: string) {
    super(message);
    this.code = code;
    this.data = data;
  }
}

/** Gets the parameters as a list: named ones are put in the order of `names`. */
export type JsonRpcMethod = {
  readonly names: readonly string[];
  readonly call: (params: readonly unknown[]) => unknown;
};

/**
 * A subscription that tells the latest value, never all of them: `watch` is called with a function to be
 * called after each change, `read` gives the value then, and what `watch` returns ends it.
 */
export type JsonRpcSubscription = {
  readonly unsubscribe: string;
  readonly watch: (changed: () => void) => () => void;
  readonly read: () => unknown;
};

export type JsonRpcServerOptions = {
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** Default 0: any free port. */
  readonly port?: number;
  readonly faults?: ReplyFaults;
  /** Draws the faults; from 0 up to 1. */
  readonly random?: () => number;
};

export type JsonRpcServer = {
  readonly host: string;
  readonly port: number;
  readonly stats: JsonRpcStats;
  /** Closes port and connections, waits, and listens on the same port again. */
  restart(downMs: number): Promise<void>;
  close(): Promise<void>;
};

export type JsonRpcStats = {
  requests: number;
  errors: number;
  webSockets: number;
  subscriptions: number;
  notifications: number;
};

type Deps = {
  readonly methods: ReadonlyMap<string, JsonRpcMethod>;
  readonly subscriptions: ReadonlyMap<string, JsonRpcSubscription>;
  readonly log: Logger;
};

type Connection = {
  readonly peer: WebSocketPeer;
  /** What ends each of its subscriptions, by id. */
  readonly subscriptions: Map<number, () => void>;
  /** Called when the connection can take more. */
  readonly drains: Set<() => void>;
};

export const JSON_RPC_ERROR = {
  parse: -32_700,
  invalidRequest: -32_600,
  methodNotFound: -32_601,
  invalidParams: -32_602,
  internal: -32_603,
} as const;

const MAX_BODY_BYTES = 10 * 1024 * 1024;
const MAX_CONNECTIONS = 100;
const MAX_SUBSCRIPTIONS = 1024;

/**
 * JSON-RPC 2.0 over HTTP and WebSocket on one port, without authentication, as the jsonrpsee library of
 * Rust serves it.
 */
export async function startJsonRpcServer(
  options: JsonRpcServerOptions,
  deps: Deps,
): Promise<JsonRpcServer> {
  const server = new Server(options, deps);
  await server.listen();
  return server;
}

class Server implements JsonRpcServer {
  readonly host: string;
  port: number;
  readonly stats: JsonRpcStats = {
    requests: 0,
    errors: 0,
    webSockets: 0,
    subscriptions: 0,
    notifications: 0,
  };
  readonly #deps: Deps;
  readonly #faults: ReplyFaults;
  readonly #replies: FaultyReplies;
  readonly #connections = new Set<Connection>();
  readonly #sockets = new Set<Duplex>();
  #server: http.Server | undefined;
  #subscriptionIds = 0;
  #closed = false;

  constructor(options: JsonRpcServerOptions, deps: Deps) {
    this.host = options.host ?? '127.0.0.1';
    this.port = options.port ?? 0;
    this.#deps = deps;
    this.#faults = options.faults ?? noFaults();
    this.#replies = new FaultyReplies(this.#faults, options.random ?? Math.random);
  }

  async listen(): Promise<void> {
    const server = http.createServer((request, response) => {
      this.#onPost(request, response).catch((error: unknown) => {
        this.#deps.log.debug({ error: String(error) }, 'json-rpc request broke off');
        response.destroy();
      });
    });
    server.on('upgrade', (request, socket, head) => this.#onUpgrade(request, socket, head));
    server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
    this.#server = server;
    await listenOn(server, this.host, this.port);
    this.port = (server.address() as AddressInfo).port;
  }

  async restart(downMs: number): Promise<void> {
    await this.#shut();
    await new Promise((resolve) => setTimeout(resolve, downMs));
    if (!this.#closed) await this.listen();
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#shut();
  }

  async #shut(): Promise<void> {
    this.#replies.clear();
    const server = this.#server;
    this.#server = undefined;
    for (const { peer } of this.#connections) peer.close(WEBSOCKET_CLOSE.goingAway);
    await new Promise<void>((resolve) => {
      if (server === undefined) resolve();
      else server.close(() => resolve());
      for (const socket of this.#sockets) socket.destroy();
    });
  }

  async #onPost(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    if (request.method !== 'POST') {
      response.writeHead(405).end('Used HTTP Method is not allowed. POST is required\n');
      return;
    }
    if (request.headers['content-type']?.split(';')[0]?.trim() !== 'application/json') {
      const text = 'Supplied content type is not allowed. Content-Type: application/json is required\n';
      response.writeHead(415).end(text);
      return;
    }
    const body = await readBody(request);
    if (body === undefined) {
      response.writeHead(413).end();
      return;
    }
    if (this.#faults.silent) return;
    const reply = this.#answer(body, undefined) ?? '';
    this.#replies.answer(
      () => {
        if (response.writableEnded) return;
        response.writeHead(200, { 'content-type': 'application/json; charset=utf-8' }).end(reply);
      },
      () => response.destroy(),
    );
  }

  #onUpgrade(request: http.IncomingMessage, socket: Duplex, head: Buffer): void {
    if (this.#connections.size >= MAX_CONNECTIONS) {
      socket.end('HTTP/1.1 429 Too Many Requests\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
      return;
    }
    if (head.length > 0) socket.unshift(head);
    const peer = acceptWebSocket(
      request,
      socket,
      { maxMessageBytes: MAX_BODY_BYTES },
      {
        onText: (text) => this.#onText(connection, text),
        onDrain: () => {
          for (const drain of connection.drains) drain();
        },
        onClose: () => {
          this.#connections.delete(connection);
          for (const end of connection.subscriptions.values()) end();
        },
      },
    );
    if (peer === undefined) return;
    const connection: Connection = { peer, subscriptions: new Map(), drains: new Set() };
    this.stats.webSockets += 1;
    this.#connections.add(connection);
  }

  #onText(connection: Connection, text: string): void {
    if (this.#faults.silent) return;
    const reply = this.#answer(text, connection);
    if (reply === undefined) return;
    const { peer } = connection;
    this.#replies.answer(
      () => peer.send(reply),
      () => peer.close(WEBSOCKET_CLOSE.goingAway),
    );
  }

  /** The text to send back; undefined for a notification. */
  #answer(text: string, connection: Connection | undefined): string | undefined {
    let parsed: unknown;
    try {
      parsed = parseJson(text);
    } catch {
      this.stats.requests += 1;
      return printJson(this.#failure(null, new JsonRpcError(JSON_RPC_ERROR.parse, 'Parse error')));
    }
    if (!Array.isArray(parsed)) {
      const reply = this.#answerOne(parsed, connection);
      return reply === undefined ? undefined : printJson(reply);
    }
    if (parsed.length === 0) return printJson(this.#failure(null, invalidRequest()));
    const replies = parsed.map((request) => this.#answerOne(request, connection));
    const answers = replies.filter((reply) => reply !== undefined);
    return answers.length === 0 ? undefined : printJson(answers);
  }

  #answerOne(request: unknown, connection: Connection | undefined): object | undefined {
    this.stats.requests += 1;
    if (!isRecord(request) || request['jsonrpc'] !== '2.0' || typeof request['method'] !== 'string') {
      return this.#failure(isRecord(request) ? (request['id'] ?? null) : null, invalidRequest());
    }
    const { id, method, params } = request;
    try {
      const result = this.#call(method, params, connection);
      return id === undefined ? undefined : { jsonrpc: '2.0', id, result };
    } catch (error) {
      if (!(error instanceof JsonRpcError)) throw error;
      return id === undefined ? undefined : this.#failure(id, error);
    }
  }

  #failure(id: unknown, { code, message, data }: JsonRpcError): object {
    this.stats.errors += 1;
    const error = { code, message, ...(data === undefined ? {} : { data }) };
    return { jsonrpc: '2.0', id, error };
  }

  #call(name: string, params: unknown, connection: Connection | undefined): unknown {
    const method = this.#deps.methods.get(name);
    if (method !== undefined) return method.call(listOf(params, method.names)) ?? null;
    const subscription = this.#deps.subscriptions.get(name);
    if (subscription !== undefined) return this.#subscribe(name, subscription, connection);
    for (const { unsubscribe } of this.#deps.subscriptions.values()) {
      if (unsubscribe !== name) continue;
      const [id] = listOf(params, ['subscription']);
      const end = connection?.subscriptions.get(Number(id));
      end?.();
      return end !== undefined;
    }
    throw new JsonRpcError(JSON_RPC_ERROR.methodNotFound, 'Method not found');
  }

  #subscribe(name: string, subscription: JsonRpcSubscription, connection: Connection | undefined): number {
    if (connection === undefined) throw new JsonRpcError(JSON_RPC_ERROR.internal, 'Internal error');
    if (connection.subscriptions.size >= MAX_SUBSCRIPTIONS) {
      throw new JsonRpcError(-32_006, 'Too many subscriptions on the connection');
    }
    this.#subscriptionIds += 1;
    this.stats.subscriptions += 1;
    const id = this.#subscriptionIds;
    const { peer, drains, subscriptions } = connection;
    const state = { changed: false, blocked: false, scheduled: false };
    const flush = (): void => {
      state.scheduled = false;
      if (!state.changed || state.blocked || peer.closed || !subscriptions.has(id)) return;
      state.changed = false;
      this.stats.notifications += 1;
      const params = { subscription: id, result: subscription.read() };
      state.blocked = !peer.send(printJson({ jsonrpc: '2.0', method: name, params }));
    };
    const unwatch = subscription.watch(() => {
      state.changed = true;
      if (state.scheduled) return;
      state.scheduled = true;
      setImmediate(flush);
    });
    const onDrain = (): void => {
      state.blocked = false;
      flush();
    };
    drains.add(onDrain);
    subscriptions.set(id, () => {
      unwatch();
      drains.delete(onDrain);
      subscriptions.delete(id);
      this.stats.subscriptions -= 1;
    });
    return id;
  }
}

function invalidRequest(): JsonRpcError {
  return new JsonRpcError(JSON_RPC_ERROR.invalidRequest, 'Invalid request');
}

function listOf(params: unknown, names: readonly string[]): readonly unknown[] {
  if (params === undefined || params === null) return [];
  if (Array.isArray(params)) return params;
  if (isRecord(params)) return names.map((name) => params[name]);
  throw new JsonRpcError(JSON_RPC_ERROR.invalidParams, 'Invalid params');
}

async function readBody(request: http.IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
