import { larger } from '../../../src/base/bigints.ts';
import { toHex } from '../../../src/base/bytes.ts';
import { isRecord } from '../../../src/base/json.ts';
import { channelFacts } from '../../../src/channel/params.ts';
import { firstHead, headAfter, headDigest, type MinuteReport } from '../../../src/contract/minutes.ts';
import { updatesOf } from '../../../src/contract/updated-terms.ts';
import { minuteReportCodec } from '../../../src/peer/minute-codecs.ts';
import type { Finding } from '../audit.ts';
import { SHARE } from '../farm.ts';
import type { Side } from '../network.ts';
import type { Stage } from '../stage.ts';
import type { Strategy } from '../strategy.ts';
import { BOND_CSV_BLOCKS, SIGNERS } from '../terms.ts';
import { WALLETS } from '../world.ts';
import type { WorldOptions } from '../world-options.ts';
import { DUE_SHARES, due, MADE_UP_SHARES, minutes } from './terms.ts';
import { alterLines, paramsOf, silentOn } from './tools.ts';
import { confirm, propose, updatesAt } from './updates.ts';

/** An auditor that both tell their logs, and what it, or who tells it, may do wrong. */

const COLLATERAL_SAT = 20_000n;
const MAKER_BOND_SAT = 10_000n;
/** Nine tenths of the price of such a contract, msat per EH. */
const LOWER = 900n * 10n ** 18n;
const SIDES = ['miner', 'maker'] as const;

/** Delivery is promised, bonds are at stake, and no early close gives them back. */
const audited = (): WorldOptions => {
  const usual = due();
  return {
    ...usual,
    audited: true,
    termsV3: {
      ...usual.termsV3,
      bonds: {
        bondMode: 'auditor',
        ...{ makerBondSat: MAKER_BOND_SAT, collateralSat: COLLATERAL_SAT, bondCsvBlocks: BOND_CSV_BLOCKS },
        auditorKeyHex: toHex(SIGNERS.auditor.publicKey('auditor')),
        size: {
          ...{ collateralPpm: 0, worstCaseSat: COLLATERAL_SAT },
          ...{ makerBondPpm: 0, makerBondFloorSat: MAKER_BOND_SAT },
        },
      },
    },
    policy: (policy) => ({
      ...policy,
      stakes: { ...policy.stakes!, minCollateralSat: 0n, earlyClose: 'refused', returnsBonds: false },
    }),
  };
};

/** To whom each bond went; those that are still where the close left them are left out. */
async function bondsGone({ world }: Stage): Promise<Partial<Record<Side, Side>>> {
  const params = await paramsOf(world);
  const bonds = params === undefined ? undefined : channelFacts(params).bonds;
  if (bonds === undefined) return {};
  const ownerOf = new Map(SIDES.map((side) => [toHex(bonds[side].outputScript), side]));
  const owners = new Map<string, Side>();
  const gone: Partial<Record<Side, Side>> = {};
  for (let height = world.startHeight + 1; height <= world.chain.height; height += 1)
    for (const transaction of world.chain.blockAt(height)!.transactions.slice(1)) {
      const paid = transaction.outs.map(({ script }) => toHex(script));
      for (const { hash, index } of transaction.ins) {
        const owner = owners.get(`${toHex(hash.toReversed())}:${index}`);
        if (owner !== undefined) gone[owner] = paid.includes(WALLETS.miner) ? 'miner' : 'maker';
      }
      for (const [vout, script] of paid.entries()) {
        const owner = ownerOf.get(script);
        if (owner !== undefined) owners.set(`${transaction.getId()}:${vout}`, owner);
      }
    }
  return gone;
}

/** Each bond went where it must, by the newest state. */
const bondsTo =
  (to: Readonly<Record<Side, Side>>) =>
  async (stage: Stage): Promise<readonly Finding[]> => {
    const gone = await bondsGone(stage);
    return SIDES.flatMap((owner) => {
      if (gone[owner] === to[owner]) return [];
      const seen = `that of the ${owner} went to ${gone[owner] ?? 'nobody'}`;
      return [{ rule: 'a bond went elsewhere', seen }];
    });
  };

const toOwners = bondsTo({ miner: 'miner', maker: 'maker' });
const toBoth = (payee: Side) => bondsTo({ miner: payee, maker: payee });

async function killSome({ world, random }: Stage): Promise<void> {
  const which = random.below(4);
  if (which < 2) await world.kill(SIDES[which]!, 0);
  else if (which === 2) await world.auditor?.restart();
}

/** Blocks in which the close comes, and bonds go where they are ruled to. */
const RULED_BLOCKS = 12;

