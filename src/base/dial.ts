import { lookup as systemLookup } from 'node:dns';
import * as net from 'node:net';
import type { Timer, Timers } from './clock.ts';

export type DialTarget = { readonly host: string; readonly port: number };

/** Every address of one family, or why there is none. */
export type Lookup = (
  host: string,
  family: 4 | 6,
  done: (error: Error | null, addresses: readonly string[]) => void,
) => void;

export type DialDeps = {
  readonly timers: Pick<Timers, 'after'>;
  /** By default the system's. */
  readonly lookup?: Lookup;
  /** Begins to connect. By default over TCP. */
  readonly open?: (address: DialTarget) => net.Socket;
};

/** A connected socket, or an error that names each address that was tried. */
export type DialOutcome =
  | { readonly socket: net.Socket; readonly error?: undefined }
  | { readonly socket?: undefined; readonly error: Error };

/** Between two attempts, and for IPv6 when IPv4 is known first (RFC 8305, sections 5 and 3). */
const ATTEMPT_MS = 250;
const RESOLUTION_MS = 50;
/** A name with more addresses is not tried further. */
const MAX_ATTEMPTS = 16;

/**
 * Connects to whichever address of a name answers first ("Happy Eyeballs", RFC 8305): IPv6 and IPv4 in turn,
 * one more every quarter of a second while none has. A slow attempt goes on beside the others, unlike those
 * of Node, which gives up each after that time. It has no time limit of its own.
 * @param done called once, never from within this call, and not after a cancel
 * @returns cancels
 */
export function dial(target: DialTarget, deps: DialDeps, done: (outcome: DialOutcome) => void): () => void {
  const dialing = new Dialing(target, deps, done);
  dialing.start();
  return () => dialing.cancel();
}

type Family = { state: 'asked' | 'known'; addresses: string[] };

class Dialing {
  readonly #target: DialTarget;
  readonly #deps: DialDeps;
  readonly #done: (outcome: DialOutcome) => void;
  readonly #ipv6: Family = { state: 'asked', addresses: [] };
  readonly #ipv4: Family = { state: 'asked', addresses: [] };
  readonly #attempts = new Set<net.Socket>();
  readonly #failures: string[] = [];
  #opened = 0;
  #triedIpv6 = false;
  #timer: Timer | undefined;
  #isOver = false;

  constructor(target: DialTarget, deps: DialDeps, done: (outcome: DialOutcome) => void) {
    this.#target = target;
    this.#deps = deps;
    this.#done = done;
  }

  start(): void {
    const { host } = this.#target;
    const family = net.isIP(host);
    const { lookup = lookupOfSystem } = this.#deps;
    const find: Lookup = family === 0 ? lookup : literal;
    for (const wanted of [6, 4] as const) {
      find(host, wanted, (error, addresses) => this.#onFound(wanted, error, addresses));
    }
  }

  cancel(): void {
    this.#isOver = true;
    this.#timer?.cancel();
    for (const socket of this.#attempts) drop(socket);
    this.#attempts.clear();
  }

  #onFound(wanted: 4 | 6, error: Error | null, addresses: readonly string[]): void {
    if (this.#isOver) return;
    const family = wanted === 6 ? this.#ipv6 : this.#ipv4;
    family.state = 'known';
    family.addresses = [...addresses];
    if (error !== null && !this.#failures.includes(error.message)) this.#failures.push(error.message);
    const isFirst = this.#opened === 0 && this.#timer === undefined;
    const waitsForIpv6 = wanted === 4 && addresses.length > 0 && this.#ipv6.state === 'asked';
    if (isFirst && waitsForIpv6) this.#wait(RESOLUTION_MS);
    else if (this.#opened === 0 || this.#timer === undefined || this.#attempts.size === 0) this.#next();
  }

  get #isKnown(): boolean {
    return this.#ipv4.state === 'known' && this.#ipv6.state === 'known';
  }

  #wait(ms: number): void {
    this.#timer?.cancel();
    this.#timer = this.#deps.timers.after(ms, () => this.#next());
  }

  /** One attempt more; the end when there is nothing left to wait for. */
  #next(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    const host = this.#takeAddress();
    if (host === undefined) {
      if (this.#attempts.size === 0 && this.#isKnown) this.#fail();
      return;
    }
    this.#opened += 1;
    const { open = (address: DialTarget): net.Socket => net.connect(address) } = this.#deps;
    const socket = open({ host, port: this.#target.port });
    this.#attempts.add(socket);
    socket.once('connect', () => this.#onConnect(socket));
    socket.once('error', (error) => this.#onError(socket, host, error));
    this.#wait(ATTEMPT_MS);
  }

  #takeAddress(): string | undefined {
    if (this.#opened >= MAX_ATTEMPTS) return undefined;
    const [first, second] = this.#triedIpv6 ? [this.#ipv4, this.#ipv6] : [this.#ipv6, this.#ipv4];
    const from = first.addresses.length > 0 ? first : second;
    this.#triedIpv6 = from === this.#ipv6;
    return from.addresses.shift();
  }

  #onConnect(socket: net.Socket): void {
    this.#attempts.delete(socket);
    socket.removeAllListeners('error');
    this.cancel();
    this.#done({ socket });
  }

  #onError(socket: net.Socket, host: string, error: Error): void {
    if (!this.#attempts.delete(socket)) return;
    socket.destroy();
    const code = (error as NodeJS.ErrnoException).code ?? error.message;
    this.#failures.push(`${code} ${net.isIPv6(host) ? `[${host}]` : host}:${this.#target.port}`);
    this.#next();
  }

  #fail(): void {
    this.cancel();
    const { host } = this.#target;
    this.#done({ error: new Error(this.#failures.join(', ') || `${host} has no address`) });
  }
}

function lookupOfSystem(...[host, family, done]: Parameters<Lookup>): void {
  systemLookup(host, { family, all: true }, (error, found) =>
    done(error, error === null ? found.map(({ address }) => address) : []),
  );
}

/** An address is its own, in its own family. */
function literal(...[host, family, done]: Parameters<Lookup>): void {
  queueMicrotask(() => done(null, net.isIP(host) === family ? [host] : []));
}

/** Whatever becomes of an attempt that lost concerns nobody. */
function drop(socket: net.Socket): void {
  socket.removeAllListeners();
  socket.on('error', () => {});
  socket.destroy();
}
