import { signedStateToJson, signState } from '../../../src/channel/states.ts';
import { bondsOf } from '../../../src/contract/bond-terms.ts';
import { codecsOf } from '../../../src/peer/messages.ts';
import { ShareRows } from '../../../src/work/share-rows.ts';
import { CALM_SAT_PER_KVB } from '../node.ts';
import { storedOf } from '../outcome.ts';
import type { Stage } from '../stage.ts';
import type { Strategy } from '../strategy.ts';
import { MARGINS } from '../terms.ts';
import {
  ackedSat,
  alterHeard,
  alterLines,
  channelKeys,
  itself,
  paid,
  paramsOf,
  rob,
  send,
  silentOn,
} from './tools.ts';

const hostile = ['maker'] as const;
const step = (stage: Stage): Promise<void> => rob(stage);

/** Work up to less than the limit, and then more than is left to it at once. */
async function passLimit(stage: Stage): Promise<void> {
  for (const count of [4, 2, 4]) {
    stage.world.work(count);
    await stage.rounds(2);
  }
}

async function secondContent(stage: Stage): Promise<void> {
  const { world } = stage;
  const [params, keys] = [await paramsOf(world), await channelKeys(world, 'maker')];
  const last = (await storedOf(world, 'miner'))?.last;
  if (params === undefined || keys === undefined || last === undefined || last.n === 0) return;
  const other = signState(params, last.n, last.workHashes - 1n - BigInt(stage.random.below(3)), keys);
  const request = { contract_id: world.contractId, state: signedStateToJson(other) };
  world.say(`the maker signs another state ${last.n}`);
  world.network.inject(
    'maker',
    JSON.stringify({ jsonrpc: '2.0', id: 9_000 + stage.height, method: 'state.sign', params: request }),
  );
}

