import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { createTlsIdentity } from '../../src/peer/certificate.ts';
import { destinationToml, STRATUM_TOML, Stand, until } from '../mining/stand.ts';

let stand: Stand;
afterEach(() => stand.close());

type Line = {
  readonly id?: unknown;
  readonly method?: string;
  readonly params?: readonly unknown[];
  readonly result?: unknown;
  readonly error?: readonly unknown[] | null;
};

/** A miner that says what it is told to, and what it was told. */
class Talk {
  readonly lines: Line[] = [];
  closed = false;
  readonly #socket: Socket;

  constructor(socket: Socket) {
    this.#socket = socket;
    let rest = '';
    socket.on('error', () => {});
    socket.on('close', () => {
      this.closed = true;
    });
    socket.on('data', (chunk: Buffer) => {
      const lines = (rest + chunk.toString()).split('\n');
      rest = lines.pop()!;
      this.lines.push(...lines.map((line) => JSON.parse(line) as Line));
    });
    stand.onClose(() => socket.destroy());
  }

  say(text: string): this {
    this.#socket.write(text);
    return this;
  }

  call(id: number, method: string, ...params: readonly unknown[]): this {
    return this.say(`${JSON.stringify({ id, method, params })}\n`);
  }

  start(sessionId?: string): this {
    const agent = sessionId === undefined ? ['talk/1'] : ['talk/1', sessionId];
    return this.call(1, 'mining.subscribe', ...agent).call(2, 'mining.authorize', 'farm.talk', 'x');
  }

  end(): void {
    this.#socket.destroy();
  }

  async next(method: string): Promise<Line> {
    await until(() => this.lines.some((line) => line.method === method) || this.closed, method);
    return this.lines.find((line) => line.method === method)!;
  }

  async reply(id: number): Promise<Line> {
    await until(() => this.lines.some((line) => line.id === id) || this.closed, `reply ${id}`);
    return this.lines.find((line) => line.id === id)!;
  }
}

const plain = (port: number): Talk => new Talk(connect(port, '127.0.0.1'));

async function proxyWith(toml: string) {
  const pool = await stand.pool({ difficulty: 2 ** -8 });
  const proxy = await stand.proxy(`${toml}\n${destinationToml(pool, 'own')}`);
  await until(async () => (await proxy.status()).destination === 'own', 'the pool is up');
  return proxy;
}

describe('ports of the configuration', () => {
  it('serve TLS, harder shares and the miners behind a balancer beside the plain one', async () => {
    stand = new Stand();
    const { cert, key } = createTlsIdentity({ nowMs: systemClock.nowMs(), random: systemRandom });
    stand.file('cert.pem', cert);
    stand.file('key.pem', key);
    const proxy = await proxyWith(`[stratum]
listen = "127.0.0.1:0"
difficulty = { start = ${2 ** -12}, min = ${2 ** -14} }
[[stratum.listener]]
listen = "127.0.0.1:0"
tls_cert_file = "cert.pem"
tls_key_file = "key.pem"
[[stratum.listener]]
listen = "127.0.0.1:0"
difficulty = ${2 ** -9}
[[stratum.listener]]
listen = "127.0.0.1:0"
proxies = ["127.0.0.1"]
`);
    const [tlsPort, hardPort, balancedPort] = proxy.ports;
    const easy = plain(proxy.port).start();
    const secure = new Talk(
      connectTls({ port: tlsPort!, host: '127.0.0.1', ca: cert, checkServerIdentity: () => undefined }),
    ).start();
    const hard = plain(hardPort!).start();
    const balanced = plain(balancedPort!).say('PROXY TCP4 203.0.113.7 127.0.0.1 5000 3333\r\n').start();
    const difficulties = [easy, secure, hard, balanced].map(async (talk) => {
      await talk.next('mining.notify');
      return (await talk.next('mining.set_difficulty')).params![0];
    });
    expect(await Promise.all(difficulties)).toEqual([2 ** -12, 2 ** -12, 2 ** -9, 2 ** -12]);
    const { miners } = await proxy.status();
    const seen = miners.map(({ address, listener }) => `${listener} ${address}`).sort();
    expect(seen).toEqual(['0 127.0.0.1', '1 127.0.0.1', '2 127.0.0.1', '3 203.0.113.7']);
    const liar = plain(proxy.port).say('PROXY TCP4 203.0.113.7 127.0.0.1 5000 3333\r\n');
    const mute = plain(balancedPort!).start();
    await until(() => liar.closed && mute.closed, 'a header where none may be, and none where one must');
    const refused = 'downstream_connections_refused_total{reason="bad_proxy_header"}';
    await until(async () => (await proxy.metric(refused)) === 1, 'it is counted');
  });

  it('are refused with a reason when a file is no certificate', async () => {
    stand = new Stand();
    stand.file('cert.pem', 'nothing');
    stand.file('key.pem', 'nothing');
    const toml = `${STRATUM_TOML}[[stratum.listener]]
listen = "127.0.0.1:0"
tls_cert_file = "cert.pem"
tls_key_file = "key.pem"
${destinationToml(await stand.pool(), 'own')}`;
    await expect(stand.mining(toml)).rejects.toThrow(/config_invalid.*certificate/);
  });
});

