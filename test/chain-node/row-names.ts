/** Every way a channel can end that a chain can show, in order. */
export const ROWS = [
  'Both close together',
  'Miner stops, then closes',
  'Miner stops and vanishes',
  'Miner double-sells the seal',
  'Miner re-sells by publishing old S_j',
  'MM stops signing / refuses',
  'MM offline',
  'MM broadcasts early',
  'P broadcasts old state',
  'Fee spike',
  "MM pins P's close with child",
  'Reorg of F',
  'Reorg of close near T_exp',
  'Both vanish',
  'MM refuses coop close at the end',
  'Auditor rules',
  'Auditor offline',
  'Auditor colludes',
  'P loses DB',
  'MM loses DB',
  'Other bond modes',
] as const;

export type RowName = (typeof ROWS)[number];

/** Who has what in the end, of what the funding took from both; what is missing went into fees. */
export type RowEnd = {
  readonly minerSat: bigint;
  readonly makerSat: bigint;
  readonly feesSat: bigint;
  /** Bonds that nobody has yet. */
  readonly lockedSat?: bigint;
};

export type RowRecord = { readonly row: RowName; readonly detail: string } & {
  readonly [key in keyof RowEnd]: string;
};
