import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { codeOf } from '../../src/base/errors.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { signCommitment } from '../../src/channel/commitment.ts';
import { type SignedState, signState } from '../../src/channel/states.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { MakerStore } from '../../src/maker/maker-store.ts';
import { call, handler } from '../../src/peer/calls.ts';
import { createTlsIdentity } from '../../src/peer/certificate.ts';
import type { CommitmentOffer } from '../../src/peer/commitment-codecs.ts';
import { authenticate } from '../../src/peer/handshake.ts';
import { RpcPeer } from '../../src/peer/rpc-peer.ts';
import { DEFAULT_TRANSPORT, PeerServer } from '../../src/peer/transport.ts';
import { type AssembledChannel, identityOfSigner } from '../../src/settlement/opening.ts';
import { RPC, random } from '../peer/tls-pair.ts';
import { MAKER_SCRIPT_HEX, SHARE, until, World } from './world.ts';

/** A maker with the right keys that follows the protocol up to the states, which the tests write for it. */
class HostileMaker {
  readonly #world: World;
  readonly #server: PeerServer;
  peer: RpcPeer | undefined;
  assembled: AssembledChannel | undefined;

  constructor(world: World) {
    this.#world = world;
    this.#server = new PeerServer(
      {
        ...DEFAULT_TRANSPORT,
        host: '127.0.0.1',
        port: world.port,
        maxConnections: 4,
        tls: createTlsIdentity({ random, nowMs: Date.now() }),
      },
      {
        log: silentLogger,
        timers: systemTimers,
        onConnection: (connection) => {
          const peer = new RpcPeer(connection, RPC, { timers: systemTimers, log: silentLogger });
          authenticate(peer, 'server', {
            timers: systemTimers,
            identity: identityOfSigner(world.makerSigner),
            genesisHash: world.chain.blockAt(0)!.hash,
            features: [],
            isKnown: () => true,
            random,
            timeoutMs: 5_000,
          }).then(
            () => this.#serve(peer),
            () => {},
          );
        },
      },
    );
  }

  #serve(peer: RpcPeer): void {
    peer.serve(
      {
        ping: async () => ({}),
        'channel.reestablish': handler('channel.reestablish', async ({ n, nextSeq }) => {
          setImmediate(() => {
            this.peer = peer;
          });
          return { n, state: undefined, nextSeq, verifiedWork: 0n };
        }),
        'channel.ready': handler('channel.ready', async () => ({})),
      },
      'unknown_method',
    );
  }

  start(): Promise<number> {
    return this.#server.listen();
  }

  /** Asks the miner to take a state; the code of its answer. */
  async sign(state: SignedState, commitment?: CommitmentOffer): Promise<string> {
    try {
      const { contractId } = this.#world;
      const more = commitment === undefined ? {} : { commitment };
      const answer = await call(this.peer!, 'state.sign', { contractId, state, ...more });
      return answer.commitmentSignature === undefined ? `acked ${answer.n}` : `signed ${answer.n}`;
    } catch (error) {
      return codeOf(error);
    }
  }

  async close(): Promise<void> {
    await this.#server.close();
  }
}

