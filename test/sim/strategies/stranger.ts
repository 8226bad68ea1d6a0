import { toHex } from '../../../src/base/bytes.ts';
import { CodedError } from '../../../src/base/errors.ts';
import { sha256 } from '../../../src/base/hash.ts';
import { minerContributionSat } from '../../../src/channel/amounts.ts';
import { minerKeysOf } from '../../../src/channel/keys.ts';
import { nodeIdBytes, type Signer } from '../../../src/channel/signer.ts';
import { type ContractTerms, contractIdOf } from '../../../src/contract/terms.ts';
import { silentLogger } from '../../../src/log/logger.ts';
import { call } from '../../../src/peer/calls.ts';
import { authenticate } from '../../../src/peer/handshake.ts';
import { DEFAULT_RPC, RpcPeer } from '../../../src/peer/rpc-peer.ts';
import {
  chooseFundingSide,
  identityOfSigner,
  signTerms,
  walletScript,
} from '../../../src/settlement/opening.ts';
import type { Stage } from '../stage.ts';
import type { Strategy } from '../strategy.ts';
import { SIGNERS } from '../terms.ts';
import { paid } from './tools.ts';

const signer = SIGNERS.stranger;

/** An authenticated peer of the maker that is not its miner. */
export async function connect({ world, random }: Stage, as: Signer = signer): Promise<RpcPeer> {
  const link = await world.network.connectStranger();
  const { timers } = world.time;
  const peer = new RpcPeer(link, DEFAULT_RPC, { timers, log: silentLogger });
  await authenticate(peer, 'client', {
    ...{ identity: identityOfSigner(as), features: [], isKnown: () => true },
    ...{ genesisHash: world.chain.blockAt(0)!.hash, random, timers, timeoutMs: 10_000 },
  });
  peer.serve({ ping: async () => ({}) }, 'unknown_method');
  return peer;
}

/** Proposes contracts, opens them if wanted, and never funds one. */
async function propose(stage: Stage, count: number, isOpening: boolean, from = 0): Promise<void> {
  const { world } = stage;
  const peer = await connect(stage);
  for (let each = from; each < from + count; each += 1) {
    const nonceHex = toHex(sha256(Uint8Array.of(each)).subarray(0, 16));
    const terms: ContractTerms = { ...world.terms, minerNodeId: toHex(nodeIdBytes(signer)), nonceHex };
    await call(peer, 'contract.propose', { terms, signature: signTerms(terms, signer) });
    world.say(`a stranger proposes contract ${each + 1}`);
    if (!isOpening) continue;
    const funding = await chooseFundingSide(
      { contributionSat: minerContributionSat(terms), feeRateSatPerKvb: 2_000, reserved: new Set() },
      { chain: world.nodes.miner.connect(() => false), signer },
    );
    const contractId = contractIdOf(terms);
    const keys = minerKeysOf(signer.forChannel(each), terms);
    await call(peer, 'channel.open', { contractId, keys, payoutScript: walletScript(signer), funding });
    world.say(`a stranger opens contract ${each + 1}, and signs nothing`);
  }
}

const MINUTES = 30;

function locksOut(name: string, count: number, isOpening: boolean): Readonly<Record<string, Strategy>> {
  return {
    [name]: {
      what: `a stranger ${isOpening ? 'opens' : 'proposes'} contracts, and never funds one`,
      row: isOpening ? 'F17' : 'F16',
      hostile: [],
      options: () => ({
        policy: (usual) => ({
          ...usual,
          maxOpenContractsPerMiner: count,
          maxTotalBudgetSat: (isOpening ? 8n : 2n) * usual.maxBudgetSat,
        }),
      }),
      play: async (stage) => {
        await stage.world.kill('miner', 0);
        let problem: unknown;
        const proposed = propose(stage, count, isOpening).catch((error: unknown) => {
          problem = error;
        });
        await stage.rounds(4);
        await proposed;
        if (problem !== undefined && !(problem instanceof CodedError)) throw problem;
        const endMs = stage.world.time.clock.monotonicMs() + MINUTES * 60_000;
        stage.world.start('miner');
        while (stage.world.time.clock.monotonicMs() < endMs) {
          await stage.rounds(1);
          await stage.world.time.advance(60_000);
          if (stage.world.chain.mempoolSize > 0) await stage.block();
        }
        const channel = stage.world.miner?.status.channel;
        if (channel !== 'open' && channel !== 'funding')
          stage.find('an honest miner was kept out', `its channel is ${channel} after ${MINUTES} minutes`);
        await stage.liveOut();
      },
    },
  };
}