/** The rest of a life, its first blocks so far apart that an auditor, asked twice a minute, can answer. */
async function liveOut(stage: Stage, each: () => Promise<void> = async () => {}): Promise<void> {
  for (let block = 0; block < RULED_BLOCKS; block += 1) {
    await minutes(stage, 2, 0);
    await stage.block();
    await each();
  }
  await stage.liveOut();
}

/** The miner delivers for a while, and then nothing, for longer than it may make up. */
async function stops(stage: Stage, before: () => Promise<void> = async () => {}): Promise<void> {
  await stage.open();
  await minutes(stage, 6, DUE_SHARES + MADE_UP_SHARES);
  await before();
  await killSome(stage);
  await minutes(stage, 20, 0);
  await killSome(stage);
  await minutes(stage, 20, 0);
  await liveOut(stage);
}

/** Both do what they promised, and the miner closes alone while bonds are at stake. */
async function leaves(stage: Stage, count = 8): Promise<void> {
  await stage.open();
  await minutes(stage, count, DUE_SHARES + MADE_UP_SHARES);
  // Asked again, as a process that died of it has forgotten: who stays and delivers nothing is in default.
  for (const after of [2, 28]) {
    void stage.world.miner?.closeAlone().catch(() => {});
    await minutes(stage, after, 0);
  }
  await liveOut(stage);
}

/** The maker takes work, and signs nothing for it from some minute on. */
async function paysNothing(stage: Stage): Promise<void> {
  let isPaying = true;
  silentOn(stage, ['state.sign'], () => !isPaying);
  await stage.open();
  await minutes(stage, 6, DUE_SHARES + MADE_UP_SHARES);
  isPaying = false;
  // A minute of which the link is the reason is none of the maker's.
  await minutes(stage, 45, DUE_SHARES + MADE_UP_SHARES);
  void stage.world.miner?.closeAlone().catch(() => {});
  await minutes(stage, 20, 0);
  await liveOut(stage);
}

type Lines = { readonly reports: readonly unknown[]; readonly signature?: string };

/** A side that makes up what it says of each minute, and signs that; what of it it says to whom. */
class Forger {
  readonly #side: Side;
  readonly #first: Uint8Array;
  readonly #change: (report: MinuteReport) => MinuteReport;
  readonly #heads = new Map<number, Uint8Array>();

  constructor({ world }: Stage, side: Side, change: (report: MinuteReport) => MinuteReport) {
    this.#side = side;
    this.#first = firstHead(world.contractId, side);
    this.#change = change;
  }

