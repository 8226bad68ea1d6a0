import { CodedError } from '../../src/base/errors.ts';
import { sha256 } from '../../src/base/hash.ts';
import type { ConnectOptions, PeerLink, PeerListener, PeerServerDeps } from '../../src/peer/transport.ts';

export type Side = 'miner' | 'maker';
export const otherSide = (side: Side): Side => (side === 'miner' ? 'maker' : 'miner');

/** The end of a connection, behind the lines that were sent before it. */
const END = Symbol('end');
type Item = string | typeof END;
type Handlers = Parameters<PeerLink['listen']>[0];

class LinkEnd implements PeerLink {
  readonly remoteAddress = 'memory:0';
  readonly exporter: Uint8Array;
  readonly #send: (item: Item) => void;
  #handlers: Handlers | undefined;
  #reason: CodedError | undefined;
  /** The process behind it is dead: it says and hears nothing. */
  isDead = false;
  /** The process behind it stands still: it hears later. */
  isAsleep = false;

  constructor(exporter: Uint8Array, send: (item: Item) => void) {
    this.exporter = exporter;
    this.#send = send;
  }

  get closed(): boolean {
    return this.#reason !== undefined;
  }

  get isListening(): boolean {
    return this.#handlers !== undefined;
  }

  /** There are places for all, and every line is read at once. */
  keepPlace(): void {}
  paceReads(): void {}

  listen(handlers: Handlers): void {
    this.#handlers = handlers;
    if (this.#reason !== undefined) handlers.onClose(this.#reason);
  }

  send(text: string): void {
    if (!this.closed && !this.isDead) this.#send(text);
  }

  close(reason: CodedError = new CodedError('peer_closed')): void {
    if (this.closed) return;
    this.#reason = reason;
    if (!this.isDead) this.#send(END);
    this.#handlers?.onClose(reason);
  }

  receive(item: Item): void {
    if (this.closed || this.isDead) return;
    if (item === END) this.close();
    else this.#handlers?.onLine(item);
  }
}

class Link {
  readonly ends: Readonly<Record<Side, LinkEnd>>;
  /** What is on its way to each side, oldest first. */
  readonly lines: Readonly<Record<Side, Item[]>> = { miner: [], maker: [] };
  /** Nothing passes any more, whether the ends know it or not. */
  isBroken = false;

  readonly number: number;
  readonly isStrange: boolean;

  constructor(number: number, isStrange: boolean, onSend: (from: Side, text: string) => readonly string[]) {
    this.number = number;
    this.isStrange = isStrange;
    const exporter = sha256(new TextEncoder().encode(`link ${number}`));
    const end = (side: Side): LinkEnd =>
      new LinkEnd(exporter, (item) => {
        const items: readonly Item[] = item === END ? [END] : onSend(side, item);
        if (!this.isBroken) this.lines[otherSide(side)].push(...items);
      });
    this.ends = { miner: end('miner'), maker: end('maker') };
  }
}

/** A line as a process wants it to leave. */
export type SentLine = { readonly link: number; readonly from: Side; readonly text: string };
/** What leaves in its place. */
export type Tap = (line: SentLine) => readonly string[];

export type NetworkDeps = {
  /** Each line as it leaves a process, before anything else can happen; returns what leaves. */
  readonly onSend: (link: number, from: Side, text: string) => readonly string[];
  /** Each line that a process hears, of whoever says it. */
  readonly onHeard?: (to: Side, text: string) => void;
};

/** Connections between one miner and one maker; a line moves only when the schedule says so. */
export class Network {
  readonly #deps: NetworkDeps;
  readonly #links: Link[] = [];
  #accept: ((end: PeerLink) => void) | undefined;
  readonly #strange = new Set<number>();
  #count = 0;

  constructor(deps: NetworkDeps) {
    this.#deps = deps;
  }

  /** For `MinerContractDeps.connect`. */
  connect(_options: ConnectOptions): Promise<PeerLink> {
    return this.#connect(false);
  }

  /** A connection to the maker, of somebody else. */
  connectStranger(): Promise<PeerLink> {
    return this.#connect(true);
  }

