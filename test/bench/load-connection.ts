import { connect, type Socket } from 'node:net';
import { concat, fromHex, u32hex } from '../../src/base/bytes.ts';
import { swapWords } from '../../src/bitcoin/header.ts';
import { targetOfDifficulty } from '../../src/bitcoin/target.ts';
import { createKernel } from '../../src/shares/kernel/create-kernel.ts';
import { meets } from '../../src/shares/rules.ts';
import { wordsOfTarget } from '../../src/shares/share.ts';
import type { HashedShape } from './floor.ts';
import type { LoadSample } from './load-process.ts';

const NEWLINE = 0x0a;
const DIGIT_0 = 0x30;
const LETTER_T = 0x74;
/** `{"id":` */
const ID_AT = 6;
/** Ids of submits have three digits: the number of their place in the window. */
const FIRST_ID = 100;
const ID_END = ID_AT + 3;
/** `,"result":` */
const RESULT_AT = ID_END + 10;
const VERSION_BITS = 0x00a4c000;

/** Nonces found at once where jobs come as they like. */
const SEARCHED_AHEAD = 64;

const BUCKET_MS = 0.01;
const BUCKETS = 200_000;

/** What all connections of a load count together. */
export class LoadCounts {
  accepted = 0;
  rejected = 0;
  readonly #latencies = new Uint32Array(BUCKETS);
  #notifies = 0;
  #waiting: { readonly count: number; readonly resolve: (atMs: number) => void } | undefined;

  answered(isAccepted: boolean, latencyMs: number): void {
    if (isAccepted) this.accepted += 1;
    else this.rejected += 1;
    this.#latencies[Math.min(BUCKETS - 1, Math.floor(latencyMs / BUCKET_MS))]! += 1;
  }

  gotNotify(): void {
    this.#notifies += 1;
    if (this.#waiting === undefined || this.#notifies < this.#waiting.count) return;
    this.#waiting.resolve(Number(process.hrtime.bigint()) / 1e6);
    this.#waiting = undefined;
  }

  notified(count: number): Promise<number> {
    this.#notifies = 0;
    return new Promise((resolve) => {
      this.#waiting = { count, resolve };
    });
  }

  take(): LoadSample {
    const { accepted, rejected } = this;
    const sample = { accepted, rejected, p50Ms: this.#percentile(0.5), p99Ms: this.#percentile(0.99) };
    this.accepted = 0;
    this.rejected = 0;
    this.#latencies.fill(0);
    return sample;
  }

  #percentile(part: number): number {
    const wanted = part * (this.accepted + this.rejected);
    let seen = 0;
    for (let bucket = 0; bucket < BUCKETS; bucket += 1) {
      seen += this.#latencies[bucket]!;
      if (seen > wanted) return (bucket + 1) * BUCKET_MS;
    }
    return 0;
  }
}

type WireJob = readonly [
  id: string,
  prevHash: string,
  coinb1: string,
  coinb2: string,
  branches: readonly string[],
  version: string,
  bits: string,
  time: string,
];

const readBuffer = Buffer.allocUnsafe(256 * 1024);
const kernel = createKernel(1024);

/**
 * One miner: keeps `window` submits in flight, each line made ready beforehand but for its extranonce2 and
 * nonce.
 */
export class LoadConnection {
  readonly ready: Promise<void>;
  inFlight = 0;
  submitted = 0;
  readonly #counts: LoadCounts;
  readonly #window: number;
  readonly #pauseMs: number;
  readonly #worker: string;
  readonly #sentAtMs: Float64Array;
  readonly #socket: Socket;
  #becomeReady: () => void = () => {};
  #rest: Buffer | undefined;
  #extranonce1: Uint8Array = new Uint8Array(0);
  #difficulty = 0;
  #job: WireJob | undefined;
  /** The lines of the whole window, one behind the other. */
  #lines = Buffer.alloc(0);
  #lineSize = 0;
  #extranonce2At = 0;
  #nonceAt = 0;
  #next = 0;
  /** By extranonce2: the first nonce of that coinbase that meets the target. */
  #nonces = new Uint8Array(0);
  readonly #findsNonces: boolean;
  #isRunning = false;