  forge<T extends Lines>(told: T): T {
    const reports = told.reports.map((each) => this.#change(minuteReportCodec.parse(each)));
    if (reports.length === 0) return told;
    const before = [...this.#heads.keys()].filter((minute) => minute < reports[0]!.minute);
    let head = this.#heads.get(Math.max(...before)) ?? this.#first;
    for (const report of reports) {
      head = headAfter(head, report);
      this.#heads.set(report.minute, head);
    }
    const signature = toHex(SIGNERS[this.#side].signSchnorr('node', headDigest(head)));
    return { ...told, reports: reports.map((each) => minuteReportCodec.print(each)), signature };
  }
}

/** What a side says to its auditor of a log, instead. */
type Instead = (told: Lines) => Lines | undefined;

function tells({ world }: Stage, side: Side, instead: Partial<Record<Side, Instead>>): void {
  world.auditor!.alter = (line) => {
    const told = line.message['params'];
    const isIt = line.side === side && !line.isHeard && line.about === 'auditor.minutes';
    const other = isIt && isRecord(told) ? instead[told['role'] as Side] : undefined;
    if (other === undefined) return [line.message];
    const said = other(told as Lines);
    return said === undefined ? [] : [{ ...line.message, params: said }];
  };
}

/** The maker signs a log in which it credited nothing, to both. @param more of what it tells of the miner */
function creditsNothing(stage: Stage, more: { readonly miner?: Instead } = {}): void {
  const forger = new Forger(stage, 'maker', (report) => ({ ...report, workHashes: 60n, paidHashes: 60n }));
  tells(stage, 'maker', { ...more, maker: (told) => forger.forge(told) });
  alterLines(stage.world, ({ line, about, message }) => {
    const said = message.result as Lines | undefined;
    const isIt = line.from === 'maker' && about === 'delivery.minutes' && said !== undefined;
    return [isIt ? { ...message, result: forger.forge(said) } : message];
  });
}

/** The miner delivers, and then nothing, and tells its auditor nothing. @returns what ends its silence */
async function stopsUntold(stage: Stage): Promise<() => void> {
  let isLate = true;
  const later = (told: Lines): Lines | undefined => (isLate ? undefined : told);
  tells(stage, 'miner', { miner: later, maker: later });
  await stage.open();
  await minutes(stage, 6, DUE_SHARES + MADE_UP_SHARES);
  await minutes(stage, 40, 0);
  return () => {
    isLate = false;
  };
}

export const UNDER_AUDITORS: Readonly<Record<string, Strategy>> = {
  'stops-under-an-auditor': {
    what: 'the miner stops for good: the auditor gives both bonds to the maker, whoever is killed',
    row: 'auditor: ruling',
    hostile: ['miner'],
    options: audited,
    play: (stage) => stops(stage),
    judge: toBoth('maker'),
  },
  'tells-its-auditor-late': {
    what: 'the miner stops, and tells its auditor of it once the log of the maker is over: that changes nothing',
    row: 'auditor: ruling',
    hostile: ['miner'],
    options: audited,
    play: async (stage) => {
      const tell = await stopsUntold(stage);
      tell();
      await liveOut(stage);
    },
    judge: toBoth('maker'),
  },
  'starts-anew-before-its-ruling': {
    what: 'the ruling comes once the close is final, to a maker that was killed since: it takes both bonds',
    row: 'auditor: ruling',
    hostile: ['miner'],
    options: audited,
    play: async (stage) => {
      const { world } = stage;
      const tell = await stopsUntold(stage);
      let isClosed = false;
      await liveOut(stage, async () => {
        if (isClosed || world.maker?.status[0]?.channel !== 'closed') return;
        isClosed = true;
        await world.kill('maker', 0);
        tell();
      });
      if (!isClosed) stage.find('did not happen', 'a close');
    },
    judge: toBoth('maker'),
  },
  'new-price-under-an-auditor': {
    what: 'both sign another price, and the miner stops later: the auditor rules as it would without',
    row: 'auditor: updates',
    hostile: ['miner'],
    options: audited,
    play: (stage) =>
      stops(stage, async () => {
        const has = (side: Side): boolean => {
          const updates = updatesAt(stage, side);
          return updates !== undefined && updatesOf(updates.state.terms).length === 1;
        };
        // Asked again, as a process that died of it has forgotten.
        for (let time = 0; time < 3 && !SIDES.every(has); time += 1) {
          const fromHashes = (stage.world.miner?.status.ownWorkHashes ?? 0n) + 8n * SHARE.workHashes;
          await propose(stage, 'maker', { priceMsatPerEh: LOWER, fromHashes });
          await confirm(stage, 'miner');
          await minutes(stage, 1, DUE_SHARES + MADE_UP_SHARES);
        }
        await minutes(stage, 2, DUE_SHARES + MADE_UP_SHARES);
        for (const side of SIDES) if (!has(side)) stage.find('no new price', side);
      }),
    judge: toBoth('maker'),
  },
  'pays-nothing-under-an-auditor': {
    what: 'the maker signs nothing more: the auditor gives both bonds to the miner',
    row: 'auditor: ruling',
    hostile: ['maker'],
    options: audited,
    play: paysNothing,
    judge: toBoth('miner'),
  },
  'honest-under-an-auditor': {
    what: 'both do what they promised, whoever is killed: nobody is found in default, and each has its bond',
    row: 'auditor: ruling',
    hostile: [],
    options: audited,
    play: async (stage) => {
      const { world } = stage;
      await stage.open();
      for (let time = 0; time < 4; time += 1) {
        await minutes(stage, 5, DUE_SHARES + MADE_UP_SHARES);
        await killSome(stage);
      }
      await minutes(stage, 6, DUE_SHARES + MADE_UP_SHARES);
      const { verdict } = world.auditor!;
      if (verdict !== 'none' && verdict !== 'undecided')
        stage.find('an honest side is found in default', String(verdict));
      await stage.liveOut();
    },
    judge: toOwners,
  },
  'auditor-is-bought': {
    what: 'the auditor rules for one side, whatever the logs say: that costs the other its bond, no more',
    row: 'auditor: wrong',
    hostile: [],
    options: audited,
    play: async (stage) => {
      const side = SIDES[stage.random.below(2)]!;
      stage.marks.set(side, 1);
      stage.world.auditor!.favours = [side];
      await leaves(stage);
    },
    judge: (stage) => toBoth(stage.marks.has('miner') ? 'miner' : 'maker')(stage),
  },
  'auditor-is-bought-twice': {
    what: 'the auditor rules both ways: each bond goes to one of both, and of the channel nothing is lost',
    row: 'auditor: wrong',
    hostile: [],
    options: audited,
    play: async (stage) => {
      stage.world.auditor!.favours = SIDES;
      await leaves(stage);
    },
    judge: async (stage) => {
      const gone = await bondsGone(stage);
      const left = SIDES.filter((owner) => gone[owner] === undefined);
      return left.map((owner) => ({ rule: 'a bond is left', seen: `of the ${owner}` }));
    },
  },
  'auditor-is-not-there': {
    what: 'the auditor is silent for ever: the ruling is lost, and each has its bond back',
    row: 'auditor: silent',
    hostile: ['miner'],
    options: audited,
    play: async (stage) => {
      await stage.open();
      stage.world.auditor!.leave();
      await minutes(stage, 6, DUE_SHARES + MADE_UP_SHARES);
      await minutes(stage, 40, 0);
      await liveOut(stage);
    },
    judge: toOwners,
  },
  'auditor-forgets-a-side': {
    what: 'the auditor takes what one side tells it and forgets it: that convicts nobody who did as promised',
    row: 'auditor: withholds',
    hostile: [],
    options: audited,
    play: async (stage) => {
      stage.world.auditor!.forgets = [SIDES[stage.random.below(2)]!];
      await leaves(stage);
    },
    judge: toOwners,
  },
  'tells-half-of-a-log': {
    what: 'the miner stops, and tells the auditor only half of what it had of the log of the maker',
    row: 'auditor: half',
    hostile: ['miner'],
    options: audited,
    play: async (stage) => {
      const { world } = stage;
      const half = Math.floor(world.time.clock.nowMs() / 60_000) + 8;
      tells(stage, 'miner', {
        maker: (told) => {
          const [first] = told.reports.map((each) => minuteReportCodec.parse(each).minute);
          return first! > half ? undefined : told;
        },
      });
      await stops(stage);
    },
    judge: toOwners,
  },
  'says-nothing-to-the-auditor': {
    what: 'the miner stops, and tells the auditor nothing: undecided, and each has its bond back',
    row: 'auditor: silent side',
    hostile: ['miner'],
    options: audited,
    play: async (stage) => {
      stage.world.auditor!.alter = ({ side, message }) => (side === 'miner' ? [] : [message]);
      await stops(stage);
    },
    judge: toOwners,
  },
  'forges-its-log': {
    what: 'the miner stops, and shows the auditor another log of its own, in which it delivered',
    row: 'auditor: forged',
    hostile: ['miner'],
    options: audited,
    play: async (stage) => {
      let workHashes = 0n;
      const forger = new Forger(stage, 'miner', (report) => {
        workHashes = larger(report.workHashes, workHashes + 60n);
        return { ...report, workHashes, says: 'delivering' };
      });
      tells(stage, 'miner', { miner: (told) => forger.forge(told) });
      await stops(stage);
    },
    judge: toBoth('maker'),
  },
  'forges-what-it-paid': {
    what: 'the maker signs nothing more, and shows the auditor another log of its own, in which all is paid',
    row: 'auditor: forged',
    hostile: ['maker'],
    options: audited,
    play: async (stage) => {
      const forger = new Forger(stage, 'maker', (report) => ({ ...report, paidHashes: report.workHashes }));
      tells(stage, 'maker', { maker: (told) => forger.forge(told) });
      await paysNothing(stage);
    },
    judge: toBoth('miner'),
  },
  'forges-the-log-of-the-miner': {
    what: 'the maker credits nothing and shows a log of the miner that says it stood idle, unsigned by the miner',
    row: 'auditor: forged',
    hostile: ['maker'],
    options: audited,
    play: async (stage) => {
      const miner: Instead = (told) => ({
        ...told,
        reports: told.reports.map((each) =>
          minuteReportCodec.print({ ...minuteReportCodec.parse(each), says: 'idle' }),
        ),
      });
      creditsNothing(stage, { miner });
      await leaves(stage, 30);
    },
    judge: toOwners,
  },
  'credits-less-than-it-took': {
    what: 'the maker signs a log in which it credited nothing: that alone convicts nobody',
    row: 'auditor: forged',
    hostile: ['maker'],
    options: audited,
    play: async (stage) => {
      creditsNothing(stage);
      await leaves(stage, 30);
    },
    judge: toOwners,
  },
  'asks-for-what-is-not-ruled': {
    what: 'the maker asks the auditor for the bond of a miner that did as it promised',
    row: 'auditor: ruling',
    hostile: ['maker'],
    options: audited,
    play: async (stage) => {
      stage.world.auditor!.alter = ({ side, isHeard, about, message }) => {
        const { result } = message;
        const isRuling = side === 'maker' && isHeard && about === 'auditor.ruling' && isRecord(result);
        return [isRuling ? { ...message, result: { ...result, verdict: 'miner' } } : message];
      };
      await leaves(stage);
    },
    judge: toOwners,
  },
};