describe('limits of the configuration', () => {
  it('lead a miner that sends nothing valid to new work, another connection and a ban', async () => {
    stand = new Stand();
    const proxy = await proxyWith(`${STRATUM_TOML}[stratum.limits]
resend_after = 2
reconnect_after = 3
ban_after = 5
ban_for = "1h"
`);
    const talk = plain(proxy.port).start();
    const job = (await talk.next('mining.notify')).params![0];
    const jobs = (): number => talk.lines.filter(({ method }) => method === 'mining.notify').length;
    const before = jobs();
    for (const id of [11, 12]) talk.call(id, 'mining.submit', 'farm.talk', job, 'zz', '00', '00');
    await until(() => jobs() > before, 'new work');
    talk.call(13, 'mining.submit', 'farm.talk', job, 'zz', '00', '00');
    await talk.next('client.reconnect');
    for (const id of [14, 15]) talk.call(id, 'mining.submit', 'farm.talk', job, 'zz', '00', '00');
    await until(() => talk.closed, 'the ban');
    const again = plain(proxy.port).start();
    await until(() => again.closed, 'the address is refused');
    expect(again.lines).toEqual([]);
    await until(async () => (await proxy.metric('downstream_bans_total')) === 1, 'the ban is counted');
    expect(await proxy.metric('downstream_connections_refused_total{reason="banned"}')).toBe(1);
    expect(await proxy.metric('downstream_disconnects_total{reason="banned"}')).toBe(1);
  });

  it('bound connections of an address, rates and addresses, and count what they turn away', async () => {
    stand = new Stand();
    const proxy = await proxyWith(`${STRATUM_TOML}[stratum.limits]
max_sessions_per_address = 2
lines_per_second = 2
deny = ["203.0.113.0/24"]
[[stratum.listener]]
listen = "127.0.0.1:0"
proxies = ["127.0.0.1"]
`);
    const two = [plain(proxy.port).start(), plain(proxy.port).start()];
    for (const talk of two) await talk.next('mining.notify');
    const third = plain(proxy.port).start();
    const denied = plain(proxy.ports[0]!).say('PROXY TCP4 203.0.113.7 127.0.0.1 5000 3333\r\n').start();
    await until(() => third.closed && denied.closed, 'both are turned away');
    for (let id = 20; id < 40; id += 1) two[0]!.call(id, 'mining.suggest_difficulty', 1);
    await until(
      async () => (await proxy.metric('limit_hits_total{limit="sessionLinesPerSecond"}')) > 0,
      'the talkative one is slowed',
    );
    const refused = (reason: string): Promise<number> =>
      proxy.metric(`downstream_connections_refused_total{reason="${reason}"}`);
    expect(await refused('sessions_per_address')).toBe(1);
    expect(await refused('denied')).toBe(1);
    expect(await refused('rate')).toBe(0);
    expect(two.map(({ closed }) => closed)).toEqual([false, false]);
  });

  it('close who does not subscribe, and let a miner take up its session unless told not to', async () => {
    stand = new Stand();
    const pool = await stand.pool();
    const toml = (resumeFor: string): string => `${STRATUM_TOML}[stratum.limits]
subscribe_timeout = "1s"
resume_for = "${resumeFor}"
${destinationToml(pool, 'own')}`;
    for (const [resumeFor, isSame] of [
      ['10m', true],
      ['0s', false],
    ] as const) {
      const { mining } = await stand.mining(toml(resumeFor));
      const { port } = mining.server.addresses()[0]!;
      const first = plain(port).start();
      const [subscriptions, extranonce1] = (await first.reply(1)).result as [[string, string][], string];
      await first.next('mining.notify');
      first.end();
      await until(() => mining.server.sessionCount === 0, 'it is gone');
      const second = plain(port).start(subscriptions[0]![1]);
      const result = (await second.reply(1)).result as [unknown, string];
      expect(result[1] === extranonce1, resumeFor).toBe(isSame);
      expect(mining.server.stats.resumed).toBe(isSame ? 1 : 0);
      const silent = plain(port);
      await until(() => silent.closed, 'the silent one is closed');
      expect(mining.server.stats.closed.idle_timeout).toBe(1);
    }
  });

  it('keep miners that hear nothing, without hiding that the pool is silent', async () => {
    stand = new Stand();
    const proxy = await proxyWith(`${STRATUM_TOML}[stratum.limits]\nkeep_alive = "5s"\n`);
    const talk = plain(proxy.port).start();
    const jobs = (): unknown[] =>
      talk.lines.filter(({ method }) => method === 'mining.notify').map(({ params }) => params![0]);
    await until(() => jobs().length === 2, 'the same work again');
    expect(new Set(jobs()).size).toBe(2);
    expect(await proxy.metric('downstream_keep_alives_total')).toBe(1);
    expect(await proxy.metric('job_age_seconds')).toBeGreaterThan(4.9);
  });

  it('tell miners to connect anew at the end where that is asked for', async () => {
    stand = new Stand();
    const toml = `${STRATUM_TOML}reconnect_at_close = true\n${destinationToml(await stand.pool(), 'own')}`;
    const { mining } = await stand.mining(toml);
    const talk = plain(mining.server.addresses()[0]!.port).start();
    await talk.next('mining.notify');
    await mining.stop();
    expect((await talk.next('client.reconnect')).params).toEqual([]);
  });
});