  #connect(isStrange: boolean): Promise<PeerLink> {
    const accept = this.#accept;
    if (accept === undefined) return Promise.reject(new CodedError('peer_closed', 'connection refused'));
    this.#count += 1;
    const number = this.#count;
    const link = new Link(number, isStrange, (from, text) => this.#deps.onSend(number, from, text));
    if (isStrange) this.#strange.add(number);
    this.#links.push(link);
    accept(link.ends.maker);
    return Promise.resolve(link.ends.miner);
  }

  /** A connection of somebody who is neither of the two. */
  isStrange(link: number): boolean {
    return this.#strange.has(link);
  }

  /**
   * A line out of turn, over the newest connection of the two that stands; the number of that, or undefined
   * where there is none.
   */
  inject(from: Side, text: string, link?: number): number | undefined {
    const target = this.#links.findLast(
      (each) =>
        (link === undefined ? !each.isStrange : each.number === link) &&
        !each.isBroken &&
        !each.ends[from].closed &&
        !each.ends[otherSide(from)].closed,
    );
    target?.lines[otherSide(from)].push(text);
    return target?.number;
  }

  /** For `MakerDeps.openServer`. */
  openServer(deps: PeerServerDeps): PeerListener {
    const accept = (end: PeerLink): void => deps.onConnection(end);
    return {
      listen: () => {
        this.#accept = accept;
        return Promise.resolve(1);
      },
      close: () => {
        if (this.#accept === accept) this.#accept = undefined;
        return Promise.resolve();
      },
    };
  }

  /** Delivers the next line to a side over one of its connections. False when none is on its way. */
  deliver(to: Side, choice: number): boolean {
    const open = this.#links.filter((link) => {
      const end = link.ends[to];
      if (end.isAsleep) return false;
      return link.lines[to].length > 0 && (end.isListening || end.closed || end.isDead);
    });
    const link = open[choice % Math.max(1, open.length)];
    if (link === undefined) return false;
    const item = link.lines[to].shift()!;
    if (item !== END && !link.ends[to].closed && !link.ends[to].isDead) this.#deps.onHeard?.(to, item);
    link.ends[to].receive(item);
    this.#forgetOver();
    return true;
  }

  /** A connection breaks: what is on its way is lost, and only those named are told. */
  cut(choice: number, told: readonly Side[]): void {
    const link = this.#links[choice % Math.max(1, this.#links.length)];
    if (link === undefined) return;
    link.isBroken = true;
    for (const side of told) link.ends[side].receive(END);
    link.lines.miner.length = 0;
    link.lines.maker.length = 0;
    this.#forgetOver();
  }

  /** A process died: its ends fall silent, and the other side will be told behind what was sent before. */
  died(side: Side): void {
    if (side === 'maker') this.#accept = undefined;
    for (const link of this.#links) {
      if (link.ends[side].closed || link.ends[side].isDead) continue;
      link.ends[side].isDead = true;
      link.lines[otherSide(side)].push(END);
    }
    this.#forgetOver();
  }

  /** A process stands still: its ends hear nothing until the returned function is called. */
  sleep(side: Side): () => void {
    const ends = this.#links.map((link) => link.ends[side]).filter((end) => !end.closed && !end.isDead);
    for (const end of ends) end.isAsleep = true;
    return () => {
      for (const end of ends) end.isAsleep = false;
    };
  }

  /** Tells both ends of every connection that one end has left without a word. */
  breakHalfOpen(): void {
    for (const link of this.#links) {
      for (const side of ['miner', 'maker'] as const) {
        const other = link.ends[otherSide(side)];
        const isSilent = other.closed || other.isDead || other.isAsleep || link.isBroken;
        if (isSilent && link.lines[side].at(-1) !== END) link.lines[side].push(END);
      }
    }
  }

  #forgetOver(): void {
    for (const link of [...this.#links]) {
      const isOver = (side: Side): boolean => link.ends[side].closed || link.ends[side].isDead;
      if (isOver('miner') && isOver('maker')) this.#links.splice(this.#links.indexOf(link), 1);
    }
  }
}
