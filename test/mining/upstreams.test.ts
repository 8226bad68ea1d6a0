import { afterEach, describe, expect, it } from 'vitest';
import { FakePool } from '../upstream/fake-pool.ts';
import { notify } from '../upstream/work.ts';
import { destinationToml, STRATUM_TOML, Stand, until } from './stand.ts';

let stand: Stand;
afterEach(() => stand.close());

describe('a pool that authorises and sends no work', () => {
  it('is up in no metric, status or health check until it does', async () => {
    stand = new Stand();
    const pool = await FakePool.listen();
    stand.onClose(() => pool.close());
    const proxy = await stand.proxy(`${STRATUM_TOML}[[destination]]
name = "idle"
url = "stratum+tcp://127.0.0.1:${pool.port}"
worker = "w"
`);
    const isUp = async (): Promise<readonly unknown[]> => [
      (await proxy.status()).destinations[0]!.up,
      await proxy.metric('upstream_up{target="idle"}'),
      await proxy.upstreamCheck(),
    ];
    await until(() => pool.peers.length > 0 && pool.methods.includes('mining.authorize'), 'it authorises');
    expect(await isUp()).toEqual([false, 0, 'failed: no destination gives work']);
    pool.peer.send('{"method":"mining.notify","params":["lacks the rest"]}', notify());
    await until(async () => (await proxy.metric('upstream_up{target="idle"}')) === 1, 'it gives work');
    expect(await isUp()).toEqual([true, 1, 'ok']);
    expect(await proxy.metric('upstream_dropped_lines_total{target="idle"}')).toBe(1);
    expect((await proxy.status()).destinations[0]!.dropped_lines).toBe(1);
  });
});

describe('what the configuration says about an upstream', () => {
  it('is what it meets: redirects, version bits and extranonces', async () => {
    stand = new Stand();
    const [told, elsewhere] = [await stand.pool(), await stand.pool()];
    const proxy = await stand.proxy(
      [
        STRATUM_TOML,
        destinationToml(told, 'wary', 'version_reading = "replace"\nversion_mask = "00000000"'),
        destinationToml(told, 'open', 'allow_redirect = true\nextranonce_subscribe = true\nresume = false'),
        destinationToml(told, 'asking', 'suggest_difficulty = 0.5\nversion_reading = "xor"'),
      ].join(''),
    );
    const upOf = async (): Promise<boolean[]> => (await proxy.status()).destinations.map(({ up }) => up);
    await until(async () => (await upOf()).every((up) => up), 'all are up');
    const { destinations } = await proxy.status();
    expect(destinations.map(({ version_reading }) => version_reading?.option)).toEqual([
      ...['replace', 'auto', 'xor'],
    ]);
    expect(elsewhere.stats.connections).toBe(0);
    told.sendReconnect({ host: 'localhost', port: elsewhere.port, waitSeconds: 0 });
    await until(() => elsewhere.stats.connections > 0, 'one follows');
    const refused = (name: string): Promise<number> =>
      proxy.metric(`upstream_redirects_refused_total{target="${name}"}`);
    expect([await refused('wary'), await refused('open'), await refused('asking')]).toEqual([1, 0, 1]);
    expect(elsewhere.stats.connections).toBe(1);
    told.disconnectAll();
    await until(
      async () => (await proxy.metric('upstream_resumed_total{target="wary"}')) === 1,
      'it resumes',
    );
    expect(await proxy.metric('upstream_resumed_total{target="open"}')).toBe(0);
  }, 40_000);
});
