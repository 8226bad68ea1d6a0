import { beforeEach, describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { codeOf } from '../../src/base/errors.ts';
import type { TipTracker } from '../../src/chain/tip-tracker.ts';
import { nodeIdBytes, SeedSigner } from '../../src/channel/signer.ts';
import { contractIdOf, type TermsV3 } from '../../src/contract/terms.ts';
import { DEFAULT_BATCH_VERIFIER_OPTIONS } from '../../src/maker/batch-verifier.ts';
import { MakerMetering } from '../../src/maker/maker-metering.ts';
import type { MakerPolicy } from '../../src/maker/policy.ts';
import { ShareVerifier } from '../../src/maker/verification.ts';
import { DEFAULT_RPC, RpcPeer } from '../../src/peer/rpc-peer.ts';
import { METERING_KIND } from '../../src/settlement/metering-records.ts';
import { signTerms, verifyTermsSignature } from '../../src/settlement/opening.ts';
import { MemoryServer } from '../auditor/memory-links.ts';
import { VirtualTime } from '../base/virtual-time.ts';
import { recorder } from '../chain/log-recorder.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';
import { kernel, world } from './batch-stand.ts';
import { meteringTerms } from './metering-stand.ts';
import { MortalLedger, seedOf } from './world.ts';

const [one, other] = ['miner', 'another miner'].map((name) => {
  const signer = new SeedSigner({ seed: seedOf(name), network: 'regtest' });
  return { signer, nodeId: toHex(nodeIdBytes(signer)) };
}) as [Miner, Miner];
type Miner = { readonly signer: SeedSigner; readonly nodeId: string };

/** The meterings of a maker, with its time, its disk and its policy in hand. */
class Stand {
  readonly time = new VirtualTime();
  readonly ledger = new MortalLedger(new MemoryLedger());
  readonly lines = recorder();
  /** Proposals that were counted, by miner. */
  readonly counted: string[] = [];
  policy: MakerPolicy = { ...world.policy, bindings: [], meters: true, maxOpenContractsPerMiner: 2 };
  tip: TipTracker['tip'];
  metering!: MakerMetering;

  async start(hasChain = true): Promise<this> {
    const { clock, timers } = this.time;
    const view = { tip: undefined, standing: async () => ({ status: 'unknown' }) };
    Object.defineProperty(view, 'tip', { get: () => this.tip });
    this.metering = new MakerMetering(
      {
        ...{ nodeId: world.terms.makerNodeId, policy: () => this.policy },
        verification: { ...DEFAULT_BATCH_VERIFIER_OPTIONS, unknownBlockWaitMs: 0 },
        countProposal: (nodeId) => this.counted.push(nodeId),
      },
      {
        ...{ ledger: this.ledger, signer: world.makerSigner, clock, timers, log: this.lines.log },
        ...{ verifier: new ShareVerifier({ kernel }), onChange: () => {} },
        view: hasChain ? (view as unknown as TipTracker) : undefined,
      },
    );
    await this.metering.load();
    return this;
  }

  termsOf({ nodeId }: Miner, changes: Partial<TermsV3> = {}): TermsV3 {
    return meteringTerms(world.terms, { ...changes, minerNodeId: nodeId });
  }

  /** What the proposal of a miner comes to: the id of its contract, or a code. */
  async propose(miner: Miner, changes: Partial<TermsV3> = {}, nodeId = miner.nodeId): Promise<string> {
    const terms = this.termsOf(miner, changes);
    return this.metering
      .propose({ terms, signature: signTerms(terms, miner.signer) }, nodeId)
      .then((answer) => (answer === undefined ? 'none of its business' : answer.contractId), codeOf);
  }

  /** A connection of a miner: what the maker has of it. */
  async connect(): Promise<RpcPeer> {
    const server = new MemoryServer();
    const deps = { timers: this.time.timers, log: this.lines.log };
    let peer!: RpcPeer;
    await server
      .open({
        ...deps,
        onConnection: (connection) => {
          peer = new RpcPeer(connection, DEFAULT_RPC, deps);
        },
      })
      .listen();
    await server.connect({} as never, deps as never);
    return peer;
  }
}

const nonce = (index: number): Partial<TermsV3> => ({ nonceHex: index.toString(16).padStart(32, '0') });

let stand: Stand;
beforeEach(async () => {
  stand = await new Stand().start();
});

describe('a metering', () => {
  it('is taken once, signed by both and on disk, and counted as one proposal', async () => {
    const asked = [stand.propose(one), stand.propose(one), stand.propose(one)];
    const answers = await Promise.all(asked);
    const contractId = contractIdOf(stand.termsOf(one));
    expect(answers).toEqual([contractId, contractId, contractId]);
    expect(await stand.ledger.list(METERING_KIND)).toHaveLength(1);
    expect(stand.counted).toEqual([one.nodeId]);
    expect(stand.lines.lines.filter(([, , text]) => text === 'metering accepted')).toEqual([
      ['info', { contract: contractId, nodeId: one.nodeId }, 'metering accepted'],
    ]);
    const before = stand.metering.status;
    await stand.start();
    expect(stand.metering.status).toEqual(before);
    const { role, makerSignature, minerSignature } = stand.metering.find(contractId, one.nodeId)!.record;
    expect(role).toBe('maker');
    verifyTermsSignature(stand.termsOf(one), toHex(nodeIdBytes(world.makerSigner)), makerSignature);
    verifyTermsSignature(stand.termsOf(one), one.nodeId, minerSignature);
  });

  it('is of its miner alone: nobody else finds it, attaches to it, or has it by its terms', async () => {
    const contractId = await stand.propose(one);
    const { metering } = stand;
    expect(metering.find(contractId, other.nodeId)).toBe(undefined);
    expect(metering.find('ab'.repeat(32), one.nodeId)).toBe(undefined);
    const peer = await stand.connect();
    const handlers = metering.handlers(peer, other.nodeId);
    for (const method of ['meter.attach', 'meter.end'] as const)
      expect(await handlers[method]!({ contract_id: contractId }).catch(codeOf)).toBe('unknown_channel');
    expect(await stand.propose(one, {}, other.nodeId)).toBe('bad_terms');
    expect(metering.status.map(({ connected }) => connected)).toEqual([false]);
    // Its own miner does.
    const own = metering.handlers(peer, one.nodeId);
    expect(await own['meter.attach']!({ contract_id: contractId })).toMatchObject({ ended: false });
    expect(metering.status[0]?.connected).toBe(true);
    expect(await own['meter.end']!({ contract_id: contractId })).toEqual({});
    expect(metering.status[0]).toMatchObject({ status: 'ended', endReason: 'asked' });
    peer.close();
  });

  it('is not taken with a channel, without the signature of its miner, or where the disk has no room', async () => {
    const withChannel = world.proposed;
    expect(
      await stand.metering.propose({ terms: withChannel, signature: '00'.repeat(64) }, one.nodeId),
    ).toBe(undefined);
    const forged = { terms: stand.termsOf(one), signature: signTerms(stand.termsOf(other), one.signer) };
    expect(await stand.metering.propose(forged, one.nodeId).catch(codeOf)).toBe('bad_signature');
    expect(stand.counted).toEqual([]);
    stand.ledger.deathAt = () => 'refused';
    expect(await stand.propose(one)).toBe('overload');
    expect(stand.metering.status).toEqual([]);
    stand.ledger.deathAt = () => undefined;
    expect(await stand.propose(one)).toHaveLength(64);
  });

  it('is one of so many of a miner that run, whatever others have, and of those that ended', async () => {
    const ids = [await stand.propose(one, nonce(1)), await stand.propose(one, nonce(2))];
    expect(await stand.propose(one, nonce(3))).toBe('bad_terms');
    expect(await stand.propose(other, nonce(4))).toHaveLength(64);
    await stand.metering.requestEnd(ids[0]!);
    expect(await stand.propose(one, nonce(3))).toHaveLength(64);
    expect(await stand.propose(one, nonce(5))).toBe('bad_terms');
    expect(await stand.metering.requestEnd('ab'.repeat(32)).catch(codeOf)).toBe('unknown_channel');
  });

  it('ends above the tip of the own node, where there is one', async () => {
    const at = { expiryHeight: 100, fundingByHeight: 99 };
    const tip = (height: number) => ({ height, hash: '', timeSeconds: 0 });
    stand.tip = tip(100) as TipTracker['tip'];
    expect(await stand.propose(one, at)).toBe('bad_terms');
    stand.tip = tip(99) as TipTracker['tip'];
    expect(await stand.propose(one, at)).toHaveLength(64);
    const blind = await new Stand().start(false);
    expect(await blind.propose(one, at)).toHaveLength(64);
  });
});

describe('all of them', () => {
  it('end with their own heights', async () => {
    const early = await stand.propose(one, { ...nonce(1), expiryHeight: 100, fundingByHeight: 99 });
    const late = await stand.propose(other, { ...nonce(2), expiryHeight: 200, fundingByHeight: 99 });
    const ended = async (height: number): Promise<string[]> => {
      stand.metering.onTip(height);
      await stand.metering.stop();
      return stand.metering.status.flatMap(({ contractId, status }) =>
        status === 'ended' ? [contractId] : [],
      );
    };
    expect(await ended(99)).toEqual([]);
    expect(await ended(100)).toEqual([early]);
    expect(await ended(200)).toEqual([early, late]);
  });

  it('of a miner are heard of with it, and those of nobody else', async () => {
    const ids = [await stand.propose(one, nonce(1)), await stand.propose(one, nonce(2))];
    const foreign = await stand.propose(other, nonce(3));
    const peer = await stand.connect();
    const meters = [...ids.map((id) => [id, one] as const), [foreign, other] as const].map(
      ([contractId, { nodeId }]) => stand.metering.find(contractId, nodeId)!,
    );
    for (const meter of meters) await meter.attach(peer, { contractId: meter.contractId });
    await stand.time.advance(1_000);
    stand.metering.touch(one.nodeId);
    expect(meters.map(({ batchVerifier }) => batchVerifier.contactAtMonotonicMs)).toEqual([
      ...[1_000, 1_000, 0],
    ]);
    peer.close();
  });

  it('are waited for at the end of the program', async () => {
    const contractId = await stand.propose(one);
    const meter = stand.metering.find(contractId, one.nodeId)!;
    let isOver = false;
    void meter.requestEnd().then(() => {
      isOver = true;
    });
    await stand.metering.stop();
    await stand.time.settle();
    expect(isOver).toBe(true);
    expect(meter.state.status).toBe('ended');
  });
});
