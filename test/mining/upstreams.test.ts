import { afterEach, describe, expect, it } from 'vitest';
import { destinationToml, STRATUM_TOML, Stand, until } from './stand.ts';

let stand: Stand;
afterEach(() => stand.close());

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