describe('a maker that signs what it should not', () => {
  const world = new World();
  let hostile: HostileMaker;
  let signed: (n: number, workHashes: bigint) => SignedState;

  beforeAll(async () => {
    await world.open();
    await world.work(4);
    await until('state 1', () => world.maker.status[0]!.ackedN === 1);
    await world.maker.close();
    const { makerStore: ledger, makerSigner: signer } = world;
    const deps = { ledger, signer, clock: systemClock, timers: systemTimers, log: silentLogger };
    const store = (await MakerStore.load(world.contractId, deps))!;
    const keys = signer.forChannel(store.contract.channelIndex);
    signed = (n, workHashes) => signState(store.assembled!.params, n, workHashes, keys);
    await world.deliver(world.find(world.job({ payScriptHex: MAKER_SCRIPT_HEX }), 4));
    hostile = new HostileMaker(world);
    hostile.assembled = store.assembled;
    await hostile.start();
    await until('connected', () => hostile.peer !== undefined && world.miner.status.connected);
  });
  afterAll(async () => {
    await world.stop();
    await hostile.close();
  });

  const work = 8n * SHARE.workHashes;
  const flip = (hex: string): string => `${hex.slice(0, 20)}${hex[20] === '0' ? '1' : '0'}${hex.slice(21)}`;

  it.each<[string, () => SignedState, string]>([
    ['one sat moved', () => ({ ...signed(2, work), paidSat: signed(2, work).paidSat - 1n }), 'bad_amount'],
    ['work moved', () => ({ ...signed(2, work), workHashes: work - 1n }), 'bad_amount'],
    ['a lower number', () => signed(0, 0n), 'wrong_state_number'],
    ['a number skipped', () => signed(3, work), 'wrong_state_number'],
    ['less work', () => signed(2, 3n * SHARE.workHashes), 'not_monotone'],
    ['the same work', () => signed(2, 4n * SHARE.workHashes), 'not_monotone'],
    ['more work than was delivered', () => signed(2, work + 1n), 'bad_amount'],
    ['more than the budget', () => ({ ...signed(2, work), paidSat: 1_000_001n }), 'over_budget'],
    ['more than the total', () => ({ ...signed(2, work), workHashes: 100_001n }), 'over_budget'],
    [
      'a wrong signature on one rung',
      () => {
        const state = signed(2, work);
        return {
          ...state,
          signatures: state.signatures.map((each, rung) => (rung === 2 ? flip(each) : each)),
        };
      },
      'bad_signature',
    ],
    [
      'a rung left out',
      () => ({ ...signed(2, work), signatures: signed(2, work).signatures.slice(1) }),
      'bad_signature',
    ],
    [
      'a wrong receipt',
      () => ({ ...signed(2, work), receiptSignature: flip(signed(2, work).receiptSignature) }),
      'bad_signature',
    ],
    [
      'the signatures of another state',
      () => ({ ...signed(2, work), signatures: signed(2, work - 1n).signatures }),
      'bad_signature',
    ],
  ])('%s is refused and changes nothing', async (_name, make, code) => {
    expect(await hostile.sign(make())).toBe(code);
    expect(world.miner.status).toMatchObject({ signed: { n: 1 }, frozen: undefined, connected: true });
    expect([...(await world.states(world.minerStore)).keys()]).toEqual([0, 1]);
  });

  it('a commitment that the evidence does not bear out costs its ack, and neither the state nor the close', async () => {
    const root = new Uint8Array(32);
    const offer = {
      baseN: 1,
      nextSeq: 8,
      refused: [],
      shareRoot: root,
      jobSetRoot: root,
      faultLogHead: root,
    };
    const state = signed(2, work);
    const { params } = hostile.assembled!;
    const signature = signCommitment(params, { ...offer, n: 2, workHashes: work }, world.makerSigner);
    expect(await hostile.sign(state, { ...offer, signature: flip(signature) })).toBe('bad_signature');
    expect(await hostile.sign(state, { ...offer, signature })).toBe('bad_commitment');
    expect(world.miner.status).toMatchObject({ signed: { n: 2 }, frozen: undefined, live: true });
    expect((await world.minerStore.list('commitment')).map(({ id }) => id.slice(-1))).toEqual(['1']);
    const other = { ...offer, baseN: 0 };
    const unknown = signCommitment(params, { ...other, n: 2, workHashes: work }, world.makerSigner);
    expect(await hostile.sign(state, { ...other, signature: unknown })).toBe('acked 2');
  });

  it('the right one is taken, a repetition acked again, and another content for it ends the contract', async () => {
    expect(await hostile.sign(signed(2, work))).toBe('acked 2');
    expect(await hostile.sign(signed(2, work))).toBe('acked 2');
    expect(await hostile.sign(signed(2, work - 1n))).toBe('equivocation');
    expect(world.miner.status).toMatchObject({ signed: { n: 2 }, live: false, frozen: expect.any(String) });
    expect(await hostile.sign(signed(3, work))).toBe('channel_frozen');
    const [proof] = await world.minerStore.list('equivocation');
    expect(proof?.id).toBe(`${world.contractId}:0000000002`);
    await until('closed alone', () => world.chain.mempoolEntries().length === 1);
    const stored = await world.minerStore.get('channel', world.contractId);
    expect(JSON.parse(stored!)).toMatchObject({ status: 'closing', reason: 'alone', n: 2 });
  });

  it('a state of another channel is unknown', async () => {
    const state = signed(2, work);
    const error = await call(hostile.peer!, 'state.sign', { contractId: '00'.repeat(32), state }).catch(
      codeOf,
    );
    expect(error).toBe('unknown_channel');
  });
});
