import { afterEach, expect, it } from 'vitest';
import { startAsics } from '../../src/devnet/asic.ts';
import { startFaults } from '../../src/devnet/faults.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { evidenceOf } from '../e2e/evidence.ts';
import { closeAll, onClose, quiet, runProxy, startNode, startPool, until } from './braidpool-stage.ts';

afterEach(closeAll);

const DIFFICULTY = 2 ** -18;

it('whatever befalls node, audit node and pool, a share is credited once and to one', async () => {
  const { pool: behind, chain } = await startPool({
    difficulty: DIFFICULTY * 2,
    name: 'behind',
    notifyMs: 900,
  });
  const upstream = { host: behind.host, port: behind.port, username: 'node.audit' };
  const audit = await startNode({ audit: { upstream, minerDifficulty: DIFFICULTY } }, chain);
  const node = await startNode({ tipIntervalMs: 150, peerBeadsPerTip: 1 }, chain);
  const { pool } = await startPool({ difficulty: DIFFICULTY, name: 'pool' });
  const destination = (
    name: string,
    at: { readonly host: string; readonly port: number },
    more: string,
  ): string =>
    `[[destination]]\nname = "${name}"\nurl = "stratum+tcp://${at.host}:${at.port}"\nworker = "w.${name}"\n${more}\n`;
  const proxy = await runProxy(`
[stratum]
listen = "127.0.0.1:0"
difficulty = { mode = "fixed", start = ${DIFFICULTY}, min = ${DIFFICULTY} }
[failover]
return_after = "500ms"
${destination('audit', audit, `profile = "braidpool"\npayout_mode = "audit"\nrpc_url = "${audit.rpcUrl}"`)}
${destination('node', node, `profile = "braidpool"\npriority = 1\nrpc_url = "${node.rpcUrl}"`)}
${destination('pool', pool, 'priority = 2')}`);
  await until(async () => (await proxy.status()).destinations.every(({ up }) => up), 'the destinations');
  const miners = ['honest', 'flaky', 'duplicate', 'stale'] as const;
  const fleet = await startAsics(
    miners.map((behaviour, index) => ({
      ...{ host: '127.0.0.1', port: proxy.port, worker: behaviour, behaviour, hashesPerSecond: 100_000 },
      extranonceSubscribe: index % 2 === 0,
    })),
    { trackAccepted: true },
  );
  onClose(() => fleet.stop());
  const faults = startFaults(
    {
      ...{ seed: 20_261_121, restartsPerMinute: 6, dropsPerMinute: 6, ibdPerMinute: 4 },
      ...{ slowPerMinute: 4, silentPerMinute: 2, missingPerMinute: 4, duplicatePerMinute: 4 },
      spellMs: [200, 1_500],
    },
    [
      audit,
      node,
      pool,
      behind,
      {
        ...audit,
        name: 'audit rpc',
        faults: audit.rpcFaults,
        restart: async () => {},
        disconnectAll: () => {},
      },
    ],
    { log: silentLogger, print: () => {} },
  );
  onClose(() => faults.stop());
  await new Promise((resolve) => setTimeout(resolve, 8_000));
  await faults.stop();
  const before = fleet.acceptedHashes().length;
  await until(() => fleet.acceptedHashes().length > before + 20, 'shares afterwards');
  await quiet(fleet);
  const accepted = [...fleet.acceptedHashes()].sort();
  expect(new Set(accepted).size).toBe(accepted.length);
  const { destinations, shares } = await proxy.status();
  await proxy.running.close();
  const evidence = await evidenceOf(proxy.dataDir);
  const credited = [...evidence.values()].flatMap(({ hashes }) => hashes);
  expect(new Set(credited).size).toBe(credited.length);
  const unanswered = new Set(fleet.unansweredHashes());
  expect(credited.filter((hash) => !unanswered.has(hash)).sort()).toEqual(accepted);
  expect(credited.length).toBe(shares.accepted);
  expect(destinations.reduce((sum, { credited: each }) => sum + each.shares, 0)).toBe(credited.length);
  const taken = new Set([...audit.beads(), ...node.beads()].map(({ hash }) => hash));
  const known = new Set([...credited, ...unanswered]);
  const ours = audit.beads().filter(({ payoutAddress }) => payoutAddress === 'w');
  expect(ours.length).toBeGreaterThan(0);
  expect(taken.size).toBeGreaterThan(0);
  expect(ours.filter(({ hash }) => !known.has(hash))).toEqual([]);
});
