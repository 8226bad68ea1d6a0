import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fromHex, u32hex } from '../../src/base/bytes.ts';
import { swapWords } from '../../src/bitcoin/header.ts';
import { hashToNumber, targetOfDifficulty } from '../../src/bitcoin/target.ts';
import { straightforwardHash } from './kernel-bench.ts';
import type { Ports } from './whole-proxy.ts';

type Reply = { readonly result: unknown; readonly error: readonly [code: number, text: string] | null };
type Line = Reply & { readonly id: unknown; readonly method?: string; readonly params: readonly unknown[] };

/** A miner that does one thing after the other. */
class SlowMiner {
  readonly #socket;
  readonly #replies = new Map<unknown, (reply: Reply) => void>();
  #wake: () => void = () => {};
  #difficulty = 0;
  #job: readonly unknown[] = [];
  #nextId = 1;
  extranonce1 = '';

  constructor(port: number) {
    this.#socket = connect({ host: '127.0.0.1', port });
    createInterface({ input: this.#socket }).on('line', (text) => this.#onLine(JSON.parse(text) as Line));
  }

  async start(): Promise<void> {
    await this.ask('mining.configure', [['version-rolling'], { 'version-rolling.mask': '1fffe000' }]);
    const { result } = await this.ask('mining.subscribe', ['bench/rules']);
    this.extranonce1 = String((result as readonly unknown[])[1]);
    const gotJob = this.nextJob();
    await this.ask('mining.authorize', ['bench.rules', 'x']);
    await gotJob;
  }

  ask(method: string, params: readonly unknown[]): Promise<Reply> {
    const id = this.#nextId;
    this.#nextId += 1;
    this.#socket.write(`${JSON.stringify({ id, method, params })}\n`);
    return new Promise((resolve) => this.#replies.set(id, resolve));
  }

  nextJob(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  /** A nonce whose header meets the share target, or does not, hashed by `node:crypto` alone. */
  submission(meetsTarget: boolean): readonly string[] {
    const [jobId, prevHash, coinb1, coinb2, branches, version, bits, time] = this.#job as readonly string[];
    const job = {
      coinb1: fromHex(coinb1!),
      coinb2: fromHex(coinb2!),
      branches: (branches as unknown as readonly string[]).map((branch) => fromHex(branch)),
      prevHash: swapWords(fromHex(prevHash!)),
      bits: Number.parseInt(bits!, 16),
      extranonceSize: 8,
    };
    const target = targetOfDifficulty(this.#difficulty);
    for (let nonce = 0; ; nonce += 1) {
      const hash = straightforwardHash({
        job,
        extranonce: fromHex(`${this.extranonce1}0badcafe`),
        ntime: Number.parseInt(time!, 16),
        nonce,
        version: Number.parseInt(version!, 16),
      });
      if (hashToNumber(hash) <= target === meetsTarget) {
        return ['bench.rules', jobId!, '0badcafe', time!, u32hex(nonce), '00000000'];
      }
    }
  }

  close(): void {
    this.#socket.destroy();
  }

  #onLine(line: Line): void {
    if (line.method === 'mining.set_difficulty') this.#difficulty = Number(line.params[0]);
    else if (line.method === 'mining.notify') {
      this.#job = line.params;
      this.#wake();
    } else this.#replies.get(line.id)?.(line);
  }
}

const STALE_AFTER_MS = 1000;

/**
 * The rules on the very server that is measured: a valid share is credited once, everything else is refused
 * with its number, and the counters say the same. Throws at the first that is not so.
 * @param newBlock ends the present job
 */
export async function checkRules(ports: Ports, newBlock: () => Promise<unknown>): Promise<string[]> {
  const before = await shareCounters(ports.metricsPort);
  const miner = new SlowMiner(ports.port);
  await miner.start();
  const good = miner.submission(true);
  const withField = (index: number, value: string) =>
    good.map((field, at) => (at === index ? value : field));
  const cases: [what: string, params: readonly string[], code: number | undefined][] = [
    ['accepted', good, undefined],
    ['duplicate', good, 22],
    ['duplicate', withField(2, '0BADCAFE'), 22],
    ['low_difficulty', miner.submission(false), 23],
    ['bad_version', withField(5, '00000001'), 20],
    ['bad_version', withField(5, '20000000'), 20],
    ['bad_ntime', withField(3, '00000001'), 20],
    ['bad_extranonce2', withField(2, '0badca'), 20],
    ['unknown_job', withField(1, 'fffffff'), 21],
    ['not_authorized', withField(0, 'someone.else'), 24],
  ];
  const told: string[] = [];
  for (const [what, params, code] of cases) told.push(verdict(what, await submit(miner, params), code));
  const gotJob = miner.nextJob();
  await newBlock();
  await gotJob;
  await sleep(STALE_AFTER_MS);
  const stale = good.map((field, at) => (at === 4 ? u32hex(0xffff_0000) : field));
  told.push(verdict('stale', await submit(miner, stale), 21));
  miner.close();
  const after = await shareCounters(ports.metricsPort);
  for (const what of new Set(told)) {
    const counted = (after.get(what) ?? 0) - (before.get(what) ?? 0);
    const wanted = told.filter((other) => other === what).length;
    if (counted !== wanted) throw new Error(`${what}: ${wanted} sent, ${counted} counted`);
  }
  return told;
}

function submit(miner: SlowMiner, params: readonly string[]): Promise<Reply> {
  return miner.ask('mining.submit', params);
}

function verdict(what: string, reply: Reply, code: number | undefined): string {
  const isRight = code === undefined ? reply.result === true : reply.error?.[0] === code;
  if (!isRight) throw new Error(`a share that is ${what} was answered ${JSON.stringify(reply)}`);
  return what;
}

/** `accepted`, and each reason of refusal, since the start of the proxy. */
export async function shareCounters(metricsPort: number): Promise<Map<string, number>> {
  const text = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
  const counters = new Map<string, number>();
  for (const line of text.split('\n')) {
    const [, what, value] = /^sharestream_shares_(\S+)_total\S* (\d+)$/.exec(line) ?? [];
    const reason = /reason="(\w+)"/.exec(line)?.[1];
    if (what !== undefined) counters.set(reason ?? what, Number(value));
  }
  return counters;
}
