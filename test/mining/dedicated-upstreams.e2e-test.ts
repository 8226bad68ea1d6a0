import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { concat } from '../../src/base/bytes.ts';
import { systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { targetOfDifficulty, targetToHex } from '../../src/bitcoin/target.ts';
import { type AsicFleet, startAsics } from '../../src/devnet/asic/asic.ts';
import { type BraidpoolNode, startBraidpoolNode } from '../../src/devnet/braidpool/braidpool-node.ts';
import { DevnetChain } from '../../src/devnet/chain/chain.ts';
import { startDevnetPool } from '../../src/devnet/pool/pool.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { ShareVerifier } from '../../src/maker/verification.ts';
import { checkJob, checkShare, shareRulesOf } from '../../src/settlement/share-rules.ts';
import { createKernel } from '../../src/shares/kernel/create-kernel.ts';
import { JOB_KIND, jobDocumentId, parseJobDocument } from '../../src/work/evidence.ts';
import { readShares } from '../../src/work/evidence-lines.ts';
import { ShareRows } from '../../src/work/share-rows.ts';
import { makeTerms } from '../channel/fixtures.ts';
import { judgedNow } from '../maker/share-cases.ts';
import { FakePool, ok, plainPool } from '../upstream/fake-pool.ts';
import { call, notify } from '../upstream/work.ts';
import { DIFFICULTY, destinationToml, type MiningStand, STRATUM_TOML, Stand, until } from './stand.ts';

let stand: Stand;
beforeEach(() => {
  stand = new Stand();
});
afterEach(() => stand.close());

/** A node in audit mode before a pool of its own. */
async function auditNode(): Promise<BraidpoolNode> {
  const deps = { log: silentLogger, clock: systemClock, random: systemRandom };
  const chain = new DevnetChain({ bits: 0x1e00ffff }, { clock: systemClock });
  const pool = await startDevnetPool({ difficulty: DIFFICULTY * 4, notifyMs: 1_000 }, { ...deps, chain });
  const upstream = { host: pool.host, port: pool.port, username: 'node.audit' };
  const node = await startBraidpoolNode(
    { audit: { upstream, minerDifficulty: DIFFICULTY } },
    { ...deps, chain },
  );
  stand.onClose(() => pool.close());
  stand.onClose(() => node.close());
  return node;
}

async function world(): Promise<MiningStand & { readonly fleet: AsicFleet; readonly node: BraidpoolNode }> {
  const node = await auditNode();
  const pool = await stand.pool();
  const made = await stand.mining(`${STRATUM_TOML}
[[destination]]
name = "sold"
url = "stratum+tcp://${node.host}:${node.port}"
worker = "buyer"
profile = "braidpool"
payout_mode = "audit"
role = "contract"
${destinationToml(pool, 'own')}`);
  await until(() => made.mining.destinations.every(({ health }) => health.isUp), 'the destinations');
  const spec = {
    host: '127.0.0.1',
    port: made.mining.server.addresses()[0]!.port,
    hashesPerSecond: 120_000,
  };
  const fleet = await startAsics(
    [
      { ...spec, worker: 'told', extranonceSubscribe: true },
      { ...spec, worker: 'untold' },
    ],
    { trackAccepted: true },
  );
  stand.onClose(() => fleet.stop());
  return { ...made, fleet, node };
}

const contract = { destination: 'sold', difficulty: DIFFICULTY };

describe('work for a contract, by connections of single miners', () => {
  it('flows while it is wanted and at no other time, to the contract of now', async () => {
    const { mining, meters, fleet } = await world();
    const sold = (contract: string): number => meters.total(contract).seq;
    const own = (): number => meters.total('own:own').seq;
    await until(() => own() > 10, 'own work');
    expect(fleet.reports().map(({ connections }) => connections)).toEqual([1, 1]);

    mining.setContract({ ...contract, contractId: 'c1', isDelivering: true });
    await until(() => sold('c1') > 20, 'sold work');
    mining.setContract({ ...contract, contractId: 'c1', isDelivering: false });
    const kept = own();
    await until(() => own() > kept + 10, 'own work again');
    const atPause = sold('c1');
    await until(() => mining.destinations[0]!.figures.links!.attached === 0, 'all have left');
    const later = own();
    await until(() => own() > later + 20, 'more own work');
    expect(sold('c1')).toBe(atPause);

    mining.setContract({ ...contract, contractId: 'c1', isDelivering: true });
    await until(() => sold('c1') > atPause + 10, 'sold work again');
    mining.setContract({ ...contract, contractId: 'c2', isDelivering: true });
    mining.endContract('c1');
    await until(() => sold('c2') > 20, 'work for the next contract');
    const [told, untold] = await fleet.stop();
    expect(told!.connections).toBe(1);
    expect(untold!.connections).toBe(4);
    expect(new Set(fleet.acceptedHashes()).size).toBe(fleet.acceptedHashes().length);
  });

  it('costs no connection when its contract pauses for a moment, and is not sold meanwhile', async () => {
    const { mining, meters, fleet } = await world();
    const sold = (): number => meters.total('c1').seq;
    const own = (): number => meters.total('own:own').seq;
    const untold = async (): Promise<number> => (await fleet.refresh())[1]!.connections;
    mining.setContract({ ...contract, contractId: 'c1', isDelivering: true });
    await until(() => sold() > 20, 'sold work');
    const before = await untold();
    for (let pause = 0; pause < 2; pause += 1) {
      mining.setContract({ ...contract, contractId: 'c1', isDelivering: false });
      const kept = own();
      await until(() => own() > kept + 10, 'own work of the one that can be told');
      const atPause = sold();
      await until(() => own() > kept + 20, 'more own work');
      expect(sold()).toBe(atPause);
      mining.setContract({ ...contract, contractId: 'c1', isDelivering: true });
      await until(() => sold() > atPause + 20, 'sold work again');
    }
    expect(await untold()).toBe(before);
  });

  it('is what the buyer can verify from the job and the share alone', async () => {
    const { mining, ledger, fleet, node } = await world();
    mining.setContract({ ...contract, contractId: 'c1', isDelivering: true });
    await until(() => mining.destinations[0]!.figures.shares.accepted > 30, 'sold work');
    await fleet.stop();
    const terms = makeTerms({
      binding: { type: 'none' },
      maxTargetHex: targetToHex(targetOfDifficulty(DIFFICULTY)),
    });
    const rules = shareRulesOf(terms, true);
    const verifier = new ShareVerifier({
      kernel: createKernel(64),
    });
    const cases = [];
    const extranonces = new Set<string>();
    for await (const { share } of readShares(ledger, 'c1')) {
      const job = parseJobDocument((await ledger.get(JOB_KIND, jobDocumentId(share.jobId)))!);
      expect(checkJob(terms, job)).toBeUndefined();
      expect(
        checkShare(rules, job, ShareRows.of([share]), 0, rules.maxTarget, systemClock.nowMs()),
      ).toBeUndefined();
      expect([share.extranonce1.length, share.extranonce2.length, job.extranonceSize]).toEqual([0, 1, 1]);
      extranonces.add(Buffer.from(concat(job.coinb1.slice(-11, -5))).toString('hex'));
      cases.push({
        share,
        job,
        code: undefined,
        target: verifier.targetOf(share.difficulty),
        hash: undefined,
      });
    }
    judgedNow(cases, (each) => verifier.hashAll('contract', each));
    expect(cases.filter(({ code }) => code !== undefined)).toEqual([]);
    expect(cases.length).toBeGreaterThan(30);
    expect(extranonces.size).toBe(2);
    expect(node.beads().length).toBeGreaterThan(30);
  });
});

describe('a destination that begins to leave too little', () => {
  it('gets a connection for each session it has', async () => {
    const pool = await FakePool.listen((request, peer) => {
      if (request.method !== 'mining.authorize') return plainPool(request, peer);
      peer.send(ok(request, true), notify({ jobId: 'first', bits: '207fffff' }));
      return undefined;
    });
    stand.onClose(() => pool.close());
    const { mining } = await stand.mining(`${STRATUM_TOML}
[[destination]]
name = "pool"
url = "stratum+tcp://127.0.0.1:${pool.port}"
worker = "w"`);
    await until(() => mining.destination === 'pool', 'the pool');
    const spec = { host: '127.0.0.1', port: mining.server.addresses()[0]!.port, hashesPerSecond: 10_000 };
    const fleet = await startAsics([
      { ...spec, worker: 'told', extranonceSubscribe: true },
      { ...spec, worker: 'untold' },
    ]);
    stand.onClose(() => fleet.stop());
    const places = (): string[] => mining.server.sessions().map(({ destination }) => destination);
    await until(() => places().join() === 'pool,pool', 'both share');
    expect(mining.destinations[0]!.figures.links).toMatchObject({ attached: 0, spare: 0 });
    pool.peer.send(call('mining.set_extranonce', ['0a0b0c0d', 1]), notify({ jobId: 'second' }));
    const own = (): number => places().filter((place) => place.startsWith('pool#')).length;
    await until(() => own() === 2, 'each has its own');
    expect(places()).toHaveLength(2);
    const [told, untold] = await fleet.refresh();
    expect([told!.connections, untold!.connections]).toEqual([1, 2]);
  });
});
