import { toHex } from '../../base/bytes.ts';
import type { Logger } from '../../log/logger.ts';
import { type LinePeer, type LineServer, startLineServer } from '../net/line-server.ts';
import type { ReplyFaults } from '../net/reply-faults.ts';
import { parseStratumRequest, type StratumRequest } from '../net/stratum-request.ts';
import {
  type BraidpoolBackend,
  type BraidpoolHub,
  type BraidpoolReply,
  type BraidpoolSession,
  invalidParams,
  rustError,
} from './braidpool-backend.ts';
import { BRAIDPOOL_MAX_LINE_BYTES, type BraidpoolQuirks } from './braidpool-profile.ts';

export type BraidpoolStratumOptions = {
  readonly host: string;
  readonly port: number;
  readonly quirks: BraidpoolQuirks;
  readonly faults: ReplyFaults;
};

type Stats = { connections: number; unanswered: number; submits: number };
type Deps = { readonly log: Logger; readonly random: () => number; readonly stats: Stats };

/** The Stratum v1 port of a Braidpool node, whatever its jobs come from. */
export class BraidpoolStratum implements BraidpoolHub {
  readonly #options: BraidpoolStratumOptions;
  readonly #deps: Deps;
  readonly #sessions = new Map<LinePeer, BraidpoolSession>();
  #backend: BraidpoolBackend | undefined;
  #server: LineServer | undefined;

  constructor(options: BraidpoolStratumOptions, deps: Deps) {
    this.#options = options;
    this.#deps = deps;
  }

  async listen(backend: BraidpoolBackend): Promise<void> {
    this.#backend = backend;
    const { host, port, faults } = this.#options;
    this.#server = await startLineServer(
      { host, port, maxLineBytes: BRAIDPOOL_MAX_LINE_BYTES, faults, random: this.#deps.random },
      {
        onOpen: (peer) => this.#onOpen(peer, backend),
        onLine: (peer, line) => this.#onLine(peer, line, backend),
        onClose: (peer) => this.#onClose(peer, backend),
      },
      { log: this.#deps.log },
    );
  }

  get server(): LineServer {
    return this.#server!;
  }

  async close(): Promise<void> {
    await this.#server?.close();
  }

  sessions(): Iterable<BraidpoolSession> {
    return this.#sessions.values();
  }

  notification(method: string, params: readonly unknown[]): object {
    return this.#options.quirks.notificationsWithoutId ? { method, params } : { id: null, method, params };
  }

  notifyAll(whom: 'ready' | 'all'): void {
    for (const session of this.#sessions.values()) {
      if (whom === 'all' || isReady(session)) this.#notify(session);
    }
  }

  disconnectAllWithMessage(reason: string): void {
    for (const peer of this.#sessions.keys())
      peer.end({ id: null, result: null, error: [20, reason, null] });
  }

  #onOpen(peer: LinePeer, backend: BraidpoolBackend): boolean {
    const room = backend.open(peer);
    if (room === undefined) return false;
    this.#deps.stats.connections += 1;
    this.#sessions.set(peer, {
      peer,
      ...room,
      extranonceHistory: [],
      mask: undefined,
      subscribed: false,
      authorized: false,
      userName: '',
    });
    return true;
  }

  #onClose(peer: LinePeer, backend: BraidpoolBackend): void {
    const session = this.#sessions.get(peer);
    this.#sessions.delete(peer);
    if (session !== undefined) backend.closed(session);
  }

  #notify(session: BraidpoolSession): void {
    const job = this.#backend?.job(session);
    if (job !== undefined) session.peer.send(this.notification('mining.notify', job));
  }

  #onLine(peer: LinePeer, line: string, backend: BraidpoolBackend): void {
    const session = this.#sessions.get(peer);
    const request = parseStratumRequest(line, this.#options.quirks.silentOnBadRequests);
    if (session === undefined || request === undefined || this.#options.faults.silent) {
      this.#deps.stats.unanswered += 1;
      this.#deps.log.debug({ peer: peer.address, line: line.slice(0, 200) }, 'request not answered');
      return;
    }
    if (request.method === 'mining.submit') {
      this.#deps.stats.submits += 1;
      this.#reply(peer, request.id, backend.submit(session, request.params));
      return;
    }
    const wasReady = isReady(session);
    const reply = this.#handle(session, request, backend);
    if (reply instanceof Promise) {
      void reply.then((late) => this.#onHandled(session, request, { reply: late, wasReady }, backend));
    } else {
      this.#onHandled(session, request, { reply, wasReady }, backend);
    }
  }

  #onHandled(
    session: BraidpoolSession,
    { id, method }: StratumRequest,
    { reply, wasReady }: { readonly reply: BraidpoolReply; readonly wasReady: boolean },
    backend: BraidpoolBackend,
  ): void {
    const { peer } = session;
    this.#reply(peer, id, reply);
    if ('error' in reply) return;
    const ready = isReady(session);
    const difficulty = backend.difficulty();
    const isTime = difficulty?.after === 'subscribe' ? method === 'mining.subscribe' : ready && !wasReady;
    if (difficulty !== undefined && isTime) {
      peer.send(this.notification('mining.set_difficulty', [difficulty.value]));
    }
    if (ready && (!wasReady || this.#options.quirks.repeatedNotify)) this.#notify(session);
  }

  #reply(peer: LinePeer, id: unknown, reply: BraidpoolReply): void {
    if ('result' in reply) {
      peer.reply({ id, result: reply.result, error: null });
    } else if ('bare' in reply) {
      peer.reply(reply.bare);
    } else {
      const { error: text, code = 20 } = reply;
      const error = this.#options.quirks.stringErrors ? text : [code, text, null];
      peer.reply({ id, result: null, error });
    }
  }

  #handle(
    session: BraidpoolSession,
    { method, params }: StratumRequest,
    backend: BraidpoolBackend,
  ): BraidpoolReply | Promise<BraidpoolReply> {
    switch (method) {
      case 'mining.configure':
        return backend.configure(session, params);
      case 'mining.subscribe': {
        session.subscribed = true;
        const subscriptions = [
          ['mining.set_difficulty', '34'],
          ['mining.notify', '12'],
        ];
        return { result: [subscriptions, toHex(session.extranonce1), session.extranonce2Size] };
      }
      case 'mining.authorize': {
        const [userName] = params;
        if (typeof userName !== 'string') {
          return rustError('ParamNotFound', { param: 'username', method: 'mining.authorize' });
        }
        session.userName = userName;
        session.authorized = true;
        return { result: true };
      }
      case 'mining.suggest_difficulty': {
        const [difficulty] = params;
        if (!this.#options.quirks.bareSuggestReply) return { result: true };
        if (typeof difficulty !== 'number' || !Number.isInteger(difficulty) || difficulty < 0) {
          return invalidParams('mining.set_difficulty');
        }
        return backend.suggestDifficulty(difficulty);
      }
      default:
        return rustError('InvalidMethod', { method });
    }
  }
}

function isReady(session: BraidpoolSession): boolean {
  return session.subscribed && session.authorized;
}
