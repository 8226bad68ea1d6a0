import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { DaemonProcess } from '../../src/daemon/child.ts';
import { readStatus } from '../../src/daemon/status-client.ts';
import { type Stage, startStage } from '../../src/devnet/stage.ts';
import { silentLogger } from '../../src/log/logger.ts';

const directory = mkdtempSync(join(tmpdir(), 'sharestream-hostile-test-'));
let stage: Stage;
let proxy: DaemonProcess;

beforeAll(async () => {
  stage = await startStage(
    {
      directory,
      stratum: { host: '127.0.0.1', port: 0 },
      bits: 0x207fffff,
      blockIntervalMs: 60_000,
      shareDifficulty: 2 ** -15,
      stepHashes: 2n ** 19n,
      workTotalHashes: 2n ** 30n,
      priceMsatPerEh: 10n ** 15n,
    },
    {
      clock: systemClock,
      random: { bytes: (size) => new Uint8Array(randomBytes(size)) },
      log: silentLogger,
    },
  );
  proxy = new DaemonProcess({
    role: 'proxy',
    configFile: stage.proxy.configFile,
    logFile: join(directory, 'proxy.log'),
  });
  await proxy.start();
});

afterAll(async () => {
  await proxy.stop();
  await stage.close();
  rmSync(directory, { recursive: true });
});

type Reply = {
  id: unknown;
  result: unknown;
  error: [number, string, null] | null;
  method?: string;
  params?: unknown[];
};

/** A miner that says exactly what it is told to. */
class RawMiner {
  readonly #socket: Socket;
  readonly #replies: Reply[] = [];
  readonly closed: Promise<void>;
  #wake: () => void = () => {};
  #isClosed = false;

  constructor() {
    this.#socket = connect(stage.stratum.port, stage.stratum.host);
    this.#socket.on('error', () => {});
    let rest = '';
    this.#socket.on('data', (chunk: Buffer) => {
      const lines = (rest + chunk.toString()).split('\n');
      rest = lines.pop()!;
      this.#replies.push(...lines.map((line) => JSON.parse(line) as Reply));
      this.#wake();
    });
    this.closed = new Promise((resolve) => {
      this.#socket.once('close', () => {
        this.#isClosed = true;
        this.#wake();
        resolve();
      });
    });
  }

  send(text: string): void {
    this.#socket.write(text);
  }

  /** The first reply that fits, of those that came and those to come. */
  async next(wanted: (reply: Reply) => boolean): Promise<Reply> {
    for (;;) {
      const reply = this.#replies.find(wanted);
      if (reply !== undefined) return reply;
      if (this.#isClosed) throw new Error('the connection ended first');
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  async subscribed(): Promise<string> {
    const notify = this.next((reply) => reply.method === 'mining.notify');
    this.send('{"id":1,"method":"mining.subscribe","params":["raw/1"]}\n');
    this.send('{"id":2,"method":"mining.authorize","params":["farm.raw","x"]}\n');
    return (await notify).params![0] as string;
  }

  end(): void {
    this.#socket.destroy();
  }
}

async function metric(name: string): Promise<number> {
  const text = await (await fetch(`${stage.proxy.metricsUrl}/metrics`)).text();
  const line = text.split('\n').find((candidate) => candidate.startsWith(`sharestream_${name} `));
  return Number(line?.split(' ')[1] ?? Number.NaN);
}

async function credited(): Promise<string> {
  return JSON.stringify((await readStatus(stage.proxy.metricsUrl))?.streams);
}

/** Runs an attack and says by how much a counter rose; what is credited must not have changed. */
async function counting(name: string, attack: () => Promise<void>): Promise<number> {
  const before = { count: await metric(name), credited: await credited() };
  await attack();
  expect(await credited()).toBe(before.credited);
  return (await metric(name)) - before.count;
}

describe('a hostile miner', () => {
  it('sending a malformed line gets its coded error, is counted, and changes nothing', async () => {
    const rise = await counting('errors_total{code="malformed"}', async () => {
      const miner = new RawMiner();
      const reply = miner.next((candidate) => Array.isArray(candidate.error));
      miner.send('{"id":7,"method":"mining.subscribe","params":[}\n');
      expect((await reply).error?.[0]).toBe(20);
      miner.end();
    });
    expect(rise).toBe(1);
  });

  it('sending 1 MB without a newline is cut off at the limit, is counted, and changes nothing', async () => {
    const rise = await counting('limit_hits_total{limit="downstreamLineBytes"}', async () => {
      const miner = new RawMiner();
      miner.send(`{"id":1,"method":"${'x'.repeat(1024 * 1024)}`);
      await miner.closed;
    });
    expect(rise).toBe(1);
  });

  it('sending an extranonce2 of a wrong size gets its coded error, is counted, and changes nothing', async () => {
    const rise = await counting('shares_rejected_total{reason="bad_extranonce2"}', async () => {
      const miner = new RawMiner();
      const job = await miner.subscribed();
      const reply = miner.next((candidate) => candidate.id === 9);
      miner.send(
        `{"id":9,"method":"mining.submit","params":["farm.raw","${job}","00","00000000","00000000"]}\n`,
      );
      expect((await reply).error).toEqual([20, expect.stringContaining('extranonce2'), null]);
      miner.end();
    });
    expect(rise).toBe(1);
  });
});
