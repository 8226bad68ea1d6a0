import { connect, type Socket } from 'node:net';
import { garbageLine } from '../../src/devnet/asic/asic-misdeeds.ts';
import { seededRandom } from '../../src/devnet/net/seeded-random.ts';
import { serveParent, usage } from './child.ts';

export type StormShape = {
  readonly port: number;
  /** Connections that come at once, say who they are, stay for a moment and come again. */
  readonly storm: number;
  /** Say who they are, ask for long answers and never read one. */
  readonly slow: number;
  /** Send nonsense as fast as it is taken, and connect again when they are thrown out. */
  readonly garbage: number;
  readonly seed: number;
};

export type StormCounts = {
  /** Attempts, those of them that were opened, and those that got work (or an error, for nonsense). */
  readonly tried: Readonly<Record<Role, number>>;
  readonly opened: Readonly<Record<Role, number>>;
  readonly served: Readonly<Record<Role, number>>;
  readonly closed: Readonly<Record<Role, number>>;
  readonly open: Readonly<Record<Role, number>>;
};

type Role = 'storm' | 'slow' | 'garbage';

/** Each crowd comes from an address of its own, as behind one NAT. */
const ADDRESS: Readonly<Record<Role, string>> = {
  storm: '127.0.0.2',
  slow: '127.0.0.3',
  garbage: '127.0.0.4',
};
const HELLO =
  '{"id":1,"method":"mining.subscribe","params":["storm/1"]}\n' +
  '{"id":2,"method":"mining.authorize","params":["storm.w","x"]}\n';
/** Its answer is as long. */
const LONG = `{"id":3,"method":"mining.configure","params":[["${'x'.repeat(12_000)}"],{}]}\n`;
/** Far more answers than any buffer holds. */
const LONG_EACH_MS = 50;
const LONG_READERS = 20;
const STAY_MS = [500, 3_000] as const;
const RETRY_MS = [200, 1_000] as const;
const GARBAGE_LINES = 20;
const GARBAGE_MS = 100;

const zero = (): Record<Role, number> => ({ storm: 0, slow: 0, garbage: 0 });

/** Three crowds that mean no good, in a process of their own. */
class Storm {
  readonly #counts = { tried: zero(), opened: zero(), served: zero(), closed: zero(), open: zero() };
  readonly #sockets = new Set<Socket>();
  readonly #shape: StormShape;
  readonly #random: () => number;
  #stopped = false;

  constructor(shape: StormShape) {
    this.#shape = shape;
    this.#random = seededRandom(shape.seed);
  }

  start(): void {
    const { storm, slow, garbage } = this.#shape;
    for (let index = 0; index < slow; index += 1) this.#slowReader(index < LONG_READERS);
    for (let index = 0; index < storm; index += 1) this.#stormer();
    for (let index = 0; index < garbage; index += 1) this.#talker();
  }

  counts(): StormCounts {
    return this.#counts;
  }

  stop(): StormCounts {
    this.#stopped = true;
    for (const socket of this.#sockets) socket.destroy();
    return this.#counts;
  }

  #stormer(): void {
    const socket = this.#open('storm', () => {
      socket.write(HELLO);
      setTimeout(() => socket.destroy(), this.#between(STAY_MS));
    });
    socket.once('data', () => {
      this.#counts.served.storm += 1;
    });
    socket.on('data', () => {});
    this.#again(socket, () => this.#stormer());
  }

  #slowReader(asksMuch: boolean): void {
    const socket = this.#open('slow', () => {
      socket.write(HELLO);
      if (asksMuch) this.#keepSaying(socket, LONG_EACH_MS, () => LONG);
    });
    socket.pause();
    this.#again(socket, () => this.#slowReader(asksMuch));
  }

  #talker(): void {
    const socket = this.#open('garbage', () => {
      const say = (): string => Array.from({ length: GARBAGE_LINES }, () => this.#nonsense()).join('');
      if (this.#random() < 0.9) socket.write('{}\n');
      this.#keepSaying(socket, GARBAGE_MS, say);
    });
    socket.once('data', () => {
      this.#counts.served.garbage += 1;
    });
    socket.on('data', () => {});
    this.#again(socket, () => this.#talker());
  }

  #nonsense(): string {
    return garbageLine(this.#random);
  }

  #keepSaying(socket: Socket, eachMs: number, what: () => string): void {
    const timer = setInterval(() => {
      if (socket.writable && !socket.writableNeedDrain) socket.write(what(), 'latin1');
    }, eachMs);
    socket.once('close', () => clearInterval(timer));
  }

  #open(role: Role, onOpen: () => void): Socket {
    const counts = this.#counts;
    counts.tried[role] += 1;
    const socket = connect({
      host: '127.0.0.1',
      port: this.#shape.port,
      localAddress: ADDRESS[role],
      noDelay: true,
    });
    this.#sockets.add(socket);
    socket.once('connect', () => {
      counts.opened[role] += 1;
      counts.open[role] += 1;
      socket.once('close', () => {
        counts.closed[role] += 1;
        counts.open[role] -= 1;
      });
      onOpen();
    });
    socket.on('error', () => socket.destroy());
    return socket;
  }

  #again(socket: Socket, connectAgain: () => void): void {
    socket.once('close', () => {
      this.#sockets.delete(socket);
      if (!this.#stopped) setTimeout(() => !this.#stopped && connectAgain(), this.#between(RETRY_MS));
    });
  }

  #between([least, most]: readonly [number, number]): number {
    return least + this.#random() * (most - least);
  }
}

if (import.meta.main) {
  const storm = new Storm(JSON.parse(process.argv[2]!) as StormShape);
  serveParent(
    { start: () => storm.start(), counts: () => storm.counts(), stop: () => storm.stop(), usage },
    () => void storm.stop(),
  );
}
