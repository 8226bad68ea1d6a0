import { type AddressInfo, connect } from 'node:net';
import { createServer, type TLSSocket } from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { startAsics } from '../../src/devnet/asic/asic.ts';
import type { DevnetPool } from '../../src/devnet/pool/pool.ts';
import { createTlsIdentity } from '../../src/peer/certificate.ts';
import { destinationToml, STRATUM_TOML, Stand, until } from './stand.ts';

let stand: Stand;
afterEach(() => stand.close());

const RETURN_MS = 2_000;
/** A block each fourth share. */
const EASY_BITS = 0x1f00ffff;

async function miner(port: number, hashesPerSecond = 300_000) {
  const fleet = await startAsics([{ host: '127.0.0.1', port, worker: 'farm.rig', hashesPerSecond }]);
  stand.onClose(() => fleet.stop());
  return fleet;
}

describe('failover', () => {
  it('leaves a lost pool at once and returns to it after a time of health, on the same connection', async () => {
    stand = new Stand();
    const [main, backup] = [await stand.pool(), await stand.pool()];
    const proxy = await stand.proxy(
      `${STRATUM_TOML}[failover]\nreturn_after = "${RETURN_MS}ms"\n${destinationToml(main, 'main')}${destinationToml(
        backup,
        'backup',
        'priority = 1',
      )}`,
    );
    const goesTo = (name: string) => async (): Promise<boolean> =>
      (await proxy.status()).destination === name;
    const accepted = async (name: string): Promise<number> =>
      proxy.metric(`upstream_combinations_total{target="${name}",verdicts="we_accepted_they_accepted"}`);
    await until(goesTo('main'), 'the main pool is used');
    const fleet = await miner(proxy.port);
    await until(async () => (await accepted('main')) > 5, 'shares go to the main pool');

    // Away for longer than the start, in which the best is used at once.
    void main.restart(RETURN_MS + 500);
    await until(goesTo('backup'), 'the backup is used');
    await until(async () => (await accepted('backup')) > 5, 'shares go to the backup');
    // It came back after the last look that found it away.
    let backAtMs = 0;
    await until(async () => {
      const lookMs = performance.now();
      const { up } = (await proxy.status()).destinations[0]!;
      if (!up) backAtMs = lookMs;
      return up;
    }, 'the main pool is back');
    await until(goesTo('main'), 'the hashrate returns');
    expect(performance.now() - backAtMs).toBeGreaterThanOrEqual(RETURN_MS);
    const [before] = [await accepted('main')];
    await until(async () => (await accepted('main')) > before + 5, 'shares go to the main pool again');

    expect((await fleet.refresh())[0]).toMatchObject({ connections: 1, connected: true });
    const { destinations, streams } = await proxy.status();
    for (const { name, credited } of destinations) {
      expect(streams.find(({ id }) => id === `own:${name}`)).toMatchObject({
        work_hashes: credited.work_hashes,
      });
    }
    expect(await proxy.metric('upstream_failovers_total')).toBeGreaterThanOrEqual(3);
    expect(await proxy.metric('upstream_sessions{target="main"}')).toBe(1);
    expect(
      await proxy.metric('upstream_disconnects_total{target="main",reason="upstream_closed"}'),
    ).toBeGreaterThan(0);
  });
});