  constructor(
    options: {
      readonly port: number;
      readonly index: number;
      readonly window: number;
      /** Between an answer and the next submit. */
      readonly pauseMs: number;
      /** Every submit meets the share target, on whatever job; `prepare` is not needed then. */
      readonly findsNonces: boolean;
    },
    counts: LoadCounts,
  ) {
    this.#counts = counts;
    this.#window = options.window;
    this.#pauseMs = options.pauseMs;
    this.#findsNonces = options.findsNonces;
    this.#worker = `bench.w${options.index}`;
    this.#sentAtMs = new Float64Array(options.window);
    this.ready = new Promise((resolve) => {
      this.#becomeReady = resolve;
    });
    this.#socket = connect({
      host: '127.0.0.1',
      port: options.port,
      ...localAddressOf(options.index),
      noDelay: true,
      onread: { buffer: readBuffer, callback: (size) => this.#onRead(readBuffer.subarray(0, size)) },
    });
    this.#socket.on('error', (error) => process.stderr.write(`load: ${error.message}\n`));
    this.#say(1, 'mining.configure', [['version-rolling'], { 'version-rolling.mask': '1fffe000' }]);
    this.#say(2, 'mining.subscribe', ['bench/1']);
    this.#say(3, 'mining.authorize', [this.#worker, 'x']);
  }

  /** What a share of its job is made of. */
  get hashed(): HashedShape {
    const [, , coinb1, coinb2, branches] = this.#job!;
    return {
      ...{ coinb1: coinb1.length / 2, coinb2: coinb2.length / 2, branches: branches.length },
      extranonce: this.#extranonce1.length + 4,
    };
  }

  prepare(shares: number): void {
    this.#nonces = new Uint8Array(0);
    this.#search(shares);
  }