/** An opening has a minute here, and not ten: a look at it each quarter of a minute. */
const OPENING_MS = 60_000;
const LOOKS = 80;
const STRANGER_SHARE = 0.4;

/** Opens, signs nothing, and opens again as soon as the maker lets it. */
async function openAgain(stage: Stage): Promise<void> {
  const { world } = stage;
  let held = 0;
  for (let look = 0; look < LOOKS; look += 1) {
    const isHeld = world.maker?.status.some(
      ({ minerNodeId, channel }) => minerNodeId !== world.terms.minerNodeId && channel === 'opening',
    );
    if (isHeld === true) held += 1;
    else {
      let problem: unknown;
      const opened = propose(stage, 1, true, look).catch((error: unknown) => {
        problem = error;
      });
      await stage.rounds(2);
      await opened;
      if (problem !== undefined && !(problem instanceof CodedError)) throw problem;
    }
    await world.time.advance(OPENING_MS / 4);
    await stage.rounds(1);
  }
  if (held > LOOKS * STRANGER_SHARE)
    stage.find('coins are held again and again', `at ${held} of ${LOOKS} looks`);
}

const ROUNDS = 5;

/** Proposes as much as it may, each time that what it proposed before holds nothing any more. */
async function proposeAgain(stage: Stage): Promise<void> {
  const { world } = stage;
  const strange = (): number =>
    world.maker?.status.filter(({ minerNodeId }) => minerNodeId !== world.terms.minerNodeId).length ?? 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    let problem: unknown;
    const proposed = propose(stage, 2, false, 2 * round).catch((error: unknown) => {
      problem = error;
    });
    await stage.rounds(2);
    await proposed;
    if (problem !== undefined && !(problem instanceof CodedError)) throw problem;
    await world.time.advance(11 * 60_000);
    await stage.rounds(1);
    // Those that hold something, and as many that may still be opened.
    if (strange() > 4) stage.find('proposals stay', `${strange()} of a miner that may have two`);
  }
}

export const BY_STRANGER: Readonly<Record<string, Strategy>> = {
  ...locksOut('proposes-and-leaves', 2, false),
  ...locksOut('opens-and-leaves', 2, true),
  'proposes-again': {
    what: 'a stranger proposes contracts, and others each time that the maker holds nothing for them any more',
    row: 'F16',
    hostile: [],
    options: () => ({
      policy: (usual) => ({
        ...usual,
        maxOpenContractsPerMiner: 2,
        maxTotalBudgetSat: 8n * usual.maxBudgetSat,
      }),
    }),
    play: async (stage) => {
      await paid(stage, 1);
      await proposeAgain(stage);
      await stage.pay(1);
      await stage.liveOut();
    },
  },
  'opens-again': {
    what: 'a stranger opens a contract, never funds it, and does so again as soon as it may',
    row: 'F17',
    hostile: [],
    options: () => ({
      maker: { openingTimeoutMs: OPENING_MS },
      policy: (usual) => ({
        ...usual,
        maxOpenContractsPerMiner: 2,
        maxTotalBudgetSat: 8n * usual.maxBudgetSat,
      }),
    }),
    play: async (stage) => {
      if (await stage.open()) await stage.pay(1);
      await openAgain(stage);
      await stage.liveOut();
    },
  },
};