describe('verdicts', () => {
  it('are counted by both sides, for every forwarded share', async () => {
    stand = new Stand();
    const pools = [await stand.pool({ bits: EASY_BITS }), await stand.pool({ bits: EASY_BITS })];
    const [left, right] = pools.map((pool, index) => destinationToml(pool, `pool${index}`, 'weight = 1'));
    const { mining, work } = await stand.mining(`${STRATUM_TOML}${left}${right}`);
    await until(() => mining.activeDestinations.length === 2, 'both are up');
    const { port } = mining.server.addresses()[0]!;
    const fleet = await startAsics(
      // All of them late at each block, so that no pool has the punctual ones alone.
      [0, 1, 2, 3].map((index) => ({
        ...{ host: '127.0.0.1', port, worker: `farm.${index}`, hashesPerSecond: 150_000 },
        behaviour: 'stale' as const,
      })),
    );
    stand.onClose(() => fleet.stop());
    const counts = mining.destinations.map(({ figures }) => figures.verdicts);
    await until(
      // No more than that: a pool whose miners are all late rests for as long as they are.
      () => counts.every((one) => one.weAcceptedTheyAccepted > 0 && one.weAcceptedTheyRejected > 0),
      'shares of a block just replaced: we pay for them, the pool does not',
    );
    for (const index of fleet.reports().keys()) fleet.setRate(index, 0);
    await until(async () => {
      const inFlight = mining.destinations.reduce((sum, { figures }) => sum + figures.sharesInFlight, 0);
      return inFlight === 0 && (await fleet.refresh()).every(({ pending }) => pending === 0);
    }, 'everything is answered');
    for (const [index, one] of counts.entries()) {
      const credits = [...pools[index]!.credits().values()];
      const accepted = credits.reduce((sum, { shares }) => sum + shares, 0);
      const rejected = credits.flatMap((credit) => Object.values(credit.rejected));
      expect(one.weAcceptedTheyAccepted + one.weRejectedTheyAccepted).toBe(accepted);
      expect(one.weAcceptedTheyRejected + one.weRejectedTheyRejected).toBe(
        rejected.reduce((sum, count) => sum + count, 0),
      );
      expect(one.weAcceptedTheyAccepted + one.weAcceptedTheyRejected).toBe(work.total(`pool${index}`).seq);
      expect(one.weAcceptedTheySilent + one.weRejectedTheySilent + one.incomplete).toBe(0);
    }
  });
});

describe('a pool behind TLS', () => {
  const { cert, key } = createTlsIdentity({ nowMs: systemClock.nowMs(), random: systemRandom });

  /** @returns its port */
  async function tlsBefore(pool: DevnetPool): Promise<number> {
    const server = createServer({ cert, key }, (secure: TLSSocket) => {
      const plain = connect(pool.port, pool.host);
      secure.on('error', () => plain.destroy());
      plain.on('error', () => secure.destroy());
      secure.pipe(plain).pipe(secure);
      stand.onClose(() => [secure.destroy(), plain.destroy()]);
    });
    server.on('tlsClientError', () => {});
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    stand.onClose(() => server.close());
    return (server.address() as AddressInfo).port;
  }

  it('is mined to only when its certificate is trusted, or none is asked for', async () => {
    stand = new Stand();
    const port = await tlsBefore(await stand.pool());
    stand.file('ca.pem', cert);
    const row = (name: string, more: string): string =>
      `[[destination]]\nname = "${name}"\nurl = "stratum+ssl://127.0.0.1:${port}"\nworker = "w"\n${more}\n`;
    const proxy = await stand.proxy(
      STRATUM_TOML +
        row('distrusted', '') +
        row('named', 'tls_ca_file = "ca.pem"\ntls_server_name = "pool.example"') +
        row('blind', 'tls_verify = false'),
    );
    await until(async () => (await proxy.status()).destination === 'blind', 'one is up');
    await until(async () => {
      const { destinations } = await proxy.status();
      return destinations.slice(0, 2).every(({ last_failure }) => last_failure !== null);
    }, 'the others failed');
    const { destinations } = await proxy.status();
    expect(destinations.map(({ up, tls }) => [up, tls])).toEqual([
      [false, true],
      [false, true],
      [true, true],
    ]);
    expect(destinations[0]!.last_failure).toMatch(/self-signed/);
    expect(destinations[1]!.last_failure).toMatch(/Hostname|altnames/);
    const fleet = await miner(proxy.port);
    await until(async () => (await fleet.refresh())[0]!.accepted > 3, 'shares are taken');
  });
});