  /** Finds the nonces up to `shares` that are not known yet. */
  #search(shares: number): void {
    const [, prevHash, coinb1, coinb2, branches, version, bits, time] = this.#job!;
    const words = wordsOfTarget(targetOfDifficulty(this.#difficulty));
    const handle = kernel.addJob({
      coinb1: fromHex(coinb1),
      coinb2: fromHex(coinb2),
      branches: branches.map((branch) => fromHex(branch)),
      prevHash: swapWords(fromHex(prevHash)),
      bits: Number.parseInt(bits, 16),
      extranonceSize: this.#extranonce1.length + 4,
    });
    const rolled = (Number.parseInt(version, 16) | VERSION_BITS) >>> 0;
    const known = this.#nonces.length;
    const nonces = new Uint8Array(shares);
    nonces.set(this.#nonces);
    const ntime = Number.parseInt(time, 16);
    const extranonce = concat(this.#extranonce1, new Uint8Array(4));
    const extranonce2 = new DataView(extranonce.buffer, this.#extranonce1.length);
    let batch: number[] = [];
    for (let next = known; next < shares || batch.length > 0; ) {
      while (batch.length < kernel.capacity && next < shares) {
        batch.push(next);
        next += 1;
      }
      batch.forEach((share, slot) => {
        extranonce2.setUint32(0, share);
        kernel.setShare(slot, handle, extranonce, ntime, nonces[share]!, rolled);
      });
      kernel.run(batch.length);
      batch = batch.filter((_, slot) => !meets(kernel.hashes, slot * 32, words));
      for (const share of batch) nonces[share]! += 1;
    }
    kernel.removeJob(handle);
    this.#nonces = nonces;
  }

  start(): void {
    this.#isRunning = true;
    const slots = Array.from({ length: this.#window }, (_, slot) => slot);
    this.#submit(slots, performance.now());
  }

  stop(): void {
    this.#isRunning = false;
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#socket.once('close', () => resolve()));
    this.#socket.destroy();
    await closed;
  }

  #say(id: number, method: string, params: readonly unknown[]): void {
    this.#socket.write(`${JSON.stringify({ id, method, params })}\n`);
  }

  #onRead(chunk: Buffer): boolean {
    const nowMs = performance.now();
    const bytes = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]);
    const answered: number[] = [];
    let start = 0;
    for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, start)) {
      const slot = this.#job === undefined ? -1 : slotOf(bytes, start);
      if (slot >= 0) {
        this.#counts.answered(bytes[start + RESULT_AT] === LETTER_T, nowMs - this.#sentAtMs[slot]!);
        answered.push(slot);
      } else this.#onMessage(bytes.toString('latin1', start, end));
      start = end + 1;
    }
    this.#rest = start === bytes.length ? undefined : Buffer.from(bytes.subarray(start));
    this.inFlight -= answered.length;
    if (answered.length === 0) return true;
    if (this.#pauseMs === 0) this.#submit(answered, nowMs);
    else setTimeout(() => this.#submit(answered, performance.now()), this.#pauseMs);
    return true;
  }

  #submit(slots: readonly number[], nowMs: number): void {
    if (!this.#isRunning) return;
    const size = this.#lineSize;
    const out = Buffer.allocUnsafe(slots.length * size);
    for (let at = 0; at < slots.length; at += 1) {
      const slot = slots[at]!;
      const extranonce2 = this.#next;
      this.#next += 1;
      if (this.#findsNonces && this.#nonces.length <= extranonce2)
        this.#search(extranonce2 + SEARCHED_AHEAD);
      this.#lines.copy(out, at * size, slot * size, (slot + 1) * size);
      writeHex(out, at * size + this.#extranonce2At, extranonce2);
      writeHex(out, at * size + this.#nonceAt, this.#nonces[extranonce2] ?? 0);
      this.#sentAtMs[slot] = nowMs;
    }
    this.inFlight += slots.length;
    this.submitted += slots.length;
    this.#socket.write(out);
  }

  #onMessage(line: string): void {
    const { id, method, params, result } = JSON.parse(line) as {
      id: number | null;
      method?: string;
      params: readonly unknown[];
      result: unknown;
    };
    if (id === 2) this.#extranonce1 = fromHex(String((result as readonly unknown[])[1]));
    else if (method === 'mining.set_difficulty') this.#difficulty = Number(params[0]);
    else if (method === 'mining.notify') {
      this.#useJob(params as unknown as WireJob);
      this.#counts.gotNotify();
      this.#becomeReady();
    }
  }

  #useJob(job: WireJob): void {
    this.#job = job;
    this.#next = 0;
    this.#nonces = new Uint8Array(0);
    const params = [this.#worker, job[0], '00000000', job[7], '00000000', u32hex(VERSION_BITS)];
    const lines = Array.from({ length: this.#window }, (_, slot) =>
      JSON.stringify({ id: FIRST_ID + slot, method: 'mining.submit', params }),
    );
    if (lines.length === 0) return;
    this.#lines = Buffer.from(`${lines.join('\n')}\n`, 'latin1');
    this.#lineSize = lines[0]!.length + 1;
    this.#extranonce2At = lines[0]!.indexOf('"00000000"') + 1;
    this.#nonceAt = lines[0]!.lastIndexOf('"00000000"') + 1;
  }
}

/** An address has some 28,000 ports for connections that go to one other. */
const CONNECTIONS_PER_ADDRESS = 20_000;

/** The whole of 127/8 is loopback on Linux; elsewhere there is one address. */
function localAddressOf(index: number): { readonly localAddress?: string } {
  const more = Math.floor(index / CONNECTIONS_PER_ADDRESS);
  return more === 0 ? {} : { localAddress: `127.0.0.${1 + more}` };
}

/** The place in the window of an answer to a submit; -1 for any other line. */
function slotOf(bytes: Buffer, start: number): number {
  let id = 0;
  for (let at = start + ID_AT; at < start + ID_END; at += 1) {
    const digit = bytes[at]! - DIGIT_0;
    if (!(digit >= 0 && digit <= 9)) return -1;
    id = id * 10 + digit;
  }
  return id - FIRST_ID;
}

function writeHex(out: Buffer, start: number, value: number): void {
  for (let at = 7, left = value; at >= 0; at -= 1, left >>>= 4) {
    const nibble = left & 15;
    out[start + at] = nibble < 10 ? DIGIT_0 + nibble : 87 + nibble;
  }
}
