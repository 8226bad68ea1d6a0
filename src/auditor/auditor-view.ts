import type { ChannelRole } from '../channel/keys.ts';
import { bondsOf } from '../contract/bond-terms.ts';
import type { DeliveryState } from '../contract/delivery-state.ts';
import type { LogRuling, LogVerdict } from '../contract/minute-ruling.ts';
import type { MinuteReport, MinuteRole, MinuteRuling } from '../contract/minutes.ts';
import { otherSide, SIDES } from '../contract/sides.ts';
import type { AuditorCase, ChannelStanding } from './auditor-case.ts';

/** What an auditor shows of a contract. */
export type AuditedContract = {
  readonly contractId: string;
  readonly minerNodeId: string;
  readonly makerNodeId: string;
  /** `none` where no side showed any. */
  readonly channel: ChannelStanding | 'none';
  readonly verdict: LogVerdict;
  readonly words: string;
  readonly minutes: LogRuling['minutes'];
  /** Newest minute of either log, as either side tells it. */
  readonly lastMinute: number;
  /** The newest that was judged; undefined before the first. */
  readonly judgedMinute: number | undefined;
  readonly logs: readonly ToldLog[];
  /** By the rulings; undefined before the first. */
  readonly delivery: Pick<DeliveryState, 'status' | 'missingHashes' | 'cureByHeight'> | undefined;
  /** The highest that both have said. */
  readonly height: number;
  readonly expiryHeight: number;
  readonly bonds: {
    readonly minerSat: bigint;
    readonly makerSat: bigint;
    /** Blocks after a close in which a ruling is of use. */
    readonly csvBlocks: number;
    readonly givenTo: ChannelRole | undefined;
  };
};

/** The log of a side, as one of both tells it. */
export type ToldLog = {
  readonly teller: MinuteRole;
  readonly side: MinuteRole;
  /** -1 before the first. */
  readonly lastMinute: number;
  /** Reports, under a signature of their side and in all. */
  readonly signed: number;
  readonly told: number;
};

type ShownRuling = Pick<LogRuling, 'verdict' | 'words' | 'minutes' | 'rulings' | 'to'> & {
  readonly delivery: LogRuling['delivery'] | undefined;
};

const NO_LOGS: ShownRuling = {
  ...{ verdict: 'undecided', words: 'no log was shown', minutes: {}, rulings: [] },
  ...{ delivery: undefined, to: undefined },
};

/** The ruling on a contract, also before any log was shown. */
export function rulingOf({ ruling }: AuditorCase): ShownRuling {
  return ruling ?? NO_LOGS;
}

export function auditedContract(audited: AuditorCase): AuditedContract {
  const { contractId, terms } = audited.contract;
  const { verdict, words, minutes, to, delivery } = rulingOf(audited);
  const logs = SIDES.flatMap((teller) => SIDES.map((side) => toldLog(audited, teller, side)));
  const bonds = bondsOf(terms);
  return {
    ...{ contractId, minerNodeId: terms.minerNodeId, makerNodeId: terms.makerNodeId },
    ...{ channel: audited.standing, verdict, words, minutes, logs, judgedMinute: to },
    lastMinute: Math.max(...logs.map(({ lastMinute }) => lastMinute)),
    delivery: delivery && {
      ...{ status: delivery.status, missingHashes: delivery.missingHashes },
      cureByHeight: delivery.cureByHeight,
    },
    height: Math.min(...SIDES.map((side) => newestOf(audited, side)?.height ?? 0)),
    expiryHeight: terms.expiryHeight,
    bonds: {
      ...{ minerSat: bonds.collateralSat, makerSat: bonds.makerBondSat, givenTo: audited.givenTo },
      csvBlocks: bonds.bondMode === 'auditor' ? bonds.bondCsvBlocks : 0,
    },
  };
}

function toldLog(audited: AuditorCase, teller: MinuteRole, side: MinuteRole): ToldLog {
  const log = audited.log(teller, side);
  return { teller, side, lastMinute: log.lastMinute, ...log.counts };
}

/** What is known of one minute. */
export type AuditedMinute = {
  readonly minute: number;
  readonly atMs: number;
  /** `none` where nothing is missing; undefined where it is not judged. */
  readonly ruling: NonNullable<MinuteRuling> | 'none' | undefined;
  readonly miner: MinuteReport | undefined;
  readonly maker: MinuteReport | undefined;
};

/** The minutes from one on, as each side tells its own log, or the other does where it knows more. */
export function auditedMinutes(audited: AuditorCase, since: number): readonly AuditedMinute[] {
  const told = { miner: reportsOf(audited, 'miner', since), maker: reportsOf(audited, 'maker', since) };
  const { rulings } = rulingOf(audited);
  const ruled = new Map(rulings.map(({ minute, ruling }) => [minute, ruling ?? ('none' as const)]));
  const minutes = new Set([...told.miner.keys(), ...told.maker.keys()]);
  return [...minutes].map((minute) => ({
    ...{ minute, atMs: minute * 60_000, ruling: ruled.get(minute) },
    ...{ miner: told.miner.get(minute), maker: told.maker.get(minute) },
  }));
}

function reportsOf(audited: AuditorCase, side: MinuteRole, since: number): Map<number, MinuteReport> {
  const reports = [otherSide(side), side].flatMap((teller) => audited.log(teller, side).from(since));
  return new Map(reports.map((report) => [report.minute, report]));
}

function newestOf(audited: AuditorCase, side: MinuteRole): MinuteReport | undefined {
  return SIDES.map((teller) => audited.log(teller, side).newest)
    .filter((report) => report !== undefined)
    .toSorted((a, b) => b.minute - a.minute)[0];
}