export const BY_MAKER: Readonly<Record<string, Strategy>> = {
  'second-content': {
    what: 'the maker signs another content for the newest state',
    row: 'F1',
    hostile,
    step,
    play: async (stage) => {
      await paid(stage, 1 + stage.random.below(4));
      await secondContent(stage);
      await stage.rounds(2);
      await stage.noise(stage.random.below(20));
      await stage.liveOut();
    },
  },
  'second-content-at-stake': {
    what: 'the maker signs two contents where an early close forfeits bonds, and the miner starts anew',
    row: 'F1',
    hostile,
    options: () => ({
      terms: { bonds: { bondMode: 'forfeit_to_mm', makerBondSat: 30_000n, collateralSat: 40_000n } },
      policy: (usual) => ({ ...usual, stakes: { ...usual.stakes!, bondModes: ['forfeit_to_mm'] } }),
    }),
    step,
    play: async (stage) => {
      await paid(stage, 2);
      await secondContent(stage);
      await stage.rounds(2);
      await stage.world.kill('miner', 0);
      // The rest of the work vests with what was paid: the deadline closes, and no proof does before.
      await stage.liveOut();
    },
    judge: ({ world: { terms, rules } }, { close }) => {
      if (close === undefined) return [{ rule: 'bonds were forfeited for nothing', seen: 'never closed' }];
      if (close.height >= terms.expiryHeight - MARGINS.askBlocks) return [];
      // One that died before the proof was on disk closes with the maker, which gives the bonds back.
      const { collateralSat } = bondsOf(terms);
      const dueSat = ackedSat(rules) + terms.minerReserveSat + collateralSat;
      const gotSat = close.minerSat + close.feeSat;
      if (gotSat >= dueSat) return [];
      return [
        { rule: 'bonds were forfeited for nothing', seen: `closed at ${close.height}: ${gotSat} sat` },
      ];
    },
  },
  'bad-states': {
    what: 'the maker offers a state whose signatures do not verify',
    row: 'table: the maker stops signing',
    hostile,
    step,
    begin: (stage) => {
      const from = stage.random.below(3);
      alterLines(stage.world, ({ about, message }) => {
        const state = message.params?.['state'] as { n: number; signatures: string[] } | undefined;
        if (about !== 'state.sign' || state === undefined || state.n <= from) return [message];
        const signatures = state.signatures.map(
          (each) => `${each.slice(0, -1)}${each.endsWith('0') ? '1' : '0'}`,
        );
        return [{ ...message, params: { ...message.params, state: { ...state, signatures } } }];
      });
    },
    play: async (stage) => {
      await paid(stage, 4);
      await stage.liveOut();
    },
  },
  'stops-signing': {
    what: 'the maker takes work and signs no more',
    row: 'table: the maker stops signing',
    hostile,
    step,
    begin: (stage) => {
      const from = stage.random.below(4);
      silentOn(stage, ['state.sign', 'channel.reestablish'], () => stage.world.rules.ackedN >= from);
    },
    play: async (stage) => {
      await paid(stage, 4 + stage.random.below(5));
      await stage.noise(stage.random.below(20));
      await stage.liveOut();
    },
  },
  'shares-in-flight': {
    what: 'the maker signs no more, and shares that were found together pass the limit together',
    row: 'F10',
    hostile,
    begin: (stage) => silentOn(stage, ['state.sign']),
    play: async (stage) => {
      if (await stage.open()) await passLimit(stage);
      const { terms, shareWorkHashes, miner } = stage.world;
      const most = BigInt(terms.maxUnpaidSteps) * terms.stepHashes + shareWorkHashes;
      const unpaid = miner?.status.exposureHashes ?? 0n;
      if (unpaid > most) stage.find('more is unpaid than was promised', `${unpaid} of ${most} hashes`);
      await stage.liveOut();
    },
    step,
  },
  'maker-vanishes': {
    what: 'the maker is gone, but for its refund',
    row: 'table: the maker is offline',
    hostile,
    step,
    play: async (stage) => {
      const isOpen = await stage.open();
      if (isOpen) await stage.pay(stage.random.below(4));
      await stage.vanish('maker');
      stage.world.work(4);
      await stage.noise(stage.random.below(20));
      await stage.vanish('maker');
      await stage.liveOut();
    },
  },
  'refund-before-time': {
    what: 'the maker broadcasts its refund at every block, also long before the expiry',
    row: 'table: the maker broadcasts early',
    hostile,
    step: (stage) => rob(stage, 100_000),
  },
  'no-common-close': {
    what: 'the maker never answers where both would close',
    row: 'table: the maker refuses the common close',
    hostile,
    step,
    begin: (stage) => silentOn(stage, ['channel.shutdown', 'close.sig']),
  },
  'state-behind-the-close': {
    what: 'the maker keeps a state back until the miner has made its close',
    row: 'F14',
    hostile,
    begin: (stage) => {
      const kept: string[] = [];
      alterLines(stage.world, (told) => {
        if (told.about !== 'state.sign' || stage.left < 0 || stage.world.rules.ackedN < 1)
          return [told.message];
        kept.push(told.line.text);
        return [];
      });
      stage.world.nodes.miner.onTaken = () => {
        for (const text of kept.splice(0)) stage.world.network.inject('maker', text);
      };
    },
    step,
    play: async (stage) => {
      await paid(stage, 2);
      await stage.noise(stage.random.below(10));
      stage.world.work(4);
      await stage.rounds(1);
      const isByHand = stage.random.below(2) === 0;
      if (isByHand) void stage.world.miner?.closeAlone().catch(() => {});
      await stage.liveOut();
    },
  },
  'invalid-close': {
    what: 'the maker signs the common close with a signature that does not verify',
    row: 'F13',
    hostile,
    step,
    begin: (stage) => {
      stage.world.nodes.maker.isMute = true;
      alterLines(stage.world, ({ about, message }) => {
        const hex = about === 'close.sig' ? message.result?.['close_tx'] : undefined;
        if (typeof hex !== 'string') return [message];
        // Inside the first signature of the witness.
        const at = hex.indexOf('0220') + 20;
        const other = `${hex.slice(0, at)}${hex[at] === '0' ? '1' : '0'}${hex.slice(at + 1)}`;
        return [{ ...message, result: { close_tx: other } }];
      });
    },
    play: async (stage) => {
      // The opening needs both.
      stage.world.nodes.maker.isMute = false;
      await paid(stage, 1 + stage.random.below(3));
      stage.world.nodes.maker.isMute = true;
      void stage.world.miner?.close();
      await stage.rounds(3);
      if (stage.world.miner?.status.channel === 'open') {
        // A daemon that died before the command was on disk is told again.
        void stage.world.miner.close();
        await stage.rounds(3);
      }
      stage.marks.set('asked', stage.height);
      await stage.liveOut();
    },
    judge: (stage, { close }) => {
      const asked = stage.marks.get('asked')!;
      if (close !== undefined && close.height <= asked + MARGINS.patienceBlocks + 2) return [];
      const seen = `asked for at ${asked}, in a block at ${close?.height}`;
      return [{ rule: 'a close came late', seen }];
    },
  },
  'withholds-funding': {
    what: 'the maker keeps its signatures of the funding back until the expiry',
    row: 'F6',
    hostile,
    begin: (stage) => {
      stage.world.nodes.maker.isMute = true;
      silentOn(stage, ['channel.tx_signatures']);
    },
    play: async (stage) => {
      await stage.rounds(4);
      await stage.until(1);
      const funding = (await storedOf(stage.world, 'maker'))?.fundingTx;
      if (funding !== undefined) send(stage.world, 'the maker', 'the funding', funding);
      await stage.liveOut();
    },
    step,
  },
  'funds-late': {
    what: 'the maker keeps its signatures of the funding back until it can be deep no more, and mines it itself',
    row: 'F6',
    hostile,
    begin: (stage) => {
      stage.world.nodes.maker.isMute = true;
      silentOn(stage, ['channel.tx_signatures']);
      // Whatever the miner sends to stop it comes a block later.
      stage.world.nodes.miner.isMute = true;
    },
    play: async (stage) => {
      await stage.rounds(4);
      await stage.until(MARGINS.askBlocks + MARGINS.urgentBlocks + stage.random.below(2));
      const funding = (await storedOf(stage.world, 'maker'))?.fundingTx;
      if (funding !== undefined) send(stage.world, 'the maker', 'the funding', funding);
      stage.world.chain.generate(1);
      stage.world.nodes.miner.isMute = false;
      await stage.blocks(2);
      stage.marks.set('funded', stage.height);
      await stage.liveOut();
    },
    step,
    judge: (stage, { close }) => {
      const funded = stage.marks.get('funded');
      if (funded === undefined || (close !== undefined && close.height <= funded + 1)) return [];
      return [{ rule: 'a close came late', seen: `funded by ${funded}, closed at ${close?.height}` }];
    },
  },
  'dear-funding': {
    what: 'the maker names a fee of the funding that is far above the market',
    row: 'F12',
    hostile,
    begin: ({ world }) => {
      world.nodes.maker.saidSatPerKvb = 150_000;
    },
    play: async (stage) => {
      await paid(stage, 1);
      stage.world.nodes.maker.saidSatPerKvb = undefined;
      await stage.liveOut();
    },
    judge: (_stage, { fundingFees, fundingVsize }) => {
      const most = (2n * BigInt(fundingVsize) * BigInt(CALM_SAT_PER_KVB)) / 1000n;
      const isDear = fundingFees.miner > most;
      return isDear ? [{ rule: 'the other side named the fee', seen: `${fundingFees.miner} sat` }] : [];
    },
  },
  'refund-in-the-mempool': {
    what: 'the miner comes back at the expiry, and the refund of the maker would be in the next block',
    row: 'table: the miner stops and vanishes',
    hostile,
    play: async (stage) => {
      const { world } = stage;
      await paid(stage, 6);
      stage.gone.add('miner');
      await world.kill('miner', 0);
      await stage.until(0);
      stage.gone.delete('miner');
      // The next block comes after it has looked.
      await stage.rounds(3);
      await stage.liveOut();
    },
    step,
  },
  'refuses-without-reason': {
    what: 'the maker refuses some of the work without a reason, and then signs no more',
    row: 'F10',
    hostile,
    begin: (stage) => {
      let left = 4;
      alterHeard(stage.world, ({ about, message }) => {
        if (about !== 'work.batch' || message.params === undefined || left === 0) return [message];
        const codec = codecsOf('work.batch').params;
        const batch = codec.parse(message.params);
        const shares = batch.shares
          .shares()
          .map((share) => (left-- > 0 ? { ...share, ntime: share.ntime + 100_000 } : share));
        left = Math.max(left, 0);
        return [{ ...message, params: codec.print({ ...batch, shares: ShareRows.of(shares) }) }];
      });
    },
    play: async (stage) => {
      await paid(stage, 2);
      silentOn(stage, ['state.sign', 'channel.reestablish']);
      await passLimit(stage);
      await stage.liveOut();
    },
    step,
  },
  'floods-storage': {
    what: 'the maker has blobs stored in a loop',
    row: 'F3',
    hostile,
    play: async (stage) => {
      await paid(stage, 1);
      const blob = 'A'.repeat(80_000);
      for (let id = 0; id < 40; id += 1) {
        const params = { contract_id: stage.world.contractId, blob };
        const request = { jsonrpc: '2.0', id: 9_000 + id, method: 'peer_storage.put', params };
        stage.world.network.inject('maker', JSON.stringify(request));
      }
      await stage.liveOut();
    },
    step,
    judge: ({ world }) => {
      const bytes = world.disks.miner.askedBytes.get('blob') ?? 0;
      return bytes > 1_000_000 ? [{ rule: 'a peer fills the journal', seen: `${bytes} bytes` }] : [];
    },
  },
  'refuses-early-close': {
    what: 'the maker lets nobody close while bonds are at stake, by its policy',
    row: 'F24',
    hostile,
    options: () => ({
      staked: true,
      policy: (usual) => ({ ...usual, stakes: { ...usual.stakes!, earlyClose: 'refused' } }),
    }),
    play: async (stage) => {
      await paid(stage, 1);
      const { miner } = stage.world;
      const isOpen = miner?.status.channel === 'open' && miner.status.connected;
      void miner?.closeNow().catch(() => {});
      await stage.blocks(1);
      const before = miner?.status.signed?.n ?? 0;
      await stage.pay(2);
      await stage.blocks(MARGINS.patienceBlocks + 1);
      const status = stage.world.miner?.status;
      const isGoingOn = status?.channel === 'open' && (status.signed?.n ?? 0) > before;
      if (isOpen && stage.left > MARGINS.askBlocks && !isGoingOn)
        stage.find('a refused close ends the stream', `${stage.left} blocks before the expiry`);
      await stage.liveOut();
    },
    step,
  },
  'holds-its-word': {
    what: 'the maker follows no rule but does nothing wrong: its refund alone, under old terms',
    row: 'table: the miner stops, then closes',
    hostile,
    options: () => ({ isOld: true }),
    begin: (stage) => alterLines(stage.world, itself),
    step,
    play: async (stage) => {
      await paid(stage, stage.random.below(4));
      void stage.world.miner?.closeAlone().catch(() => {});
      await stage.liveOut();
    },
  },
};
